"""Switches, each with a line that says whether it conducts, and the constant-current sink for activation pulses."""


class Switch:
    """A switch behind `gate` (high conducts, pulled down). `sense`: a line behind it, or None."""

    def __init__(self, gate, sense=None):
        self.gate = gate
        self.sense = sense
        self.asked = 0

    def set(self, on):
        """Turn on (1) or off (0)."""
        self.asked = 1 if on else 0
        self.gate.value(self.asked)

    def conducting(self):
        """What the switch does, 1 or 0; without a sense line, what it was told."""
        return self.asked if self.sense is None else self.sense.value()


class PulseSink:
    """Current sink: `level` (PWM behind a filter, or a converter) sets it, an amplifier holds it, a hardware one-shot
    alone lets it conduct: a rising `trigger` opens it for `one_shot_ms` at most, `enable` low closes it at once.

    `full_scale_count`: the current at full level, in the profile's counts. The measured current trims the level by at
    most one part in ten, so that a wrong measurement cannot drive the sink away.
    """

    def __init__(self, level, enable, trigger, sense, full_scale_count, one_shot_ms):
        self.level = level
        self.enable = enable
        self.trigger = trigger
        self.sense = sense
        self.full_scale_count = full_scale_count
        self.one_shot_ms = one_shot_ms
        self.asked_count = 0  # 0: off
        self._duty = 0  # what the count asks for, 0 ... 65535
        self._trim = 0

    def start(self, count, width_ms):
        """Begin a pulse. 1, or 0 when it is beyond what the sink or its one-shot can do (then nothing is on)."""
        if not 0 < count <= self.full_scale_count or not 0 < width_ms <= self.one_shot_ms:
            self.stop()
            return 0
        self.asked_count = count
        self._duty = count * 65535 // self.full_scale_count
        self._trim = 0
        self.level.duty_u16(self._duty)
        self.enable.value(1)
        self.trigger.value(1)
        self.trigger.value(0)
        return 1

    def hold(self, measured_count):
        """In a pulse, once a tick: bring the measured magnitude to what was asked."""
        error = self.asked_count - measured_count
        most = self._duty // 10
        step = error * 16383 // self.full_scale_count  # a quarter of the way
        self._trim = max(-most, min(most, self._trim + step))
        self.level.duty_u16(max(0, min(65535, self._duty + self._trim)))

    def stop(self):
        """Close it at once."""
        self.enable.value(0)
        self.trigger.value(0)
        self.level.duty_u16(0)
        self.asked_count = 0

    def conducting(self):
        return self.sense.value()
