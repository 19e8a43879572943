"""When a fault of the campaign has shown: reckoned from stated figures before anything is played, and seen in readings.

`milliseconds("swing + 2 tick", …)` is how long it may take at most until what a row watches has passed its limit: the
column `evidence` of faults_table.csv, a sum of TERMS. None of them is measured: each follows from the board's longest
wait, from how the world of the campaign changes, from the profile, from the row's own limit or from how cells warm.
`drawn`: by chance; then nothing is promised but the row's response once it is there.

`SHOWN` looks at the readings themselves, without the firmware: is the quantity beyond the row's limit? From the first
tick in which it stays so the row's response time runs (docs/safety.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from relith.halfcycle import TURN_PPM
from relith.pace import FAST_MS
from relith.readings import COUNT_MAX, STALE_MS
from relith.states import _READY_TICKS

from host_sim.errors import InputError
from host_sim.fault_world import (
    ACT_S,
    BOARD_WAIT_S,
    CHARGE_PERMILLE,
    HEAVY_PERMILLE,
    OVEN_DEGC,
    PACKED,
    PULSED_S,
    REDRAW_S,
    ROOM_DEGC,
    SWING_S,
)  # fmt: skip
from host_sim.tables import TABLE

DRAWN = "drawn"


def _oven_s(degc: float) -> float:
    """How long an oven takes to warm a cell to `degc` from the room, if nothing else does."""
    warming_s = PACKED["heat_capacity_j_k_cm2"] / PACKED["heat_transfer_w_k_cm2"]
    return warming_s * math.log((OVEN_DEGC - ROOM_DEGC) / (OVEN_DEGC - degc))


def _ppm_per_s(p, permille: float) -> float:
    """Charge that a rate moves, ppm of nominal capacity in a second."""
    return p.one_c_ua * permille * 1e-3 / 3600.0 / p.nominal_capacity_uah * 1e6


def terms(state: str, use: bool, magnitude: float, p) -> dict[str, float]:
    """TERMS: name -> ms, for a fault in this state, or in use."""
    rows = {row.id: row for row in TABLE}
    lightest = min(abs(permille) for permille in HEAVY_PERMILLE)
    warmed_ppm = int(rows["sensor_stuck"].limit) * 2000 / lightest  # charge counts by the square of its current
    mean = sum(CHARGE_PERMILLE) / 2
    late = magnitude if 0.0 < magnitude < 1.0 else 0.0
    turn_s = TURN_PPM / _ppm_per_s(p, mean) + SWING_S * (1.0 - min(CHARGE_PERMILLE) / mean)  # the weaker one first
    return {
        # a board looks at least so often; in a pulse it never waits longer than FAST_MS
        "wait": BOARD_WAIT_S * 1e3,
        "tick": FAST_MS if state == "PULSE" and not use else BOARD_WAIT_S * 1e3,
        "fast": FAST_MS,
        # the current changes, and with it what stands still or is late differs
        "swing": SWING_S * 1e3,
        # what is left of the pulse when it ends and the current with it
        "pulse": (p.pulse_fixed_s - PULSED_S) * 1e3,
        # somebody acts: says stop, arms anew (thrice, a second apart)
        "act": ACT_S * 1e3,
        "second": 1e3,
        # a broken switch or sink may change its mind: the world steps no further
        "look": REDRAW_S * 1e3 / 4,
        "stale": STALE_MS,
        # until the outputs may be on after a start
        "boot": (_READY_TICKS + 1) * FAST_MS,
        # an empty cell may be drawn from once it has been charged by so much, at the mean of two currents in turn
        "turn": turn_s * 1e3,
        # charge has warmed a cell by more than a digit of its thermometer
        "warmed": warmed_ppm / _ppm_per_s(p, lightest) * 1e3,
        # an oven brings what is shown to the window: as it is, or as too much
        "oven": _oven_s(p.discharge_high_cdegc * 1e-2) * 1e3,
        "oven_wrong": _oven_s(p.charge_high_cdegc * 1e-2 / (1.0 + magnitude)) * 1e3,
        # what is slow holds up by so much: a record, or a reading that follows with this time constant
        "lag": magnitude * 1e3,
        # a clock that is slow makes every time of the row longer
        "slower": rows["accumulator"].response_ms * late / (1.0 - late),
        DRAWN: BOARD_WAIT_S * 1e3,
    }  # fmt: skip


def milliseconds(text: str, state: str, use: bool, magnitude: float, p) -> int:
    """A sum of terms, each with a whole number before it or not; "0": at once. Raises InputError: an unknown one."""
    if text == "0":
        return 0
    known, total_ms = terms(state, use, magnitude, p), 0.0
    for part in text.split("+"):
        count, _, name = part.strip().rpartition(" ")
        if name not in known or not (count or "1").isdecimal():
            raise InputError(
                f"evidence is {part.strip()!r} (allowed: {', '.join(known)}, each with a number before it)"
            )
        total_ms += int(count or 1) * known[name]
    return math.ceil(total_ms)


def _stale(r, told, p) -> bool:
    """As a row sees it: missing, old or out of range."""
    ages = (r.now_ms - r.current_ms, r.now_ms - r.cell_ms, r.now_ms - r.temp_ms)
    return (
        not (r.current_ok and r.cell_ok and r.temp_ok)
        or any(age % (1 << 30) > STALE_MS for age in ages)
        or abs(r.current_count) > COUNT_MAX
        or not all(300_000 <= uv <= 5_600_000 for uv in r.cell_uv)
        or not all(-4500 <= cdegc <= 12_500 for cdegc in r.temp_cdegc)
    )


def _switch(r, told, p) -> bool:
    charge, discharge, pulse = told
    unasked = not (charge or discharge or pulse) and abs(r.current_count) > p.step_count
    return r.charge_switch != charge or r.discharge_switch != discharge or unasked


def _permille(r, p) -> int:
    return abs(r.current_count) * 1000 // p.one_c_count * (1 if r.current_count > 0 else -1)


# row -> is its quantity beyond its limit? Of readings, what was told before (charge, discharge, pulse), profile. Of the
# rows that are not here the evidence alone is reckoned.
SHOWN: dict[str, Callable] = {
    "sensor_stale": _stale,
    "charge_hard": lambda r, told, p: _permille(r, p) > p.charge_hard_permille,
    "discharge_hard": lambda r, told, p: -_permille(r, p) > p.discharge_hard_permille,
    "cell_low_hard": lambda r, told, p: min(r.cell_uv) < p.hard_min_uv,
    "cell_high_hard": lambda r, told, p: max(r.cell_uv) > p.hard_max_uv,
    "pack_sum": lambda r, told, p: abs(sum(r.cell_uv) - r.pack_uv) > p.pack_sum_uv,
    "charge_window": lambda r, told, p: not p.charge_low_cdegc <= r.temp_cdegc[0] <= p.charge_high_cdegc,
    "discharge_window": lambda r, told, p: not p.discharge_low_cdegc <= r.temp_cdegc[0] <= p.discharge_high_cdegc,
    "hot_hard": lambda r, told, p: r.temp_cdegc[0] > p.hard_high_cdegc,
    "switch_stuck": _switch,
    "pulse_overrun": lambda r, told, p: r.pulse_switch and not told[2],
    "hardware_trip": lambda r, told, p: r.hardware_trip,
}


class Watch:
    """Since when each row's quantity has been beyond its limit without a break, by the readings alone."""

    def __init__(self, bench, rows: tuple[str, ...]):
        self.bench, self.rows = bench, [name for name in rows if name in SHOWN]
        self.since_s: dict[str, float] = {}
        self.told()

    def told(self) -> None:
        """What the outputs say until the next tick."""
        o = self.bench.bms.outputs
        self._told = o.charge_enable, o.discharge_enable, o.pulse_count

    def look(self, now_s: float) -> None:
        """After the tick of this time."""
        for name in self.rows:
            if SHOWN[name](self.bench.loop.readings, self._told, self.bench.profile):
                self.since_s.setdefault(name, now_s)
            else:
                self.since_s.pop(name, None)
        self.told()
