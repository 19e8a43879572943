"""The fault-injection campaign: every component, every way to fail, every state, in closed loop with simulated cells.

`faults_table.csv` is fixed beforehand: magnitude, the diagnostic row that must answer (`-`: none may, the fault cannot
be seen or does no harm), how long the evidence takes to show (`evidence_ms`), and the state that it must end in (`=`:
the one it began in). A response is timed from the first tick that the fault can touch to the tick whose outputs answer;
it may
take evidence_ms and the row's own response time. How long the tick before that may wait is the gate's promise,
and is judged by the truth: no cell may pass a hard limit by 50 mV, 2 degC, or 10 % of current for 200 ms.

Then a thousand healthy cycles in four uses, in which nothing may trip. -> build/faults.csv, build/faults.png
"""

from __future__ import annotations

import csv
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.fault_world import BOARD_WAIT_S, Bench, reboot, stages
from host_sim.tables import STATES, TABLE

TABLE_CSV = Path(__file__).with_name("faults_table.csv")
COMPONENTS = (
    "current", "charge", "cell0", "cell1", "temperature", "clock", "flash", "link", "charge_switch",
    "discharge_switch", "pulse_sink",
)  # fmt: skip
VERBS = ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")
COLUMNS = ("component", "fault", "state", "row", "detected_ms", "limit_ms", "end_state", "ok")
ROWS = {row.id: k for k, row in enumerate(TABLE)}
PULSE_OVER = "pulse_over"  # not a diagnostic: the gate ends the pulse
PULSE_OVER_MS = 150
WATCH_S = 90.0
ACT_S = 5.0  # so long after the fault somebody acts: see `Case.play`
PLANT = ("charge_switch", "discharge_switch", "pulse_sink")
USES = ("commuter", "grid", "phone", "drive")
CYCLES = 1000
LIFE = 25  # cycles of one healthy cell


@dataclass(frozen=True)
class Case:
    """One line of the matrix, and what it demands."""

    component: str
    fault: str
    state: str
    magnitude: float
    rows: tuple[str, ...]  # any of these may answer; empty: none may
    evidence_ms: int
    end_states: tuple[str, ...]  # any of these

    def play(self, bench: Bench) -> dict[str, object]:
        """Break it, go on for WATCH_S, and say what was seen: a row of faults.csv, and `exceeded`."""
        if self.component in ("flash", "link"):
            part = bench.store if self.component == "flash" else bench.stream
            part.verb, part.magnitude = self.fault, self.magnitude
        if self.state == "BOOT":
            bench = reboot(bench)
        if self.component in PLANT:
            bench.loop.plant.fault(self.component, self.fault, self.magnitude)
        elif self.component not in ("flash", "link"):
            bench.loop.sensors.fault(self.component, self.fault, self.magnitude)
        bms, loop = bench.bms, bench.loop
        before = 0 if self.state == "BOOT" else bms.outputs.alarms
        start_s = loop.time_s
        acts = list(self._acts(bench, start_s))
        found, found_ms, first_s = "", 0.0, None
        others: set[str] = set()
        while loop.time_s < start_s + WATCH_S:
            while acts and loop.time_s >= acts[0][0]:
                acts.pop(0)[1]()
            now_s = loop.time_s
            was = bms.outputs.pulse_count
            loop.longest_s = max(min(BOARD_WAIT_S, acts[0][0] - now_s), 1e-3) if acts else BOARD_WAIT_S
            bench.step()
            first_s = now_s if first_s is None else first_s
            new = {name for name, k in ROWS.items() if bms.outputs.alarms >> k & 1 and not before >> k & 1}
            others |= new
            if was and not bms.outputs.pulse_count:
                new.add(PULSE_OVER)
            if not found and (hit := [name for name in self.rows if name in new]) and self._answered(bms, hit[0]):
                found, found_ms = hit[0], (now_s - first_s) * 1e3
        response = PULSE_OVER_MS if found == PULSE_OVER else TABLE[ROWS[found]].response_ms if found else 0
        limit_ms = self.evidence_ms + response
        harmless = {name for name in others if TABLE[ROWS[name]].level == 0}
        in_time = found_ms <= limit_ms + 1e-6 if self.rows else not others - harmless
        ok = bool(found) == bool(self.rows) and in_time and bench.state in self.end_states and not bench.exceeded
        return {
            "component": self.component, "fault": self.fault, "state": self.state, "row": found or "-",
            "detected_ms": round(found_ms) if found else "", "limit_ms": limit_ms if found else "",
            "end_state": bench.state, "ok": int(ok), "why": self._why(found, others, bench) if not ok else "",
        }  # fmt: skip

    def _why(self, found: str, others: set[str], bench: Bench) -> str:
        seen = ", ".join(sorted(others)) or "no row"
        rows, ends = "|".join(self.rows) or "no row", "|".join(self.end_states)
        return f"wanted {rows} and {ends}, saw {seen} and {bench.state}{', ' * bool(bench.exceeded)}{bench.exceeded}"

    @staticmethod
    def _answered(bms, name: str) -> bool:
        """The outputs are as the level of the row demands."""
        if name == PULSE_OVER:
            return True
        o, row = bms.outputs, TABLE[ROWS[name]]
        if row.level >= 2:
            return not (o.charge_enable or o.discharge_enable or o.pulse_count)
        blocked = (o.charge_enable and row.blocks & 1) or (o.discharge_enable and row.blocks & 2)
        return not blocked and not bms.gate.budgets(bms).pulse_allowed

    def _acts(self, bench: Bench, start_s: float) -> Iterator[tuple[float, Callable[[], int]]]:
        """A stuck switch shows when it is told otherwise, a flash when it is written: the operator stops, or renews
        consent thrice."""
        bms = bench.bms
        if self.component in PLANT:
            yield start_s + ACT_S, lambda: bms.stop(1)
        elif self.component == "flash":
            for k in range(3):
                yield start_s + ACT_S + k, lambda: bms.arm(bms.profile.arm_days)


def read_table(path: Path = TABLE_CSV) -> list[Case]:
    """Every case of the matrix, in the matrix's order. Raises InputError: file, line, what is wrong."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})") from None
    cases: dict[tuple[str, str, str], Case] = {}
    for number, line in enumerate(lines, 2):
        rows = () if line["row"] == "-" else tuple(line["row"].split("|"))
        for name in rows:
            if name not in ROWS and name != PULSE_OVER:
                raise InputError(f"{path.name}: line {number}: row is {name!r}, which protection.txt does not have")
        for state in line["states"].split():
            ends = tuple(state if end == "=" else end for end in line["end_state"].split("|"))
            key = (line["component"], line["fault"], state)
            if key in cases or state not in STATES or set(ends) - set(STATES):
                raise InputError(f"{path.name}: line {number}: {' '.join(key)} -> {ends} is unknown or there twice")
            cases[key] = Case(*key, float(line["magnitude"]), rows, int(line["evidence_ms"]), ends)
    wanted = [(c, v, s) for c in COMPONENTS for v in VERBS for s in STATES]
    if missing := [key for key in wanted if key not in cases]:
        raise InputError(f"{path.name}: {len(missing)} cases are missing, the first is {' '.join(missing[0])}")
    return [cases[key] for key in wanted]


_BENCHES: dict[str, Bench] = {}


def _play(case: Case) -> dict[str, object]:
    return case.play(_BENCHES[case.state].clone())


def campaign(cases: list[Case], jobs: int) -> Iterator[dict[str, object]]:
    """The rows of faults.csv, in order, as they are found."""
    _BENCHES.update(stages())
    if jobs == 1:
        yield from map(_play, cases)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(_play, cases, chunksize=8)


def healthy(task: tuple[str, int, int]) -> tuple[int, list[str]]:
    """`cycles` (nominal capacity once out) of one use, one board's sensors -> how many, and soft and hard rows seen."""
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
    return done, [name for name, k in ROWS.items() if seen >> k & 1 and TABLE[k].level > 0]


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
