"""ESP32 (DevKitC and alike) on the reference schematic (docs/wiring.md). No strapping pin, none of a WROVER's."""

from machine import I2C, PWM, UART, WDT, Pin

# First act: every switch off.
CHARGE = Pin(13, Pin.OUT, value=0)
DISCHARGE = Pin(25, Pin.OUT, value=0)
ENABLE = Pin(18, Pin.OUT, value=0)
TRIGGER = Pin(19, Pin.OUT, value=0)

from boards.base import Board, Lines  # noqa: E402

NAME = "esp32"
CUTOFF = "INA228 ALERT sets a latch that opens all switches; CD4541B one-shot ends a pulse after 330 s; 2 A fuse"


def make(profile):
    """The board with a cell or string of this profile on it."""
    lines = Lines(
        CHARGE, DISCHARGE, ENABLE, TRIGGER,
        sense=(Pin(34, Pin.IN), Pin(35, Pin.IN), Pin(36, Pin.IN)),
        trip=Pin(39, Pin.IN), stop=Pin(32, Pin.IN), consent=Pin(33, Pin.IN),
    )  # fmt: skip
    return Board(
        NAME, CUTOFF, profile, lines,
        i2c=I2C(0, sda=Pin(21), scl=Pin(22), freq=400000, timeout=10000),
        level=PWM(Pin(23), freq=20000, duty_u16=0),
        uart=UART(1, 460800, tx=26, rx=27, rxbuf=512),
        make_watchdog=lambda timeout_ms: WDT(timeout=timeout_ms),
    )  # fmt: skip
