"""Lives of many cells as half-cycle totals: the batch cell played half-cycle by half-cycle, its totals put through a sensor's gain,
offset and voltage error into the firmware's `HalfCycle` records, with the truth beside them.

What a tick-by-tick run would hand to estimator and scheduler, without the ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host_sim.cell import CellBatch, Control
from host_sim.cell.layout import DEPLETED, I_MIN, V_MIN
from relith.halfcycle import END_HIGH, END_LOW, END_STOPPED, HalfCycle

AREA_CM2 = 100.0
LONG_S = 1e6
EARLY_SHARE = 0.05


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


@dataclass
class Truth:
    """Stores (n,) in units of nominal capacity, cathode counted from full charge; `anode_limited` (n,): how the last discharge ended."""

    cathode: np.ndarray
    active: np.ndarray
    isolated: np.ndarray
    sei: np.ndarray
    swing: np.ndarray
    anode_limited: np.ndarray


class Lives:
    """n cells under one sensor class.

    `nominal_mah_cm2`: capacity of the profile; 1C empties it in an hour. `v_min`, `v_max`: the profile's window.
    """

    def __init__(self, parameters, nominal_mah_cm2, v_min, v_max, taper_permille, sensors, seed):
        self.cells = CellBatch(parameters, area_cm2=AREA_CM2)
        self.n = self.cells.n
        self.nominal = nominal_mah_cm2
        self.one_c_a = nominal_mah_cm2 * AREA_CM2 * 1e-3
        self.v_min, self.v_max = v_min, v_max
        self.taper_a = taper_permille * 1e-3 * self.one_c_a
        rng = np.random.default_rng((seed, 4))
        self.offset = rng.standard_normal(self.n) * sensors.offset
        self.gain = rng.standard_normal(self.n) * sensors.gain
        self.volt = rng.standard_normal(self.n) * sensors.voltage_v
        self.noise_v, self.rng = sensors.voltage_noise_v, rng
        self.records = [HalfCycle() for _ in range(self.n)]
        self.anode_limited = np.zeros(self.n, bool)
        self.hours = np.zeros(self.n)
        self.rest_s = np.zeros(self.n)  # since the last half-cycle
        self.ocv_v = np.zeros(self.n)  # of that rest, when it qualified
        self.ambient_degc = np.full(self.n, 25.0)
        self._index = 0
        self._resistance_uohm = np.zeros(self.n)  # last measured
        self._swing = self._swing_limits()

    def _swing_limits(self):
        table = self.cells._ocv
        x = np.linspace(0.0, 1.0, table.size)
        return np.interp([-self.v_max, -self.v_min], -table, x)

    def truth(self) -> Truth:
        """Now."""
        c, low = self.cells, self._swing[0]
        sites = c.cathode_sites_mah_cm2
        return Truth(
            (c.cathode_mah_cm2 - low * sites) / self.nominal,
            c.active_mah_cm2 / self.nominal,
            c.isolated_mah_cm2 / self.nominal,
            c.sei_mah_cm2 / self.nominal,
            (self._swing[1] - low) * sites / self.nominal,
            self.anode_limited.copy(),
        )

    def _advance(self, controls, duration_s):
        """One stretch. Returns seconds, event codes and charge (in nominal capacities, positive into the cell), each (n,)."""
        before = self.cells.total("plated") - self.cells.total("stripped")
        seconds, events = self.cells.advance(controls, duration_s, ambient_degc=self.ambient_degc)
        moved = self.cells.total("plated") - self.cells.total("stripped") - before
        self.hours += seconds / 3600.0
        return seconds, events, moved / self.nominal

    def rest(self, seconds, qualified=False):
        """Rest (scalar or (n,) seconds); `qualified` (scalar or (n,)): the voltage at its end counts as rested."""
        seconds = np.broadcast_to(np.asarray(seconds, dtype=float), (self.n,))
        self._advance(Control.rest(), seconds)
        self.rest_s += seconds
        seen = self.cells.voltage_v + self.volt + self.rng.standard_normal(self.n) * self.noise_v
        self.ocv_v = np.where(np.broadcast_to(qualified, (self.n,)), seen, 0.0)

    def charge(self, rate, depth=9.0):
        """Charge at `rate` (of 1C) by at most `depth` (scalar or (n,), of nominal), or to full. Returns the records."""
        depth = np.broadcast_to(np.asarray(depth, dtype=float), (self.n,))
        control = Control.voltage(self.v_max, i_max_a=rate * self.one_c_a, i_stop_a=self.taper_a)
        limit = np.where(depth < 9.0, depth / rate * 3600.0, LONG_S)
        seconds, events, moved = self._advance(control, limit)
        end = np.where(events == I_MIN, END_HIGH, END_STOPPED)
        return self._record(1, moved, seconds, end, np.full(self.n, self.v_max), {})

    def discharge(self, segments, depth=9.0, pulse_c=None, pulse_s=None):
        """Discharge through `segments` [(rate of 1C, hours)], repeated, by at most `depth` or to the end; begins with a pulse of
        `pulse_c` (n,) for `pulse_s` (n,) where that is not 0. Returns the records."""
        depth = np.broadcast_to(np.asarray(depth, dtype=float), (self.n,))
        total, time_s = np.zeros(self.n), np.zeros(self.n)
        early, early_s = np.zeros(self.n), np.zeros(self.n)
        ended = np.zeros(self.n, bool)
        more = {}
        v_rest = self.cells.voltage_v
        resistance = self._resistance_uohm
        if pulse_c is not None and np.any(pulse_s > 0):
            controls = [Control.current(-c * self.one_c_a, v_min=self.v_min) for c in pulse_c]
            seconds, events, moved = self._advance(controls, pulse_s)
            total -= moved
            time_s += seconds
            more = {"pulse_ppm": -moved * 1e6, "pulse_permille": pulse_c * (seconds > 0) * 1e3, "pulse_s": seconds}
        k = 0
        while not ended.all():
            rate, hours = segments[k % len(segments)]
            left = np.where(ended, 0.0, np.minimum(hours, np.maximum(depth - total, 0.0) / rate)) * 3600.0
            if k == 0 and not more:  # ohmic and charge-transfer drop of the first ten seconds
                self._advance_first(rate, left, v_rest, resistance)
            seconds, events, moved = self._advance(Control.current(-rate * self.one_c_a, v_min=self.v_min), left)
            total -= moved
            time_s += seconds
            part = np.clip(EARLY_SHARE - (total + moved), 0.0, -moved)
            early += part
            early_s += part / rate * 3600.0
            emptied = (events == V_MIN) | (events == DEPLETED)
            if np.any(emptied & ~ended):
                t = self.truth()
                self.anode_limited = np.where(emptied & ~ended, t.active < 0.02, self.anode_limited)
            ended |= emptied | (total >= depth - 1e-9)
            low = emptied if k == 0 else low | emptied
            k += 1
        more["early_rate_permille"] = np.where(early_s > 0, early / np.maximum(early_s, 1e-9) * 3.6e6, 0.0)
        return self._record(-1, -total, time_s, np.where(low, END_LOW, END_STOPPED), np.full(self.n, self.v_min), more)

    def _advance_first(self, rate, left, v_rest, resistance):
        """The drop that a current step takes, without moving the cell."""
        saved = self.cells.state()
        self.cells.advance(
            Control.current(-rate * self.one_c_a), np.minimum(10.0, left), ambient_degc=self.ambient_degc
        )
        resistance[:] = np.maximum(v_rest - self.cells.voltage_v, 0.0) / (rate * self.one_c_a) * 1e6
        self.cells.restore(saved)

    def _record(self, kind, moved, seconds, end, end_v, more):
        """Totals as the board sees them: gain on the charge, offset over the time."""
        hours = seconds / 3600.0
        seen = np.abs(moved) * (1.0 + self.gain) + kind * self.offset * hours
        rate = np.where(hours > 0, np.abs(moved) / np.maximum(hours, 1e-9), 0.0) * 1e3
        columns = {
            "charge_ppm": seen * 1e6,
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
            "resistance_uohm": self._resistance_uohm,
            "rest_before_s": self.rest_s,
            "ocv_before_uv": self.ocv_v * 1e6,
            **more,
        }
        self._index += 1
        for name, values in columns.items():
            for record, value in zip(self.records, np.broadcast_to(np.rint(values), (self.n,)), strict=True):
                setattr(record, name, int(value))
        for record in self.records:
            record.kind, record.index = kind, self._index
        self.rest_s = np.zeros(self.n)
        self.ocv_v = np.zeros(self.n)
        return self.records
