"""The virtual board: MicroPython for WebAssembly, its pins and chips simulated on the host (hil/virtual)."""

from machine import I2C, PWM, UART, WDT, Pin

# First act: every switch off.
CHARGE = Pin("charge", Pin.OUT, value=0)
DISCHARGE = Pin("discharge", Pin.OUT, value=0)
ENABLE = Pin("enable", Pin.OUT, value=0)
TRIGGER = Pin("trigger", Pin.OUT, value=0)

import _host  # noqa: E402

from boards.base import LONGEST_WAIT_MS, Board, Lines  # noqa: E402

NAME = "virtual"
CUTOFF = "simulated: INA228 ALERT latch and a one-shot of 330 s"


class Virtual(Board):
    def forever(self, turn):
        """Hand the loop over: only between two calls can the WebAssembly build collect garbage and hear a Ctrl-C."""
        _host.forever(lambda: min(turn(), LONGEST_WAIT_MS), self.safe)


def make(profile):
    """The board with a cell or string of this profile on it."""
    lines = Lines(
        CHARGE, DISCHARGE, ENABLE, TRIGGER,
        sense=(Pin("charge_sense"), Pin("discharge_sense"), Pin("pulse_sense")),
        trip=Pin("trip"), stop=Pin("stop"), consent=Pin("consent"),
    )  # fmt: skip
    return Virtual(
        NAME, CUTOFF, profile, lines,
        i2c=I2C(0),
        level=PWM(Pin("level", Pin.OUT)),
        uart=UART(0),
        make_watchdog=lambda timeout_ms: WDT(timeout=timeout_ms),
    )  # fmt: skip
