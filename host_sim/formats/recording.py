"""One cell or string as a cycler recorded it, from any file, in s, V, A, Ah, degC. Positive current charges.

Checked on the way in: what is not a sound record is refused with one sentence that names file and line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from host_sim.errors import InputError
from host_sim.formats import vendors
from host_sim.formats.columns import Map
from host_sim.formats.table import Table

TRUTH = tuple(f"{store} Lithium / Ah" for store in ("Cathode", "Live", "Isolated", "SEI"))  # a simulated cell's own
LOW_V, HIGH_V = 0.3, 5.6  # outside these a cell voltage is a broken wire to the firmware, or another unit
LOW_DEGC, HIGH_DEGC = -45.0, 125.0


@dataclass
class Recording:
    """Arrays of one length n. `counters_ah`: the cycler's own, of charge and of discharge, or None; they may begin anew
    at every step or cycle (`growing`)."""

    path: Path
    lines: np.ndarray
    time_s: np.ndarray
    voltage_v: list[np.ndarray]
    current_a: np.ndarray
    temperature_degc: list[np.ndarray] = field(default_factory=list)
    unix_s: np.ndarray | None = None
    counters_ah: tuple[np.ndarray, np.ndarray] | None = None
    coarse_ah: float = 0.0  # one digit of them
    cycle: np.ndarray | None = None
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    unit: str = "line"
    notes: list[str] = field(default_factory=list)
    sha256: str = ""

    def at(self, k: int) -> str:
        """`file: line 17`."""
        return f"{self.path}: {self.unit} {self.lines[k]}"


def read(path: str | Path, told: Map | None = None) -> Recording:
    """The recording in a file, by its ending: .nda, .ndax, .mpr, .res, .parquet, else CSV. Raises InputError."""
    path, told = Path(path), told or Map()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise InputError(f"{path}: line 1: the file is empty")
    if data[:2] == b"\x1f\x8b":
        raise InputError(
            f"{path}: line 1: is compressed (gzip); unpack it, or use relith-hil replay if a rig recorded it"
        )
    suffix = path.suffix.lower()
    if suffix in vendors.READERS:
        recording = _of_vendor(path, suffix, data, told)
    else:
        recording = _of_table(path, Table(path, data, told, TRUTH), told)
    recording.sha256 = hashlib.sha256(data).hexdigest()
    _check(recording)
    return recording


def _of_table(path: Path, table: Table, told: Map) -> Recording:
    values = table.values
    current = values["current"][0]
    if told.sign == "discharge-positive":
        current = -current
    elif told.sign == "step-type":
        sign = np.array(table.types)
        lost = np.flatnonzero((sign == 0) & (np.abs(current) > 1e-3 * max(1e-12, float(np.abs(current).max()))))
        if lost.size:
            raise InputError(
                f"{path}: line {table.lines[lost[0]]}: current is {current[lost[0]]:g} A in a step whose type says "
                "neither charge nor discharge; the sign is to follow the type"
            )
        current = np.abs(current) * sign
    counters = None
    if values["charge"] and values["discharge"]:
        counters = _held(values["charge"][0]), _held(values["discharge"][0])
    return Recording(
        path, table.lines, values["time"][0], values["voltage"], current,
        [_held(v) for v in values["temperature"]],
        _held(values["unix"][0]) if values["unix"] else None, counters, table.coarse_ah,
        _held(values["cycle"][0]) if values["cycle"] else None, table.extra, notes=table.notes,
    )  # fmt: skip


def _of_vendor(path: Path, suffix: str, data: bytes, told: Map) -> Recording:
    columns = vendors.READERS[suffix](path, data, told)
    if told.sign == "discharge-positive":
        columns["current"] = -columns["current"]
    n = len(columns["time"])
    if n == 0:
        raise InputError(f"{path}: record 1: the file holds no record")
    counters = (columns["charge"], columns["discharge"]) if {"charge", "discharge"} <= set(columns) else None
    return Recording(
        path, np.arange(1, n + 1), columns["time"], [columns["voltage"]], columns["current"],
        [columns["temperature"]] if "temperature" in columns else [],
        columns.get("unix"), counters, 0.0 if suffix == ".parquet" else np.inf, columns.get("cycle"),
        {name: columns[name] for name in TRUTH if name in columns},
        unit="row" if suffix == ".parquet" else "record",
    )  # fmt: skip


def _held(values: np.ndarray) -> np.ndarray:
    """Empty cells take the last value before them, at the beginning the first one after."""
    known = np.isfinite(values)
    if known.all() or not known.any():
        return values
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return values[np.where(last >= 0, last, int(np.argmax(known)))]


def growing(counter: np.ndarray) -> np.ndarray:
    """A counter (n,) that begins anew at every step or cycle, made one that never falls."""
    counter = np.abs(counter)
    step = np.diff(counter, prepend=counter[:1])
    return counter[0] + np.cumsum(np.where(step < 0.0, counter, step))


def _check(r: Recording) -> None:
    """What every record must hold, whatever the cell."""
    for name, arrays, low, high, unit in (
        ("time", [r.time_s], -1e15, 1e15, "s"),
        ("current", [r.current_a], -1e7, 1e7, "A"),
        ("voltage", r.voltage_v, LOW_V, HIGH_V, "V"),
        ("temperature", r.temperature_degc, LOW_DEGC, HIGH_DEGC, "degC"),
    ):
        for values in arrays:
            bad = np.flatnonzero(~((values >= low) & (values <= high)))
            if bad.size:
                raise InputError(
                    f"{r.at(bad[0])}: {name} is {values[bad[0]]:g} {unit}, allowed is {low:g} to {high:g} {unit}: "
                    "another unit or column?"
                )
    charge, discharge = r.counters_ah or (None, None)
    for name, optional in (
        ("charge capacity", charge), ("discharge capacity", discharge), ("Unix time", r.unix_s), ("cycle", r.cycle)
    ):  # fmt: skip
        if optional is not None and not np.isfinite(optional).all():
            raise InputError(f"{r.at(int(np.argmin(np.isfinite(optional))))}: {name} is not a finite number")
    back = np.flatnonzero(np.diff(r.time_s) < 0)
    if back.size:
        k = int(back[0])
        raise InputError(
            f"{r.at(k + 1)}: time goes back from {r.time_s[k]:.10g} to {r.time_s[k + 1]:.10g} s; it must never fall"
        )
