"""Battery Data Format (BDF) CSV, one cell per file. Positive current charges; capacities never reset.

Required columns `Test Time / s`, `Voltage / V`, `Current / A`; others are optional, extra columns are allowed
(`Isolated Lithium / Ah`). File names: `Institution__Cell__YYYYMMDD_XXX.bdf.csv`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from host_sim.errors import InputError

REQUIRED = ("Test Time / s", "Voltage / V", "Current / A")


def write(path: str | Path, columns: Mapping[str, Sequence[float]], digits: int = 7) -> None:
    """Write `columns` (name -> values, all of one length) with `digits` significant digits. Raises ValueError."""
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ValueError(f"{path}: a BDF file needs the column {missing[0]!r}")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"{path}: columns differ in length: {sorted(lengths)}")
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        # time needs all its digits: 7 significant ones are a 10 s grid after a year
        formats = [".3f" if name.endswith("Time / s") else f".{digits}g" for name in columns]
        for row in zip(*columns.values(), strict=True):
            writer.writerow([format(value, spec) for value, spec in zip(row, formats, strict=True)])


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a BDF CSV as float arrays; empty cells are NaN. InputError when it is none or time runs backwards."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as text ({error.__class__.__name__}); a BDF CSV is expected"
        ) from None
    if not rows:
        raise InputError(f"{path}: is empty; a BDF CSV begins with its column names")
    names = [name.strip() for name in rows[0]]
    for name in REQUIRED:
        if name not in names:
            raise InputError(f"{path}: column {name!r} is missing; a BDF CSV needs {', '.join(REQUIRED)}")
    table = np.empty((len(rows) - 1, len(names)))
    for k, row in enumerate(rows[1:]):
        if len(row) != len(names):
            raise InputError(f"{path}: line {k + 2} has {len(row)} fields; its header has {len(names)}")
        for j, text in enumerate(row):
            try:
                table[k, j] = float(text) if text.strip() else np.nan
            except ValueError:
                raise InputError(f"{path}: line {k + 2}, column {names[j]!r}: {text!r} is not a number") from None
    columns = {name: table[:, j] for j, name in enumerate(names)}
    backwards = np.flatnonzero(np.diff(columns["Test Time / s"]) < 0)
    if backwards.size:
        raise InputError(f"{path}: line {backwards[0] + 3}: 'Test Time / s' runs backwards; it must never fall")
    return columns
