"""The world of the fault campaign: a string of two cells under the firmware in each of its states, and parts that fail.

Charger and load keep the current limits that they are sent, but know no voltage: what the cell's limits rest on is the
firmware. The truth is watched in every step of the simulation, WATCH_STEP_S at most, and not only where the firmware
ticks. Sensors fail as `host_sim.sensors` has it; switches, sink, flash and link fail here, in the same verbs.
"""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
from relith.bms import Bms
from relith.catalogue import TO_BOARD
from relith.frames import close
from relith.profile import Profile

from host_sim.cell import Cell, Control, Outcome, load_parameters
from host_sim.firmware import CUT_OFF_SHARE, ratings
from host_sim.loop import ClosedLoop, MemoryStore
from host_sim.plant import Plant
from host_sim.sensors import SensorModel, SensorSpec
from host_sim.series import Series
from host_sim.tables import STATES
from host_sim.uses import Actor, Lab, User

CELLS, LONG = 2, 5  # in the string of the campaign, and in the longer one that its cells are tried in as well
BOARD_WAIT_S = 4.0  # a board never waits longer (firmware/boards/base.py), whatever the state allows
ACT_S = 5.0  # so long after the fault somebody acts: `faults.Case._acts`
PULSED_S = 90  # so far into the pulse a fault comes
SWING_S = 15.0  # the current changes this often: a driver's foot, a varying sun
CHARGE_PERMILLE, DISCHARGE_PERMILLE = (150, 400), (-100, -500)
HOT_PERMILLE, HEAVY_PERMILLE = (-100, -1000), (-1150, -1200)  # what warms a cell
# a cell tight between others: it warms fast
PACKED: dict[str, Any] = {"heat_transfer_w_k_cm2": 3e-5, "heat_capacity_j_k_cm2": 0.03}
ROOM_DEGC, OVEN_DEGC = 25.0, 59.0  # below the hard limit, which a cell passes with the heat of such a load
WATCH_STEP_S = 0.1
PULSE_S = 60
EMPTY_V = 3.5  # of a cell that rests after its discharge
REDRAW_S = 1.0  # garbage and intermittent parts choose anew this often
SEED = 6
HELLO = 0  # place in catalogue.TO_BOARD; taken whatever its session and number


class String(Series):
    """A string that is looked at in every step: `watch(seconds)` after each."""

    step_s = math.inf  # of those steps; a stage is reached in strides
    watch: Any = None

    def advance(self, control: Control, duration_s: float, ambient_degc: float | None = None) -> Outcome:
        """As `Series.advance`, in steps."""
        gone_s = 0.0
        while True:
            piece_s = min(self.step_s, duration_s - gone_s)
            outcome = super().advance(control, piece_s, ambient_degc)
            gone_s += outcome.elapsed_s
            if self.watch:
                self.watch(outcome.elapsed_s)
            if outcome.event or outcome.elapsed_s < piece_s - 1e-9 or gone_s >= duration_s - 1e-9:
                return Outcome(gone_s, outcome.event)


class Flow(Actor):
    """Swings between two currents, in per mille of 1C; obeys current limits, blind to voltage."""

    low = high = 0

    def user(self, time_s: float) -> User:
        """Nobody minds."""
        return User(consent=1, free_s=86_400)

    def next(self, time_s: float, terminals, outputs) -> tuple[Control, float]:
        """See `Actor.next`."""
        left_s = SWING_S - time_s % SWING_S + 1e-3
        wanted_a = (self.high if time_s // SWING_S % 2 else self.low) * 1e-3 * self.ratings.one_c_a
        if wanted_a > 0.0:
            wanted_a = min(wanted_a, self.charge_limit_a(outputs))
        else:
            wanted_a = -min(-wanted_a, self.discharge_limit_a(outputs))
        return Control.current(wanted_a) if wanted_a else Control.rest(), left_s


class FaultyPlant(Plant):
    """Switches and sink that fail in every verb.

    off: never conducts. stuck: stays as it is, or with a magnitude conducts for good (the sink as much as it can).
    garbage: anything, drawn every second (the sink up to twice its
    strongest, when told to draw). wrong: a switch does the opposite; the sink draws 1 + magnitude of what it is told,
    and, told nothing, draws as much as in its last pulse. slow, delayed: follows only after magnitude (s, ms).
    intermittent: opens for a share `magnitude` of the time.
    """

    strongest_a = 0.0

    def fault(self, component: str, verb: str, magnitude: float = 0.0) -> None:
        """As `Plant.fault`; the verbs that take time begin from what is conducting now."""
        super().fault(component, verb, magnitude)
        self._rng = np.random.default_rng((SEED, 0xFA))
        self._drawn = (-1.0, 0.0)
        self._told: dict[str, list[tuple[float, float]]] = {}
        self._time_s = 0.0

    def apply(self, outputs, time_s: float) -> None:
        """As `Plant.apply`."""
        self._time_s = time_s
        super().apply(outputs, time_s)

    def longest_s(self, time_s: float) -> float:
        """Also no longer than until the failing part may change its mind."""
        verbs = {verb for verb, _ in self.faults.values()}
        return min(super().longest_s(time_s), REDRAW_S / 4 if verbs - {"off", "stuck"} else math.inf)

    def _share(self) -> float:
        if self._time_s >= self._drawn[0]:
            self._drawn = (self._time_s + REDRAW_S, float(self._rng.random()))
        return self._drawn[1]

    def _late(self, name: str, value: float, was: float, wait_s: float) -> float:
        """What was commanded `wait_s` ago."""
        told = self._told.setdefault(name, [(-math.inf, was)])
        if told[-1][1] != value:
            told.append((self._time_s, value))
        while len(told) > 1 and told[1][0] <= self._time_s - wait_s + 1e-9:
            told.pop(0)
        return told[0][1]

    def _switch(self, name: str, was: bool, commanded: bool) -> bool:
        verb, magnitude = self.faults.get(name, ("ok", 0.0))
        if verb == "garbage":
            return self._share() < 0.5
        if verb == "wrong":
            return not commanded
        if verb == "stuck" and magnitude:
            return True
        if verb in ("slow", "delayed"):
            return bool(self._late(name, commanded, was, magnitude if verb == "slow" else magnitude * 1e-3))
        if verb == "intermittent":
            return commanded and self._share() >= magnitude
        return super()._switch(name, was, commanded)

    def _sink(self, commanded_a: float, time_s: float) -> float:
        verb, magnitude = self.faults.get("pulse_sink", ("ok", 0.0))
        self._time_s = time_s
        drawn_a = commanded_a
        if verb == "garbage":
            drawn_a = 2.0 * self.strongest_a * self._share() if commanded_a else 0.0
        elif verb == "wrong":
            drawn_a = commanded_a * (1.0 + magnitude) if commanded_a else self.strongest_a
        elif verb in ("slow", "delayed"):
            drawn_a = self._late("sink", commanded_a, self.pulse_a, magnitude if verb == "slow" else magnitude * 1e-3)
        elif verb == "stuck" and magnitude:
            drawn_a = self.strongest_a
        elif verb == "intermittent":
            drawn_a = commanded_a if self._share() >= magnitude else 0.0
        else:
            return super()._sink(commanded_a, time_s)
        if drawn_a > 0.0:
            self.tripped = self.tripped or drawn_a > self.cut_off_a or time_s >= self._ends_s - 1e-9
        return 0.0 if self.tripped else drawn_a


class FaultyStore(MemoryStore):
    """Journal slots on a flash that fails.

    off: every access raises. stuck: writes change nothing. garbage, wrong: writes and reads give noise, or one flipped
    bit. slow: a write takes `magnitude` s, in which the world goes on. delayed: a write is there only at the next one.
    intermittent: a share of the writes raises.
    """

    def __init__(self):
        super().__init__()
        self.verb, self.magnitude = "ok", 0.0
        self.stall = None  # called with the seconds that a write takes
        self._held: dict[int, bytes] = {}
        self._rng = np.random.default_rng((SEED, 0xF1))

    def _spoiled(self, data: bytes) -> bytes:
        if self.verb == "garbage":
            return self._rng.bytes(len(data))
        return data[:20] + bytes([data[20] ^ 4]) + data[21:]

    def read(self, slot: int) -> bytes | None:
        """See `MemoryStore.read`. Raises OSError."""
        if self.verb == "off":
            raise OSError(5)
        data = super().read(slot)
        return self._spoiled(data) if data and self.verb in ("garbage", "wrong") else data

    def write(self, slot: int, data: bytes) -> None:
        """See `MemoryStore.write`. Raises OSError."""
        if self.verb == "off" or (self.verb == "intermittent" and self._rng.random() < self.magnitude):
            raise OSError(28)
        if self.verb == "stuck":
            return
        if self.verb == "delayed":
            self.slots.update(self._held)
            self._held = {slot: bytes(data)}
            return
        if self.verb == "slow" and self.stall:
            self.stall(self.magnitude)
        super().write(slot, data)


class FaultyStream:
    """A host that says hello once a second, over a line that fails.

    off: both ways raise. stuck: the same bytes for ever. garbage: noise. wrong: a bit flipped in every frame. slow: a
    byte a tick. delayed: frames out of order. intermittent: a share of the reads raises.
    """

    def __init__(self):
        self.verb, self.magnitude = "ok", 0.0
        self.ticks = 0
        self.sent = 0
        self._waiting = b""
        self._rng = np.random.default_rng((SEED, 0x11))

    @staticmethod
    def hello(sequence: int) -> bytes:
        """One frame as the host sends it."""
        assert TO_BOARD[HELLO] == b""
        buffer = bytearray(20)
        close(buffer, HELLO, 0, sequence & 0xFFFF, 7)
        return bytes(buffer)

    def read(self) -> bytes | None:
        """What has come since the last tick. Raises OSError."""
        self.ticks += 1
        if self.verb == "off" or (self.verb == "intermittent" and self._rng.random() < self.magnitude):
            raise OSError(5)
        if self.verb == "garbage":
            return self._rng.bytes(64)
        if self.ticks % 10 == 0:
            frame = self.hello(self.ticks if self.verb != "delayed" else -self.ticks)
            if self.verb == "wrong":
                frame = frame[:4] + bytes([frame[4] ^ 16]) + frame[5:]
            self._waiting += frame
        if self.verb == "stuck":
            return self.hello(1)
        if not self._waiting:
            return None
        count = 1 if self.verb == "slow" else len(self._waiting)
        data, self._waiting = self._waiting[:count], self._waiting[count:]
        return data

    def write(self, data) -> None:
        """Frames of the board. Raises OSError."""
        if self.verb == "off":
            raise OSError(5)
        self.sent += len(data)


class Bench:
    """The loop around a string of cells, and its truth: `exceeded` names the first limit of a cell that was passed."""

    def __init__(self, profile: Profile, store: FaultyStore, cells: String, start_ms: int = 0):
        one_c_a = profile.one_c_ua * 1e-6
        self.profile, self.store, self.stream = profile, store, FaultyStream()
        self.ratings = ratings(profile, 0.3 * one_c_a, 0.5 * one_c_a, 0.1 * one_c_a)
        self.bms = Bms(profile, store, self.stream)
        self.bms.gate.cutoff_present = 1
        sensors = SensorModel(
            profile.current_lsb_na, profile.cell_count, seed=SEED, spec=SensorSpec(), start_ms=start_ms
        )
        strongest_a = profile.pulse_max_permille * 1e-3 * one_c_a
        plant = FaultyPlant(sensors.current_lsb_a, 1.05 * profile.pulse_max_s + 1.0, CUT_OFF_SHARE * strongest_a)
        plant.strongest_a = strongest_a
        self.flow = Flow(self.ratings)
        self.loop = ClosedLoop(cells, self.bms, sensors, self.flow, plant)
        self.loop.longest_s = BOARD_WAIT_S
        cells.watch = self._watch
        self.exceeded = ""
        self._over_s = 0.0
        store.stall = self.stall

    @property
    def state(self) -> str:
        """Name of the state that the last tick ended in."""
        return STATES[self.bms.machine.state]

    def step(self) -> None:
        """One tick and the time until the next, the truth watched."""
        self.loop.step()

    def stall(self, seconds: float) -> None:
        """The tick hangs: time goes on with what conducts."""
        loop, last = self.loop, self.loop.last
        loop.plant.elapse(loop.time_s)
        control = last.control if loop.plant.pulse_a or not last.pulse_a else Control.rest()
        passed_s = loop.cell.advance(Control.current(control.value), seconds, loop.ambient_degc).elapsed_s
        loop.time_s += passed_s
        loop.plant.elapse(loop.time_s)
        loop._sense(passed_s, control.value * passed_s, control.value)

    def _watch(self, elapsed_s: float) -> None:
        """Safety margins of the campaign: 50 mV, 2 degC, 10 % of current for 200 ms."""
        p = self.profile
        for k, cell in enumerate(self.loop.cells):
            if not p.hard_min_uv * 1e-6 - 0.05 <= cell.voltage_v <= p.hard_max_uv * 1e-6 + 0.05:
                self.exceeded = self.exceeded or f"cell {k} at {cell.voltage_v:.3f} V"
            if cell.temperature_degc > p.hard_high_cdegc * 1e-2 + 2.0:
                self.exceeded = self.exceeded or f"cell {k} at {cell.temperature_degc:.1f} degC"
        permille = self.loop.cell.current_a / self.ratings.one_c_a * 1e3
        over = permille > 1.1 * p.charge_hard_permille or -permille > 1.1 * p.discharge_hard_permille
        self._over_s = self._over_s + elapsed_s if over else 0.0
        if self._over_s > 0.2:
            self.exceeded = self.exceeded or f"{permille:.0f} per mille of 1C for {self._over_s:.1f} s"

    def rouse(self) -> None:
        """Somebody clears what is latched, and ends any rest, pulse or storage."""
        self.bms.clear()
        self.bms.stop(1)
        self.bms.wishes.storage = 0

    def use(self, permille: tuple[int, int] | None = None) -> None:
        """Somebody switches a load on, or goes on as before; an empty cell is charged."""
        self.bms.stop(0)
        if permille or self.flow.low == self.flow.high:
            empty = self.loop.cells[0].voltage_v < EMPTY_V
            self.flow.low, self.flow.high = permille or (CHARGE_PERMILLE if empty else DISCHARGE_PERMILLE)

    def calm(self) -> None:
        """No load, no charger, a room."""
        self.flow.low = self.flow.high = 0
        self.cool()

    def cool(self) -> None:
        """A room."""
        self.loop.ambient_degc = ROOM_DEGC

    def order(self) -> None:
        """The scheduler asks for a pulse, as after a charge."""
        scheduler, gate = self.bms.scheduler, self.bms.gate
        scheduler.pulse_permille, scheduler.pulse_s = self.profile.pulse_fixed_permille, PULSE_S
        gate.asked, self.bms.tracker.since_end_ppm = 1, 0

    def run(self, seconds: float) -> Bench:
        """At least so long."""
        end_s = self.loop.time_s + seconds
        while self.loop.time_s < end_s:
            self.step()
        return self

    def until(self, holds, limit_s: float = 1e6) -> Bench:
        """Until `holds()`; AssertionError when it never does."""
        end_s = self.loop.time_s + limit_s
        while not holds():
            self.step()
            assert self.loop.time_s < end_s, f"still {self.state} after {limit_s:.0f} s"
        return self

    def clone(self) -> Bench:
        """An independent copy; a cell's arrays are views of each other, so cells are built again."""
        memo: dict = {id(self.profile): self.profile}
        for cell in self.loop.cells:
            twin = Cell(cell.parameters, cell.area_cm2)
            twin.restore(cell.state())
            memo[id(cell)] = twin
        return copy.deepcopy(self, memo)


def profile(cells: int = CELLS) -> Profile:
    """So many cells of the first profile, both protocols, so that a life shows every state."""
    from host_sim.run import PROFILE

    data = json.loads(PROFILE.read_text(encoding="utf-8"))
    return Profile(json.dumps(data | {"cell_count": cells, "policy": "both"}), "the fault campaign's profile")


def stages(cells: int = CELLS) -> dict[str, Bench]:
    """A bench in every state, reached by living: charge, pulse, discharge, rest, heat, misuse, neglect."""
    p = profile(cells)
    parameters = load_parameters("liu21-carbonate").replace(by="stack", **PACKED)
    string = String([Cell(parameters, p.electrode_area_mm2 * 1e-2) for _ in range(cells)])
    bench = Bench(p, FaultyStore(), string)
    bench.bms.commission()
    bench.bms.arm(p.arm_days)
    found: dict[str, Bench] = {}
    loop, flow = bench.loop, bench.flow

    lab = Lab(bench.ratings)
    loop.actor = lab
    bench.until(lambda: lab.cycles == 1)
    bench.until(lambda: bench.state == "REST").run(600)
    found["REST"] = bench.clone()
    bench.until(lambda: lab.phase == "discharge")
    bench.until(lambda: bench.state == "PULSE").run(PULSED_S)
    found["PULSE"] = bench.clone()
    bench.until(lambda: lab.phase == "discharge" and loop.cells[0].voltage_v < 3.8)
    for name, currents, pause_s in (("DISCHARGE", DISCHARGE_PERMILLE, 60), ("IDLE", (0, 0), 120)):
        loop.actor = flow
        flow.low, flow.high = currents
        bench.run(pause_s).until(lambda name=name: bench.state == name)
        found[name] = bench.clone()
    for name in found:
        found[name].loop.actor = found[name].flow

    storage = found["IDLE"].clone()
    storage.bms.wishes.storage = 1
    found["STORAGE"] = storage.run(30)
    full = found["IDLE"].clone()
    full.flow.low, full.flow.high = CHARGE_PERMILLE
    found["CHARGE"] = full.until(lambda: full.state == "CHARGE" and full.loop.cells[0].voltage_v > 4.1).clone()
    hot = full  # full enough to be drawn from until it is too hot
    hot.loop.ambient_degc = 50.0
    hot.flow.low, hot.flow.high = HOT_PERMILLE
    hot.until(lambda: hot.state == "SOFT_LIMIT" and hot.loop.cells[0].temperature_degc > 48.0)
    found["SOFT_LIMIT"] = hot
    for name, share in (("FAULT", -0.40), ("LOCKOUT", -0.55)):
        broken = found["IDLE"].clone()
        broken.loop.sensors.fault("cell0", "wrong", share)
        broken.until(lambda one=broken, name=name: one.state == name, 1000.0)
        broken.loop.sensors.fault("cell0", "ok")
        found[name] = broken.run(30)
    found["BOOT"] = found["IDLE"].clone()
    for bench in found.values():
        bench.exceeded = ""
        bench.loop.cell.step_s = WATCH_STEP_S
    return {name: found[name] for name in STATES}


def reboot(bench: Bench) -> Bench:
    """The power comes back: a new controller on the journal that is there, and whatever ails flash and link."""
    again = Bench(bench.profile, bench.store, bench.loop.cell)
    again.flow.low, again.flow.high = bench.flow.low, bench.flow.high
    again.stream.verb, again.stream.magnitude = bench.stream.verb, bench.stream.magnitude
    return again
