"""Relith on a PC: the simulated cell, protocols, the loop with the firmware, experiments and reports."""

import hashlib
import os
import sys
from pathlib import Path

_HERE = Path(__file__).parent


def _digest(*patterns):
    """Twelve hex digits over the content of these files."""
    files = sorted(path for pattern in patterns for path in _HERE.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


# What a simulated life depends on, as it was when this process began: two runs with the same MODEL and the same
# parameters give the same bits.
MODEL = _digest("cell/*.py", "cell/*.json", "cycle*.py", "fleet.py", "protocol.py", "solution.py")


def _own_numba_cache():
    """Name numba's cache folder by the content of every compiled room.

    numba itself looks only at the file that a function stands in: after a row is added in cell/table.py, all indices
    shift, and cell/kernel.py would be run with yesterday's. Nothing is ever deleted or renumbered that another process
    may be reading. Installed where nothing may be written, the folder stands in the user's own cache.
    """
    own = _HERE if os.access(_HERE, os.W_OK) else Path.home() / ".cache" / "relith"
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or own / "__pycache__")
    if base.name.startswith("relith-"):  # inherited from the process that started this one
        base = base.parent
    os.environ["NUMBA_CACHE_DIR"] = str(base / f"relith-{_digest('cell/*.py', 'cycle*.py', 'fleet.py')}")
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


_own_numba_cache()
