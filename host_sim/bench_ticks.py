"""Lives of the scheduler's bench once more, tick by tick through the whole firmware: do they come to the same?

The bench plays half-cycles (`policy_lives.play`) for speed. Here the same cell with the same use, days and errors of
its sensors lives under `Bms.tick`: sensors, ledger, protection, state table, estimator, scheduler, gate, sink.
`python -m host_sim.bench_ticks` lives 20 of them both ways, prints both, and ends with 1 when a row is not ok; they are
the rows that `make bench SECTION=ticks` keeps. What half-cycles leave out and ticks have: a pulse follows the charge at
once and not the idle time, a pulse may be ended early, a rest begins when the state table says so, charge is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from relith.bms import Bms
from relith.profile import Profile
from relith.states import PULSE, REST

from host_sim import bench_scheduler
from host_sim.bench_scheduler import Kind, label, row
from host_sim.cell import Cell, Control
from host_sim.estimator_lives import NOMINAL_MAH_CM2, TAPER_PERMILLE, WINDOW, WORLDS
from host_sim.firmware import CUT_OFF_SHARE, Person, ratings
from host_sim.half_cycles import AREA_CM2, GOOD, Lives
from host_sim.loop import ClosedLoop, MemoryStore
from host_sim.plant import Plant
from host_sim.policy_lives import CONFIRM, END_SHARE, HOUR_S, LIVES, USES, Firmware, Use, play
from host_sim.run import PROFILE as BASE
from host_sim.sensors import SensorModel, SensorSpec
from host_sim.uses.base import Actor, Charger, Terminals, User

STALL_S = 20 * 86_400.0  # no cycle within this long: the firmware lets the cell be used no more
WEIGHTING = "normal"
# what a board needs beside the bench's figures: limits that are nowhere in its pulses' or the user's way
BOARD = {
    "charge_soft_permille": 2200, "charge_hard_permille": 2400, "discharge_max_permille": 2300,
    "discharge_soft_permille": 2500, "discharge_hard_permille": 2600, "current_lsb_na": 2000, "policy": "adaptive",
}  # fmt: skip


@dataclass
class Lived:
    """One life: equivalent full cycles to 80 %, its interventions, hours of delay, broken deadlines."""

    efc: float
    pulses: int
    rests: int
    hours: float
    deadlines: int
    censored: bool = False


class Days(Actor):
    """The days of `policy_lives.play` for one cell: wait, charge, idle, discharge to the day's depth or the cut-off."""

    def __init__(self, rates, use: Use, seed: int):
        super().__init__(rates, seed)
        self.use = use
        self.rng = np.random.default_rng((seed, 21))
        self.charger = Charger()
        self.phase, self.until_s = "wait", use.wait_h * HOUR_S
        self.depth_ah = self._depth()
        self.free_until_s = use.free_h * HOUR_S
        self.ended_s = self.full_s = self._begun_s = self._full_ah = 0.0
        self.out_ah = 0.0
        self.cycles = self.deadlines = 0

    def _depth(self) -> float:
        return float(self.rng.uniform(*self.use.depth)) * self.ratings.nominal_ah

    def user(self, time_s: float) -> User:
        """The cell is needed again `free_h` after a discharge; until then the user is free, and sets a deadline."""
        free_s = max(0, int(self.free_until_s - time_s)) if self.phase != "discharge" else int(self.use.free_h * HOUR_S)
        return User(1, free_s, free_s if self.use.deadline else -1)

    def next(self, time_s: float, terminals: Terminals, outputs) -> tuple[Control, float]:
        """See `Actor.next`."""
        if self.phase in ("wait", "idle"):
            if time_s < self.until_s:
                return Control.rest(), self.until_s - time_s
            self.phase = "charge" if self.phase == "wait" else "discharge"
            self.charger.reset()
            self._begun_s = time_s
        if self.phase == "charge":
            control = self.charger.step(self, terminals, outputs, self.use.charge * self.ratings.one_c_a)
            if control is not None:
                if not terminals.current_a:
                    self._begun_s = time_s
                return control, math.inf
            self._full(time_s, terminals)
            return Control.rest(), self.until_s - time_s
        self.out_ah = self._full_ah - terminals.net_ah
        closed = self.discharge_limit_a(outputs) <= 0.0 and not outputs.pulse_count
        if terminals.event in ("v_min", "depleted") or self.out_ah >= self.depth_ah - 1e-6 or closed:
            self.phase, self.until_s = "wait", time_s + self.use.wait_h * HOUR_S
            self.ended_s, self.free_until_s = time_s, time_s + self.use.free_h * HOUR_S
            self.cycles += 1
            self.depth_ah = self._depth()
            return Control.rest(), self.until_s - time_s
        rate, left_s = self._segment(time_s - self._begun_s)
        current_a = rate * self.ratings.one_c_a
        return self.discharge(outputs, current_a), min(left_s, (self.depth_ah - self.out_ah) / current_a * HOUR_S + 0.1)

    def _full(self, time_s: float, terminals: Terminals) -> None:
        use = self.use
        plain_s = use.wait_h * HOUR_S + time_s - self._begun_s
        self.deadlines += bool(
            use.deadline and self.cycles and time_s > self.free_until_s and plain_s <= use.free_h * HOUR_S
        )
        self._full_ah, self.full_s = terminals.net_ah, time_s
        self.phase, self.until_s = "idle", time_s + use.idle_h * HOUR_S

    def _segment(self, gone_s: float) -> tuple[float, float]:
        """(rate of 1C, seconds that it still lasts) so long after the discharge has begun."""
        hours = gone_s / HOUR_S % sum(hours for _, hours in self.use.segments)
        for rate, length in self.use.segments:
            if hours < length - 1e-9:
                return rate, (length - hours) * HOUR_S
            hours -= length
        return self.use.segments[0][0], 1.0


def board_profile(ratio: float) -> Profile:
    """The profile of the bench's class as a board wants it: every field, checked."""
    data = json.loads(BASE.read_text())
    bench = vars(bench_scheduler.profile(ratio, WEIGHTING))
    data |= {name: value for name, value in bench.items() if name in data}
    data |= BOARD | {"one_c_ua": round(NOMINAL_MAH_CM2 * AREA_CM2 * 1e3), "cell_count": 1}
    data = {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}
    return Profile(json.dumps(data), "bench")


def end_of_life(out, capacity) -> tuple[float, bool]:
    """(equivalent full cycles, whether the end was not reached) by the rule of `policy_lives.play`."""
    efc = pending = before = first = 0.0
    low = 0
    for k, (moved, now) in enumerate(zip(out, capacity, strict=True)):
        first = now if k == 0 else max(first, now) if k < 3 else first
        over = now - END_SHARE * first
        if over >= 0.0:
            efc, pending, low = efc + pending + moved, 0.0, 0
        else:
            part = before / max(before - over, 1e-9) if low == 0 else 0.0
            efc, pending, low = efc + moved * part, pending + moved * (1.0 - part), low + 1
        before = max(over, 0.0)
        if low >= CONFIRM:
            return float(efc), False
    return float(efc), True


def by_half_cycles(kind: Kind, cycles: int) -> tuple[list[Lived], Firmware]:
    """The class as the bench lives it, and the errors of its sensors."""
    board = Firmware([bench_scheduler.profile(kind.ratio, WEIGHTING) for _ in range(kind.cells)], GOOD, kind.seed)
    window = WINDOW["NMC811"]
    r = play(kind.parameters(), board, kind.life, NOMINAL_MAH_CM2, window, TAPER_PERMILLE, cycles, kind.seed)
    each = zip(r.efc, r.pulses, r.rests, r.hours, r.deadlines, r.censored, strict=True)
    return [Lived(float(a), int(b), int(c), float(d), int(e), bool(f)) for a, b, c, d, e, f in each], board


def by_ticks(kind: Kind, cell: int, cycles: int) -> Lived:
    """One cell of the class, every tick through the firmware."""
    use, profile = USES[kind.life], board_profile(kind.ratio)
    parameters = kind.parameters()[cell]
    errors = Firmware(
        [bench_scheduler.profile(kind.ratio, WEIGHTING) for _ in range(kind.cells)], GOOD, kind.seed
    ).sensor
    spec = SensorSpec(
        current_offset_count=float(errors.offset[cell]) * profile.one_c_count,
        current_gain_ppm=float(errors.gain[cell]) * 1e6,
        cell_offset_uv=float(errors.volt[cell]) * 1e6,
        cell_noise_uv=GOOD.voltage_noise_v * 1e6,
    )
    bms = Bms(profile, MemoryStore())
    person = Person(bms)
    one_c_a = profile.one_c_ua * 1e-6
    rates = ratings(profile, use.charge * one_c_a, use.segments[0][0] * one_c_a, 0.98e-3 * TAPER_PERMILLE * one_c_a)
    days = Days(rates, use, kind.seed)
    plant = Plant(profile.current_lsb_na * 1e-9, 2.0 * profile.pulse_max_s,
                  CUT_OFF_SHARE * one_c_a * profile.pulse_max_permille * 1e-3)  # fmt: skip
    sensors = SensorModel(profile.current_lsb_na, seed=kind.seed, spec=spec)
    true = Cell(parameters, AREA_CM2)
    loop = ClosedLoop(true, bms, sensors, days, plant)
    low, high = Lives([parameters], NOMINAL_MAH_CM2, *WINDOW["NMC811"], TAPER_PERMILLE).swing_limits
    out, capacity, hours, seen, rests = [], [], 0.0, 0, 0
    was, begun_s = 0, 0.0
    while True:
        person.visit(loop.time_s)
        loop.step()
        state = bms.machine.state
        if state != was:
            if was == PULSE:
                hours += (loop.time_s - begun_s) / HOUR_S
            elif was == REST:
                hours += max(0.0, (loop.time_s - days.ended_s) / HOUR_S - use.wait_h)
            rests += state == REST
            was, begun_s = state, loop.time_s
        if days.cycles > seen:
            seen = days.cycles
            sites = true.cathode_sites_mah_cm2
            content = (true.cathode_mah_cm2 - low * sites) / NOMINAL_MAH_CM2
            out.append(days.out_ah / rates.nominal_ah)
            capacity.append(
                min((high - low) * sites / NOMINAL_MAH_CM2, content + true.active_mah_cm2 / NOMINAL_MAH_CM2)
            )
            efc, alive = end_of_life(out, capacity)
            if not alive or seen >= cycles:
                break
        elif loop.time_s - max(days.ended_s, days.full_s) > STALL_S:
            raise RuntimeError(
                f"{label(kind)}: no cycle since day {days.ended_s / 86400:.0f}, alarms {bms.outputs.alarms}"
            )
    return Lived(efc, bms.gate.pulses, rests, hours, days.deadlines, alive)


# -- both ways, side by side ------------------------------------------------------------------------------------------


def kinds() -> list[Kind]:
    """Twenty lives: every use in every world anode-free, and every use with a reservoir in the first."""
    free = [Kind(world, life, 0.0, 1) for life in LIVES for world in WORLDS]
    return free + [Kind(WORLDS[0], life, 1.5, 1) for life in LIVES]


def both(kind: Kind, cycles: int, folder: Path | None = None) -> tuple[Lived, Lived]:
    """(by ticks, by half-cycles) of a class of one cell; kept in `folder`, and not lived again."""
    path = folder and folder / f"{kind.world}-{kind.life}-{kind.ratio:g}-{cycles}.pickle"
    if path and path.exists():
        return pickle.loads(path.read_bytes())
    found = by_ticks(kind, 0, cycles), by_half_cycles(kind, cycles)[0][0]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(found))
    return found


def table(found: list[tuple[Kind, Lived, Lived]]) -> list[str]:
    """One line a life."""
    lines = [f"{'life':34} {'EFC':>15} {'pulses':>11} {'rests':>11} {'hours':>15}   (by ticks, by half-cycles)"]
    for kind, ticks, halves in found:
        lines.append(
            f"{label(kind):34} {ticks.efc:7.1f} {halves.efc:7.1f} {ticks.pulses:5d} {halves.pulses:5d} "
            f"{ticks.rests:5d} {halves.rests:5d} {ticks.hours:7.1f} {halves.hours:7.1f}"
        )
    return lines


def rows(cycles: int = bench_scheduler.CYCLES, processes: int = 2) -> list[dict]:
    """Live all of them both ways. EFC per life within 10 %, its mean within 3 %; interventions of all within 15 %."""
    from host_sim.version import version

    folder = Path("build") / "ticks" / version().partition("+")[2]
    jobs = kinds()
    found = []
    with ProcessPoolExecutor(min(processes, os.cpu_count() or 1)) as pool:
        pairs = pool.map(both, jobs, [cycles] * len(jobs), [folder] * len(jobs))
        for kind, (ticks, halves) in zip(jobs, pairs, strict=True):
            found.append((kind, ticks, halves))
            print("  " + table(found)[-1], file=sys.stderr, flush=True)
    print("\n".join(table(found)), file=sys.stderr)
    return judged(found)


def judged(found: list[tuple[Kind, Lived, Lived]]) -> list[dict]:
    """The rows of bench section `ticks`."""
    apart = [100.0 * (ticks.efc / halves.efc - 1.0) for _, ticks, halves in found]
    worst = max(range(len(found)), key=lambda k: abs(apart[k]))
    done = [sum(x.pulses + x.rests for x in column) for column in zip(*((t, h) for _, t, h in found), strict=True)]
    more = 100.0 * (done[0] / max(1, done[1]) - 1.0)
    name = f"of {len(found)} lives by ticks against half-cycles"
    return [
        row(f"EFC {name}: mean difference", float(np.mean(apart)), "%", "-3..3"),
        row(f"EFC {name}: greatest difference", abs(apart[worst]), "%", "<= 10", peer=label(found[worst][0])),
        row(f"pulses and rests {name}: difference of their sums", more, "%", "-15..15", peer=f"{done[0]}, {done[1]}"),
        row("deadlines broken by ticks", sum(ticks.deadlines for _, ticks, _ in found), "1", "== 0"),
    ]  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Exit status 1 when a row is not ok."""
    from host_sim.bench import meets

    parser = argparse.ArgumentParser(prog="python -m host_sim.bench_ticks", description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=bench_scheduler.CYCLES, help="stop a life here at the latest")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args(argv)
    found = rows(chosen.cycles, chosen.processes)
    for one in found:
        ok = meets(one["value"], one["target"])
        said = "" if ok else " NOT OK"
        print(f"{one['name']}: {one['value']:.2f} {one['unit']} ({one['target']}){said} {one['peer'] or ''}")
    return int(not all(meets(one["value"], one["target"]) for one in found))


if __name__ == "__main__":
    sys.exit(main())
