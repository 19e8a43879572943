"""One cell's life under the firmware, from new to 80 % of its initial capacity, and what is worth keeping of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from host_sim.cell import Cell, Control, load_parameters
from host_sim.firmware import FirmwareRun
from host_sim.uses.lab import Lab

END_SHARE, FADE_SHARE = 0.80, 0.98
CONFIRM = 6  # so many cycles in a row below the end of life, or it was only a dip that a rest still mends
STALL_S = 10 * 86_400.0  # no cycle within this long: the firmware no longer lets the cell be used
RECORD_S, RECORD_V, RECORD_C = 900.0, 0.02, 0.01  # a BDF row at least this often, and when V or I (of 1C) moved by this
STORES = ("cathode", "active", "isolated", "sei")

# what a row (one cycle, seen at its end of discharge) holds; charge in mAh of the whole cell
COLUMNS = (
    "cycle",
    "end_h",
    "charge_mah",
    "discharge_mah",  # all that came out, a pulse included
    "capacity_mah",  # from full to the cut-off: discharge_mah in a laboratory, else a check on a copy of the cell
    "pulses",
    "pulse_mah",
    "pulse_h",
    "rest_h",
    "recovered_mah",  # true lithium reconnected since the row before
    *(f"true_{store}_mah" for store in STORES),  # cathode counted from its content at the last full charge
    *(f"estimated_{store}_mah" for store in STORES),
    *(f"estimated_{store}_sigma_mah" for store in STORES),
    "estimated_loss_sigma_mah",  # of isolated and SEI together
    "known",  # 0 unknown, 1 inferred, 2 measured at an anchor
    "stage",
)


@dataclass(frozen=True)
class Setup:
    """What a life is made of. `profile` is a checked profile's path; areas in cm², current densities in mA cm⁻²."""

    profile: str
    area_cm2: float = 100.0
    seed: int = 0
    cap: int = 1000
    world: str = "redealt"
    electrolyte: str = "liu21-carbonate"
    use: str = "lab"
    temperature_degc: float = 25.0
    charge_ma_cm2: float = 0.8
    discharge_ma_cm2: float = 0.268
    hold_stop_ma_cm2: float = 0.268


@dataclass
class Life:
    """One policy's life: rows by column, curves of three cycles, BDF columns, results."""

    policy: str
    rows: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    curves: dict[int, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    bdf: dict[str, list[float]] = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    ended: str = "running"  # "end of life", "cycle cap", "interrupted", or what stopped it


def first_lasting(values: list[float], limit: float) -> int | None:
    """Index of the first value from which on all are below `limit`; None when the last one is not."""
    first = None
    for k in range(len(values) - 1, -1, -1):
        if values[k] >= limit:
            break
        first = k
    return first


def knee(values: list[float]) -> int | None:
    """Index of the knee: farthest above the chord from first to last value (Kneedle, Satopaa 2011). None below 5
    values."""
    n = len(values)
    if n < 5:
        return None
    slope = (values[-1] - values[0]) / (n - 1)
    above = [value - (values[0] + slope * k) for k, value in enumerate(values)]
    best = max(range(n), key=above.__getitem__)
    return best if above[best] > 0.0 else None


def live(policy: str, setup: Setup, progress: Callable[[Life], None], stopped: Callable[[], bool]) -> Life:
    """Live one cell to its end under `policy` (`none`, `pulse`, `rest`, `both`, `adaptive`).

    `progress` is called after every cycle; when `stopped()` turns true the life so far is returned, ended
    "interrupted".
    """
    recorder = Recorder(policy, setup)
    life = recorder.life
    loop = recorder.run.loop
    while life.ended == "running":
        recorder.follow(recorder.run.step())
        if recorder.closed:
            recorder.closed = False
            progress(life)
            life.ended = recorder.verdict()
        elif loop.time_s - recorder.last_end_s > STALL_S:
            life.ended = (
                f"no cycle for {STALL_S / 86_400:.0f} days: {recorder.run.state_name()}, {recorder.run.reason()}"
            )
        if stopped():
            life.ended = "interrupted"
    recorder.finish()
    return life


class Recorder:
    """Follows one loop step by step and keeps what the report needs."""

    def __init__(self, policy: str, setup: Setup):
        self.setup = setup
        self.life = Life(policy)
        cell = Cell(load_parameters(setup.electrolyte, setup.world), setup.area_cm2, setup.temperature_degc)
        self.run = FirmwareRun(cell, setup, policy)
        self.cell = cell
        # a laboratory counts its cycles; a calendar life is cut by equivalent full cycles
        self.lab = self.run.actor if isinstance(self.run.actor, Lab) else None
        self.closed = False
        self.last_end_s = 0.0
        self._cycle = 0
        self._open = _Totals()
        self._recovered_mah = 0.0
        self._full_cathode_mah = math.nan
        self._half: list[tuple[float, float]] = []
        self._half_mah = 0.0
        self._sign = 0
        self._parts: dict[str, list[tuple[float, float]]] = {"charge": [], "discharge": []}
        self._curves: dict[int, dict[str, list[tuple[float, float]]]] = {}
        self._estimate_due = False
        self._bdf = _BdfRows(self.run, setup.temperature_degc)

    def follow(self, step) -> None:
        """Take over one step of the loop."""
        mah = step.charge_as / 3.6
        hours = step.elapsed_s / 3600.0
        totals = self._open
        if mah > 0.0:
            totals.charge_mah += mah
        else:
            totals.discharge_mah -= mah
        if self.run.pulsing():
            totals.pulse_mah -= mah
            totals.pulse_h += hours
            totals.pulses += not totals.in_pulse
            totals.in_pulse = True
        else:
            totals.in_pulse = False
        if self.run.resting():
            totals.rest_h += hours
        self._follow_curve(mah)
        self._bdf.follow(step, self._cycle)
        if self._estimate_due and totals.charge_mah > 0.5 * self.run.nominal_mah:
            self._write_estimate()  # the firmware books a half-cycle once the next one is under way
        if self.lab:
            if self.lab.cycles > self._cycle:
                self._close(totals.discharge_mah)
        elif totals.discharge_mah >= self.run.nominal_mah:
            self._close(self._check_capacity())

    def verdict(self) -> str:
        """Whether the life goes on after a closed cycle."""
        capacity = self.life.rows["capacity_mah"]
        tail = capacity[-CONFIRM:]
        if len(capacity) > CONFIRM and all(value < END_SHARE * capacity[0] for value in tail):
            return "end of life"
        return "cycle cap" if len(capacity) >= self.setup.cap else "running"

    def finish(self) -> None:
        """Results, and the three curves to keep."""
        life = self.life
        if self._estimate_due:
            self._write_estimate()
        rows = life.rows
        life.results = results(rows, self.run.nominal_mah, ended=life.ended)
        cycles = sorted(self._curves)
        last = life.results["cycles_to_80"] or (cycles[-1] if cycles else 0)
        keep = sorted({c for c in (1, (1 + last) // 2, last) if c in self._curves})
        life.curves = {cycle: self._curves[cycle] for cycle in keep}
        life.bdf = self._bdf.columns

    # -- inside ------------------------------------------------------------------------------------------------

    def _follow_curve(self, mah: float) -> None:
        sign = (mah > 0.0) - (mah < 0.0)
        if sign == 0:
            return
        if sign != self._sign:
            self._end_half()
            self._sign, self._half, self._half_mah = sign, [], 0.0
        self._half_mah += abs(mah)
        volts = self.cell.voltage_v
        last = self._half[-1] if self._half else (-math.inf, 0.0)
        if self._half_mah - last[0] > 0.01 * self.run.nominal_mah or abs(volts - last[1]) > RECORD_V:
            self._half.append((self._half_mah, volts))

    def _end_half(self) -> None:
        if self._sign > 0 and self._half_mah > 0.02 * self.run.nominal_mah:
            self._full_cathode_mah = self.cell.cathode_mah_cm2 * self.cell.area_cm2
        if self._half:
            self._parts["charge" if self._sign > 0 else "discharge"] = self._half

    def _close(self, capacity_mah: float) -> None:
        self._cycle += 1
        if self._estimate_due:
            self._write_estimate()
        if self.lab:
            self._end_half()
        totals, rows, area = self._open, self.life.rows, self.cell.area_cm2
        self._curves[self._cycle] = {kind: list(points) for kind, points in self._parts.items()}
        recovered_mah = self.cell.total("reconnected") * area
        row = {
            "cycle": self._cycle,
            "end_h": self.run.loop.time_s / 3600.0,
            "charge_mah": totals.charge_mah,
            "discharge_mah": totals.discharge_mah,
            "capacity_mah": capacity_mah,
            "pulses": totals.pulses,
            "pulse_mah": totals.pulse_mah,
            "pulse_h": totals.pulse_h,
            "rest_h": totals.rest_h,
            "recovered_mah": recovered_mah - self._recovered_mah,
            "true_cathode_mah": self.cell.cathode_mah_cm2 * area - self._full_cathode_mah,
            "true_active_mah": self.cell.active_mah_cm2 * area,
            "true_isolated_mah": self.cell.isolated_mah_cm2 * area,
            "true_sei_mah": self.cell.sei_mah_cm2 * area,
        }
        for name, value in row.items():
            rows[name].append(value)
        self._recovered_mah = recovered_mah
        self._open = _Totals()
        self._half_mah, self._half = 0.0, []
        self._sign = 0
        self._estimate_due = self.closed = True
        self.last_end_s = self.run.loop.time_s

    def _write_estimate(self) -> None:
        for name, value in self.run.estimate_mah().items():
            self.life.rows[name].append(value)
        self._estimate_due = False

    def _check_capacity(self) -> float:
        """What a full charge and a discharge at the laboratory's currents deliver now, tried on a copy of the cell."""
        cell, ratings = self.cell, self.run.ratings
        saved = cell.state()
        parts = {}
        for kind, controls in {
            "charge": (
                Control.current(ratings.charge_a, v_max=ratings.v_max),
                Control.voltage(ratings.v_max, i_max_a=ratings.charge_a, i_stop_a=ratings.hold_stop_a),
            ),
            "discharge": (Control.current(-ratings.discharge_a, v_min=ratings.v_min),),
        }.items():
            before = cell.cathode_mah_cm2
            points = []
            for control in controls:
                while cell.advance(control, 600.0).event is None:
                    points.append((abs(cell.cathode_mah_cm2 - before) * cell.area_cm2, cell.voltage_v))
            parts[kind] = points
            delivered = abs(cell.cathode_mah_cm2 - before) * cell.area_cm2
            if kind == "charge":
                self._full_cathode_mah = cell.cathode_mah_cm2 * cell.area_cm2
        cell.restore(saved)
        self._parts = parts
        return delivered


@dataclass
class _Totals:
    charge_mah: float = 0.0
    discharge_mah: float = 0.0
    pulse_mah: float = 0.0
    pulse_h: float = 0.0
    rest_h: float = 0.0
    pulses: int = 0
    in_pulse: bool = False


def results(rows: dict[str, list[float]], nominal_mah: float, ended: str) -> dict:
    """The figures of one life. Charges in mAh, times in h, errors in % of nominal capacity (rms over the cycles)."""
    capacity = rows["capacity_mah"]
    initial = capacity[0] if capacity else 0.0
    end = first_lasting(capacity, END_SHARE * initial)
    fade = first_lasting(capacity, FADE_SHARE * initial)
    bend = knee(capacity[: (end + 1) if end is not None else len(capacity)])
    number = [int(cycle) for cycle in rows["cycle"]]

    def rms(pairs) -> float | None:
        errors = [(a - b) ** 2 for a, b in pairs]
        return 100.0 * math.sqrt(sum(errors) / len(errors)) / nominal_mah if errors else None

    known = [k for k, value in enumerate(rows["known"]) if value > 0]
    loss = [
        (
            rows["estimated_isolated_mah"][k] + rows["estimated_sei_mah"][k],
            rows["true_isolated_mah"][k] + rows["true_sei_mah"][k],
        )
        for k in known
    ]
    return {
        "ended": ended,
        "cycles": len(capacity),
        "cycles_to_80": number[end] if end is not None and ended == "end of life" else None,
        "cycle_below_98": number[fade] if fade is not None else None,
        "cycle_of_knee": number[bend] if bend is not None else None,
        "initial_mah": initial,
        "hours": rows["end_h"][-1] if capacity else 0.0,
        "recovered_mah": sum(rows["recovered_mah"]),
        "pulses": int(sum(rows["pulses"])),
        "pulse_mah": sum(rows["pulse_mah"]),
        "pulse_h": sum(rows["pulse_h"]),
        "rests": sum(hours > 0 for hours in rows["rest_h"]),
        "rest_h": sum(rows["rest_h"]),
        "loss_error_percent": rms(loss),
        "isolated_error_percent": rms((rows["estimated_isolated_mah"][k], rows["true_isolated_mah"][k]) for k in known),
        "active_error_percent": rms((rows["estimated_active_mah"][k], rows["true_active_mah"][k]) for k in known),
        "known_share": len(known) / len(capacity) if capacity else 0.0,
    }


class _BdfRows:
    """Decimated record of one life in BDF columns."""

    EPOCH_S = 1_735_689_600.0  # 2025-01-01T00:00:00Z: where the simulated calendar begins

    def __init__(self, run: FirmwareRun, ambient_degc: float):
        self.run, self.ambient_degc = run, ambient_degc
        names = ["Test Time / s", "Unix Time / s", "Voltage / V", "Current / A", "Cycle Count / 1", "Step Count / 1",
                 "Ambient Temperature / degC", "Temperature / degC", "Charging Capacity / Ah", "Discharging Capacity / Ah",
                 "Cathode Lithium / Ah", "Live Lithium / Ah", "Isolated Lithium / Ah", "SEI Lithium / Ah"]  # fmt: skip
        self.columns: dict[str, list[float]] = {name: [] for name in names}
        self._charged_ah = self._discharged_ah = 0.0
        self._last = (-math.inf, 0.0, 0.0)
        self._kind: tuple | None = None
        self._steps = 0

    def follow(self, step, cycle: int) -> None:
        ah = step.charge_as / 3600.0
        if ah > 0.0:
            self._charged_ah += ah
        else:
            self._discharged_ah -= ah
        cell = self.run.loop.cell
        volts = cell.voltage_v
        ampere = self.run.loop.terminals.current_a
        kind = (step.control.kind, (ampere > 0) - (ampere < 0), step.pulse_a > 0)
        time_s, last_v, last_a = self._last
        if kind == self._kind and not (
            step.time_s - time_s >= RECORD_S
            or abs(volts - last_v) > RECORD_V
            or abs(ampere - last_a) > RECORD_C * self.run.ratings.one_c_a
        ):
            return
        if kind != self._kind:
            self._steps += 1
            self._kind = kind
        self._last = (step.time_s, volts, ampere)
        ah_cm2 = cell.area_cm2 * 1e-3
        row = (step.time_s, self.EPOCH_S + step.time_s, volts, ampere, cycle, self._steps, self.ambient_degc,
               cell.temperature_degc, self._charged_ah, self._discharged_ah, cell.cathode_mah_cm2 * ah_cm2,
               cell.active_mah_cm2 * ah_cm2, cell.isolated_mah_cm2 * ah_cm2, cell.sei_mah_cm2 * ah_cm2)  # fmt: skip
        for values, value in zip(self.columns.values(), row, strict=True):
            values.append(value)
