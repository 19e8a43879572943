"""A result folder that appears whole or not at all, and replaces only what the same command left before."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from host_sim.errors import InputError


def refuse(command: str, out: Path, mark: str) -> None:
    """`out` must be new, empty, or hold `mark`, which `command` leaves; its parent writable. Raises InputError."""
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / mark).is_file())):
        raise InputError(f"{command}: --out is {out}, allowed is a new folder, an empty one, or that of an earlier run")
    refuse_unwritable(command, "out", out)


def refuse_unwritable(command: str, option: str, path: Path) -> None:
    """Where `path` is to stand must be writable. Tried, not asked: permissions do not tell of a read-only or virtual
    file system. Raises InputError.
    """
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.TemporaryDirectory(dir=parent):
            pass
    except OSError:
        raise InputError(
            f"{command}: --{option} is {path}, but {parent} cannot be written to; name a folder that can"
        ) from None


@contextlib.contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into; it takes the place of `out` at the end, or vanishes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder.chmod(0o755)
        yield folder
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
