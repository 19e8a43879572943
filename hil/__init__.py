"""The rig: a board on a wire, its plant, instruments, scenarios and report."""

import sys
from pathlib import Path

# `boards` and `drivers` lie beside `relith` on a board's file system; on a PC only `relith` is installed
_FIRMWARE = str(Path(__file__).resolve().parent.parent / "firmware")
if _FIRMWARE not in sys.path:
    sys.path.append(_FIRMWARE)
