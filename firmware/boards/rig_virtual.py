"""Rig build for the virtual board: the firmware behind its link, and nothing else."""

import _host
from machine import UART, WDT

from boards.rig import Rig

NAME = "rig_virtual"


class VirtualRig(Rig):
    def forever(self, turn):
        """Hand the loop over, as boards/virtual.py does; the rig sets the pace."""
        _host.forever(lambda: 20 if turn() else 1, self.safe)


def make(profile):
    """The rig board."""
    return VirtualRig(NAME, UART(0), lambda timeout_ms: WDT(timeout=timeout_ms))
