"""Rig build for the virtual board: the firmware behind its link, and nothing else."""

import _host
from machine import UART, WDT

from boards.base import LONGEST_WAIT_MS
from boards.rig import Rig

NAME = "rig_virtual"


class VirtualRig(Rig):
    def forever(self, turn):
        """Hand the loop over, as boards/virtual.py does."""
        _host.forever(lambda: min(turn(), LONGEST_WAIT_MS), self.safe)


def make(profile):
    """The rig board."""
    return VirtualRig(NAME, UART(0), lambda timeout_ms: WDT(timeout=timeout_ms))
