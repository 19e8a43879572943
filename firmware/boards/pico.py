"""Raspberry Pi Pico and Pico W (RP2040) on the reference schematic (docs/wiring.md)."""

from machine import I2C, PWM, UART, WDT, Pin

# First act: every switch off.
CHARGE = Pin(2, Pin.OUT, value=0)
DISCHARGE = Pin(3, Pin.OUT, value=0)
ENABLE = Pin(4, Pin.OUT, value=0)
TRIGGER = Pin(5, Pin.OUT, value=0)

from boards.base import Board, Lines  # noqa: E402

NAME = "pico"
CUTOFF = "INA228 ALERT sets a latch that opens all switches; CD4541B one-shot ends a pulse after 330 s; 2 A fuse"


def make(profile):
    """The board with a cell or string of this profile on it."""
    lines = Lines(
        CHARGE, DISCHARGE, ENABLE, TRIGGER,
        sense=(Pin(6, Pin.IN), Pin(7, Pin.IN), Pin(8, Pin.IN)),
        trip=Pin(9, Pin.IN), stop=Pin(14, Pin.IN), consent=Pin(15, Pin.IN),
    )  # fmt: skip
    return Board(
        NAME, CUTOFF, profile, lines,
        i2c=I2C(0, sda=Pin(0), scl=Pin(1), freq=400000, timeout=10000),
        level=PWM(Pin(10), freq=20000, duty_u16=0),
        uart=UART(1, 460800, tx=Pin(20), rx=Pin(21), rxbuf=512),
        make_watchdog=lambda timeout_ms: WDT(timeout=timeout_ms),
    )  # fmt: skip
