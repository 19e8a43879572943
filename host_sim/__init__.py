"""Relith on a PC: the simulated cell, protocols, the loop with the firmware, experiments and reports."""

import hashlib
import os
import sys
from pathlib import Path


def _own_numba_cache():
    """Name numba's cache folder by the content of every compiled room.

    numba itself looks only at the file that a function stands in: after a row is added in cell/table.py, all indices
    shift, and cell/kernel.py would be run with yesterday's.
    """
    here = Path(__file__).parent
    rooms = [*sorted((here / "cell").glob("*.py")), here / "cycler.py"]
    digest = hashlib.sha256(b"".join(room.read_bytes() for room in rooms)).hexdigest()[:12]
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or here / "__pycache__")
    if base.name.startswith("relith-"):  # inherited from the process that started this one
        base = base.parent
    os.environ["NUMBA_CACHE_DIR"] = str(base / f"relith-{digest}")
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


_own_numba_cache()
