"""Firmware and cell, closed: cell -> sensors -> Bms -> plant -> world outside -> cell, one tick after another.

The step is as long as firmware, actor and hardware allow and ends at cell events; nothing counts ticks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from relith.journal import encode
from relith.readings import Readings

from host_sim.cell import Control
from host_sim.cell.layout import CURRENT
from host_sim.plant import Plant
from host_sim.sensors import SensorModel
from host_sim.uses.base import Actor, Terminals

REST = Control.rest()
LEAST_S = 1e-3  # the board's clock counts milliseconds
STUCK_S = 0.1  # how long a cell that can give no more current stands still before the next try


NEW_BOARD = {slot: encode(0, b"") for slot in (0, 1)}  # the journal as `make flash` leaves it on a board without one


class MemoryStore:
    """The journal's two slots of a new board, in memory: `read(slot) -> bytes or None`, `write(slot, bytes)`."""

    def __init__(self):
        self.slots: dict[int, bytes] = dict(NEW_BOARD)

    def read(self, slot: int) -> bytes | None:
        """What was last written to `slot`, or None."""
        return self.slots.get(slot)

    def write(self, slot: int, data: bytes) -> None:
        """Replace `slot` by `data`."""
        self.slots[slot] = bytes(data)


@dataclass
class Step:
    """What happened between two ticks: `control` flowed for `elapsed_s` until `time_s`, and moved `charge_as` (A·s)."""

    time_s: float = 0.0
    elapsed_s: float = 0.0
    charge_as: float = 0.0
    control: Control = REST
    event: str | None = None
    pulse_a: float = 0.0


class ClosedLoop:
    """One cell, or a `Series`, under one `Bms`.

    `plant` defaults to a cut-off at the profile's pulse limits as the firmware asks for them. `longest_s` bounds
    every step (for tests). `ambient_degc` is the temperature around the cell.
    """

    def __init__(
        self,
        cell,
        bms,
        sensors: SensorModel,
        actor: Actor,
        plant: Plant | None = None,
        ambient_degc: float = 25.0,
        longest_s: float = math.inf,
    ):
        self.cell, self.bms, self.sensors, self.actor = cell, bms, sensors, actor
        self.cells = getattr(cell, "cells", None) or [cell]
        self.plant = plant or Plant(sensors.current_lsb_a, cut_off_s=math.inf, cut_off_a=math.inf)
        self.ambient_degc, self.longest_s = ambient_degc, longest_s
        self.readings = Readings(sensors.cells, sensors.thermistors)
        self.readings.clock_known = 1
        self.time_s = 0.0
        self.last = Step()
        self.terminals = Terminals(cell.voltage_v, 0.0, cell.temperature_degc, 0.0, None)
        self.outputs = None
        self._sense(0.0, 0.0, 0.0)

    def step(self) -> Step:
        """One tick of the firmware and the time until the next."""
        time_s, readings, plant = self.time_s, self.readings, self.plant
        self.sensors.fill(readings)
        plant.feedback(readings)
        user = self.actor.user(time_s)
        readings.user_consent, readings.user_free_s, readings.user_full_in_s = user.consent, user.free_s, user.full_in_s
        outputs = self.outputs = self.bms.tick(readings)
        plant.apply(outputs, time_s)
        wish, wish_s = self.actor.next(time_s, self.terminals, outputs)
        control, own = plant.control(wish)
        longest_s = min(outputs.next_tick_ms * 1e-3, wish_s, plant.longest_s(time_s), self.longest_s)

        bled_a = 0.0  # beside the terminals, from the cell that is looked at
        if len(self.cells) > 1:
            self.cell.bleed_a = plant.bleed_a([cell.voltage_v for cell in self.cells])
            bled_a = self.cell.bleed_a[0]
        before = self._cathode_mah()
        outcome = self.cell.advance(control, max(longest_s, LEAST_S), self.ambient_degc)
        elapsed_s, event = outcome.elapsed_s, outcome.event
        if elapsed_s <= 0.0 and self.last.elapsed_s <= STUCK_S and self.last.event:
            # asked again for what it cannot give: the current collapses, time goes on
            control = REST
            elapsed_s = self.cell.advance(control, min(longest_s, STUCK_S), self.ambient_degc).elapsed_s
        passed_mah = before - self._cathode_mah()  # what left the cathode went through the terminals
        charge_as = control.value * elapsed_s if control.kind == CURRENT else passed_mah * 3.6 + bled_a * elapsed_s
        self.time_s = time_s + elapsed_s
        plant.elapse(self.time_s)
        self._sense(elapsed_s, charge_as, control.value if control.kind == CURRENT else self.cell.current_a)
        terminals = self.terminals
        terminals.event = event if own else None
        terminals.net_ah += charge_as / 3600.0
        self.last = Step(self.time_s, elapsed_s, charge_as, control, event, plant.pulse_a)
        return self.last

    def run(self, until_s: float) -> Step:
        """Step until simulated time has reached `until_s`; the last step may end later."""
        while self.time_s < until_s:
            self.step()
        return self.last

    # -- inside ------------------------------------------------------------------------------------------------

    def _cathode_mah(self) -> float:
        cell = self.cells[0]
        return cell.cathode_mah_cm2 * cell.area_cm2

    def _sense(self, elapsed_s: float, charge_as: float, current_a: float) -> None:
        voltages_v = [cell.voltage_v for cell in self.cells]
        temperatures_degc = [cell.temperature_degc for cell in self.cells]
        self.sensors.sample(elapsed_s, charge_as, current_a, voltages_v, temperatures_degc)
        terminals = self.terminals
        terminals.voltage_v = sum(voltages_v)
        terminals.current_a = current_a
        terminals.temperature_degc = temperatures_degc[0]
