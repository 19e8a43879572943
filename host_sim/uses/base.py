"""What every use shares: what a charger or load sees, the user's calendar, and keeping the limits it is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from host_sim.cell import Control

DAY_S = 86_400.0
HOUR_S = 3_600.0


@dataclass
class Terminals:
    """What the world outside sees of the cell or string. `event` is what ended the actor's own last step, or None;
    `net_ah` is a meter at the terminals: charge put in less charge taken out since the beginning."""

    voltage_v: float
    current_a: float
    temperature_degc: float
    net_ah: float
    event: str | None


@dataclass(frozen=True)
class Ratings:
    """What is printed on the cell or string, for charger and load: from the profile. Voltages are of the whole
    string."""

    one_c_a: float
    nominal_ah: float
    v_min: float
    v_max: float
    current_lsb_a: float
    charge_a: float  # the published protocol's currents
    discharge_a: float
    hold_stop_a: float


@dataclass
class User:
    """The user's side of one tick: consent, seconds the cell is not needed, seconds until it is needed full (-1:
    never)."""

    consent: int = 1
    free_s: int = 0
    full_in_s: int = -1


class Actor:
    """The world outside. Subclasses decide what they want in `wish`; here the limits are kept, or not (`obey=False`).

    An actor's half-cycle ends at a cell event, or when the firmware has withdrawn permission for `patience_s`.
    """

    patience_s = 300.0

    def __init__(self, ratings: Ratings, seed: int = 0, obey: bool = True):
        self.ratings = ratings
        self.seed = seed
        self.obey = obey

    def user(self, time_s: float) -> User:
        """The calendar as the firmware is told it at `time_s`."""
        raise NotImplementedError

    def next(self, time_s: float, terminals: Terminals, outputs) -> tuple[Control, float]:
        """What the world does from `time_s` on, and for how long at most in s."""
        raise NotImplementedError

    # -- keeping the limits ------------------------------------------------------------------------------------

    def charge_limit_a(self, outputs) -> float:
        """The charge current that the firmware permits now, as a magnitude."""
        if not self.obey:
            return math.inf
        return outputs.charge_limit_count * self.ratings.current_lsb_a if outputs.charge_enable else 0.0

    def discharge_limit_a(self, outputs) -> float:
        """The discharge current that the firmware permits now, as a magnitude."""
        if not self.obey:
            return math.inf
        return outputs.discharge_limit_count * self.ratings.current_lsb_a if outputs.discharge_enable else 0.0

    def charge(self, outputs, current_a: float) -> Control:
        """Constant current up to the end-of-charge voltage, within the limit."""
        current_a = min(current_a, self.charge_limit_a(outputs))
        return Control.current(current_a, v_max=self.ratings.v_max) if current_a > 0.0 else Control.rest()

    def hold(self, outputs, current_a: float, stop_a: float) -> Control:
        """Constant end-of-charge voltage until the current has fallen to `stop_a`, within the limit."""
        current_a = min(current_a, self.charge_limit_a(outputs))
        if current_a <= 0.0:
            return Control.rest()
        return Control.voltage(self.ratings.v_max, i_max_a=current_a, i_stop_a=min(stop_a, current_a))

    def discharge(self, outputs, current_a: float) -> Control:
        """Constant current down to the end-of-discharge voltage, within the limit. `current_a` is a magnitude."""
        current_a = min(current_a, self.discharge_limit_a(outputs))
        return Control.current(-current_a, v_min=self.ratings.v_min) if current_a > 0.0 else Control.rest()


class Charger:
    """A CC/CV charger's memory: constant current, then constant voltage, then done. Shared by all uses."""

    def __init__(self):
        self.holding = False

    def reset(self) -> None:
        """A new charge begins."""
        self.holding = False

    def step(self, actor: Actor, terminals: Terminals, outputs, current_a: float) -> Control | None:
        """The charger's control now, or None when the cell is full, by its own ammeter or the firmware's word."""
        if self.holding and (terminals.event == "i_min" or actor.charge_limit_a(outputs) <= 0.0):
            return None
        if terminals.event == "v_max":
            self.holding = True
        if self.holding:
            return actor.hold(outputs, current_a, actor.ratings.hold_stop_a)
        return actor.charge(outputs, current_a)
