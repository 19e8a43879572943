"""A rig build: the readings come over the link, the outputs go back over it, and there is no switch to turn on.

Not a board of its own: rig_pico and rig_virtual name the UART and the watchdog.
"""

import time

from boards.base import Files, Stream, watchdog_of
from boards.inject import Injector


class Rig:
    """Same face as boards.base.Board."""

    cutoff = "in the rig's plant"

    def __init__(self, name, uart, make_watchdog, folder=""):
        self.name = name
        self.store = Files(folder)
        self.stream = Stream(uart)
        self.after_watchdog = 0
        self._make_watchdog = make_watchdog

    def start(self, charge_limit_count, discharge_limit_count):
        """No chips to miss."""
        return ""

    def attach(self, bms):
        """From here on the controller's readings are what the link brings."""
        bms.gate.cutoff_present = 1
        bms.link.injector = Injector(bms.readings)
        bms.link.rig = 1
        self._link = bms.link
        self._bms = bms

    def safe(self):
        """There is nothing to turn off."""

    def read(self, r):
        """1 when the link has brought the readings of a tick."""
        if not self._link.inject(self._bms):
            return 0
        if self.after_watchdog:
            r.watchdog_reset = 1
            self.after_watchdog = 0
        return 1

    def apply(self, outputs):
        """The link has sent them."""

    def feed(self):
        """Feed the watchdog; the first call starts it, and nothing stops it."""
        watchdog_of(self._make_watchdog).feed()

    def forever(self, turn):
        """Run `turn()` for good: the rig sets the pace."""
        while True:
            turn()
            if not self.stream.waiting():
                time.sleep_ms(1)
