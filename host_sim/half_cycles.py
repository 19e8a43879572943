"""Lives of many cells as half-cycle totals: the batch cell played half-cycle by half-cycle, each total put through a
sensor's gain, offset and voltage error into the firmware's `HalfCycle` record, with the truth beside it.

What a tick-by-tick run would hand to estimator and scheduler, without the ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from relith.halfcycle import EARLY_PPM, END_HIGH, END_LOW, END_STOPPED, SETTLE_S, SETTLE_UV, HalfCycle

from host_sim.cell import CellBatch, Control
from host_sim.cell.layout import DEPLETED, I_MIN, V_MIN

AREA_CM2 = 100.0
LONG_S = 1e6
HOURLY_S = 6 * 3600.0  # a rest as long as this is watched hour by hour
_NOT_SEEN = ("charge", "ocv_before_v", "ocv_after_v", "hourly_v")  # in a record as such
BARE = 0.02  # active lithium, in nominal capacities, below which a discharge was ended by the anode


@dataclass(frozen=True)
class SensorClass:
    """1 sigma of each error, drawn once per cell. `offset`: share of 1C; `gain`: 1; voltages in V."""

    name: str
    offset: float
    gain: float
    voltage_v: float = 0.001
    voltage_noise_v: float = 0.0003


GOOD = SensorClass("good", 1e-4, 1e-3)
POOR = SensorClass("poor", 1e-3, 5e-3, voltage_v=0.003)


class Sensor:
    """The errors of n cells' sensors; `fill` makes firmware records of true totals."""

    def __init__(self, kind: SensorClass, n: int, seed: int):
        rng = np.random.default_rng((seed, 4))
        self.offset = rng.standard_normal(n) * kind.offset
        self.gain = rng.standard_normal(n) * kind.gain
        self.volt = rng.standard_normal(n) * kind.voltage_v
        self.noise_v, self.rng = kind.voltage_noise_v, rng
        self.records = [HalfCycle() for _ in range(n)]

    def fill(self, totals: dict) -> list[HalfCycle]:
        """Records (n) of one half-cycle's true `totals` (see `Lives.half_cycle`); the same objects every time."""
        n = len(self.records)
        seen = totals["charge"] * (1.0 + self.gain) + totals["kind"] * self.offset * totals["duration_s"] / 3600.0
        columns = {
            "charge_ppm": seen * 1e6,
            "end_uv": totals["end_uv"] + self.volt * 1e6,
            "ocv_before_uv": self.rested_uv(totals["ocv_before_v"]),
            "ocv_after_uv": self.rested_uv(totals["ocv_after_v"]) if "ocv_after_v" in totals else np.zeros(n),
            **{name: values for name, values in totals.items() if name not in (*_NOT_SEEN, "end_uv")},
        }
        for name, values in columns.items():
            for record, value in zip(self.records, np.broadcast_to(np.rint(values), (n,)), strict=True):
                setattr(record, name, int(value))
        return self.records

    def rested_uv(self, volts):
        """Rested voltages (n) as measured; 0 stays 0."""
        seen = volts + self.volt + self.rng.standard_normal(self.volt.size) * self.noise_v
        return np.where(volts > 0.0, seen * 1e6, 0.0)


class Lives:
    """n cells, half-cycle by half-cycle. Every method returns true totals: a dict of HalfCycle fields, with `charge`
    in nominal
    capacities, `ocv_before_v` in V (0: the rest before did not qualify), each a scalar or (n,), and `hourly_v`
    (hours, n): the voltage hour by hour of a long rest before.

    `nominal_mah_cm2`: capacity of the profile; 1C empties it in an hour. `v_min`, `v_max`: the profile's window.
    """

    def __init__(self, parameters, nominal_mah_cm2, v_min, v_max, taper_permille):
        self.cells = CellBatch(parameters, area_cm2=AREA_CM2)
        self.n = self.cells.n
        self.nominal = nominal_mah_cm2
        self.one_c_a = nominal_mah_cm2 * AREA_CM2 * 1e-3
        self.v_min, self.v_max = v_min, v_max
        self.taper_permille = taper_permille
        self.anode_limited = np.zeros(self.n, bool)  # how the last full discharge ended
        self.ambient_degc = np.full(self.n, 25.0)
        self.swing_limits = self._swing_limits()
        self._rest_s = np.zeros(self.n)  # since the last half-cycle
        self._ocv_v = np.zeros(self.n)  # of that rest, when it qualified
        self._hourly_v = np.zeros((0, self.n))
        self.resistance_uohm = np.zeros(self.n)  # last measured
        self._index = 0

    def _swing_limits(self):
        """Fillings at v_max and v_min, rested."""
        table = self.cells._ocv
        return np.interp([-self.v_max, -self.v_min], -table, np.linspace(0.0, 1.0, table.size))

    def truth(self) -> dict:
        """Stores (n,) now in nominal capacities, the cathode counted from full charge; `swing`: the cathode's
        capacity.
        """
        c, (low, high) = self.cells, self.swing_limits
        sites = c.cathode_sites_mah_cm2
        return {
            "cathode": (c.cathode_mah_cm2 - low * sites) / self.nominal,
            "active": c.active_mah_cm2 / self.nominal,
            "isolated": c.isolated_mah_cm2 / self.nominal,
            "sei": c.sei_mah_cm2 / self.nominal,
            "swing": (high - low) * sites / self.nominal,
            "anode_limited": self.anode_limited.copy(),
        }

    def advance(self, controls, duration_s):
        """One stretch. Returns seconds, event codes and charge (in nominal capacities, positive into the cell), each
        (n,).
        """
        before = self.cells.total("plated") - self.cells.total("stripped")
        seconds, events = self.cells.advance(controls, duration_s, ambient_degc=self.ambient_degc)
        moved = self.cells.total("plated") - self.cells.total("stripped") - before
        return seconds, events, moved / self.nominal

    def rest(self, seconds, qualified=None):
        """Rest (scalar or (n,) seconds). `qualified` (scalar or (n,)): the voltage at its end counts as rested; None:
        where it settled as the board wants it (`halfcycle.Tracker`)."""
        seconds = np.broadcast_to(np.asarray(seconds, dtype=float), (self.n,))
        hours = []
        if seconds.min() >= HOURLY_S:
            for _ in range(int(seconds.min() // 3600.0)):
                self.advance(Control.rest(), 3600.0)
                hours.append(self.cells.voltage_v)
            self._hourly_v = np.array(hours)
        left_s = seconds - 3600.0 * len(hours)
        if qualified is None:
            last_s = np.minimum(left_s, SETTLE_S)
            self.advance(Control.rest(), left_s - last_s)
            before_v = self.cells.voltage_v.copy()
            self.advance(Control.rest(), last_s)
            moved_uv = np.abs(self.cells.voltage_v - before_v) * 1e6
            qualified = (seconds >= SETTLE_S) & ((moved_uv <= SETTLE_UV) | (last_s < SETTLE_S))
        else:
            self.advance(Control.rest(), left_s)
        self._rest_s = self._rest_s + seconds
        self._ocv_v = np.where(np.broadcast_to(qualified, (self.n,)), self.cells.voltage_v, 0.0)

    def charge(self, rate, depth=9.0):
        """Charge at `rate` (of 1C) by at most `depth` (scalar or (n,), of nominal), or to full."""
        depth = np.broadcast_to(np.asarray(depth, dtype=float), (self.n,))
        taper_a = min(self.taper_permille * 1e-3, rate / 2) * self.one_c_a
        control = Control.voltage(self.v_max, i_max_a=rate * self.one_c_a, i_stop_a=taper_a)
        seconds, events, moved = self.advance(control, np.where(depth < 9.0, depth / rate * 3600.0, LONG_S))
        end = np.where(events == I_MIN, END_HIGH, END_STOPPED)
        return self._totals(1, moved, seconds, end, self.v_max, {})

    def discharge(self, segments, depth=9.0, pulse_c=None, pulse_s=None):
        """Discharge through `segments` [(rate of 1C, hours)], repeated, by at most `depth` or to the end; begins with
        a pulse of
        `pulse_c` (n,) for `pulse_s` (n,) where that is not 0."""
        depth = np.broadcast_to(np.asarray(depth, dtype=float), (self.n,))
        total, time_s = np.zeros(self.n), np.zeros(self.n)
        early, early_s = np.zeros(self.n), np.zeros(self.n)
        weighted = np.zeros(self.n)  # charge times rate
        low, ended = np.zeros(self.n, bool), np.zeros(self.n, bool)
        last = np.zeros(self.n)  # rate at which each cell's own discharge ended
        more = {}
        self._measure_resistance(segments[0][0])
        if pulse_c is not None and np.any(pulse_s > 0):
            controls = [Control.current(-c * self.one_c_a, v_min=self.v_min) for c in pulse_c]
            seconds, _, moved = self.advance(controls, pulse_s)
            total -= moved
            time_s += seconds
            early, early_s = np.minimum(-moved, EARLY_PPM * 1e-6), seconds.copy()
            weighted -= moved * pulse_c
            more = {"pulse_ppm": -moved * 1e6, "pulse_permille": pulse_c * (seconds > 0) * 1e3, "pulse_s": seconds}
        k = 0
        while not ended.all():
            rate, hours = segments[k % len(segments)]
            left = np.where(ended, 0.0, np.minimum(hours, np.maximum(depth - total, 0.0) / rate)) * 3600.0
            seconds, events, moved = self.advance(Control.current(-rate * self.one_c_a, v_min=self.v_min), left)
            part = np.clip(EARLY_PPM * 1e-6 - total, 0.0, -moved)
            total -= moved
            time_s += seconds
            weighted -= moved * rate
            early = early + part
            early_s = early_s + part / rate * 3600.0
            low |= ~ended & ((events == V_MIN) | (events == DEPLETED))
            last = np.where(ended, last, rate)
            ended |= low | (total >= depth - 1e-9)
            k += 1
        self.anode_limited = np.where(low, self.truth()["active"] < BARE, self.anode_limited)
        more["end_permille"] = 1e3 * last
        more["rate_permille"] = 1e3 * weighted / np.maximum(total, 1e-9)
        more["early_rate_permille"] = np.where(early_s > 0, early / np.maximum(early_s, 1e-9) * 3.6e6, 0.0)
        return self._totals(-1, -total, time_s, np.where(low, END_LOW, END_STOPPED), self.v_min, more)

    def _measure_resistance(self, rate):
        """The drop that a step of current takes in ten seconds; the cell is left as it was."""
        saved, rested_v = self.cells.state(), self.cells.voltage_v
        self.cells.advance(Control.current(-rate * self.one_c_a), 10.0, ambient_degc=self.ambient_degc)
        self.resistance_uohm = np.maximum(rested_v - self.cells.voltage_v, 0.0) / (rate * self.one_c_a) * 1e6
        self.cells.restore(saved)

    def _totals(self, kind, moved, seconds, end, end_v, more):
        charge = np.abs(moved)
        rate = np.where(seconds > 0, charge / np.maximum(seconds, 1e-9), 0.0) * 3.6e6
        self._index += 1
        totals = {
            "kind": kind,
            "charge": charge,
            "duration_s": seconds,
            "rate_permille": rate,
            "early_rate_permille": rate,
            "temp_cdegc": self.cells.temperature_degc * 100.0,
            "end": end,
            "end_uv": end_v * 1e6,
            "end_permille": np.abs(self.cells.current_a) / self.one_c_a * 1e3,
            "pulse_ppm": 0.0,
            "pulse_permille": 0.0,
            "pulse_s": 0.0,
            "resistance_uohm": self.resistance_uohm,
            "rest_before_s": self._rest_s,
            "ocv_before_v": self._ocv_v,
            "hourly_v": self._hourly_v,
            "index": self._index,
            **more,
        }
        self._rest_s = np.zeros(self.n)
        self._ocv_v = np.zeros(self.n)
        self._hourly_v = np.zeros((0, self.n))
        return totals
