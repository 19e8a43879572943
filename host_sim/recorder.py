"""Follows one life step by step and keeps what the report needs: a row per cycle, curves, and a BDF record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from host_sim.cell import Cell, Control, load_parameters
from host_sim.firmware import FirmwareRun
from host_sim.life import CONFIRM, END_SHARE, STALL_S, STORES, Life, Setup, results
from host_sim.uses.lab import Lab

LEAST_SHARE = 0.01  # a discharge of less than this share of nominal is no cycle
RECORD_S, RECORD_V, RECORD_C = 900.0, 0.02, 0.01  # a BDF row at least this often, and when V or I (of 1C) moved by this


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
            life.ended = f"no cycle for {STALL_S / 86_400:.0f} days: {recorder.run.stands()}"
        if life.ended == "running" and stopped():
            life.ended = "interrupted"
    while recorder.estimate_due and loop.time_s - recorder.last_end_s < STALL_S and not stopped():
        recorder.follow(recorder.run.step())  # the firmware books the last discharge once the next charge is under way
    recorder.finish()
    return life


class Recorder:
    """One cell under one policy. In a laboratory a row is a cycle; in a calendar life it is one equivalent full cycle.

    The firmware books a half-cycle once the next one is under way, so its estimate comes later than the moment it is
    of. In a row both stores, the true and the estimated, are those of one end of discharge: the cycle's own, or the
    last one booked.
    """

    def __init__(self, policy: str, setup: Setup):
        self.setup = setup
        self.life = Life(policy)
        cell = Cell(load_parameters(setup.electrolyte, setup.world), setup.area_cm2, setup.temperature_degc)
        self.run = FirmwareRun(cell, setup, policy)
        self.cell = cell
        self.lab = self.run.actor if isinstance(self.run.actor, Lab) else None
        self.closed = False  # a row was finished in this step
        self.estimate_due = False  # the last row still lacks its estimate
        self.last_end_s = 0.0
        self._cycle = 0
        self._turns = 0  # discharges that the cycler has ended
        self._totals = _Totals()
        self._recovered_mah = 0.0  # up to the last row
        self._full_mah = math.nan  # in the cathode at the last full charge
        self._peak_ah = 0.0  # the meter's highest reading since the last row
        self._sign = 0  # of the current now
        self._true: dict[str, float] = {}  # stores when a discharge last stopped
        self._booked: dict[str, float] = {}  # those of the last discharge booked, true and estimated
        self._half = _Half(0)
        self._parts: dict[str, list[tuple[float, float]]] = {"charge": [], "discharge": []}
        self._curves: dict[int, dict[str, list[tuple[float, float]]]] = {}
        self._bdf = BdfRows(self.run, setup.temperature_degc)

    def follow(self, step) -> None:
        """Take over one step of the loop."""
        mah = step.charge_as / 3.6
        self._add(mah, step.elapsed_s / 3600.0)
        self._follow_half(mah)
        self._bdf.follow(step, self._cycle + 1)
        if self.run.booked() < 0:
            self._book()
        if self.lab:
            capacity_mah = 1000.0 * (self._peak_ah - self.run.loop.terminals.net_ah)
            turned, self._turns = self.lab.cycles > self._turns, self.lab.cycles
            if turned and capacity_mah > LEAST_SHARE * self.run.nominal_mah:
                self._close(capacity_mah, self._stores())
                self.estimate_due = True
        elif self._totals.discharge_mah >= self.run.nominal_mah:
            self._close(self._check_capacity(), self._booked or dict.fromkeys(_unknown(), math.nan) | {"known": 0})

    def verdict(self) -> str:
        """Whether the life goes on after a finished row."""
        capacity = self.life.rows["capacity_mah"]
        tail = capacity[-CONFIRM:]
        if len(capacity) > CONFIRM and all(value < END_SHARE * capacity[0] for value in tail):
            return "end of life"
        return "cycle cap" if len(capacity) >= self.setup.cap else "running"

    def finish(self) -> None:
        """Results, and the three curves to keep."""
        life, rows = self.life, self.life.rows
        for values in rows.values():  # cut short: the last row's estimate never came
            values += [math.nan] * (len(rows["cycle"]) - len(values))
        life.results = results(rows, self.run.nominal_mah, ended=life.ended)
        cycles = sorted(self._curves)
        last = life.results["cycles_to_80"] or (cycles[-1] if cycles else 0)
        keep = sorted({cycle for cycle in (1, (1 + last) // 2, last) if cycle in self._curves})
        life.curves = {cycle: self._curves[cycle] for cycle in keep}
        life.bdf = self._bdf.whole()

    # -- inside ------------------------------------------------------------------------------------------------

    def _add(self, mah: float, hours: float) -> None:
        totals = self._totals
        if mah > 0.0:
            totals.charge_mah += mah
        else:
            totals.discharge_mah -= mah
        pulsing = self.run.pulsing()
        if pulsing:
            totals.pulse_mah -= mah
            totals.pulse_h += hours
            totals.pulses += not totals.in_pulse
        totals.in_pulse = pulsing
        if self.run.resting():
            totals.rest_h += hours
        self._peak_ah = max(self._peak_ah, self.run.loop.terminals.net_ah)

    def _follow_half(self, mah: float) -> None:
        """Voltage against charge of the running half-cycle, and the stores whenever a discharge stops."""
        sign = (mah > 0.0) - (mah < 0.0)
        if self._sign < 0 and sign >= 0:
            self._true = self._stores()
        self._sign = sign
        if sign == 0:
            return
        if sign != self._half.sign:
            self._end_half()
            self._half = _Half(sign)
        self._half.add(abs(mah), self.cell.voltage_v, 0.01 * self.run.nominal_mah)

    def _end_half(self) -> None:
        half = self._half
        if not self.lab or half.mah < 0.02 * self.run.nominal_mah:
            return
        self._parts["charge" if half.sign > 0 else "discharge"] = half.points
        if half.sign > 0:
            self._full_mah = self.cell.cathode_mah_cm2 * self.cell.area_cm2

    def _stores(self) -> dict[str, float]:
        """The true stores now, by column."""
        stores = {f"true_{s}_mah": getattr(self.cell, f"{s}_mah_cm2") * self.cell.area_cm2 for s in STORES}
        stores["true_cathode_mah"] -= self._full_mah
        return stores

    def _book(self) -> None:
        """The firmware has just booked a discharge: its estimate is of the moment when that stopped."""
        estimate = self.run.estimate_mah()
        self._booked = self._true | estimate
        if self.estimate_due:
            for name, value in estimate.items():
                self.life.rows[name].append(value)
            self.estimate_due = False

    def _close(self, capacity_mah: float, stores: dict[str, float]) -> None:
        """Finish a row; `stores` without estimates means that they follow."""
        rows, totals = self.life.rows, self._totals
        if self.estimate_due:  # a cycle that the firmware never booked
            for name in _unknown():
                rows[name].append(math.nan)
        self._end_half()
        self._cycle += 1
        self._curves[self._cycle] = dict(self._parts)
        recovered_mah = self.cell.total("reconnected") * self.cell.area_cm2
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
        } | stores
        for name, value in row.items():
            rows[name].append(value)
        self._recovered_mah = recovered_mah
        self._totals = _Totals()
        self._half = _Half(0)
        self._peak_ah = self.run.loop.terminals.net_ah
        self.closed = True
        self.last_end_s = self.run.loop.time_s

    def _check_capacity(self) -> float:
        """What a full charge and a discharge at the laboratory's currents deliver now, tried on a copy of the cell;
        mAh."""
        cell, r = self.cell, self.run.ratings
        saved = cell.state()
        hold = Control.voltage(r.v_max, i_max_a=r.charge_a, i_stop_a=r.hold_stop_a)
        self._play("charge", Control.current(r.charge_a, v_max=r.v_max), hold)
        self._full_mah = cell.cathode_mah_cm2 * cell.area_cm2
        delivered_mah = self._play("discharge", Control.current(-r.discharge_a, v_min=r.v_min))
        cell.restore(saved)
        return delivered_mah

    def _play(self, kind: str, *controls: Control) -> float:
        cell = self.cell
        before, points = cell.cathode_mah_cm2, []

        def passed_mah() -> float:
            return abs(cell.cathode_mah_cm2 - before) * cell.area_cm2

        for control in controls:
            while cell.advance(control, 600.0).event is None:
                points.append((passed_mah(), cell.voltage_v))
        self._parts = self._parts | {kind: points}
        return passed_mah()


def _unknown() -> list[str]:
    """The columns that the firmware's estimate fills, in the order of the table."""
    return [name for name in Life("").rows if name.startswith("estimated_") or name in ("known", "stage")]


@dataclass
class _Totals:
    """Sums over one row."""

    charge_mah: float = 0.0
    discharge_mah: float = 0.0
    pulse_mah: float = 0.0
    pulse_h: float = 0.0
    rest_h: float = 0.0
    pulses: int = 0
    in_pulse: bool = False


class _Half:
    """Voltage against charge of one half-cycle, thinned."""

    def __init__(self, sign: int):
        self.sign = sign
        self.mah = 0.0
        self.points: list[tuple[float, float]] = []

    def add(self, mah: float, volts: float, apart_mah: float) -> None:
        self.mah += mah
        last = self.points[-1] if self.points else (-math.inf, 0.0)
        if self.mah - last[0] > apart_mah or abs(volts - last[1]) > RECORD_V:
            self.points.append((self.mah, volts))


class BdfRows:
    """Decimated record of one life in BDF columns."""

    EPOCH_S = 1_735_689_600.0  # 2025-01-01T00:00:00Z: where the simulated calendar begins

    def __init__(self, run: FirmwareRun, ambient_degc: float):
        self.run, self.ambient_degc = run, ambient_degc
        names = ["Test Time / s", "Unix Time / s", "Voltage / V", "Current / A", "Cycle Count / 1", "Step Count / 1",
                 "Ambient Temperature / degC", "Temperature / degC", "Charging Capacity / Ah", "Discharging "
                 "Capacity / Ah",
                 "Cathode Lithium / Ah", "Live Lithium / Ah", "Isolated Lithium / Ah", "SEI Lithium / Ah"]  # fmt: skip
        self.columns: dict[str, list[float]] = {name: [] for name in names}
        self._charged_ah = self._discharged_ah = 0.0
        self._last = (-math.inf, 0.0, 0.0)
        self._kind: tuple | None = None
        self._passed: tuple = ()  # the row that was let go last: the end of a step, if another one begins now
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
        due = (
            step.time_s - time_s >= RECORD_S
            or abs(volts - last_v) > RECORD_V
            or abs(ampere - last_a) > RECORD_C * self.run.ratings.one_c_a
        )
        if kind != self._kind:
            if self._passed:
                self._append(self._passed)
            self._steps += 1
            self._kind = kind
            due = True
        ah_cm2 = cell.area_cm2 * 1e-3
        row = (step.time_s, self.EPOCH_S + step.time_s, volts, ampere, cycle, self._steps, self.ambient_degc,
               cell.temperature_degc, self._charged_ah, self._discharged_ah, cell.cathode_mah_cm2 * ah_cm2,
               cell.active_mah_cm2 * ah_cm2, cell.isolated_mah_cm2 * ah_cm2, cell.sei_mah_cm2 * ah_cm2)  # fmt: skip
        self._passed = () if due else row
        if due:
            self._last = (step.time_s, volts, ampere)
            self._append(row)

    def whole(self) -> dict[str, list[float]]:
        """The columns, the last step's end with them."""
        if self._passed:
            self._append(self._passed)
            self._passed = ()
        return self.columns

    def _append(self, row: tuple) -> None:
        for values, value in zip(self.columns.values(), row, strict=True):
            values.append(value)
