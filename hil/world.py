"""The world around the board in one scenario: cell, sensors, switches, user, and all that the scenario does to them.

The board sits in `host_sim`'s closed loop where the firmware sits otherwise; `World.tick` is what the loop calls, and
the place where operator lines, power and cable act. One row of signals is recorded at every tick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from relith.journal import decode
from relith.readings import Outputs, Readings

from hil.boards import WATCHDOG_MS, Board
from hil.orders import ORDERS, give
from hil.rows import said
from hil.scenario import BOARD, SENSORS, Happening, Scenario
from hil.trace import Trace
from host_sim.cell import Control
from host_sim.loop import ClosedLoop
from host_sim.plant import Plant
from host_sim.sensors import SensorModel
from host_sim.uses import Actor, Ratings, User


class Hands(Actor):
    """The user's actor, with someone's hands on it: currents that ignore every limit."""

    def __init__(self, actor: Actor | None, ratings: Ratings, start_s: float) -> None:
        super().__init__(ratings)
        self.actor = actor
        self.start_s = start_s  # time of day on the actor's calendar at the first tick
        self.forced: tuple[Control, float] | None = None

    def user(self, time_s: float) -> User:
        return self.actor.user(self.start_s + time_s) if self.actor else User(1, 86_400)

    def next(self, time_s: float, terminals: Any, outputs: Outputs) -> tuple[Control, float]:
        if self.forced is not None:
            control, until_s = self.forced
            if time_s < until_s - 1e-9:
                return control, until_s - time_s
            self.forced = None
        if self.actor is None:
            return Control.rest(), math.inf
        return self.actor.next(self.start_s + time_s, terminals, outputs)

    @property
    def cycles(self) -> int:
        return getattr(self.actor, "cycles", 0)


class World:
    """`cells` are already where the scenario begins; `slots` is the journal that the board wakes up with.

    Times in the trace and in the scenario count from the first tick; the actor's calendar stands at `use.start` then.
    """

    def __init__(
        self,
        scenario: Scenario,
        board: Board,
        cells: Any,
        actor: Actor | None,
        ratings: Ratings,
        sensors: SensorModel,
        plant: Plant,
    ) -> None:
        self.scenario, self.board, self.ratings = scenario, board, ratings
        self.trace = Trace()
        self.hands = Hands(actor, ratings, scenario.use["start"])
        self.nominal_mah = ratings.nominal_ah * 1e3
        self.flags: dict[str, float] = {}  # operator and hardware lines, and until when they act
        self.cable_out_s: float | None = None  # since when
        self.frozen = Outputs()
        self.answers: list[str] = []  # what the board said to every command, in words
        self.clock_known = 1
        self.watchdog = 0
        self.row: dict[str, Any] = {}  # signals of the last tick
        self.stop_at_s = math.inf  # a tick is made to fall here, for somebody who steps by hand
        self._waiting = [(one, one.moment.at_s) for one in scenario.happenings]
        self._ending: list[tuple[float, str, Callable[[], None]]] = []
        self._capacity = math.nan
        self._discharged_ah = self._before_ah = 0.0
        self._cycles = self.hands.cycles
        self._rng = np.random.default_rng((scenario.seed, 0x41))
        self.loop = ClosedLoop(cells, self, sensors, self.hands, plant, ambient_degc=scenario.weather_degc)
        self._lithium = [cell.lithium_mah_cm2 for cell in self.loop.cells]
        self._base_s = scenario.longest_s or math.inf

    # --- running ------------------------------------------------------------------------------------------------
    def run(self) -> Iterator[float]:
        """Tick until the scenario is over; yields the time after every tick."""
        end_s, until = self.scenario.duration_s, self.scenario.until
        loop = self.loop
        while loop.time_s < end_s:
            self._happen(loop.time_s)
            loop.longest_s = min(self._base_s, max(self._next_s() - loop.time_s, 1e-3), end_s - loop.time_s + 1e-3)
            loop.step()
            self._count_capacity()
            yield loop.time_s
            if until is not None and until.holds(self.row):
                break
        self._happen(loop.time_s)

    def _next_s(self) -> float:
        times = [at_s for _, at_s in self._waiting if at_s is not None] + [end_s for end_s, _, _ in self._ending]
        return min(times + [self.stop_at_s] * (self.stop_at_s > self.loop.time_s), default=math.inf)

    def _happen(self, now_s: float) -> None:
        """Begin and end whatever is due. A condition is looked at once a tick, on the row before."""
        for end_s, name, undo in [entry for entry in self._ending if entry[0] <= now_s + 1e-9]:
            self._ending.remove((end_s, name, undo))
            undo()
            self.trace.moments[f"end of {name}"] = now_s
        for entry in list(self._waiting):
            happening, at_s = entry
            if at_s is None and self.row and happening.moment.when.holds(self.row):  # type: ignore[union-attr]
                self._waiting.remove(entry)
                at_s = now_s + happening.moment.delay_s
                self._waiting.append((happening, at_s))
        for entry in [one for one in self._waiting if one[1] is not None and one[1] <= now_s + 1e-9]:
            self._waiting.remove(entry)
            self._begin(entry[0], now_s)

    def _begin(self, happening: Happening, now_s: float) -> None:
        self.trace.moments[happening.name] = now_s
        if happening.action in ORDERS:
            self.answers.append(give(self.board, self.scenario, happening, self.ratings.current_lsb_a))
            return
        act = getattr(self, f"_do_{happening.action}")
        undo = act(happening.values, now_s, happening.for_s if happening.for_s is not None else math.inf)
        if happening.for_s is not None and undo is not None:
            self._ending.append((now_s + happening.for_s, happening.name, undo))

    # --- the board's place in the loop ----------------------------------------------------------------------------
    def tick(self, readings: Readings) -> Outputs:
        """One tick of the board, seen through power, cable and operator lines."""
        now_s = self.loop.time_s if hasattr(self, "loop") else 0.0
        for name in ("stop", "hardware_trip"):
            if self.flags.get(name, -1.0) > now_s:
                setattr(readings, name, 1)
            elif name == "stop":
                readings.stop = 0
        if self.flags.get("consent", -1.0) > now_s:
            readings.user_consent = 0
        readings.clock_known = self.clock_known
        readings.watchdog_reset = self.watchdog
        if not self.board.powered:
            outputs = self.board.off
        elif self.cable_out_s is not None:
            outputs = self._without_cable(now_s)
        else:
            outputs = self.frozen = self.board.tick(readings)
            self.watchdog = 0
        self._record(now_s, outputs)
        return outputs

    def _without_cable(self, now_s: float) -> Outputs:
        """A rig build hears nothing: its pins stay as they are until its watchdog resets it."""
        if (now_s - self.cable_out_s) * 1e3 < WATCHDOG_MS:  # type: ignore[operator]
            return self.frozen
        return self.board.off

    # --- what can happen --------------------------------------------------------------------------------------------
    def _do_fault(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        component, verb, magnitude = values["component"], values["verb"], values["magnitude"]
        if component in BOARD:
            return self.board.fault(component, verb, magnitude)
        target = self.loop.sensors if component in SENSORS or component.startswith("cell") else self.loop.plant
        scaled = magnitude * 1e3 if verb == "delayed" else magnitude
        target.fault(component, verb, scaled)
        return lambda: target.fault(component, "ok")

    def _do_mark(self, values: Mapping[str, Any], now_s: float, for_s: float) -> None:
        """Only the moment counts."""

    def _do_stop_line(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        self.flags["stop"] = now_s + for_s
        return lambda: None

    def _do_consent_withdrawn(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        self.flags["consent"] = now_s + for_s
        return lambda: None

    def _do_hardware_trip(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        self.flags["hardware_trip"] = now_s + for_s
        return lambda: None

    def _do_power_cut(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        """Power goes in whatever the board is doing; it comes back with the journal as it was, and no clock."""
        slots = self.board.slots()
        self.board.power_off()
        self.clock_known = 0

        def back() -> None:
            self.loop.sensors.start_ms = -int(self.loop.sensors.time_ms)
            self.board.start(slots)

        if math.isinf(for_s):
            back()
        return back

    def _do_watchdog_reset(self, values: Mapping[str, Any], now_s: float, for_s: float) -> None:
        slots = self.board.slots()
        self.board.power_off()
        self.board.start(slots, watchdog=True)
        self.watchdog = 1

    def _do_cable_pulled(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        self.cable_out_s = now_s

        def back() -> None:
            gone_ms = (self.loop.time_s - now_s) * 1e3
            self.cable_out_s = None
            if gone_ms >= WATCHDOG_MS:
                self._do_watchdog_reset({}, self.loop.time_s, 0.0)

        return back

    def _do_charge_anyway(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        high_v = math.inf if values["voltage"] is None else values["voltage"]
        self.hands.forced = (Control.current(values["current"], v_max=high_v), now_s + for_s)
        return lambda: None

    def _do_draw_anyway(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        self.hands.forced = (Control.current(-values["current"], v_min=0.5), now_s + for_s)
        return lambda: None

    def _do_soft_short(self, values: Mapping[str, Any], now_s: float, for_s: float) -> Callable[[], None]:
        cell = self.loop.cells[0]
        cell.set_short(values["resistance"] * cell.area_cm2)
        return lambda: cell.set_short(math.inf)

    def _do_swap_cell(self, values: Mapping[str, Any], now_s: float, for_s: float) -> None:
        from host_sim.cell import Cell

        for k, old in enumerate(self.loop.cells):
            new = Cell(old.parameters, old.area_cm2, old.temperature_degc)
            old.restore(new.state())
            self._lithium[k] = old.lithium_mah_cm2

    def _do_journal_damaged(self, values: Mapping[str, Any], now_s: float, for_s: float) -> None:
        """Bits flip in the newest slot, or in both, while the power is off; the board then starts."""
        slots = self.board.slots()
        self.board.power_off()
        self.clock_known = 0
        for slot in (0, 1) if values["slots"] == "both" else [_newest(slots)]:
            data = bytearray(slots[slot])
            data[int(self._rng.integers(len(data)))] ^= 1 << int(self._rng.integers(8))
            slots[slot] = bytes(data)
        self.loop.sensors.start_ms = -int(self.loop.sensors.time_ms)
        self.board.start(slots)

    def _do_frame_garbage(self, values: Mapping[str, Any], now_s: float, for_s: float) -> None:
        self.board.raw(self._rng.bytes(int(values["bytes"])))

    def _do_replay_frames(self, values: Mapping[str, Any], now_s: float, for_s: float) -> None:
        self.board.repeat()

    def _do_ambient(self, values: Mapping[str, Any], now_s: float, for_s: float) -> None:
        self.loop.ambient_degc = values["temperature"]

    # --- what is seen -------------------------------------------------------------------------------------------------
    def _count_capacity(self) -> None:
        """Charge of the last discharge that the user finished, as a share of nominal."""
        moved_ah = self.loop.last.charge_as / 3600.0
        if moved_ah < 0.0:
            self._discharged_ah -= moved_ah
        if self.hands.cycles != self._cycles:
            self._cycles = self.hands.cycles
            self._capacity = (self._discharged_ah - self._before_ah) / self.ratings.nominal_ah
            self._before_ah = self._discharged_ah

    def _record(self, now_s: float, outputs: Outputs) -> None:
        loop = self.loop
        cells = loop.cells
        volts = [cell.voltage_v for cell in cells]
        first = cells[0]
        share = first.area_cm2 / self.nominal_mah
        row = {
            "lowest_cell_voltage": min(volts),
            "highest_cell_voltage": max(volts),
            "current": loop.terminals.current_a,
            "temperature": max(cell.temperature_degc for cell in cells),
            "pulse_current": loop.plant.pulse_a,
            "isolated_lithium": first.isolated_mah_cm2 * share,
            "active_lithium": first.active_mah_cm2 * share,
            "sei_lithium": first.sei_mah_cm2 * share,
            "lithium_balance_error": max(
                abs(cell.lithium_mah_cm2 / built - 1.0) for cell, built in zip(cells, self._lithium, strict=True)
            ),
            "charge_switch": int(loop.plant.charge_on),
            "discharge_switch": int(loop.plant.discharge_on),
            "cycles": self.hands.cycles,
            "capacity": self._capacity,
        }
        age_s = 0.0 if self.cable_out_s is None else now_s - self.cable_out_s
        row |= said(self.board, outputs, self.ratings.current_lsb_a, self.answers, age_s)
        self.row = row
        self.trace.append(now_s, row)


def _newest(slots: Mapping[int, bytes]) -> int:
    """The journal slot that was written last: sequence numbers wrap at 16 bits."""
    records = [decode(slots[slot]) for slot in (0, 1)]
    if records[0] is None or records[1] is None:
        return 0 if records[1] is None else 1
    return 1 if 0 < (records[1][0] - records[0][0]) & 0xFFFF < 0x8000 else 0
