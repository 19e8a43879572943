"""STM32 boards of the pyboard class (PYBv1.1, PYBD) on the reference schematic (docs/wiring.md)."""

from machine import I2C, UART, WDT, Pin

# First act: every switch off.
CHARGE = Pin("Y1", Pin.OUT, value=0)
DISCHARGE = Pin("Y2", Pin.OUT, value=0)
ENABLE = Pin("Y3", Pin.OUT, value=0)
TRIGGER = Pin("Y4", Pin.OUT, value=0)

from drivers.converter import Converter  # noqa: E402
from pyb import DAC  # noqa: E402

from boards.base import Board, Lines  # noqa: E402

NAME = "pyboard"
CUTOFF = "INA228 ALERT sets a latch that opens all switches; CD4541B one-shot ends a pulse after 330 s; 2 A fuse"


def make(profile):
    """The board with a cell or string of this profile on it."""
    lines = Lines(
        CHARGE, DISCHARGE, ENABLE, TRIGGER,
        sense=(Pin("Y5", Pin.IN), Pin("Y6", Pin.IN), Pin("Y7", Pin.IN)),
        trip=Pin("Y8", Pin.IN), stop=Pin("X11", Pin.IN), consent=Pin("X12", Pin.IN),
    )  # fmt: skip
    return Board(
        NAME, CUTOFF, profile, lines,
        i2c=I2C("X", freq=400000, timeout=10000),
        level=Converter(DAC(1)),
        uart=UART(4, 460800, rxbuf=512),
        make_watchdog=lambda timeout_ms: WDT(timeout=timeout_ms),
        folder="/flash",
    )  # fmt: skip
