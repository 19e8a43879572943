"""A cycler's text table (CSV) as float columns, line by line, so that every complaint names its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from host_sim.errors import InputError
from host_sim.formats.columns import NAMES, REQUIRED, Column, Map, column, direction, found, split

DELIMITERS = ",;\t|"
HEADER_WITHIN = 300  # lines in front of the column names at most
_CLOCK = re.compile(r"^(?:(\d+)\s*[d\-]\s*)?(\d+):(\d{1,2})(?::(\d{1,2}(?:[.,]\d+)?))?$")
_KEEP = 50  # a last line without its end is compared with so many before it
_CUT = "cut off"


def text_of(path: Path, data: bytes, encoding: str = "") -> str:
    """`data` as text: as told, else by its mark, UTF-8, or Western (cp1252). Raises InputError."""
    if not data.strip():
        raise InputError(f"{path}: line 1: the file is empty; a table with column names is expected")
    tries = [encoding] if encoding else ["utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "cp1252"]
    line = 1
    for name in tries:
        try:
            text = data.decode(name)
        except UnicodeError as error:
            line = max(line, data.count(b"\n", 0, getattr(error, "start", 0)) + 1)
            continue
        bad = next((m for m in re.finditer(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text)), None)
        if bad is None:
            return text
        line = text.count("\n", 0, bad.start()) + 1
        raise InputError(f"{path}: line {line} holds the byte {ord(bad[0])}: this is no text; a CSV is expected")
    raise InputError(f"{path}: line {line} is no {' or '.join(tries)} text; name its encoding in the column map")


class Table:
    """The used columns of one CSV. `values[key]`: float arrays (n,), or lists of them for voltage and temperature.

    Keys as in `columns.NAMES`; `lines[k]` is the line of row k; `extra` holds further columns asked for by exact name.
    """

    def __init__(self, path: Path, data: bytes, told: Map, extra: tuple[str, ...] = ()):
        self.path, self.told = path, told
        self.notes: list[str] = []
        text = text_of(path, data, told.encoding)
        self.delimiter, self.header_row, self.header = self._header(text)
        places = found(self.header, told)
        self._require(places)
        self.decimal = told.decimal or self._decimal(text, places)
        self._read(text, places, [name for name in extra if name in self.header])

    # -- header ------------------------------------------------------------------------------------------------

    def _header(self, text: str) -> tuple[str, int, list[str]]:
        """The line with the column names: as told, or the first one that has all that are needed."""
        best: tuple[int, str, int, list[str]] = (-1, ",", 1, [])
        lines = text.split("\n", max(HEADER_WITHIN, self.told.header_row))
        for number, line in enumerate(lines[: self.told.header_row or HEADER_WITHIN], 1):
            if self.told.header_row and number != self.told.header_row:
                continue
            for delimiter in self.told.delimiter or DELIMITERS:
                if len(line) > 100_000 or delimiter not in line:
                    continue
                names = [name.strip().strip('"').strip() for name in line.rstrip("\r").split(delimiter)]
                places = found(names, self.told)
                fits = sum(key in places for key in REQUIRED)
                if fits == len(REQUIRED):
                    return delimiter, number, names
                if fits > best[0]:
                    best = (fits, delimiter, number, names)
        if self.told.header_row and best[0] < 0:
            raise InputError(f"{self.path}: line {self.told.header_row}, said to hold the column names, holds no table")
        return best[1:]

    def _require(self, places: dict[str, list[int]]) -> None:
        for key in self.told.names:
            if key not in places:
                names = ", ".join(map(repr, self.told.names[key]))
                raise InputError(
                    f"{self.path}: line {self.header_row} has no column {names}, which the column map names for {key}; "
                    f"it has {self._has()}"
                )
        for key in REQUIRED:
            if key not in places:
                bdf = {"time": "Test Time / s", "voltage": "Voltage / V", "current": "Current / A"}[key]
                raise InputError(
                    f"{self.path}: line {self.header_row} has no column for {key} (in BDF {bdf!r}); "
                    f"it has {self._has()}; name it with --columns {key}=…"
                )

    def _has(self) -> str:
        text = ", ".join(repr(name) for name in self.header) or "no column names"
        return text if len(text) <= 160 else text[:157] + "…"

    def _decimal(self, text: str, places: dict[str, list[int]]) -> str:
        """A comma where numbers of the first row have one; never when commas part the columns."""
        if self.delimiter == ",":
            return "."
        lines = text.split("\n", self.header_row + 1)
        row = lines[self.header_row].split(self.delimiter) if len(lines) > self.header_row else []
        fields = [row[j] for key in REQUIRED for j in places[key] if j < len(row)]
        return "," if any(re.fullmatch(r'\s*"?-?\d+,\d*"?\s*', cell) for cell in fields) else "."

    # -- rows --------------------------------------------------------------------------------------------------

    def _read(self, text: str, places: dict[str, list[int]], extra: list[str]) -> None:
        plan: list[tuple[str, Column]] = []
        for key, indices in places.items():
            plan += [(key, column(self.path, self.header, key, index, self.notes)) for index in indices]
        types = [c.index for key, c in plan if key == "type"]
        signed = self.told.sign == "step-type"
        if signed and not types:
            raise InputError(
                f"{self.path}: the sign is to follow the step type, but no column says it; name it: type=…"
            )
        plan = [(key, c) for key, c in plan if key != "type"]
        plan += [(name, Column(name, self.header.index(name))) for name in extra]
        width, lines = len(self.header), []
        cells: list[list[float]] = [[] for _ in plan]
        readers = [self._parser(key, c) for key, c in plan]
        self.types: list[int] = []
        tail: list[int] = []  # length of the last field, over the last rows
        body = text.split("\n", self.header_row)
        rows = csv.reader(io.StringIO(body[self.header_row] if len(body) > self.header_row else "", newline=""),
                          delimiter=self.delimiter)  # fmt: skip
        try:
            for row in rows:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue
                line = self.header_row + rows.line_num
                if len(row) != width:
                    raise InputError(
                        f"{self.path}: line {line} has {len(row)} fields, its header has {width}: {_CUT} or damaged"
                    )
                for values, reader, (_, c) in zip(cells, readers, plan, strict=True):
                    values.append(reader(row[c.index], line))
                if signed:
                    self.types.append(direction(row[types[0]]))
                lines.append(line)
                tail.append(len(row[-1]))
                last = row
        except csv.Error as error:
            raise InputError(f"{self.path}: line {self.header_row + rows.line_num}: {error}") from None
        if not lines:
            raise InputError(f"{self.path}: line {self.header_row} holds the column names, but no row of data follows")
        if text[-1] not in "\r\n" and len(tail) > 1 and tail[-1] < min(tail[-_KEEP - 1 : -1]):
            raise InputError(f"{self.path}: line {lines[-1]} ends in the middle of a number: the file is {_CUT}")
        if text[-1] not in "\r\n" and len(lines) > 1:  # whole or cut inside a number: nobody can tell
            self.notes.append(f"{self.path}: line {lines[-1]}, the last one, has no end: it may be {_CUT}; left out")
            parts: list[list] = [lines, *cells, *([self.types] if signed else [])]
            for part in parts:
                part.pop()
        self.lines = np.array(lines)
        self.values: dict[str, list[np.ndarray]] = {key: [] for key in NAMES}
        self.extra: dict[str, np.ndarray] = {}
        self.coarse_ah = self._resolution(last, plan)
        for (key, c), values in zip(plan, cells, strict=True):
            array = np.array(values) * c.scale + c.offset if c.scale != 1.0 or c.offset else np.array(values)
            if key in self.values:
                empty = np.flatnonzero(np.isnan(array))
                if key in ("charge", "discharge") and 0 < empty.size < array.size:
                    raise InputError(f"{self.path}: line {lines[empty[0]]}, column {c.name!r}: is empty")
                if not np.isnan(array).all():  # an empty column is none
                    self.values[key].append(array)
            else:
                self.extra[key] = array

    def _parser(self, key: str, c: Column) -> Callable[[str, int], float]:
        """Text and line -> float; NaN for an empty cell where one may be. Raises InputError."""
        where, comma, required = self.path, self.decimal == ",", key in REQUIRED

        def number(text: str, line: int) -> float:
            try:
                value = float(text.replace(",", ".") if comma else text)
                if math.isfinite(value) and "_" not in text:
                    return value
            except ValueError:
                if not required and not text.strip():
                    return math.nan
            shown = text.strip() if len(text) <= 40 else text.strip()[:37] + "…"
            what = "is empty" if not shown else f"{shown!r} is not a finite number"
            raise InputError(f"{where}: line {line}, column {c.name!r}: {what}")

        def clock(text: str, line: int) -> float:
            try:
                return float(text.replace(",", ".") if comma else text) if ":" not in text else moment(text)
            except ValueError:
                raise InputError(f"{where}: line {line}, column {c.name!r}: {text.strip()[:40]!r} is no time") from None

        def moment(text: str) -> float:
            match = _CLOCK.match(text.strip())
            if match and not self.told.time_format:
                days, hours, minutes, seconds = match.groups()
                whole = int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60
                return (whole + float((seconds or "0").replace(",", "."))) / c.scale
            if self.told.time_format:
                when = datetime.strptime(text.strip(), self.told.time_format)
            else:
                when = datetime.fromisoformat(text.strip())
            return when.replace(tzinfo=when.tzinfo or UTC).timestamp() / c.scale

        return clock if key == "time" and (self.told.time_format or self._is_clock(c)) else number

    def _is_clock(self, c: Column) -> bool:
        """Times of day and durations as text say no unit of their own."""
        return split(c.name)[1] in ("", "h", "s", "hms")

    def _resolution(self, last: list[str], plan) -> float:
        """One digit of the charge columns in the last row, in Ah: how finely the cycler's own counter is written."""
        worst = 0.0
        for key, c in plan:
            digits = last[c.index].strip().lower()
            if key in ("charge", "discharge") and digits.strip("0.,"):  # of a bare 0 nothing is to be seen
                mantissa, _, exponent = digits.partition("e")
                decimals = len(mantissa.replace(",", ".").partition(".")[2])
                worst = max(worst, 10.0 ** (int(exponent or 0) - decimals) * c.scale)
        return worst
