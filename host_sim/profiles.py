"""Profiles as the host loads them: first is it sound JSON (where not, line and column), then the firmware's own check.

The firmware reads the same text with MicroPython's `json`, which lets pass what a person did not mean.
"""

from __future__ import annotations

import json
from pathlib import Path

from relith.profile import Profile, ProfileError

from host_sim.errors import InputError


def checked(text: bytes, source: str) -> dict:
    """The fields of a profile's text. Raises InputError for a byte-order mark, bad UTF-8, bad JSON, a field twice."""
    if text.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{source}: begins with a byte-order mark, must be plain UTF-8 JSON; save it without")
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source}: line {line} is not UTF-8, must be one whole JSON object in UTF-8") from None
    try:
        data = json.loads(decoded, object_pairs_hook=lambda pairs: _once(pairs, source, decoded))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source}: line {error.lineno}, column {error.colno}: {error.msg}; must be one whole JSON object"
        ) from None
    except RecursionError:
        raise InputError(
            f"{source}: is nested too deep, must be one JSON object with a field for each figure"
        ) from None
    if not isinstance(data, dict):
        raise InputError(f"{source}: is a {type(data).__name__}, must be one whole JSON object")
    return data


def _once(pairs: list[tuple[str, object]], source: str, text: str) -> dict:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                place = text.rfind(json.dumps(name, ensure_ascii=False))
                where = f"line {text.count(chr(10), 0, place) + 1}: " if place >= 0 else ""
                raise InputError(f"{source}: {where}{name} stands there twice, must be there once")
            seen.add(name)
    return data


def load(path: str | Path) -> Profile:
    """The profile in a file, checked. Raises InputError: one sentence naming file, field, value and range."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); a profile is a JSON file") from None
    checked(text, str(path))
    return made(text, str(path))


def made(text: bytes | str, source: str) -> Profile:
    """A profile of this text; the firmware's own complaint becomes an InputError."""
    try:
        return Profile(text, source)
    except ProfileError as error:
        raise InputError(str(error)) from None


def scaled(data: dict, scale: float) -> None:
    """To a cell `scale` times as large: every figure in µA, µAh, nA and mm² grows, every µΩ falls; in place."""
    for name, value in data.items():
        if name.endswith(("_ua", "_uah", "_na", "_mm2")):
            data[name] = max(1, round(value * scale))
        elif name.endswith("_uohm"):
            data[name] = max(1, round(value / scale))


def changed(
    profile: Profile, path: Path, capacity_mah: float | None = None, settings: list[str] | None = None, cells: int = 1
) -> Profile:
    """`profile`, which stands in the file `path`, scaled to a nominal capacity, with fields set, for so many cells.

    `settings`: `field=whole number`. Raises InputError: for what is no such field or number, and as the check does.
    """
    data = json.loads(path.read_bytes())
    source = str(path)
    if capacity_mah is not None:
        if not 1.0 <= capacity_mah <= 1e6:
            raise InputError(f"--capacity is {capacity_mah:g} mAh, allowed is 1 to 1e+06")
        scaled(data, capacity_mah * 1e3 / profile.nominal_capacity_uah)
        data["nominal_capacity_uah"] = round(capacity_mah * 1e3)
        source += f" at {capacity_mah:g} mAh"
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or name not in data or not isinstance(data[name], int):
            raise InputError(f"--set is {setting!r}, must be FIELD=N with a field of {path} that is a whole number")
        try:
            data[name] = int(value.replace("_", ""))
        except ValueError:
            raise InputError(f"--set {name} is {value!r}, must be a whole number") from None
        source += f", {setting}"
    if cells != profile.cell_count:
        data["cell_count"] = cells
    if source == str(path) and cells == profile.cell_count:
        return profile
    return made(json.dumps(data), source)
