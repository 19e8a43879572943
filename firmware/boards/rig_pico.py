"""Rig build for Raspberry Pi Pico and Pico 2: link on UART 1 (GP20, GP21), every switch pin held low."""

from machine import UART, WDT, Pin

# First act: every switch off, and so it stays.
for _number in (2, 3, 4, 5):
    Pin(_number, Pin.OUT, value=0)

from boards.rig import Rig  # noqa: E402

NAME = "rig_pico"


def make(profile):
    """The rig board."""
    return Rig(NAME, UART(1, 460800, tx=Pin(20), rx=Pin(21), rxbuf=1024), lambda timeout_ms: WDT(timeout=timeout_ms))
