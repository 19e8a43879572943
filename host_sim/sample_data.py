"""Small recordings of the simulated cell, as a cycler would have written them: `python -m host_sim.sample_data`.

Made for trying `relith-sim replay` and `relith-sim profile`, and for their tests. Simulated, every row of them.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

from host_sim.cell import Cell, Control, load_parameters
from host_sim.firmware import FirmwareRun
from host_sim.formats import bdf
from host_sim.life import Setup
from host_sim.sensors import SensorSpec
from host_sim.version import ROOT

FOLDER = ROOT / "host_sim" / "samples"
SLOW = "relith-sim__slow-cycle-and-pulses__20250101_001.bdf.csv"
LIFE = "relith-sim__spent-reservoir__20250101_001.bdf.csv"
PROFILE = ROOT / "firmware" / "profiles" / "liu21_nmc532.json"
ONE_C_A = 0.267
PIECE_S = 20.0  # a cycler looks this often whether a row is due
THIN_MAH_CM2 = 0.3  # reservoir of the cell that spends it
COLUMNS = ("Test Time / s", "Voltage / V", "Current / A", "Cycle Count / 1", "Step Count / 1",
           "Surface Temperature / degC", "Charging Capacity / Ah", "Discharging Capacity / Ah")  # fmt: skip
STORES = ("Cathode Lithium / Ah", "Live Lithium / Ah", "Isolated Lithium / Ah", "SEI Lithium / Ah")


class Cycler:
    """Plays steps on a cell and writes rows as cyclers do: at the end of every step, and every so often within."""

    def __init__(self, cell: Cell, v_max: float = 4.2, v_min: float = 3.0, row_v: float = 0.005):
        self.cell, self.v_max, self.v_min, self.row_v = cell, v_max, v_min, row_v
        self.columns: dict[str, list[float]] = {name: [] for name in (*COLUMNS, *STORES)}
        self.time_s = self.charged_ah = self.discharged_ah = 0.0
        self.cycle, self.steps = 1, 0
        self._row()

    def step(self, control: Control, seconds: float = 1e9, every_s: float = 300.0, first_s: float = 1.0) -> None:
        """Until an event or for `seconds`; rows after `first_s`, then every `every_s` or when `row_v` has gone by."""
        self.steps += 1
        passed, due_s, last_v, event = 0.0, first_s, math.nan, None
        while passed < seconds - 1e-9 and event is None:
            before = self.cell.cathode_mah_cm2
            outcome = self.cell.advance(control, min(due_s - passed, PIECE_S, seconds - passed), 25.0)
            ah = (before - self.cell.cathode_mah_cm2) * self.cell.area_cm2 * 1e-3
            self.charged_ah += max(ah, 0.0)
            self.discharged_ah += max(-ah, 0.0)
            passed += outcome.elapsed_s
            self.time_s += outcome.elapsed_s
            event = outcome.event
            moved_v = abs(self.cell.voltage_v - last_v)
            if event or passed >= min(due_s, seconds) - 1e-9 or moved_v > self.row_v:
                self._row()
                due_s, last_v = passed + every_s, self.cell.voltage_v

    def charge(self, rate: float, stop: float, every_s: float = 300.0) -> None:
        """To the upper voltage, held until the current is down to `stop`; rates of 1C."""
        self.step(Control.current(rate * ONE_C_A, v_max=self.v_max), every_s=every_s)
        self.step(Control.voltage(self.v_max, i_max_a=rate * ONE_C_A, i_stop_a=stop * ONE_C_A), every_s=every_s)

    def discharge(self, rate: float, every_s: float = 300.0) -> None:
        """To the lower voltage."""
        self.step(Control.current(-rate * ONE_C_A, v_min=self.v_min), every_s=every_s)

    def rest(self, seconds: float, every_s: float = 600.0) -> None:
        """No current."""
        self.step(Control.rest(), seconds, every_s)

    def _row(self) -> None:
        c = self.cell
        ah_cm2 = c.area_cm2 * 1e-3
        row = (self.time_s, c.voltage_v, c.current_a, self.cycle, self.steps, c.temperature_degc, self.charged_ah,
               self.discharged_ah, c.cathode_mah_cm2 * ah_cm2, c.active_mah_cm2 * ah_cm2, c.isolated_mah_cm2 * ah_cm2,
               c.sei_mah_cm2 * ah_cm2)  # fmt: skip
        for values, value in zip(self.columns.values(), row, strict=True):
            values.append(value)


def slow_cycle_and_pulses(
    cell: Cell, rate: float = 0.05, pulses: int = 9, v_max: float = 4.2, v_min: float = 3.0
) -> dict[str, list[float]]:
    """A formation cycle, a full cycle at `rate`, and 10 s pulses of 1C between rests on the way down."""
    cycler = Cycler(cell, v_max, v_min)
    cycler.charge(0.1, 0.05, every_s=1800.0)
    cycler.rest(1800.0)
    cycler.discharge(0.1, every_s=1800.0)
    cycler.rest(1800.0)
    cycler.cycle = 2
    cycler.charge(rate, 0.02)
    cycler.rest(7200.0)
    cycler.discharge(rate)
    cycler.rest(7200.0)
    cycler.cycle = 3
    cycler.charge(0.2, 0.05, every_s=1800.0)
    for _ in range(pulses):
        cycler.rest(3600.0, every_s=1200.0)
        cycler.step(Control.current(-ONE_C_A, v_min=v_min), 10.0, every_s=3.0)
        cycler.rest(40.0, every_s=20.0)
        cycler.step(Control.current(-0.2 * ONE_C_A, v_min=v_min), 1800.0, every_s=900.0)
    cycler.discharge(0.1, every_s=1800.0)
    return {name: cycler.columns[name] for name in COLUMNS}


class TickRecorder:
    """Every tick of a closed loop, as the firmware read it: what a cycler with the same sensors would have written."""

    def __init__(self, run: FirmwareRun):
        self.run = run
        self.columns: dict[str, list[float]] = {name: [] for name in COLUMNS[:3] + COLUMNS[5:]}
        self._counted = self._in = self._out = 0  # the monitor's accumulator, and its ups and downs apart

    def note(self) -> None:
        """The readings of the tick that has just been."""
        r, lsb_a = self.run.bms.readings, self.run.profile.current_lsb_na * 1e-9
        counted = r.charge_hi * (1 << 20) + r.charge_lo
        moved, self._counted = counted - self._counted, counted
        self._in += max(moved, 0)
        self._out += max(-moved, 0)
        row = (r.now_ms * 1e-3, r.cell_uv[0] * 1e-6, r.current_count * lsb_a, r.temp_cdegc[0] * 1e-2,
               self._in * lsb_a / 3600.0, self._out * lsb_a / 3600.0)  # fmt: skip
        for values, value in zip(self.columns.values(), row, strict=True):
            values.append(value)


def closed_loop(policy: str, cycles: int, setup: Setup | None = None, seed: int = 0):
    """(FirmwareRun, TickRecorder, rows of estimates in mAh per booked discharge) of a cell under the firmware."""
    setup = setup or replace(Setup(profile=str(PROFILE)), seed=seed)
    cell = Cell(load_parameters(setup.electrolyte, setup.world), setup.area_cm2, setup.temperature_degc)
    run = FirmwareRun(cell, setup, policy, SensorSpec(sample_delay_ms=0))
    recorder = TickRecorder(run)
    estimates: list[dict[str, float]] = []
    while len(estimates) < cycles:
        run.step()
        recorder.note()
        if run.booked() < 0:
            estimates.append(run.estimate_mah())
    return run, recorder, estimates


def spent_reservoir(cycles: int = 12) -> dict[str, list[float]]:
    """A cell with a thin reservoir that is spent after a few cycles, then fades as an anode-free one."""
    parameters = load_parameters("liu21-carbonate", "redealt").replace(reservoir_mah_cm2=THIN_MAH_CM2)
    cycler = Cycler(Cell(parameters, 100.0), row_v=0.03)
    for cycle in range(1, cycles + 1):
        cycler.cycle = cycle
        cycler.charge(0.3, 0.1, every_s=900.0)
        cycler.rest(1800.0)
        cycler.discharge(0.3, every_s=900.0)
        cycler.rest(3600.0, every_s=900.0)
    del cycler.columns["Cathode Lithium / Ah"]  # the firmware counts it from full charge
    return cycler.columns


def main(argv: list[str]) -> int:
    """Write both files; exit status 0."""
    folder = Path(argv[0]) if argv else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    bdf.write(folder / SLOW, slow_cycle_and_pulses(Cell(load_parameters("liu21-carbonate", "redealt"), 100.0)))
    bdf.write(folder / LIFE, spent_reservoir())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
