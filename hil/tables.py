"""TOML tables that know their place in the file, for scenarios and rigs: what is not understood is one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hil.units import quantity
from host_sim.errors import InputError


def find(name: str, folder: Path) -> Path | None:
    """A TOML file by its path, or by its name with or without the ending in `folder`; None when there is none."""
    return next((path for path in (Path(name), folder / name, folder / f"{name}.toml") if path.is_file()), None)


def read(path: Path | str) -> tuple[dict[str, Any], Path]:
    """A TOML file as it stands, and its path. Raises InputError naming the file."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path.name}: not valid TOML ({error})") from None


class Table:
    """A TOML table that knows its place in the file and what of it was read; what is left over is unknown."""

    def __init__(self, file: str, path: str, data: object, what: str) -> None:
        """`what` the file is, for the sentence about a field it does not have."""
        self.file, self.path, self.what = file, path, what
        if not isinstance(data, dict):
            raise InputError(f"{self.where()} must be a table of fields, not {data!r}")
        self.data = dict(data)

    def where(self, key: str = "") -> str:
        place = ".".join(part for part in (self.path, key) if part)
        return f"{self.file}: {place}" if place else self.file

    def take(self, key: str, default: object = ..., kinds: type | tuple[type, ...] = str) -> Any:
        if key not in self.data:
            if default is ...:
                raise InputError(f"{self.where(key)} is missing")
            return default
        value = self.data.pop(key)
        names = {str: "text", bool: "true or false", int: "a whole number", list: "a list", dict: "a table"}
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            kind = names[kinds] if isinstance(kinds, type) else "another kind of value"
            raise InputError(f"{self.where(key)} is {value!r}, it must be {kind}")
        return value

    def number(self, key: str, kind: str, default: object = ...) -> Any:
        if key not in self.data:
            if default is ...:
                raise InputError(f"{self.where(key)} is missing")
            return default
        return quantity(self.data.pop(key), kind, self.where(key))

    def word(self, key: str, allowed: tuple[str, ...], default: object = ...) -> str:
        value = self.take(key, default)
        if value not in allowed:
            raise InputError(f"{self.where(key)} is '{value}' (allowed: {', '.join(allowed)})")
        return value

    def table(self, key: str) -> Table:
        return Table(self.file, f"{self.path}.{key}".lstrip("."), self.data.pop(key, {}), self.what)

    def tables(self, key: str) -> list[Table]:
        rows = self.take(key, [], list)
        return [Table(self.file, f"{key}[{n}]", row, self.what) for n, row in enumerate(rows, 1)]

    def done(self) -> None:
        if self.data:
            unknown = next(iter(self.data))
            raise InputError(f"{self.where(unknown)} is not a field of a {self.what}")
