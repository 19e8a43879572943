"""Cells in series behind one interface: one current through all, voltages added, an event of any cell ends the step."""

from __future__ import annotations

import math

from host_sim.cell import Control, Outcome
from host_sim.cell.layout import POWER, VOLTAGE

SAME_S = 1e-6


class Series:
    """A string of `Cell`s. `advance` takes string voltages and powers; `v_min` and `v_max` hold for every single cell.

    A string voltage is held by choosing the current anew in every step (two trials from the saved state, then a
    straight line), so steps under voltage control are cut to `HOLD_S`. `bleed_a`: what each cell loses beside the
    string's current, A.
    """

    HOLD_S = 60.0

    def __init__(self, cells):
        self.cells = list(cells)
        self.bleed_a = [0.0] * len(self.cells)
        self.current_a = 0.0

    @property
    def voltage_v(self) -> float:
        """Sum of the cells' terminal voltages."""
        return sum(cell.voltage_v for cell in self.cells)

    @property
    def temperature_degc(self) -> float:
        """The hottest cell."""
        return max(cell.temperature_degc for cell in self.cells)

    def advance(self, control: Control, duration_s: float, ambient_degc: float | None = None) -> Outcome:
        """As `Cell.advance`."""
        n = len(self.cells)
        if control.kind == VOLTAGE:
            duration_s = min(duration_s, self.HOLD_S)
            current_a = self._current_for(control, duration_s, ambient_degc)
            outcome = self._advance_all(Control.current(current_a), duration_s, ambient_degc)
            done = abs(self.current_a) <= control.i_stop_a and abs(current_a) < control.i_max_a
            return Outcome(outcome.elapsed_s, outcome.event or ("i_min" if done else None))
        if control.kind == POWER:
            current_a = control.value / max(self.voltage_v, 1e-3)
            current_a = math.copysign(min(abs(current_a), control.i_max_a), current_a)
            control = Control.current(current_a, control.v_min, control.v_max)
        each = Control.current(control.value, control.v_min / n, control.v_max / n)
        return self._advance_all(each, duration_s, ambient_degc)

    def _advance_all(self, each: Control, duration_s: float, ambient_degc: float | None) -> Outcome:
        """All cells for the same time: the first event sets it, and every cell is taken there from the saved state."""
        saved = [cell.state() for cell in self.cells]
        controls = [
            Control.current(each.value - bleed_a, each.v_min, each.v_max) if bleed_a else each
            for bleed_a in self.bleed_a
        ]
        outcomes = [
            cell.advance(control, duration_s, ambient_degc) for cell, control in zip(self.cells, controls, strict=True)
        ]
        first = min(outcomes, key=lambda outcome: outcome.elapsed_s)
        if max(outcome.elapsed_s for outcome in outcomes) - first.elapsed_s > SAME_S:
            for cell, state, control in zip(self.cells, saved, controls, strict=True):
                cell.restore(state)
                cell.advance(control, first.elapsed_s, ambient_degc)
        self.current_a = each.value
        return Outcome(
            first.elapsed_s, next((o.event for o in outcomes if o.event and o.elapsed_s <= first.elapsed_s), None)
        )

    def _current_for(self, control: Control, duration_s: float, ambient_degc: float | None) -> float:
        saved = [cell.state() for cell in self.cells]
        limit_a = control.i_max_a if math.isfinite(control.i_max_a) else abs(self.current_a) + 1.0

        def voltage_at(current_a: float) -> float:
            for cell, state, bleed_a in zip(self.cells, saved, self.bleed_a, strict=True):
                cell.restore(state)
                cell.advance(Control.current(current_a - bleed_a), duration_s, ambient_degc)
            return self.voltage_v

        low_a, high_a = 0.0, limit_a
        low_v, high_v = voltage_at(low_a), voltage_at(high_a)
        for cell, state in zip(self.cells, saved, strict=True):
            cell.restore(state)
        if high_v <= control.value:
            return high_a
        if high_v - low_v < 1e-9:
            return low_a
        return min(max(low_a + (control.value - low_v) / (high_v - low_v) * (high_a - low_a), -limit_a), limit_a)
