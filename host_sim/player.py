"""A recorded history through the firmware itself: every row becomes `Readings`, `Bms` does the rest.

The firmware sees what a board would have seen: current in counts, the cycler's charge counter as the monitor's
accumulator where the file has one, voltages in µV. Its outputs move nothing: the past has happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from relith.bms import Bms
from relith.halfcycle import END_HIGH, END_LOW, TURN_PPM, HalfCycle
from relith.inventory import UNKNOWN
from relith.readings import LIMB, TICKS_PERIOD_MS, Readings

from host_sim.firmware import TABLE
from host_sim.history import History, gaps
from host_sim.loop import MemoryStore

PIECE_MS = 60_000  # rows farther apart, and no gap, are joined by a straight line in pieces of this length
HOLD_MS = 4 * 86_400_000  # the board's counter tells less than 6.2 days apart: a longer gap is told in parts
SHORT_MS = 2_000  # within this the firmware compares counter and samples, see `_counter`
PULSE_S, PULSE_FASTER = 600.0, 1.25  # a discharge that begins so short and so much faster began with a pulse
NAMES: dict[str, tuple[str, ...]] = {
    "known": ("unknown", "inferred", "measured"),
    "limited_by": ("", "anode", "cathode"),
    "end_foreseen": ("", "reservoir spent", "isolated lithium", "SEI", "soft short"),
    "advice": ("", "one full charge", "one full discharge"),
}
ENDS = {END_LOW: "cut-off", END_HIGH: "full"}
NO_CHARGE = {"charge_mah": 0.0, "charge_rate_c": 0.0, "charge_end": "", "gap_ppm": 0}  # before a discharge
# alarms that say something of the board or of this replay, not of the cell
NOT_THE_CELLS = {
    "switch_stuck",
    "accumulator",
    "deadline",
    "calibration",
    "clock_still",
    "sensor_stale",
    "sensor_lost",
    "sensor_stuck",
}


@dataclass
class Alarm:
    """A row of the firmware's diagnostic table that fired: how often, and where first."""

    name: str
    times: int
    place: str
    time_h: float


class Player:
    """Plays one history into one `Bms`. `rows` grows by one per cell and discharge that the firmware books.

    `gap_s`: rows farther apart are a gap, None: as `history.gaps` finds them; the cycler's charge counter bridges them.
    `new`: the cell was as the profile says when the history begins.
    """

    def __init__(self, profile, history: History, gap_s: float | None, new: bool):
        self.profile, self.history = profile, history
        self.bms = Bms(profile, MemoryStore())
        if new:
            self.bms.commission()
        idle_a = profile.one_c_ua * 1e-6 * profile.idle_permille * 1e-3
        self._missing = gaps(history, gap_s, idle_a)
        self.bridged = history.net_ah is not None
        self.readings = Readings(history.voltage_v.shape[1], history.temperature_degc.shape[1])
        self.readings.clock_known = 1
        self.nominal_mah = profile.nominal_capacity_uah * 1e-3
        self.rows: list[dict] = []
        self.curves: dict[int, dict[str, list[tuple[float, float]]]] = {}
        self.alarms: dict[str, Alarm] = {}
        self.gaps = 0
        self.gap_s = 0.0
        self.repeated = 0
        self._h = HalfCycle()
        self._booked = 0
        self._charge: dict | None = None  # the charge half-cycle before the discharge under way
        self._last_row = 0  # of the discharge under way: its number, and truth
        self._low_row = 0  # where the discharge under way last flowed
        self._moved_ppm = 0  # in the half-cycle under way, for the curves
        self._kind = 0
        self._points: list[tuple[float, float]] = []
        self._parts: dict[str, list[tuple[float, float]]] = {}
        self._was = 0
        self._allowed: set[int] = set()  # rows of pulses that the profile allows: stronger than a load may be

    def play(self, progress: Callable[[int, int], None] = lambda done, n: None) -> None:
        """Every row, then what completes the last half-cycle."""
        h, profile = self.history, self.profile
        lsb_a = profile.current_lsb_na * 1e-9
        ms = _milliseconds(h)
        self._ms = ms
        count = np.rint(h.current_a / lsb_a).astype(np.int64)
        uv = np.rint(h.voltage_v * 1e6).astype(np.int64)
        cdegc = np.rint(h.temperature_degc * 100.0).astype(np.int64)
        charge = None if h.net_ah is None else np.rint(h.net_ah * 3600.0 / lsb_a).astype(np.int64).tolist()
        coarse = h.coarse_ah * 3600.0 > 0.5 * profile.one_c_ua * 1e-6 / 256.0  # the firmware's tolerance for a second
        pulses = _pulses(h, profile)
        for k, (first, (_, permille, seconds)) in pulses.items():
            if permille <= profile.pulse_max_permille and seconds <= profile.pulse_max_s:
                self._allowed.update(range(first, k + 1))
        ms, count, uv, cdegc = ms.tolist(), count.tolist(), uv.tolist(), cdegc.tolist()
        missing = self._missing.tolist()
        r, n = self.readings, len(ms)
        for k in range(n):
            if k:
                wait = ms[k] - ms[k - 1]
                if wait == 0:
                    self.repeated += 1
                elif missing[k]:
                    self.gaps += 1
                    self.gap_s += wait * 1e-3
                elif charge is None and wait > PIECE_MS:
                    self._between(ms, count, uv, cdegc, k)
                for at in range(ms[k - 1] + HOLD_MS, ms[k], HOLD_MS):
                    self._fill(at, count[k - 1], uv[k - 1], cdegc[k - 1])
                    self._tick(k - 1)
                if coarse and wait <= SHORT_MS:
                    r.charge_restarts = (r.charge_restarts + 1) & 0xFFFF
            self._fill(ms[k], count[k], uv[k], cdegc[k])
            if charge is not None:
                r.charge_hi, r.charge_lo, r.charge_ok = *_limbs(charge[k]), 1
            self._tick(k)
            if k in pulses:
                self.bms.tracker.pulsed(*pulses[k][1])
            if k % 5000 == 0:
                progress(k, n)
        self.charged_mah, self.discharged_mah = (
            (account.cycles + account.ppm * 1e-6) * self.nominal_mah
            for account in (self.bms.ledger.charged, self.bms.ledger.discharged)
        )
        unseen = self.bms.ledger.gaps
        self.gap_mah = (unseen.cycles + unseen.ppm * 1e-6) * self.nominal_mah
        self._complete(ms[-1], count, uv[-1], cdegc[-1])
        progress(n, n)

    # -- inside ------------------------------------------------------------------------------------------------

    def _fill(self, ms: int, count: int, uv: list[int], cdegc: list[int]) -> None:
        r = self.readings
        r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = ms & (TICKS_PERIOD_MS - 1)
        r.current_count = count
        r.current_ok = r.cell_ok = r.temp_ok = 1
        for k in range(len(uv)):
            r.cell_uv[k] = uv[k]
        for k in range(len(cdegc)):
            r.temp_cdegc[k] = cdegc[k]

    def _between(self, ms, count, uv, cdegc, k: int) -> None:
        """The straight line from row k-1 to row k, as the ledger's trapezoid takes it, in pieces that it can book."""
        wait = ms[k] - ms[k - 1]
        pieces = -(-wait // PIECE_MS)
        for j in range(1, pieces):

            def along(a: int, b: int, j=j) -> int:
                return a + (b - a) * j // pieces

            self._fill(
                ms[k - 1] + wait * j // pieces, along(count[k - 1], count[k]),
                [along(a, b) for a, b in zip(uv[k - 1], uv[k], strict=True)],
                [along(a, b) for a, b in zip(cdegc[k - 1], cdegc[k], strict=True)],
            )  # fmt: skip
            self._tick(k)

    def _tick(self, k: int) -> None:
        bms, r = self.bms, self.readings
        outputs = bms.outputs
        r.charge_switch, r.discharge_switch = outputs.charge_enable, outputs.discharge_enable
        bms.tick(r)
        self._watch_alarms(bms.outputs.alarms, k)
        self._curve(r, bms)
        if bms.tracker.index != self._booked and not bms.tracker.ready:
            self._booked = bms.tracker.index
            self._book()
        if bms.tracker.permille and bms.belief.count < 0:
            self._low_row = k

    def _watch_alarms(self, alarms: int, k: int) -> None:
        fresh = alarms & ~self._was
        self._was = alarms
        if not fresh:
            return
        if self.bms.protection.fault or self.bms.protection.lockout:
            self.bms.clear()  # the past went on in spite of it
        for j, row in enumerate(TABLE):
            if row[0] == "discharge_current" and k in self._allowed:
                continue
            if fresh >> j & 1 and row[0] not in NOT_THE_CELLS:
                name, h = str(row[0]), self.history
                alarm = self.alarms.setdefault(name, Alarm(name, 0, h.place(k), float(h.time_s[k]) / 3600.0))
                alarm.times += 1

    def _curve(self, r: Readings, bms: Bms) -> None:
        """Voltage against charge of the half-cycle under way, thinned to a point per 0.5 % of nominal."""
        moved = bms.ledger.moved_ppm
        if not bms.tracker.permille:
            return
        kind = 1 if bms.belief.count > 0 else -1
        if kind != self._kind:
            if self._moved_ppm > TURN_PPM:
                self._parts["charge" if self._kind > 0 else "discharge"] = self._points
            self._kind, self._moved_ppm, self._points = kind, 0, []
        self._moved_ppm += abs(moved)
        volts = r.cell_uv[0] * 1e-6
        mah = self._moved_ppm * 1e-6 * self.nominal_mah
        apart = 0.005 * self.nominal_mah
        if not self._points or mah - self._points[-1][0] > apart or abs(volts - self._points[-1][1]) > 0.02:
            self._points.append((mah, volts))

    def _book(self) -> None:
        """A half-cycle of every cell has just been booked: a charge is kept, a discharge makes a row per cell."""
        bms = self.bms
        bms.tracker.record(self._h, 0, 1)
        h = self._h
        if h.kind > 0:
            self._charge = {
                "charge_mah": h.charge_ppm * 1e-6 * self.nominal_mah, "charge_rate_c": h.rate_permille * 1e-3,
                "charge_end": ENDS.get(h.end, "stopped"), "gap_ppm": h.gap_ppm,
            }  # fmt: skip
            return
        charge = self._charge or NO_CHARGE
        self._charge = None
        self.curves[len(self.rows) // len(bms.estimates) + 1] = dict(self._parts)
        self._parts = {}
        for cell, e in enumerate(bms.estimates):
            bms.tracker.record(h, cell, 1)
            self.rows.append(self._row(cell, e, h, charge))

    def names(self) -> list[str]:
        """Names of the columns of a row."""
        return list(self._row(0, self.bms.estimates[0], HalfCycle(), NO_CHARGE))

    def _row(self, cell: int, e, h: HalfCycle, charge: dict) -> dict:
        mah, k, history = self.nominal_mah * 1e-6, self._low_row, self.history
        known = e.known != UNKNOWN
        number = len(self.rows) // len(self.bms.estimates) + 1
        row = {
            "cycle": int(history.cycle[k]) if history.cycle is not None else number,
            "end_h": float(history.time_s[k]) / 3600.0,
            "cell": cell + 1,
            "charge_mah": charge["charge_mah"],
            "discharge_mah": h.charge_ppm * mah,
            "charge_rate_c": charge["charge_rate_c"],
            "discharge_rate_c": h.rate_permille * 1e-3,
            "pulse_mah": h.pulse_ppm * mah,
            "rest_before_h": h.rest_before_s / 3600.0,
            "rest_after_h": h.rest_after_s / 3600.0,
            "temperature_degc": h.temp_cdegc * 0.01,
            "charge_end": charge["charge_end"],
            "discharge_end": ENDS.get(h.end, "stopped"),
            "gap_mah": (h.gap_ppm + charge["gap_ppm"]) * mah,
            "known": NAMES["known"][e.known],
        }
        for store in ("active", "isolated", "sei", "cathode", "loss"):
            for part in ("", "_sigma"):
                value = getattr(e, f"{store}{part}_ppm") * mah
                row[f"{store}{part}_mah"] = value if known else None
        return (
            row
            | {
                "ce_cell": e.ce_cell_ppm * 1e-6 if e.ce_cell_ppm else None,
                "ce_li": e.ce_li_ppm * 1e-6 if e.ce_li_ppm else None,
                "capacity_mah": e.capacity_ppm * mah if known else None,
                "capacity_sigma_mah": e.capacity_sigma_ppm * mah if known else None,
                "soc": e.soc_ppm * 1e-6 if known else None,
                "soc_sigma": e.soc_sigma_ppm * 1e-6 if known else None,
                "soh": e.soh_ppm * 1e-6 if known else None,
                "soh_sigma": e.soh_sigma_ppm * 1e-6 if known else None,
                "energy_wh": e.energy_mwh * 1e-3 if known else None,
                "energy_sigma_wh": e.energy_sigma_mwh * 1e-3 if known else None,
                "charge_limit_c": e.charge_limit_permille * 1e-3 if known else None,
                "charge_limit_sigma_c": e.charge_limit_sigma_permille * 1e-3 if known else None,
                "discharge_limit_c": e.discharge_limit_permille * 1e-3 if known else None,
                "discharge_limit_sigma_c": e.discharge_limit_sigma_permille * 1e-3 if known else None,
                "resistance_ohm": e.resistance_uohm * 1e-6 or None,
                "resistance_sigma_ohm": e.resistance_sigma_uohm * 1e-6 if e.resistance_uohm else None,
                "stage": e.stage if known else None,
                "limited_by": NAMES["limited_by"][e.limited_by],
                "cycles_left": e.cycles_left if known else None,
                "cycles_left_sigma": e.cycles_left_sigma if known else None,
                "cycles_to_80": e.cycles_to_end if known else None,
                "cycles_to_80_sigma": e.cycles_to_end_sigma if known else None,
                "end_foreseen": NAMES["end_foreseen"][e.end_foreseen],
                "advice": NAMES["advice"][e.advice],
                "short_suspected": e.short_suspected,
                "swapped": self.bms.inventories[cell].resets,
            }
            | self._true(k)
        )

    def _true(self, k: int) -> dict:
        """The simulated cell's own stores at that moment, where the file has them."""
        names = {"Live Lithium / Ah": "active", "Isolated Lithium / Ah": "isolated", "SEI Lithium / Ah": "sei"}
        truth = self.history.truth
        return {f"true_{short}_mah": float(truth[name][k]) * 1e3 for name, short in names.items() if name in truth}

    def _complete(self, ms: int, count: list[int], uv: list[int], cdegc: list[int]) -> None:
        """The firmware books a half-cycle when the next one is under way. At the end of the file there is none: one is
        begun for it, of which no figure is kept."""
        tracker = self.bms.tracker
        tracker.record(self._h, 0, 0)  # what is under way; a turn that has not come far enough is none yet
        kind = self._h.kind or -1
        booked, rows = self._booked, len(self.rows)
        flow = -kind * max(self.profile.one_c_count // 2, 1)
        r = self.readings
        r.charge_ok = 0
        last = len(count) - 1
        for _ in range(200):
            ms += 1000
            self._fill(ms, flow, uv, cdegc)
            r.charge_switch, r.discharge_switch = self.bms.outputs.charge_enable, self.bms.outputs.discharge_enable
            self.bms.tick(r)
            if tracker.index != booked and not tracker.ready:
                if self._kind == kind:
                    self._parts["charge" if kind > 0 else "discharge"] = self._points
                self._booked = tracker.index
                self._book()
                break
        for row in self.rows[rows:]:
            row["end_h"] = float(self.history.time_s[min(self._low_row, last)]) / 3600.0


def _milliseconds(h: History) -> np.ndarray:
    """Row times in ms. A row that differs from the one before at the same time is the new step's first: 1 ms later."""
    ms = np.rint((h.time_s - h.time_s[0]) * 1000.0).astype(np.int64)
    same = np.diff(ms, prepend=ms[0] - 1) == 0
    if not same.any():
        return ms
    alike = (h.current_a[1:] == h.current_a[:-1]) & (h.voltage_v[1:] == h.voltage_v[:-1]).all(axis=1)
    out = ms.tolist()
    for k in range(1, len(out)):
        if out[k] <= out[k - 1]:
            out[k] = out[k - 1] + (0 if same[k] and alike[k - 1] else 1)
    return np.array(out, dtype=np.int64)


def _limbs(count_s: int) -> tuple[int, int]:
    """A whole number as the monitor's 40-bit register shows it."""
    upper = (count_s >> 20) & (LIMB - 1)
    return upper - LIMB if upper >= LIMB >> 1 else upper, count_s & (LIMB - 1)


def _pulses(h: History, profile) -> dict[int, tuple[int, tuple[int, int, int]]]:
    """Row that ends an activation pulse -> (first row, (ppm, per mille of 1C, s)): a short fast discharge that begins a
    slower one.

    The firmware knows its own pulses; those in a recording it has to be told of (`Tracker.pulsed`).
    """
    one_c_a = profile.one_c_ua * 1e-6
    idle_a = one_c_a * profile.idle_permille * 1e-3
    changed = np.abs(np.diff(h.current_a)) > 0.05 * np.abs(h.current_a[:-1]) + idle_a
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    ends = np.append(starts[1:], len(h.current_a)) - 1
    pulses = {}
    for j in range(1, len(starts) - 1):
        now, after = h.current_a[starts[j]], h.current_a[starts[j + 1]]
        before = h.current_a[ends[j - 1]]
        seconds = float(h.time_s[ends[j]] - h.time_s[starts[j]])
        if now < PULSE_FASTER * after < -idle_a and before > -idle_a and 1.0 <= seconds <= PULSE_S:
            ppm = round(-now * seconds / 3600.0 / (profile.nominal_capacity_uah * 1e-6) * 1e6)
            pulses[int(ends[j])] = int(starts[j]), (ppm, round(-now / one_c_a * 1000.0), round(seconds))
    return pulses
