"""What a run on the simulated cell gave: rows in time, one summary line per cycle, and where they came from.

`solution["Voltage [V]"]` and the names that PyBaMM's users know; positive current charges, unlike there. Efficiencies:

- CE_cell = discharged / charged in the same cycle.
- CE_Li = 1 - (isolated + SEI at the end of the cycle - at its beginning) / charged: the share of plated lithium that
  can still be stripped. Recovered lithium may lift both above 100 %; they are never clamped.
"""

import json
import os
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from host_sim.errors import InputError
from host_sim.formats import bdf, parquet

STORES = ("Cathode", "Active", "Isolated", "SEI")
COLUMNS = (
    "Time [s]",
    "Voltage [V]",
    "Current [A]",
    "Cell temperature [C]",
    "Ambient temperature [C]",
    *(f"{store} lithium [mAh.cm-2]" for store in STORES),
    "Charge capacity [A.h]",  # this and the next three: totals since the run began, never reset
    "Discharge capacity [A.h]",
    "Charge energy [W.h]",
    "Discharge energy [W.h]",
    "Cycle number",
    "Step number",
)
# what the player counts in every cycle; the rest of the summary follows from it
COUNTED = (
    "Time [h]",  # at the end of the cycle
    "Charge capacity [A.h]",
    "Discharge capacity [A.h]",
    "Charge energy [W.h]",
    "Discharge energy [W.h]",
    *(f"{store} lithium [mAh.cm-2]" for store in STORES),  # at the end of the cycle
    "Least active lithium [mAh.cm-2]",  # within the cycle
    "Highest temperature [C]",
    "Activation pulses",  # short discharges right before a slower one
    "Discharged rest [h]",
)

# Life stages after Deng26: what tells them apart is the review's, the thresholds are ours.
STAGE_SPENT = 0.01  # 4: least active lithium below this share of the cycle's discharge: the reservoir is gone
STAGE_FADED = 0.98  # 3: discharge below this share of the first cycle's, with active lithium left: the cathode fades
STAGE_LOSS = 1.25  # 2: lithium loss per plated lithium above so many times that of the early cycles (2 to 6, median),
STAGE_ENERGY = 0.5  # or energy efficiency so many percentage points below that of the early cycles, capacity still flat


def summarise(counted, initial_lost_mah_cm2, area_cm2, first_ah=None):
    """Per-cycle summary, name -> array, from counted[cycles, len(COUNTED)].

    initial_lost_mah_cm2: isolated + SEI before the first of these cycles. first_ah: capacity that retention refers to
    (default: the first cycle that discharged anything).
    """
    out = {"Cycle number": np.arange(1, len(counted) + 1)}
    out.update({name: counted[:, k].copy() for k, name in enumerate(COUNTED)})
    charged, discharged = out["Charge capacity [A.h]"], out["Discharge capacity [A.h]"]
    lost = out["Isolated lithium [mAh.cm-2]"] + out["SEI lithium [mAh.cm-2]"]
    loss = np.diff(lost, prepend=initial_lost_mah_cm2) * area_cm2 / 1e3
    if first_ah is None:
        first_ah = discharged[discharged > 0][0] if (discharged > 0).any() else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        out["CE_cell [%]"] = np.where(charged > 0, 100 * discharged / charged, np.nan)
        out["CE_Li [%]"] = np.where(charged > 0, 100 * (1 - loss / charged), np.nan)
        out["Energy efficiency [%]"] = 100 * out["Discharge energy [W.h]"] / out["Charge energy [W.h]"]
        out["Mean charge voltage [V]"] = out["Charge energy [W.h]"] / charged
        out["Mean discharge voltage [V]"] = out["Discharge energy [W.h]"] / discharged
        out["Capacity retention [%]"] = 100 * discharged / first_ah
    out["Charge capacity [mAh.cm-2]"] = charged * 1e3 / area_cm2
    out["Discharge capacity [mAh.cm-2]"] = discharged * 1e3 / area_cm2
    out["Stage"] = _stage(out)
    return out


def _stage(out):
    """Stage 1-4 of each cycle; see the thresholds above. A cycle without a discharge keeps the stage before it."""
    discharged = out["Discharge capacity [mAh.cm-2]"]
    loss, efficiency = 100 - out["CE_Li [%]"], out["Energy efficiency [%]"]
    early = np.isfinite(loss[:6]) & np.isfinite(efficiency[:6])
    early[: min(1, early.sum() - 1)] = False  # the first cycle is formation, unless it is the only one
    stage = np.ones(len(discharged), dtype=np.int64)
    if early.any():
        slipping = loss > STAGE_LOSS * max(np.median(loss[:6][early]), 0.0) + 0.05
        slipping |= efficiency < np.median(efficiency[:6][early]) - STAGE_ENERGY
        slipping[:6] = False
        stage[slipping] = 2
    stage[out["Capacity retention [%]"] < 100 * STAGE_FADED] = 3
    stage[out["Least active lithium [mAh.cm-2]"] < STAGE_SPENT * discharged] = 4
    known = np.where(discharged > 0, np.arange(len(stage)), 0)
    return stage[np.maximum.accumulate(known)] if len(stage) else stage


class Rows:
    """Recorded rows, kept per cycle. When there are more than `max_rows`, every second recorded cycle is let go and
    half as many are recorded from then on, so that memory does not grow with the life; first and last always stay."""

    def __init__(self, max_rows, keep_every=1):
        self.max_rows, self.keep_every, self.blocks = max_rows, keep_every, {}
        self._count = None  # rows in all blocks; None when someone has put blocks in

    def add(self, cycle, block):
        """Append block[rows, len(COLUMNS)] to the cycle's own."""
        if self._count is None:
            self._count = sum(map(len, self.blocks.values()))
        self._count += len(block)
        if cycle in self.blocks:
            block = np.concatenate([self.blocks[cycle], block])
        elif self.blocks:
            self._drop(next(reversed(self.blocks)))
        self.blocks[cycle] = block
        while self.max_rows and len(self.blocks) > 2 and self._count > self.max_rows:
            self.keep_every *= 2
            for old in list(self.blocks)[:-1]:
                self._drop(old)

    def _drop(self, cycle):
        if (cycle - 1) % self.keep_every:
            self._count -= len(self.blocks.pop(cycle))

    def array(self):
        return np.concatenate([np.empty((0, len(COLUMNS))), *self.blocks.values()])


class Solution:
    """Rows and summary of a run. `about`: parameters, protocol, version, seed; `state`: what a resume needs."""

    def __init__(self, about, rows, counted, initial_lost_mah_cm2, state=None):
        self.about, self.recorded, self.counted, self.state = about, rows, counted, state or {}
        self.initial_lost_mah_cm2 = initial_lost_mah_cm2
        self._rows = None

    def __repr__(self):
        return (
            f"<Solution: {len(self.counted)} cycles, {len(self.rows)} rows of {len(self.recorded.blocks)} of them, "
            f"{self.about['parameter_set']}, world {self.about['world']}, version {self.about['version']}>"
        )

    @property
    def rows(self):
        """rows[n, len(COLUMNS)], in time order."""
        if self._rows is None:
            self._rows = self.recorded.array()
        return self._rows

    @property
    def summary(self):
        """Per-cycle summary: name -> array over all cycles, whether their rows were kept or not."""
        return summarise(self.counted, self.initial_lost_mah_cm2, self.about["area_cm2"])

    def _derived(self):
        area_cm2, column = self.about["area_cm2"], self._column
        return {
            "Time [min]": lambda: column("Time [s]") / 60,
            "Time [h]": lambda: column("Time [s]") / 3600,
            "Terminal voltage [V]": lambda: column("Voltage [V]"),
            "Battery voltage [V]": lambda: column("Voltage [V]"),
            "Current density [mA.cm-2]": lambda: column("Current [A]") * 1e3 / area_cm2,
            "Power [W]": lambda: column("Voltage [V]") * column("Current [A]"),
            "Cell temperature [K]": lambda: column("Cell temperature [C]") + 273.15,
            "Throughput capacity [A.h]": lambda: column("Charge capacity [A.h]") + column("Discharge capacity [A.h]"),
        }

    def _column(self, name):
        return self.rows[:, COLUMNS.index(name)]

    def names(self):
        """Names that solution[name] knows."""
        return [*COLUMNS, *self._derived()]

    def __getitem__(self, name):
        if name in COLUMNS:
            return self._column(name)
        derived = self._derived()
        if name not in derived:
            raise InputError(f"solution[{name!r}]: no such variable, known are {', '.join(self.names())}")
        return derived[name]()

    def cycle(self, number):
        """name -> array of one recorded cycle, 1 the first, -1 the last. Raises InputError when there is none such."""
        kept = list(self.recorded.blocks)
        number = kept[-1] if number == -1 and kept else number
        lived, every = len(self.counted), self.recorded.keep_every
        if number not in range(1, lived + 1):
            allowed = f"1 to {lived}, or -1 for the last" if lived else "none"
            raise InputError(f"solution.cycle({number}): this solution has {lived} cycles, allowed is {allowed}")
        if number not in self.recorded.blocks:
            near = min(kept, key=lambda cycle: abs(cycle - number), default="none")
            raise InputError(
                f"solution.cycle({number}): its rows were not kept (every {every} of {lived} was; "
                f"the nearest is {near}), run with a larger max_rows to keep more"
            )
        block = self.recorded.blocks[number]
        return {name: block[:, k] for k, name in enumerate(COLUMNS)}

    def plot(self, path=None):
        """The plots people expect; returns the matplotlib figure, and writes it when a path is given."""
        from host_sim.solution_plot import plot

        with writing(path):
            return plot(self, path)

    def to_parquet(self, path):
        """Rows as Parquet, with `about` in the file's metadata."""
        with writing(path):
            return parquet.write(path, {name: self[name] for name in COLUMNS}, self.about)

    def to_bdf(self, path):
        """Rows as a BDF CSV file (docs/simulate.md), stores as extra columns in Ah."""
        columns = {
            "Test Time / s": self["Time [s]"],
            "Voltage / V": self["Voltage [V]"],
            "Current / A": self["Current [A]"],
            "Cycle Count / 1": self["Cycle number"].astype(int),
            "Step Count / 1": self["Step number"].astype(int),
            "Ambient Temperature / degC": self["Ambient temperature [C]"],
            "Charging Capacity / Ah": self["Charge capacity [A.h]"],
            "Discharging Capacity / Ah": self["Discharge capacity [A.h]"],
            "Charging Energy / Wh": self["Charge energy [W.h]"],
            "Discharging Energy / Wh": self["Discharge energy [W.h]"],
        }
        for store in STORES:
            per_area = self[f"{store} lithium [mAh.cm-2]"]
            columns[f"{store} Lithium / Ah"] = per_area * self.about["area_cm2"] / 1e3
        return _whole(path, lambda beside: bdf.write(beside, columns))

    def save(self, path):
        """Everything, to be loaded, looked at and resumed with the same bits; one .npz file, whole or not at all."""
        arrays = {
            "about": np.array(json.dumps(self.about)),
            "rows": self.rows,
            "counted": self.counted,
            "initial_lost_mah_cm2": np.array(self.initial_lost_mah_cm2),
            "thinning": np.array([self.recorded.max_rows or 0, self.recorded.keep_every]),
            **{f"state_{name}": value for name, value in self.state.items()},
        }

        def write(beside):
            with open(beside, "wb") as file:
                np.savez_compressed(file, **arrays)

        return _whole(path, write)

    @classmethod
    def load(cls, path):
        """A saved solution. Raises InputError naming the file when it is missing, damaged or of another kind."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(str(arrays["about"]))
            max_rows, keep_every = (int(value) for value in arrays["thinning"])
            rows = Rows(max_rows or None, keep_every)
            cycle_of_row = arrays["rows"][:, COLUMNS.index("Cycle number")]
            for cycle in np.unique(cycle_of_row):
                rows.blocks[int(cycle)] = arrays["rows"][cycle_of_row == cycle]
            state = {name.removeprefix("state_"): arrays[name] for name in arrays if name.startswith("state_")}
            return cls(about, rows, arrays["counted"], float(arrays["initial_lost_mah_cm2"]), state)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, IndexError) as error:
            reason = " ".join(str(error).split())[:100]
            raise InputError(f"{path}: is not a whole saved solution ({reason})") from error


@contextmanager
def writing(path):
    """What the disk refuses is an InputError that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


def _whole(path, write):
    """Call write(beside) and move the result to path, so that a cut leaves the old file or the new one."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            write(beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    return path
