"""Whole lives of many cells under pulse and rest policies, half-cycle by half-cycle, for the bench of the scheduler.

Four lives: the user's rates, depths and calendar. A policy decides after every half-cycle, for all cells at once; the
firmware's own scheduler, inventory and gate are one such policy (`Firmware`), fixed protocols and thresholds on the
true isolated lithium are others. Everything is measured by the same rules, in `play`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from relith import scheduler as board_scheduler
from relith.gate import Gate
from relith.halfcycle import END_HIGH, END_LOW
from relith.inventory import INFERRED, MEASURED, Inventory
from relith.lossmodel import one_minus_exp
from relith.readings import Readings
from relith.scheduler import POLICIES, PULSE, REST, Scheduler

from host_sim.cell.layout import P
from host_sim.half_cycles import Lives, Sensor

# a third of a life's time went into this one function: the same figures from a list
board_scheduler.one_minus_exp = tuple(one_minus_exp(x) for x in range(5001)).__getitem__
HOUR_S = 3600.0
END_SHARE = 0.8  # of the first capacity: end of life
CONFIRM = 6  # cycles in a row below it, or it was only a dip that a rest still mends
LIVES = ("lab", "commuter", "grid", "phone")


@dataclass(frozen=True)
class Use:
    """One life. Rates of 1C; hours; depths of nominal capacity, drawn evenly for each cycle (9 = to the cut-off).

    `wait_h`: from the end of use until the charger is there; `free_h`: until the next use, at which the cell is needed
    full when `deadline` is set; `idle_h`: full before the next use.
    """

    charge: float
    segments: tuple[tuple[float, float], ...]
    depth: tuple[float, float]
    wait_h: float
    free_h: float
    deadline: bool
    idle_h: float


USES = {
    "lab": Use(0.3, ((0.1, 99.0),), (9.0, 9.0), 1 / 6, 24.0, False, 1 / 6),  # Liu21's protocol
    "commuter": Use(0.25, ((0.5, 0.25), (0.2, 0.5), (0.7, 0.1), (0.1, 0.5)), (0.75, 1.4), 0.1, 13.0, True, 1.0),
    "grid": Use(0.25, ((0.2, 99.0),), (9.0, 9.0), 10.0, 18.0, True, 2.0),
    "liu21": Use(0.335, ((0.1121, 99.0),), (9.0, 9.0), 1 / 6, 24.0, False, 1 / 6),
    "phone": Use(0.3, ((0.05, 1.0), (0.25, 0.2)), (0.4, 1.2), 0.1, 8.0, True, 2.0),
}


@dataclass
class Result:
    """Per cell (n,): `efc` to the end of life, `hours` the user lost, `charge` spent and `regained` in nominal
    capacities; counts of interventions, of them after the tenth measurable one, broken deadlines and limits."""

    efc: np.ndarray
    hours: np.ndarray
    charge: np.ndarray
    regained: np.ndarray
    pulses: np.ndarray
    rests: np.ndarray
    deadlines: np.ndarray
    limits: np.ndarray
    censored: np.ndarray
    more: dict = field(default_factory=dict)

    def value(self, w_hour, w_charge):
        """EFC - w_h * hours - w_q * charge, (n,)."""
        return self.efc - w_hour * self.hours - w_charge * self.charge


class Fixed:
    """The same every `period` cycles: columns (n,) of rate (of 1C), seconds and hours; 0 where there is none."""

    def __init__(self, pulse_c, pulse_s, pulse_every, rest_h, rest_every):
        self.pulse_c, self.pulse_s, self.pulse_every = (np.asarray(x, float) for x in (pulse_c, pulse_s, pulse_every))
        self.rest_s, self.rest_every = np.asarray(rest_h, float) * HOUR_S, np.asarray(rest_every, float)
        self._since_rest = np.full(self.rest_s.size, 1e9)

    def after_charge(self, k, totals, lives, free_s):
        """(rate, seconds) of the pulse."""
        full = np.asarray(totals["end"]) == END_HIGH
        due = full & (k % np.maximum(self.pulse_every, 1) == 0)
        return self.pulse_c, np.where(due, self.pulse_s, 0.0)

    def after_discharge(self, k, totals, lives, free_s):
        """Seconds of rest."""
        self._since_rest += 1
        due = (np.asarray(totals["end"]) == END_LOW) & (self._since_rest >= self.rest_every) & (free_s > 0)
        self._since_rest = np.where(due & (self.rest_s > 0), 0, self._since_rest)
        return np.where(due, np.minimum(self.rest_s, free_s), 0.0)

    def completed(self, rest_s, ocv_v):
        """The half-cycle is complete: nothing to learn."""


class Threshold(Fixed):
    """Clairvoyant: the same, but only where the true isolated lithium exceeds `level` (n,), of nominal."""

    def __init__(self, level_pulse, level_rest, *columns):
        super().__init__(*columns)
        self.level_pulse, self.level_rest = np.asarray(level_pulse, float), np.asarray(level_rest, float)

    def after_charge(self, k, totals, lives, free_s):
        """See Fixed."""
        c, s = super().after_charge(k, totals, lives, free_s)
        return c, np.where(lives.truth()["isolated"] >= self.level_pulse, s, 0.0)

    def after_discharge(self, k, totals, lives, free_s):
        """See Fixed."""
        due = (np.asarray(totals["end"]) == END_LOW) & (lives.truth()["isolated"] >= self.level_rest)
        return np.where(due, np.minimum(self.rest_s, free_s), 0.0)


class Firmware:
    """The board's scheduler with its inventory and gate, one of each per cell.

    `sensor` gives it what a board would see. `wrong`: its estimates are off by so many of their own sigma.
    `knows`: the truth instead of an estimate (clairvoyant).
    """

    def __init__(self, profiles, sensors, seed=0, wrong=0.0, knows=False):
        n = len(profiles)
        self.sensor = Sensor(sensors, n, seed)
        self.inventories = [Inventory(p, 0) for p in profiles]
        self.schedulers = [Scheduler(p) for p in profiles]
        self.gates = [Gate(p) for p in profiles]
        self.readings = Readings(1, 1)
        self.bms = [self._bms(profile, gate) for profile, gate in zip(profiles, self.gates, strict=True)]
        self.wrong, self.knows = wrong, knows
        self.now_s = np.zeros(n)
        self.refused = np.zeros(n, int)
        self.late = np.zeros(n, int)  # interventions after the tenth measurable one of their kind
        self._ocv = np.zeros(n)
        self.records = []
        self.alive = np.ones(n, bool)

    def _bms(self, profile, gate):
        gate.cutoff_present = 1
        gate.armed_until_s = gate.calibrated_until_s = 1 << 40
        belief = SimpleNamespace(good=3, current_good=1, voltage_good=1, temp_good=1, min_cdegc=2500, max_cdegc=2500,
                                 min_uv=profile.max_uv, count=0)  # fmt: skip
        return SimpleNamespace(
            readings=Readings(1, 1), belief=belief, clock=SimpleNamespace(seconds=0), journal_bad=0, estimates=[None],
            journal=SimpleNamespace(may=lambda now_s, most: 1),
            protection=SimpleNamespace(fault=0, lockout=0, alarms=0, quiet_s=9999, tighter_cdegc=0),
            tracker=SimpleNamespace(drop_uv=[0], permille=0), ledger=SimpleNamespace(moved_ppm=0),
        )  # fmt: skip

    def _seen(self, k, totals, lives, free_s):
        """Ask every scheduler what comes next; a request that the gate refuses is not carried out."""
        records = self.sensor.fill(totals)
        truth = lives.truth() if self.knows else None
        for i, h in enumerate(records):
            if not self.alive[i]:
                continue
            h.ocv_before_uv = int(self._ocv[i])
            h.rest_after_s = h.ocv_after_uv = 0
            bms = self.bms[i]
            estimate = self._estimate(i, truth)
            bms.estimates[0] = estimate
            r = bms.readings
            r.user_consent = r.clock_known = 1
            r.user_free_s = int(free_s[0][i])
            r.user_full_in_s = int(free_s[1][i])
            bms.clock.seconds = int(self.now_s[i])
            uv = int(np.broadcast_to(totals["end_uv"], len(records))[i])
            p = self.gates[i].profile
            r.cell_uv[0] = bms.belief.min_uv = uv if h.kind > 0 else max(uv, p.rest_floor_uv + 60000)
            bms.tracker.drop_uv[0] = int(h.resistance_uohm * p.one_c_ua // 1000000) or 1
            self.schedulers[i].after_half_cycle(h, bms.estimates, r, self.gates[i].budgets(bms))
        self.records = records
        return records

    def _estimate(self, i, truth):
        e = self.inventories[i].estimate
        if truth is not None:
            for name in ("cathode", "active", "isolated", "sei"):
                setattr(e, name + "_ppm", int(1e6 * truth[name][i]))
            e.known = MEASURED
        if not self.wrong:
            return e
        off = SimpleNamespace(**vars(e))
        off.isolated_ppm = max(0, int(e.isolated_ppm + self.wrong * e.isolated_sigma_ppm))
        off.sei_ppm = max(0, int(e.sei_ppm - self.wrong * e.sei_sigma_ppm))
        off.active_ppm = max(0, int(e.active_ppm - self.wrong * e.active_sigma_ppm))
        for name in ("pulse", "rest"):
            sigma = getattr(e, name + "_factor_sigma_permille")
            setattr(off, name + "_factor_permille", int(getattr(e, name + "_factor_permille") + self.wrong * sigma))
        off.known = e.known or INFERRED
        return off

    def after_charge(self, k, totals, lives, free_s):
        """See Fixed."""
        self._seen(k, totals, lives, free_s)
        n = len(self.gates)
        rate, seconds = np.zeros(n), np.zeros(n)
        for i, s in enumerate(self.schedulers):
            if not self.alive[i] or s.decision != PULSE:
                continue
            gate, bms = self.gates[i], self.bms[i]
            bms.scheduler = s
            if gate.refuse_pulse(bms, s.pulse_permille, s.pulse_s):
                self.refused[i] += 1
                continue
            self.late[i] += self.inventories[i].estimate.pulse_trials >= 10
            gate.begin_pulse(bms)
            rate[i], seconds[i] = s.pulse_permille * 1e-3, s.pulse_s
        return rate, seconds

    def after_discharge(self, k, totals, lives, free_s):
        """See Fixed."""
        self._seen(k, totals, lives, free_s)
        out = np.zeros(len(self.gates))
        for i, s in enumerate(self.schedulers):
            if not self.alive[i] or s.decision != REST:
                continue
            if self.gates[i].refuse_rest(self.bms[i], s.rest_s):
                self.refused[i] += 1
                continue
            self.late[i] += self.inventories[i].estimate.rest_trials >= 10
            out[i] = s.rest_s
        return out

    def completed(self, rest_s, ocv_v):
        """The rest after the half-cycle is over: each inventory reads the whole record."""
        measured = self.sensor.rested_uv(ocv_v)
        self._ocv = measured
        for i, h in enumerate(self.records):
            if self.alive[i]:
                h.rest_after_s, h.ocv_after_uv = int(rest_s[i]), int(measured[i])
                self.inventories[i].half_cycle(h)


def set_unrecoverable(lives, which):
    """Cells (n, bool) whose isolated lithium neither moves nor is freed by rest."""
    lives.cells._p[which, P.dead_band_mv] = 1e9
    lives.cells._p[which, P.barrier_share] = 0.0


def play(parameters, policy, life, nominal, window, taper, cycles, seed=0, hopeless=None):
    """Live `parameters` (n cells) under `policy` to the end of life or `cycles`. Returns a `Result`.

    `life`: key of USES. The draws of depth depend on `seed` and cycle alone, so that every policy meets the same days.
    """
    use = USES[life]
    lives = Lives(parameters, nominal, *window, taper)
    if hopeless is not None:
        set_unrecoverable(lives, hopeless)
    n = lives.n
    rng = np.random.default_rng((seed, 21))
    r = Result(*(np.zeros(n) for _ in range(9)))
    pending = np.zeros(n)  # discharged since the capacity was last seen above the end of life
    low, first, alive = np.zeros(n, int), np.zeros(n), np.ones(n, bool)
    before = np.zeros(n)  # capacity above the end of life, a cycle ago
    start = lives.cells.total("reconnected")
    rest_s = np.zeros(n)
    free = np.zeros(n), np.zeros(n)
    for k in range(cycles):
        depth = rng.uniform(*use.depth)
        # parked: the scheduler's rest goes on while the user's own wait does
        waited = np.where(alive, np.maximum(rest_s, use.wait_h * HOUR_S), 0.0)
        lives.rest(waited)
        delay_h = np.maximum(rest_s / HOUR_S - use.wait_h, 0.0) * alive
        r.hours += delay_h
        policy.completed(waited, lives._ocv_v)
        charge = lives.charge(use.charge, np.where(alive, 9.0, 0.0))
        if use.deadline:
            charged_h = waited / HOUR_S + charge["duration_s"] / HOUR_S
            plain_h = use.wait_h + charge["duration_s"] / HOUR_S
            r.deadlines += alive & (rest_s > 0) & (charged_h > use.free_h) & (plain_h <= use.free_h)
        _advance(policy, waited + charge["duration_s"])
        pulse_c, pulse_s = policy.after_charge(k, charge, lives, free)
        pulse_s = np.where(alive, pulse_s, 0.0)
        idle = np.where(alive, use.idle_h * HOUR_S, 0.0)
        lives.rest(idle)
        policy.completed(idle, lives._ocv_v)
        discharge = lives.discharge(list(use.segments), np.where(alive, depth, 0.0), pulse_c * np.ones(n), pulse_s)
        out = discharge["charge"]
        spent = np.broadcast_to(discharge["pulse_ppm"], (n,)) * 1e-6
        r.limits += alive & (pulse_s > 0) & (np.broadcast_to(discharge["pulse_s"], (n,)) < pulse_s * 0.999)
        free_s = np.full(n, use.free_h * HOUR_S)
        free = free_s, (free_s if use.deadline else np.full(n, -1.0))
        _advance(policy, idle + discharge["duration_s"])
        rest_s = np.where(alive, policy.after_discharge(k, discharge, lives, free if isinstance(policy, Firmware) else
                          free_s - (6.0 * HOUR_S if use.deadline else 0.0)), 0.0)  # fmt: skip
        r.limits += rest_s > free_s
        t = lives.truth()
        capacity = np.minimum(t["swing"], t["cathode"] + t["active"])
        first = capacity if k == 0 else np.maximum(first, capacity) if k < 3 else first
        r.pulses += pulse_s > 0
        r.rests += rest_s > 0
        r.hours += np.where(alive, pulse_s / HOUR_S, 0.0)
        r.charge += np.where(alive, spent, 0.0)
        pending += np.where(alive, out, 0.0)
        over = capacity - END_SHARE * first
        fine = over >= 0.0
        # what was lived below the end and mended again counts; the last cycle as far as the end
        part = np.where(fine, 1.0, np.where(low == 0, before / np.maximum(before - over, 1e-9), 0.0))
        r.efc += np.where(alive, np.where(fine, pending, out * part), 0.0)
        pending = np.where(fine, 0.0, pending - out * part)
        before = np.maximum(over, 0.0)
        low = np.where(fine, 0, low + 1)
        alive = alive & (low < CONFIRM)
        if isinstance(policy, Firmware):
            policy.alive = alive
        if not alive.any():
            break
    r.censored = alive
    r.regained = (lives.cells.total("reconnected") - start) / lives.nominal
    return r


def _advance(policy, seconds):
    if isinstance(policy, Firmware):
        policy.now_s = policy.now_s + seconds


GATE_FIELDS = {
    "cell_count": 1, "charge_max_permille": 2000, "discharge_max_permille": 4000, "taper_count": 1 << 20,
    "pulse_low_cdegc": 1000, "pulse_high_cdegc": 4000, "pulse_max_permille": 2000, "pulse_max_s": 600,
    "pulse_budget_ppm": 170000, "day_budget_ppm": 400000, "life_budget_ppm": 100000000, "cooldown_s": 1800,
    "rest_max_s": 43200, "storage_after_s": 172800, "rest_floor_uv": 2700000,
    "full_charge_s": 24300,  # an aged cell of these charges in 6.2 h
    "pulse_fixed_permille": 1000, "pulse_fixed_s": 120, "rest_fixed_s": 21600, "rest_period_s": 0,
    "policy": POLICIES.index("adaptive"), "one_c_count": 200000,
}  # fmt: skip
