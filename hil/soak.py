"""`relith-hil soak`: one scenario over and over, for hours, each time with another seed; what failed is kept."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from hil import report, rigs, scenario
from hil.runner import CANNOT, Result, run
from host_sim.cli import Parser, Progress
from host_sim.errors import InputError

KEPT = 20  # results in the report: the failures, and the last ones


def main(argv: list[str]) -> int:
    """0 when every round passed, 1 when one failed."""
    p = Parser(prog="relith-hil soak", description=(__doc__ or "").splitlines()[0])
    p.add_argument("scenario", metavar="SCENARIO", help="name or file")
    p.add_argument("--hours", type=float, default=8.0, metavar="H", help="how long; the last round is finished")
    p.add_argument(
        "--rig", default="virtual", metavar="FILE", help="rig file, or the name of one that comes with the rig"
    )
    p.add_argument("--out", default="build/soak", metavar="FOLDER", help="replaced as a whole at the end")
    p.add_argument("--stop", action="store_true", help="end at the first failure")
    a = p.parse_args(argv)
    if not 0.0 < a.hours <= 10_000:
        raise InputError(f"relith-hil soak: --hours is {a.hours:g}, allowed is more than 0, up to 10000")
    one, rig = scenario.load(scenario.find(a.scenario)), rigs.load(rigs.find(a.rig))
    if rig.cannot(one):
        print(f"{rig.name} cannot run {one.name}, it {rig.cannot(one)}", file=sys.stderr)
        return 1
    out = report.out_folder("relith-hil soak", a.out)
    began = time.monotonic()
    kept: list[Result] = []
    rounds = failed = ticks = 0
    complete, progress = True, Progress()
    try:
        while rounds == 0 or time.monotonic() - began < a.hours * 3600.0:
            result = run(replace(one, name=f"{one.name}_{rounds}", seed=one.seed + rounds), rig)
            rounds += 1
            ticks += len(result.trace)
            failed += not result.ok and result.state != CANNOT
            kept = [*[old for old in kept if not old.ok][:KEPT], *[old for old in kept if old.ok][-KEPT:], result]
            hours = (time.monotonic() - began) / 3600.0
            progress.show(f"{hours:7.3f} h  round {rounds}  {ticks} ticks  {failed} failed")
            if failed and a.stop:
                break
    except KeyboardInterrupt:
        complete = False
    progress.end()
    report.write(out, kept, complete)
    print(
        f"relith.soak: rig={rig.name} scenario={one.name} rounds={rounds} failed={failed} report={out / 'report.html'}"
    )
    return int(failed > 0)
