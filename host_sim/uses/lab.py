"""Back-to-back cycling on a laboratory cycler: CC/CV charge, short pause, discharge to the cut-off, short pause, again.

The cycler waits while the firmware does not permit its step, as during an activation pulse or a discharged rest.
"""

from __future__ import annotations

import math

from host_sim.cell import Control
from host_sim.uses.base import DAY_S, Actor, Charger, Terminals, User


class Lab(Actor):
    """Currents from `ratings`. `pause_s` lies between half-cycles. Counts finished discharges in `cycles`."""

    pause_s = 60.0

    def __init__(self, ratings, seed: int = 0, obey: bool = True):
        super().__init__(ratings, seed, obey)
        self.charger = Charger()
        self.phase = "charge"
        self.cycles = 0
        self._begun = False  # current has flowed in this phase
        self._gone_since = 0.0  # when current last flowed
        self._pause_until = 0.0

    def user(self, time_s: float) -> User:
        """Nobody waits in a laboratory: always consent, a day free, no deadline."""
        return User(consent=1, free_s=int(DAY_S))

    def next(self, time_s: float, terminals: Terminals, outputs) -> tuple[Control, float]:
        """See `Actor.next`."""
        if time_s < self._pause_until:
            return Control.rest(), self._pause_until - time_s
        if self.phase == "charge":
            control = self.charger.step(self, terminals, outputs, self.ratings.charge_a)
            if control is None or self._withdrawn(time_s, terminals, self.discharge_limit_a(outputs)):
                return self._turn(time_s, "discharge")
            return control, math.inf
        if self._begun and terminals.event in ("v_min", "depleted"):
            self.cycles += 1
            return self._turn(time_s, "charge")
        if self._withdrawn(time_s, terminals, self.charge_limit_a(outputs)):
            self.cycles += 1
            return self._turn(time_s, "charge")
        return self.discharge(outputs, self.discharge_current_a(time_s)), math.inf

    def discharge_current_a(self, time_s: float) -> float:
        """Magnitude of the discharge current wanted at `time_s`."""
        return self.ratings.discharge_a

    def _turn(self, time_s: float, phase: str) -> tuple[Control, float]:
        self.phase = phase
        self._begun = False
        self.charger.reset()
        self._pause_until = time_s + self.pause_s
        return Control.rest(), self.pause_s

    def _withdrawn(self, time_s: float, terminals: Terminals, other_a: float) -> bool:
        """Current that flowed in this phase has been gone for `patience_s`, and the other direction is open."""
        if terminals.current_a != 0.0:
            self._begun = True
            self._gone_since = time_s
            return False
        return self._begun and other_a > 0.0 and time_s - self._gone_since >= self.patience_s
