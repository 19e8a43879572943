"""Lives that follow the clock: commuter, grid storage, phone. Each is a day plan over one small base.

Simulated time 0 is midnight before a Monday.
"""

from __future__ import annotations

import numpy as np

from host_sim.cell import Control
from host_sim.uses.base import DAY_S, HOUR_S, Actor, Charger, Terminals, User


class DayPlan(Actor):
    """A day of windows `(start_h, end_h, activity)`, activity being `charge` or a discharge current in A (magnitude).

    Outside every window the cell stands idle. `plan(day)` gives the windows of a day, in order; the charger is
    plugged in during `charge` windows and charges when the meter says that at least `recharge_share` of nominal is
    missing.
    """

    recharge_share = 0.05

    def __init__(self, ratings, seed: int = 0, obey: bool = True):
        super().__init__(ratings, seed, obey)
        self.charger = Charger()
        self._day = -1
        self._plan: list[tuple[float, float, object]] = []
        self._tomorrow: list[tuple[float, float, object]] = []
        self._full_ah = ratings.nominal_ah  # the meter's reading when last full; built discharged
        self._charging = False
        self._empty = False

    def plan(self, day: int, rng: np.random.Generator) -> list[tuple[float, float, object]]:
        """Windows of day number `day` (0 is a Monday), hours 0…24, not overlapping."""
        raise NotImplementedError

    def user(self, time_s: float) -> User:
        """Free until the next use; full by then when a charge lies before it."""
        self._turn_page(time_s)
        hour = time_s % DAY_S / HOUR_S
        if self._window(hour) not in (None, "charge"):
            return User(consent=1, free_s=0)
        windows = [w for w in self._plan if w[0] > hour] + [(a + 24, b + 24, what) for a, b, what in self._tomorrow]
        start_h = next((start for start, _, what in windows if what != "charge"), 48.0)
        plugged = self._window(hour) == "charge" or any(
            what == "charge" and start < start_h for start, _, what in windows
        )
        free_s = int((start_h - hour) * HOUR_S)
        return User(consent=1, free_s=free_s, full_in_s=free_s if plugged else -1)

    def next(self, time_s: float, terminals: Terminals, outputs) -> tuple[Control, float]:
        """See `Actor.next`."""
        self._turn_page(time_s)
        hour = time_s % DAY_S / HOUR_S
        longest_s = (self._next_change(hour) - hour) * HOUR_S + 1e-3
        what = self._window(hour)
        if what is None:
            self._charging = False
            return Control.rest(), longest_s
        if what == "charge":
            return self._charge(terminals, outputs), longest_s
        if self._charging:
            self._charging = False
        elif terminals.event in ("v_min", "depleted"):
            self._empty = True  # the user stops; nothing more until the next charge
        if self._empty:
            return Control.rest(), longest_s
        return self.discharge(outputs, what), longest_s

    def _charge(self, terminals: Terminals, outputs) -> Control:
        if not self._charging:
            missing_ah = self._full_ah - terminals.net_ah
            if missing_ah < self.recharge_share * self.ratings.nominal_ah and not self._empty:
                return Control.rest()
            self._charging = True
            self.charger.reset()
            return self.charge(outputs, self.ratings.charge_a)
        control = self.charger.step(self, terminals, outputs, self.ratings.charge_a)
        if control is None:
            self._full_ah = terminals.net_ah
            self._charging = self._empty = False
            return Control.rest()
        return control

    def _turn_page(self, time_s: float) -> None:
        day = int(time_s // DAY_S)
        if day != self._day:
            self._day = day
            self._plan = self.plan(day, np.random.default_rng((self.seed, day)))
            self._tomorrow = self.plan(day + 1, np.random.default_rng((self.seed, day + 1)))

    def _window(self, hour: float):
        return next((what for start, end, what in self._plan if start <= hour < end), None)

    def _next_change(self, hour: float) -> float:
        edges = [edge for start, end, _ in self._plan for edge in (start, end) if edge > hour]
        return min(edges, default=24.0)


class Commuter(DayPlan):
    """Two drives on working days, one at the weekend, parked and plugged in overnight; charges when a third is
    missing."""

    recharge_share = 0.35

    def plan(self, day, rng):
        """Drives are 5-minute stretches of varying current around C/2."""
        trips = [(7.5, 45), (17.5, 45)] if day % 7 < 5 else [(11.0, 60)]
        windows: list[tuple[float, float, object]] = [(0.0, 7.0, "charge")]
        for start_h, minutes in trips:
            shape = rng.uniform(0.2, 0.8, minutes // 5) * self.ratings.one_c_a
            for k, current_a in enumerate(shape.tolist()):
                windows.append((start_h + k / 12, start_h + (k + 1) / 12, current_a))
        return [*windows, (19.0, 24.0, "charge")]


class Grid(DayPlan):
    """One full cycle a day: charged from the sun at midday, emptied over the evening, empty overnight."""

    def plan(self, day, rng):
        """Discharge sized to empty a new cell in 4.5 hours; cloudy days are not modelled."""
        return [(9.0, 16.0, "charge"), (17.5, 23.0, self.ratings.nominal_ah / 4.5)]


class Phone(DayPlan):
    """Partial cycles: charged overnight, drained by bursts over the day, often topped up at lunch."""

    def plan(self, day, rng):
        """Sixteen waking hours with one burst each; half of the days have a half-hour top-up at 12:30."""
        windows: list[tuple[float, float, object]] = [(0.0, 7.0, "charge")]
        bursts = rng.uniform(0.01, 0.09, 16) * self.ratings.nominal_ah
        top_up = rng.random() < 0.5
        for k, burst_ah in enumerate(bursts.tolist()):
            windows.append((7.0 + k, 7.25 + k, burst_ah / 0.25))
            if k == 5 and top_up:
                windows.append((12.5, 13.0, "charge"))
        return [*windows, (23.25, 24.0, "charge")]
