"""Which version made a result: the package version and a fingerprint of the sources that can change a figure."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("firmware", "host_sim")


@cache
def version() -> str:
    """`0.1.0+abcdef012345`: the installed version and twelve hex digits over firmware and simulator sources, as
    they were when first asked."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".json", ".csv") and path.is_file():
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    try:
        number = metadata.version("relith")
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        number = "0"
    return f"{number}+{digest.hexdigest()[:12]}"
