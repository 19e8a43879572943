"""Binary files of cyclers, through readers that others keep (extra `cyclers`), and BDF Parquet (extra `campaign`).

Each reader: (path, bytes, column map) -> named float arrays of one length, in s, V, A, Ah, degC. Names are the
format's own, the map matters for Parquet alone. Positive current charges.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np

from host_sim.errors import InputError
from host_sim.formats.columns import Map, column, found

Columns = dict[str, np.ndarray]


def _needs(path: Path, package: str, extra: str):
    return InputError(f"{path}: needs the package {package}, which is not installed: pip install -e '.[{extra}]'")


def _damaged(path: Path, what: str, error: BaseException) -> InputError:
    reason = " ".join(str(error).split())[:100] or error.__class__.__name__
    return InputError(f"{path}: record 1: is not a whole {what} file ({reason})")


def parquet(path: Path, data: bytes, told: Map) -> Columns:
    """BDF as Parquet: the column names of the CSV, or those of a column map."""
    try:
        import pyarrow
        import pyarrow.parquet as pq
    except ImportError:
        raise _needs(path, "pyarrow", "campaign") from None
    try:
        table = pq.read_table(io.BytesIO(data))
        header = [str(name) for name in table.column_names]
        places = found(header, told)
        for key, name in (("time", "Test Time / s"), ("voltage", "Voltage / V"), ("current", "Current / A")):
            if key not in places:
                raise InputError(f"{path}: row 1: has no column {name!r}, which BDF requires; it has {header}")
        columns = {}
        for key, (index, *_) in places.items():
            if key == "type":
                continue
            c = column(path, header, key, index, [])
            columns[key] = table.column(index).to_numpy().astype(float) * c.scale + c.offset
        for name in header:
            if name.endswith("Lithium / Ah"):
                columns[name] = table.column(header.index(name)).to_numpy().astype(float)
        return columns
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
        raise _damaged(path, "Parquet", error) from None


def neware(path: Path, data: bytes, told: Map) -> Columns:
    """Neware .nda and .ndax (NewareNDA). Its time runs within a step; steps are joined by the record's time of day."""
    try:
        import NewareNDA
    except ImportError:
        raise _needs(path, "NewareNDA", "cyclers") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = NewareNDA.read(str(path), log_level="CRITICAL")
        within_s = frame["Time"].to_numpy(dtype=float)
        # seconds since 1970 by subtraction, so that neither unit nor time zone of the stamps matters
        first = frame["Timestamp"].iloc[0]
        day_s = np.array([(stamp - first).total_seconds() for stamp in frame["Timestamp"]])
        step = frame["Step"].to_numpy()
        columns = {
            "time": _joined(within_s, day_s, step),
            "unix": day_s + first.timestamp(),
            "voltage": frame["Voltage"].to_numpy(dtype=float),
            "current": frame["Current(mA)"].to_numpy(dtype=float) * 1e-3,
            "charge": frame["Charge_Capacity(mAh)"].to_numpy(dtype=float) * 1e-3,
            "discharge": frame["Discharge_Capacity(mAh)"].to_numpy(dtype=float) * 1e-3,
            "cycle": frame["Cycle"].to_numpy(dtype=float),
        }
        columns["unix"] = columns["unix"][0] + columns["time"]
        for name in ("T1", "T2"):
            if name in frame and np.isfinite(frame[name].to_numpy(dtype=float)).all():
                columns["temperature"] = frame[name].to_numpy(dtype=float)
                break
        return columns
    except Exception as error:  # a reader of foreign bytes may raise anything
        raise _damaged(path, "Neware", error) from None


def _joined(within_s: np.ndarray, day_s: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Time within steps as one time: a step begins where the clock says, never before the end of the one before."""
    time_s = np.empty(len(within_s))
    begin = 0.0
    for k in range(len(within_s)):
        if k and step[k] != step[k - 1]:
            begin = max(time_s[k - 1], day_s[k] - within_s[k])
        time_s[k] = begin + within_s[k]
    return time_s - time_s[0] if len(time_s) else time_s


def biologic(path: Path, data: bytes, told: Map) -> Columns:
    """Biologic .mpr (galvani)."""
    try:
        from galvani import MPRfile
    except ImportError:
        raise _needs(path, "galvani", "cyclers") from None
    try:
        file = MPRfile(io.BytesIO(data))
        names = file.data.dtype.names or ()
        places = found(list(names), Map())
        for key in ("time", "voltage"):
            if key not in places:
                raise InputError(f"{path}: record 1: holds no {key}; it has {', '.join(names)}")
        columns = {}
        for key in ("time", "voltage", "current", "temperature"):
            if key in places:
                c = column(path, list(names), key, places[key][0], [])
                columns[key] = file.data[c.name].astype(float) * c.scale + c.offset
        moved_ah = None
        for name, scale in (("(Q-Qo)/mA.h", 1e-3), ("(Q-Qo)/C", 1 / 3600.0)):
            if name in names:
                moved_ah = np.diff(file.data[name].astype(float) * scale, prepend=file.data[name][:1] * scale)
        for name, scale in (("dQ/mA.h", 1e-3), ("dq/mA.h", 1e-3), ("dQ/C", 1 / 3600.0)):
            if name in names and moved_ah is None:
                moved_ah = file.data[name].astype(float) * scale
        if moved_ah is not None:
            columns["charge"] = np.cumsum(np.maximum(moved_ah, 0.0))
            columns["discharge"] = np.cumsum(np.maximum(-moved_ah, 0.0))
        if "current" not in columns:
            if moved_ah is None:
                raise InputError(f"{path}: record 1: holds neither current nor charge; it has {', '.join(names)}")
            wait_s = np.maximum(np.diff(columns["time"]), 1e-3)
            columns["current"] = np.append(moved_ah[1:] / wait_s * 3600.0, 0.0)
        return columns
    except InputError:
        raise
    except Exception as error:  # a reader of foreign bytes may raise anything
        raise _damaged(path, "Biologic", error) from None


def arbin(path: Path, data: bytes, told: Map) -> Columns:
    """Arbin .res, an Access database, through `mdb-export` of mdbtools (no pip package reads one well)."""
    program = shutil.which("mdb-export")
    if program is None:
        raise InputError(
            f"{path}: needs mdbtools, which is not installed: apt install mdbtools, or brew install mdbtools; "
            "or export the data as CSV"
        )
    try:
        done = subprocess.run([program, str(path), "Channel_Normal_Table"], capture_output=True)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip() or f"mdb-export ended with {done.returncode}"
            raise ValueError(said.splitlines()[-1])
        rows = list(csv.DictReader(io.StringIO(done.stdout.decode("utf-8", "replace"))))
        tests = sorted({row["Test_ID"] for row in rows})
        if len(tests) > 1:
            raise InputError(
                f"{path}: record 1: holds {len(tests)} tests, {', '.join(tests)}; export each one by itself"
            )
        rows.sort(key=lambda row: int(row["Data_Point"]))
        names = {"time": "Test_Time", "voltage": "Voltage", "current": "Current", "charge": "Charge_Capacity",
                 "discharge": "Discharge_Capacity", "cycle": "Cycle_Index"}  # fmt: skip
        return {key: np.array([float(row[name]) for row in rows]) for key, name in names.items()}
    except InputError:
        raise
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise _damaged(path, "Arbin", error) from None


READERS = {".parquet": parquet, ".nda": neware, ".ndax": neware, ".mpr": biologic, ".res": arbin}
