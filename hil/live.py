"""Rigs with a board whose sensors are real: driven by bench instruments from a simulated cell, or on a real cell.

On a bench the loop runs at `RATE_HZ`: read the current that flows, move the simulated cell by it, set the emulator to
the cell's voltage. On a real cell the rig only watches, logs, and holds the emergency stop. Whatever goes wrong, every
output is off when this returns.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from relith.profile import Profile
from relith.readings import Outputs

from hil.boards import Board
from hil.instruments import loopback
from hil.instruments.bench import Bench, build
from hil.instruments.errors import InstrumentError, Lost, NotAllowed
from hil.judge import Verdict
from hil.orders import ORDERS, give
from hil.rigs import InstrumentFile, Rig
from hil.rows import PPM, UNKNOWN_TRUTH, said
from hil.runner import Progress, Result, Timing, lateness
from hil.scenario import Happening, Scenario
from hil.staging import actor_of, cells_of, past, ratings_of, sensors_of
from hil.terminals import TerminalBoard
from hil.usb import UsbBoard
from host_sim.cell import Control
from host_sim.cell.layout import CURRENT, VOLTAGE
from host_sim.errors import InputError
from host_sim.loop import NEW_BOARD
from host_sim.sensors import SensorModel, SensorSpec
from host_sim.uses import Terminals

RATE_HZ = 10.0
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
SILENT_S = 3.0  # telemetry comes every second; without any for so long the board is given up
CHAMBER_S, CHAMBER_DEGC = 7200.0, 1.0  # how long a chamber may take to come how near


class EmergencyStop(InstrumentError):
    """Something on a real cell passed its limit; everything was switched off."""


def run(scenario: Scenario, rig: Rig, result: Result, progress: Progress | None) -> None:
    """Run one scenario; fills `result`. Raises InstrumentError or InputError, with every output off; so does Ctrl-C."""
    with _killed_as_interrupted(), contextlib.ExitStack() as stack:
        node = loopback.Node()
        bench = stack.enter_context(
            Bench({one.role: instrument_of(one, node, stack) for one in rig.instruments.values()})
        )
        board = board_of(rig, scenario.profile, scenario.profile_text, node, sensors_of(scenario))
        stack.callback(board.close)
        board.probe()
        kind = OnBench if rig.cell == "bench" else OnCell
        world = kind(scenario, rig, board, bench)
        result.trace, result.answers = world.trace, world.answers
        try:
            world.run(progress)
        finally:
            result.timing = Timing(np.array(world.work_s), np.array(world.late_s))
            result.identity = dict(board.latest().get("welcome", {}))
        if rig.cell == "bench":
            result.verdicts.append(lateness(world.late_s, rig.late_s))
            result.verdicts.append(_rate(world.trace.times()))


@contextlib.contextmanager
def _killed_as_interrupted() -> Iterator[None]:
    """Being told to end, or losing the terminal, is Ctrl-C: what is on is switched off on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rate(times: np.ndarray) -> Verdict:
    rate_hz = 1.0 / float(np.median(np.diff(times))) if len(times) > 2 else 0.0
    return Verdict(
        "closed loop", "rate of the closed loop", f"{rate_hz:.2f} Hz", f">= {RATE_HZ:g} Hz", rate_hz > RATE_HZ * 0.99
    )


def instrument_of(one: InstrumentFile, node: loopback.Node, stack: contextlib.ExitStack) -> Any:
    """An instrument of the rig file; the address `loopback` is one without hardware, on `node`."""
    address = one.address
    if address == "loopback":
        unit = loopback.LoopbackInstrument(node, one.dialect)
        if one.role == "emulator":
            node.emulator = unit
        address = stack.enter_context(loopback.Serving(unit)).address
    timeout_s = max(0.5, 2.0 * one.deadline_s)  # a reply that is merely late is told from none
    more = {"timeout_s": timeout_s, "channel": one.channel, "deadline_s": one.deadline_s}
    try:
        return build(one.role, address, one.dialect, **more)
    except InputError as error:
        raise InputError(f"instruments.{one.role}.address: {error}") from None


def board_of(rig: Rig, profile: Profile, text: str, node: loopback.Node, sensors: SensorModel | None) -> Board:
    """The board of a rig whose sensors are real. `sensors`: those of a board in this process; None: without error."""
    if rig.board == "host":
        ideal = SensorModel(profile.current_lsb_na, profile.cell_count, 1, spec=SensorSpec())
        return TerminalBoard(profile, text, node, sensors or ideal)
    if rig.port is None:
        raise InputError(f"{rig.path.name}: board is '{rig.board}', which has no terminals (allowed: host, usb)")
    return UsbBoard(profile, text, rig.port, rig.baud, rig.repl, rig=False)


class Live:
    """What both have in common: the clock, the telemetry, the scenario's events, the trace."""

    period_s = 1.0 / RATE_HZ

    def __init__(self, scenario: Scenario, rig: Rig, board: Board, bench: Bench) -> None:
        from hil.trace import Trace

        assert rig.limits is not None
        self.scenario, self.rig, self.board, self.bench, self.limits = scenario, rig, board, bench, rig.limits
        self.ratings = ratings_of(scenario.profile, scenario.use)
        self.trace = Trace()
        self.answers: list[str] = []
        self.work_s: list[float] = []
        self.late_s: list[float] = []
        self.heard_s = 0.0
        self.row: dict[str, Any] = {}
        self._waiting = [(one, one.moment.at_s) for one in scenario.happenings]
        self._ending: list[tuple[float, str, Callable[[], None]]] = []

    def begin(self) -> None:
        """Before the first period: make ready, switch on."""
        raise NotImplementedError

    def period(self, now_s: float) -> dict[str, Any]:
        """One period; returns the signals that are truth on this rig."""
        raise NotImplementedError

    def run(self, progress: Progress | None) -> None:
        self.begin()
        began = time.perf_counter()
        for k, due_s in enumerate(self._periods()):
            left_s = began + due_s - time.perf_counter()
            if left_s > 0:
                time.sleep(left_s)
            now_s = time.perf_counter() - began
            self.late_s.append(max(0.0, now_s - due_s))
            self._happen(now_s)
            self._listen(now_s)
            row = self.period(now_s)
            self.row = row | said(
                self.board, self.outputs(), self.ratings.current_lsb_a, self.answers, now_s - self.heard_s
            )
            self.trace.append(now_s, self.row)
            self.work_s.append(time.perf_counter() - began - now_s)
            if progress and k % 10 == 0:
                progress(self.scenario.name, min(1.0, now_s / self.scenario.duration_s), len(self.trace))
            if self.scenario.until is not None and self.scenario.until.holds(self.row):
                break

    def _periods(self) -> Iterator[float]:
        return iter(np.arange(0.0, self.scenario.duration_s, self.period_s).tolist())

    def _listen(self, now_s: float) -> None:
        if self.board.client.pump():
            self.heard_s = now_s
        failure = getattr(self.board, "failure", None)
        if failure is not None or now_s - self.heard_s > SILENT_S:
            why = f" ({failure})" if failure is not None else ""
            raise Lost(f"board: has said nothing for {now_s - self.heard_s:.1f} s, allowed {SILENT_S:g} s{why}")

    def outputs(self) -> Any:
        told = self.board.latest().get("outputs")
        return SimpleNamespace(**told) if told else Outputs()

    # --- the scenario's events -----------------------------------------------------------------------------------
    def _happen(self, now_s: float) -> None:
        for entry in [one for one in self._ending if one[0] <= now_s]:
            self._ending.remove(entry)
            entry[2]()
            self.trace.moments[f"end of {entry[1]}"] = now_s
        for waiting in list(self._waiting):
            happening, at_s = waiting
            if (
                at_s is None
                and self.row
                and happening.moment.when is not None
                and happening.moment.when.holds(self.row)
            ):
                self._waiting.remove(waiting)
                at_s = now_s + happening.moment.delay_s
                self._waiting.append((happening, at_s))
        for waiting in [one for one in self._waiting if one[1] is not None and one[1] <= now_s]:
            self._waiting.remove(waiting)
            self.trace.moments[waiting[0].name] = now_s
            undo = self._do(waiting[0], now_s)
            if waiting[0].for_s is not None:
                self._ending.append((now_s + waiting[0].for_s, waiting[0].name, undo))

    def _do(self, one: Happening, now_s: float) -> Callable[[], None]:
        if one.action in ORDERS:
            self.answers.append(give(self.board, self.scenario, one, self.ratings.current_lsb_a))
        return lambda: None


class OnBench(Live):
    """A simulated cell, given to the board's real terminals by an emulator; a source charges it, a sink loads it."""

    def begin(self) -> None:
        limits, bench = self.limits, self.bench
        start = past(self.scenario)
        cell = cells_of(self.scenario)
        cell.restore(start.states[0])
        self.cell = cell
        self.actor = actor_of(self.scenario, self.ratings)
        self.forced: tuple[Control, float] | None = None
        self.net_ah = 0.0
        self.event: str | None = None
        self.charge_a = self.sink_a = 0.0
        self.last_s = 0.0
        for role in ("emulator", "source", "sink"):
            if role in bench.instruments:
                bench[role].program_limits(limits)
                self.answers.append(f"{role}: {bench[role].sign_test()}")
        self._weather(self.scenario.weather_degc)
        self._come_to_temperature()
        bench["emulator"].priority("voltage")
        bench["emulator"].set_voltage_v(self._bounded(cell.voltage_v))
        bench["emulator"].on()
        if "relay" in bench.instruments:
            bench["relay"].close_contact()
        self.board.start(start.slots)

    def _weather(self, degc: float) -> None:
        self.ambient_degc = degc
        if "chamber" in self.bench.instruments:
            self.bench["chamber"].set_temperature_degc(degc)

    def _come_to_temperature(self) -> None:
        """Wait for the chamber, with nothing switched on yet."""
        ends = time.monotonic() + CHAMBER_S
        while "chamber" in self.bench.instruments:
            degc = self.bench["chamber"].measure_temperature_degc()
            if abs(degc - self.ambient_degc) <= CHAMBER_DEGC:
                return
            if time.monotonic() > ends:
                raise NotAllowed(
                    f"chamber: is at {degc:.1f} degC after {CHAMBER_S:g} s, not {self.ambient_degc:g} degC"
                )
            self.bench.keep_alive()
            time.sleep(0.5)

    def _bounded(self, voltage_v: float) -> float:
        if not 0.0 <= voltage_v <= self.limits.voltage_v:
            raise NotAllowed(f"the simulated cell is at {voltage_v:.3f} V, outside 0 … {self.limits.voltage_v:g} V")
        return voltage_v

    def period(self, now_s: float) -> dict[str, Any]:
        elapsed_s, self.last_s = now_s - self.last_s, now_s
        cell, emulator = self.cell, self.bench["emulator"]
        current_a = emulator.cell_current_a()
        if elapsed_s > 0:
            cell.advance(Control.current(current_a), elapsed_s, self.ambient_degc)
        emulator.set_voltage_v(self._bounded(cell.voltage_v))
        self.net_ah += current_a * elapsed_s / 3600.0
        self._use(now_s, current_a)
        share = cell.area_cm2 / (self.ratings.nominal_ah * 1e3)
        draw_a = max(0.0, self.charge_a - self.sink_a - current_a)
        return UNKNOWN_TRUTH | {
            "lowest_cell_voltage": cell.voltage_v,
            "highest_cell_voltage": cell.voltage_v,
            "current": current_a,
            "temperature": cell.temperature_degc,
            "pulse_current": draw_a if self.outputs().pulse_count else 0.0,
            "isolated_lithium": cell.isolated_mah_cm2 * share,
            "active_lithium": cell.active_mah_cm2 * share,
            "sei_lithium": cell.sei_mah_cm2 * share,
            "cycles": getattr(self.actor, "cycles", 0),
        }

    def _use(self, now_s: float, current_a: float) -> None:
        """The user's wish, within what the board permits, onto source and sink; a change only when it changes."""
        control = self._wish(now_s, current_a)
        wanted_a = control.value if control.kind == CURRENT else control.i_max_a
        charge_a, sink_a = max(0.0, wanted_a), max(0.0, -wanted_a)
        top_v = control.value if control.kind == VOLTAGE else min(control.v_max, self.limits.voltage_v)
        if charge_a != self.charge_a:
            self._set("source", charge_a, lambda source: (source.set_voltage_v(top_v), source.set_current_a(charge_a)))
            self.charge_a = charge_a
        if sink_a != self.sink_a:
            self._set("sink", sink_a, lambda sink: (sink.priority("current"), sink.set_sink_current_a(sink_a)))
            self.sink_a = sink_a
        self.event = None
        if control.kind == VOLTAGE and abs(current_a) <= control.i_stop_a:
            self.event = "i_min"
        elif wanted_a > 0 and self.cell.voltage_v >= control.v_max:
            self.event = "v_max"
        elif wanted_a < 0 and self.cell.voltage_v <= control.v_min:
            self.event = "v_min"

    def _set(self, role: str, amount_a: float, apply: Callable[[Any], object]) -> None:
        if role not in self.bench.instruments:
            if amount_a:
                raise NotAllowed(
                    f"{self.rig.path.name}: instruments.{role} is missing, and the use needs {amount_a:g} A"
                )
            return
        unit = self.bench[role]
        if amount_a:
            apply(unit)
            unit.on()
        else:
            unit.off()

    def _wish(self, now_s: float, current_a: float) -> Control:
        if self.forced is not None and now_s < self.forced[1]:
            return self.forced[0]
        if self.actor is None:
            return Control.rest()
        terminals = Terminals(self.cell.voltage_v, current_a, self.cell.temperature_degc, self.net_ah, self.event)
        control, _ = self.actor.next(self.scenario.use["start"] + now_s, terminals, self.outputs())
        return control

    def _do(self, one: Happening, now_s: float) -> Callable[[], None]:
        if one.action in ("charge_anyway", "draw_anyway"):
            sign = 1.0 if one.action == "charge_anyway" else -1.0
            self.forced = (Control.current(sign * one.values["current"]), now_s + (one.for_s or 0.0))
            return lambda: None
        if one.action == "soft_short":
            self.cell.set_short(one.values["resistance"] * self.cell.area_cm2)
            return lambda: self.cell.set_short(float("inf"))
        if one.action == "ambient":
            self._weather(one.values["temperature"])
            return lambda: None
        return super()._do(one, now_s)


class OnCell(Live):
    """A real cell: the rig listens, logs, and stops everything when a limit is passed or the board falls silent."""

    def begin(self) -> None:
        self._read_s: dict[str, float] = {}  # when each kind of reading was last good
        if "relay" in self.bench.instruments:
            self.bench["relay"].close_contact()
        self.board.start(NEW_BOARD)

    def period(self, now_s: float) -> dict[str, Any]:
        told = self.board.latest().get("readings")
        if told is None:
            return dict(UNKNOWN_TRUTH)
        volts = [uv * PPM for uv in told["cell_uv"]]
        current_a = told["current_count"] * self.ratings.current_lsb_a
        degc = max(told["temp_cdegc"]) * 1e-2
        wrong = self._wrong(told, volts, current_a, degc, now_s)
        if wrong:
            raise EmergencyStop(f"emergency stop: {wrong}; {self.stop()}")
        return UNKNOWN_TRUTH | {
            "lowest_cell_voltage": min(volts),
            "highest_cell_voltage": max(volts),
            "current": current_a,
            "temperature": degc,
        }

    def _wrong(self, told: dict, volts: list[float], current_a: float, degc: float, now_s: float) -> str:
        """Which limit of the rig file is passed, or which reading has been missing for too long, in words."""
        rig, limits = self.rig, self.limits
        for name, what in (("cell_ok", "voltage"), ("current_ok", "current"), ("temp_ok", "temperature")):
            if told[name]:
                self._read_s[name] = now_s
            elif now_s - self._read_s.get(name, 0.0) > SILENT_S:
                return f"the board has not read the {what} for {SILENT_S:g} s"
        if told["cell_ok"] and not rig.lowest_v <= min(volts) <= max(volts) <= limits.voltage_v:
            worst = max(volts) if max(volts) > limits.voltage_v else min(volts)
            return f"a cell is at {worst:.3f} V, allowed {rig.lowest_v:g} … {limits.voltage_v:g} V"
        if told["current_ok"] and not -limits.sink_current_a <= current_a <= limits.source_current_a:
            return f"current is {current_a:.3f} A, allowed -{limits.sink_current_a:g} … {limits.source_current_a:g} A"
        if told["temp_ok"] and degc > rig.hottest_degc:
            return f"the hottest sensor is at {degc:.1f} degC, allowed {rig.hottest_degc:g} degC"
        return ""

    def _listen(self, now_s: float) -> None:
        try:
            super()._listen(now_s)
        except Lost as error:  # it may still hear
            raise Lost(f"{error}; {self.stop()}") from None

    def stop(self) -> str:
        """The emergency stop: contacts first, then the board. What came of it, in words."""
        failed = self.bench.all_off()
        relay = "relay opened" if "relay" in self.bench.instruments else "there is no relay"
        return f"{'; '.join(failed) or relay}, board told to stop ({self.board.command('stop')})"
