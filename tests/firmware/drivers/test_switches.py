"""Switch and pulse sink: what they refuse, that off needs nothing, and that trimming cannot run away."""

from drivers.converter import Converter
from drivers.switches import PulseSink, Switch
from hypothesis import given
from hypothesis import strategies as st


class Line:
    def __init__(self, level=0):
        self.level = level
        self.history = []

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level
        self.history.append(level)


class Level:
    duty = 0

    def duty_u16(self, duty):
        assert 0 <= duty <= 65535
        self.duty = duty


def sink(full_scale=100_000, one_shot_ms=150_000):
    return PulseSink(Level(), Line(), Line(), Line(), full_scale, one_shot_ms)


def test_switch_says_what_its_sense_line_says():
    gate, sense = Line(), Line(1)
    switch = Switch(gate, sense)
    switch.set(0)
    assert gate.level == 0 and switch.conducting() == 1  # welded
    switch = Switch(gate)
    switch.set(5)
    assert gate.level == 1 and switch.conducting() == 1


def test_pulse_triggers_the_one_shot_once():
    s = sink()
    assert s.start(50_000, 120_000) == 1
    assert s.enable.level == 1 and s.trigger.history == [1, 0]
    assert s.level.duty == 32767
    s.stop()
    assert (s.enable.level, s.level.duty, s.asked_count) == (0, 0, 0)


@given(st.integers(-10, 200_000), st.integers(-10, 300_000))
def test_beyond_sink_or_one_shot_nothing_turns_on(count, width_ms):
    s = sink()
    accepted = s.start(count, width_ms)
    assert accepted == (1 if 0 < count <= 100_000 and 0 < width_ms <= 150_000 else 0)
    assert s.enable.level == accepted
    assert accepted or (s.level.duty == 0 and s.trigger.level == 0)


@given(st.lists(st.integers(-(1 << 19), (1 << 19) - 1), max_size=60))
def test_trim_stays_within_a_tenth_whatever_is_measured(measured):
    s = sink()
    s.start(50_000, 1000)
    for count in measured:
        s.hold(count)
        assert abs(s.level.duty - 32767) <= 32767 // 10


def test_trim_brings_a_sink_that_is_5_percent_weak_to_what_was_asked():
    s = sink()
    s.start(50_000, 1000)
    for _ in range(40):
        s.hold(s.level.duty * 100_000 * 95 // 65535 // 100)
    assert abs(s.level.duty * 95_000 // 65535 - 50_000) <= 20


def test_converter_takes_the_upper_eight_bits():
    class Dac:
        def write(self, value):
            self.value = value

    dac = Dac()
    Converter(dac).duty_u16(65535)
    assert dac.value == 255
