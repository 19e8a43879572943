"""The fault-injection campaign: every component, every way to fail, every state, in closed loop with simulated cells.

`faults_table.csv` is fixed beforehand: magnitude; the diagnostic row that must answer; how long the evidence may take
(`evidence`, reckoned by faults_evidence.py from stated figures); the state that it must end in (`=`: the one it began
in); and when the answer is due: at once, or (reason `use`) once somebody uses the part, for a fault that lies hidden in
a state in which nothing flows: latches are cleared for that, a rest is ended, a hot cell cools, a load is switched on,
a pulse is asked for. Evidence is timed from the first tick that the fault can touch. From when it shows the row's
quantity beyond its limit, the tick whose outputs answer may take the row's own response time; and whenever the quantity
is beyond for so long again, until the end of the play, the outputs must answer again.

Where no row can answer (`-`) the table says why, one of REASONS, and that is proved: a twin without the fault lives
beside it, and switches, sink, truth of the cells and charge booked must be the twin's.

The truth is watched in every step of the simulation: no cell may pass a hard limit by 50 mV, 2 degC, or 10 % of current
for 200 ms. Whoever breaks the thermometer also puts the cells into an oven, so that they do get too hot in use.

Then a thousand healthy cycles in four uses, in which nothing may trip or warn. -> build/faults.csv, build/faults.png
"""

from __future__ import annotations

import csv
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.fault_world import (
    ACT_S,
    BOARD_WAIT_S,
    CELLS,
    HEAVY_PERMILLE,
    LONG,
    OVEN_DEGC,
    Bench,
    profile,
    reboot,
    stages,
)
from host_sim.faults_evidence import DRAWN, SHOWN, Watch, milliseconds
from host_sim.faults_twin import SAME_PPM, SAMPLES_SHARE, Astray, booked, differs
from host_sim.tables import STATES, TABLE

TABLE_CSV = Path(__file__).with_name("faults_table.csv")
COMPONENTS = (
    "current", "charge", "cell0", "cell1", "temperature", "clock", "flash", "link", "charge_switch",
    "discharge_switch", "pulse_sink",
)  # fmt: skip
VERBS = ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")
COLUMNS = ("component", "fault", "state", "row", "shown_ms", "detected_ms", "limit_ms", "end_state", "ok")
ROWS = {row.id: k for k, row in enumerate(TABLE)}
PULSE_OVER = "pulse_over"  # not a diagnostic: the gate ends the pulse
PULSE_OVER_MS = 150
WATCH_S = 90.0  # at least; and so long after the evidence
HELD_S = 2400.0  # a cell voltage that stands or lags: until charge has moved the others away from it for good
ROUSE_S, USE_S, CALM_S, ORDER_S = 40.0, 42.0, 100.0, 760.0  # and uses the cell: see `Case._acts`
USED_WITHIN_S = 2000.0  # a pulse that is asked for, a switch that a hot cell keeps open
FILL_S = 1800.0
REASONS = {  # why no row can answer: what the fault leaves as it was, although the part is broken
    "shift": "every sample and count is late by the same time, so differences are right",
    "samples": "what the counter misses is counted from the samples of the current",
    "slack": "this state leaves the next tick more time than the part takes away",
    "spare": "no limit, no permission and no estimate rests on this part",
}
PLANT = ("charge_switch", "discharge_switch", "pulse_sink")
LONG_STATES = ("IDLE", "CHARGE", "DISCHARGE", "PULSE", "REST")
USES = ("commuter", "grid", "phone", "drive")
CYCLES = 1000
LIFE = 25  # cycles of one healthy cell


@dataclass
class Seen:
    """What a play has shown, ms from when the answer was due at the earliest."""

    row: str = ""  # that answered
    found_ms: float = 0.0
    shown_ms: float = 0.0  # its quantity was beyond its limit by then
    lapse: str = ""  # a row that was shown for longer than its response, with outputs that did not answer
    others: set[str] = field(default_factory=set)  # every row that came up


def _response_ms(name: str) -> int:
    return PULSE_OVER_MS if name == PULSE_OVER else TABLE[ROWS[name]].response_ms


@dataclass(frozen=True)
class Case:
    """One line of the matrix, and what it demands."""

    component: str
    fault: str
    state: str
    magnitude: float
    rows: tuple[str, ...]  # any of these may answer; empty: none can
    reason: str  # then one of REASONS
    use: bool  # the answer is due from when the cell is used
    evidence_ms: int  # at most
    drawn: bool  # or whenever chance has it
    end_states: tuple[str, ...]  # any of these
    cells: int = CELLS

    @property
    def watch_s(self) -> float:
        """How long this case is played from when the answer is due."""
        held_s = HELD_S if self.component.startswith("cell") and self.fault in ("stuck", "slow") else 0.0
        return max(WATCH_S, held_s, self.evidence_ms * 1e-3 + 30.0)

    @property
    def fill_s(self) -> float:
        """For how long an empty cell is charged before a load can warm it."""
        return FILL_S if (self.component, self.fault, self.state) == ("temperature", "stuck", "REST") else 0.0

    @property
    def pulsed(self) -> bool:
        """It is used by a pulse."""
        return self.use and self.component == "pulse_sink"

    @property
    def cooled(self) -> bool:
        """It is used once the soft limit, heat, is left: until then the charge switch is told nothing."""
        return self.use and self.component == "charge_switch" and self.state == "SOFT_LIMIT"

    def used(self, outputs) -> bool:
        """The part is told something, where that is waited for."""
        return bool((self.pulsed and outputs.pulse_count) or (self.cooled and outputs.charge_enable))

    def play(self, bench: Bench) -> dict[str, object]:
        """Break it, go on, and say what was seen: a row of faults.csv, and `why` it is not as demanded."""
        twin = None if self.rows else bench.clone()
        bench = self._broken(bench)
        astray = Astray(bench)
        seen = self._lived(bench)
        end_state, unlike = bench.state, ""
        if twin:
            twin = reboot(twin) if self.state == "BOOT" else twin
            straight = Astray(twin)
            self._lived(twin)
            off_ppm, straight_ppm = astray.settled_ppm(), straight.settled_ppm()
            same_ppm = SAME_PPM + (SAMPLES_SHARE * straight.passed_ppm() if self.reason == "samples" else 0.0)
            unlike = differs(bench, twin) + booked(off_ppm - straight_ppm, same_ppm)
        limit_ms = self._limit_ms(seen)
        as_demanded = seen.row and seen.found_ms <= limit_ms + 1e-6 if self.rows else not seen.others and not unlike
        ok = as_demanded and end_state in self.end_states and not bench.exceeded and not seen.lapse
        return {
            "component": self.component + f" of {self.cells}" * (self.cells != CELLS),
            "fault": self.fault, "state": self.state, "row": seen.row or "-",
            "shown_ms": round(seen.shown_ms) if seen.row in SHOWN else "",
            "detected_ms": round(seen.found_ms) if seen.row else "", "limit_ms": round(limit_ms) if seen.row else "",
            "end_state": end_state, "ok": int(bool(ok)),
            "why": "" if ok else self._why(seen, end_state, bench.exceeded) + unlike,
        }  # fmt: skip

    def _limit_ms(self, seen: Seen) -> float:
        """When the answer had to be there: within the row's response from when it was seen, in time at all."""
        response_ms = _response_ms(seen.row) if seen.row else 0
        if seen.row not in SHOWN:
            return self.evidence_ms + response_ms
        return (seen.shown_ms if self.drawn else min(seen.shown_ms, self.evidence_ms)) + response_ms

    def _broken(self, bench: Bench) -> Bench:
        """Put the fault in; a controller that is to break while it boots boots now."""
        if self.component in ("flash", "link"):
            part = bench.store if self.component == "flash" else bench.stream
            part.verb, part.magnitude = self.fault, self.magnitude
        if self.state == "BOOT":
            bench = reboot(bench)
        if self.component in PLANT:
            bench.loop.plant.fault(self.component, self.fault, self.magnitude)
        elif self.component not in ("flash", "link"):
            bench.loop.sensors.fault(self.component, self.fault, self.magnitude)
        return bench

    def _lived(self, bench: Bench) -> Seen:
        """Go on, and look."""
        bms, loop = bench.bms, bench.loop
        before = 0 if self.state == "BOOT" else bms.outputs.alarms
        start_s = loop.time_s
        due_s = start_s + (USED_WITHIN_S if self.pulsed or self.cooled else (USE_S + self.fill_s) * self.use)
        acts = list(self._acts(bench, start_s))
        first_s = None
        seen, watch = Seen(), Watch(bench, self.rows)
        while loop.time_s < due_s + self.watch_s:
            while acts and loop.time_s >= acts[0][0]:
                acts.pop(0)[1]()
            now_s = loop.time_s
            was = bms.outputs.pulse_count
            loop.longest_s = max(min(BOARD_WAIT_S, acts[0][0] - now_s), 1e-3) if acts else BOARD_WAIT_S
            if self.pulsed and loop.time_s > start_s + ORDER_S and first_s is None:
                bench.order()
            bench.step()
            if first_s is None and self.used(bms.outputs):
                due_s = now_s
            if first_s is None and now_s >= due_s:
                first_s = now_s
            before &= bms.outputs.alarms
            new = {name for name, k in ROWS.items() if bms.outputs.alarms >> k & 1 and not before >> k & 1}
            seen.others |= new
            watch.look(now_s)
            late = (
                name for name, since_s in watch.since_s.items() if now_s - since_s > _response_ms(name) * 1e-3 + 1e-6
            )
            seen.lapse = seen.lapse or next((name for name in late if not _answered(bms, name)), "")
            if was and not bms.outputs.pulse_count:
                new.add(PULSE_OVER)
            hit = [name for name in self.rows if name in new and _answered(bms, name)]
            if hit and not seen.row and first_s is not None:
                seen.row, seen.found_ms = hit[0], (now_s - first_s) * 1e3
                seen.shown_ms = (max(watch.since_s.get(hit[0], now_s), first_s) - first_s) * 1e3
        return seen

    def _why(self, seen: Seen, end_state: str, exceeded: str) -> str:
        came = ", ".join(sorted(seen.others)) or "no row"
        rows, ends = "|".join(self.rows) or "no row", "|".join(self.end_states)
        when = f", {seen.row} seen at {seen.shown_ms:.0f}, answered at {seen.found_ms:.0f} ms" * bool(seen.row)
        lapse = f", {seen.lapse} unanswered" * bool(seen.lapse)
        return f"wanted {rows} and {ends}, saw {came} and {end_state}{when}{lapse}{', ' * bool(exceeded)}{exceeded}"

    def _acts(self, bench: Bench, start_s: float) -> Iterator[tuple[float, Callable[[], object]]]:
        """A stuck switch shows when it is told otherwise, a flash when it is written: the operator stops, or renews
        consent thrice. What lies hidden shows when the cell is used."""
        bms = bench.bms
        if self.component == "temperature":
            yield start_s, lambda: setattr(bench.loop, "ambient_degc", OVEN_DEGC)
        if self.use:
            yield start_s + ROUSE_S, bench.rouse
            if self.fill_s:
                yield start_s + USE_S, bench.use
            heavy = HEAVY_PERMILLE if self.component == "temperature" else None
            yield start_s + USE_S + self.fill_s, lambda: bench.use(heavy)
            if self.cooled:
                yield start_s + USE_S, bench.cool
            if self.pulsed:
                yield start_s + CALM_S, bench.calm
        elif self.component in PLANT:
            yield start_s + ACT_S, lambda: bms.stop(1)
        elif self.component == "flash":
            for k in range(3):
                yield start_s + ACT_S + k, lambda: bms.arm(bms.profile.arm_days)


def _answered(bms, name: str) -> bool:
    """The outputs are as the level of the row demands."""
    if name == PULSE_OVER:
        return True
    o, row = bms.outputs, TABLE[ROWS[name]]
    if row.level >= 2:
        return not (o.charge_enable or o.discharge_enable or o.pulse_count)
    blocked = (o.charge_enable and row.blocks & 1) or (o.discharge_enable and row.blocks & 2)
    return not blocked and not bms.gate.budgets(bms).pulse_allowed


def read_table(path: Path = TABLE_CSV) -> list[Case]:
    """Every case of the matrix, in the matrix's order. Raises InputError: file, line, what is wrong."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})") from None
    cases: dict[tuple[str, str, str], Case] = {}
    p = profile()
    for number, line in enumerate(lines, 2):
        rows = () if line["row"] == "-" else tuple(line["row"].split("|"))
        if not rows and line["reason"] not in REASONS:
            allowed = ", ".join(REASONS)
            raise InputError(f"{path.name}: line {number}: reason is {line['reason']!r} (allowed: {allowed})")
        for name in rows:
            if name not in ROWS and name != PULSE_OVER:
                raise InputError(f"{path.name}: line {number}: row is {name!r}, which protection.txt does not have")
        for state in line["states"].split():
            ends = tuple(state if end == "=" else end for end in line["end_state"].split("|"))
            key = (line["component"], line["fault"], state)
            if key in cases or state not in STATES or set(ends) - set(STATES):
                raise InputError(f"{path.name}: line {number}: {' '.join(key)} -> {ends} is unknown or there twice")
            use, magnitude, evidence = line["reason"] == "use", float(line["magnitude"]), line["evidence"]
            try:
                evidence_ms = milliseconds(evidence, state, use, magnitude, p)
            except InputError as error:
                raise InputError(f"{path.name}: line {number}: {error}") from None
            drawn = evidence == DRAWN
            cases[key] = Case(*key, magnitude, rows, line["reason"], use, evidence_ms, drawn, ends)
    wanted = [(c, v, s) for c in COMPONENTS for v in VERBS for s in STATES]
    if missing := [key for key in wanted if key not in cases]:
        raise InputError(f"{path.name}: {len(missing)} cases are missing, the first is {' '.join(missing[0])}")
    return [cases[key] for key in wanted]


def longer(cases: list[Case]) -> list[Case]:
    """Those of a cell's voltage again, in a string of LONG cells: one in the middle, and the last."""
    into = {"cell0": f"cell{LONG // 2}", "cell1": f"cell{LONG - 1}"}
    chosen = [case for case in cases if case.component in into and case.state in LONG_STATES]
    return [replace(case, component=into[case.component], cells=LONG) for case in chosen]


_BENCHES: dict[tuple[int, str], Bench] = {}


def _play(case: Case) -> dict[str, object]:
    return case.play(_BENCHES[case.cells, case.state].clone())


def campaign(cases: list[Case], jobs: int) -> Iterator[dict[str, object]]:
    """The rows of faults.csv, in order, as they are found."""
    for cells in {case.cells for case in cases}:
        _BENCHES.update({(cells, state): bench for state, bench in stages(cells).items()})
    if jobs == 1:
        yield from map(_play, cases)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(_play, cases, chunksize=8)


def healthy(task: tuple[str, int, int]) -> tuple[int, list[str]]:
    """`cycles` (nominal capacity once out) of one use, one board's sensors -> how many, and rows seen, warnings too."""
    use, seed, cycles = task
    from host_sim.cell import Cell, load_parameters
    from host_sim.firmware import FirmwareRun
    from host_sim.life import Setup
    from host_sim.run import PROFILE

    setup = Setup(profile=str(PROFILE), seed=seed, use=use)
    run = FirmwareRun(Cell(load_parameters(setup.electrolyte, setup.world), setup.area_cm2), setup, "adaptive")
    done, seen, bms = 0, 0, run.bms
    while done < cycles and run.loop.time_s < cycles * 10 * 86_400.0:
        run.step()
        seen |= bms.outputs.alarms
        done = bms.ledger.discharged.cycles
    return done, [name for name, k in ROWS.items() if seen >> k & 1]


def no_false_trip(cycles: int, jobs: int) -> tuple[int, list[str]]:
    """Healthy cycles over all uses -> how many, and `use: row` for every trip."""
    lives = max(1, round(cycles / LIFE / len(USES)))
    tasks = [(use, seed, -(-cycles // (lives * len(USES)))) for seed in range(1, lives + 1) for use in USES]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        found = pool.map(healthy, tasks, chunksize=1)
    trips = [f"{task[0]}: {row}" for task, (_, rows) in zip(tasks, found, strict=True) for row in rows]
    return sum(done for done, _ in found), trips


def picture(rows: list[dict[str, object]], path: Path) -> None:
    """Component and verb against state: the share of the time allowed that it took; crosses where it failed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys((row["component"], row["fault"]) for row in rows))
    figure, axes = pyplot.subplots(figsize=(8, 0.16 * len(names) + 1.5), layout="constrained")
    share = [[float("nan")] * len(STATES) for _ in names]
    for row in rows:
        if row["detected_ms"] != "":
            share[names.index((row["component"], row["fault"]))][STATES.index(row["state"])] = (
                row["detected_ms"] / row["limit_ms"]  # type: ignore[operator]
            )
    drawn = axes.imshow(share, aspect="auto", vmin=0.0, vmax=1.0, cmap="viridis")
    bad = [(STATES.index(row["state"]), names.index((row["component"], row["fault"]))) for row in rows if not row["ok"]]
    axes.plot(*zip(*bad, strict=True), "rx") if bad else None
    axes.set_xticks(range(len(STATES)), STATES, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), [f"{component} {verb}" for component, verb in names], fontsize=5)
    figure.colorbar(drawn, label="response / time allowed (blank: nothing to see, nothing happened)")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Run the campaign; 0 when every case is as demanded and no healthy cycle tripped."""
    parser = Parser(prog="relith-sim faults", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for faults.csv and faults.png")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default="", help="one component, for a look; writes nothing")
    parser.add_argument("--cycles", type=int, default=CYCLES, help="healthy cycles; 0: none")
    chosen = parser.parse_args(argv)
    if chosen.only and chosen.only not in COMPONENTS:
        raise InputError(f"relith-sim faults: --only is {chosen.only!r} (allowed: {', '.join(COMPONENTS)})")
    cases = [case for case in read_table() if chosen.only in ("", case.component)]
    cases += longer(cases)
    rows = []
    for row in campaign(cases, chosen.jobs):
        rows.append(row)
        if not row["ok"]:
            print(f"{row['component']} {row['fault']} in {row['state']}: {row['why']}", file=sys.stderr)
    bad = sum(not row["ok"] for row in rows)
    print(f"{len(rows) - bad} of {len(rows)} as demanded")
    if not chosen.only:
        chosen.out.mkdir(parents=True, exist_ok=True)
        with (chosen.out / "faults.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        picture(rows, chosen.out / "faults.png")
    if not chosen.cycles:
        return int(bad > 0)
    done, trips = no_false_trip(chosen.cycles, chosen.jobs)
    print(f"{done} healthy cycles in {len(USES)} uses: {', '.join(trips) or 'no trip'}")
    return int(bad > 0 or bool(trips) or done < chosen.cycles)


if __name__ == "__main__":
    sys.exit(main())
