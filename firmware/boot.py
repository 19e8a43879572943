"""Runs first and ends soon: go to the firmware that was last flashed whole, and drive every switch off.

`make flash` keeps two firmware folders and writes the one not in use. Which one is in use stands in two small files,
written in turn like the journal's slots, so that a cut at any moment leaves the old choice or the new one.
"""

import os
import sys
from binascii import crc32


def chosen():
    """Folder of the firmware to run; "" when none was ever flashed whole."""
    best = (0, "")
    for slot in (0, 1):
        try:
            with open("firmware.%d" % slot) as file:
                number, folder, crc = file.read().split()
            if int(crc) == crc32((number + " " + folder).encode()):
                best = max(best, (int(number), folder))
        except (OSError, ValueError):
            pass
    return best[1]


def go():
    """Make the chosen folder the current one, where main.py and the modules are then found."""
    folder = chosen()
    if folder:
        os.chdir(folder)
        sys.path.insert(0, os.getcwd())
        import board  # drives every switch off  # noqa: F401


go()
