"""`relith-hil run`: scenarios on a rig, several at a time where the rig allows it."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
import sys
from pathlib import Path
from typing import Any

from hil import report, rigs, scenario
from hil.rigs import Rig
from hil.runner import CANNOT, ERROR, Result, run, together
from hil.scenario import Scenario
from host_sim.cli import Parser
from host_sim.errors import InputError

_TALK: Any = None  # (queue, event) in a worker


def parser() -> Parser:
    p = Parser(prog="relith-hil run", description=__doc__.splitlines()[0])
    p.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="names or files; none means all that come with the rig"
    )
    p.add_argument(
        "--rig", default="virtual", metavar="FILE", help="rig file, or the name of one that comes with the rig"
    )
    p.add_argument("--out", default="build/hil", metavar="FOLDER", help="replaced as a whole at the end")
    p.add_argument("--jobs", type=int, default=2, metavar="N", help="scenarios side by side, on rigs without hardware")
    p.add_argument("--quick", action="store_true", help="only those marked quick")
    p.add_argument("--picture", metavar="FILE", type=Path, help="also the head of the report, as PNG")
    p.add_argument("--list", action="store_true", help="say what there is and end")
    return p


def main(argv: list[str]) -> int:
    """0 when every scenario passed or was one that the rig says it cannot run; 1 when one failed."""
    a = parser().parse_args(argv)
    if not 1 <= a.jobs <= 64:
        raise InputError(f"relith-hil run: --jobs is {a.jobs}, allowed is 1 to 64")
    chosen = [scenario.load(scenario.find(name)) for name in a.scenarios]
    chosen = chosen or [scenario.load(path) for path in scenario.every()]
    chosen = [one for one in chosen if one.quick] if a.quick else chosen
    if a.list:
        for one in chosen:
            print(f"{one.name:28} {one.title}")
        return 0
    if a.picture and (a.picture.suffix != ".png" or not a.picture.parent.is_dir()):
        raise InputError(f"relith-hil run: --picture is {a.picture}, allowed is a .png file in a folder that is there")
    rig = rigs.load(rigs.find(a.rig))
    out = report.out_folder("relith-hil run", a.out)
    results, complete = run_all(chosen, rig, a.jobs)
    report.write(out, results, complete)
    if a.picture:
        from hil import pictures

        pictures.of_report(results, a.picture)
    for result in results:
        if result.state == CANNOT:
            print(f"{result.scenario.name}: {rig.name} cannot run it, it {result.reason}")
        elif not result.ok:
            print(f"{result.scenario.name}: {report.SHOWN[result.state]}: {result.reason}", file=sys.stderr)
    print(f"lockstep: {together(results).line()}" if rig.time == "lockstep" else together(results).line())
    failed = sum(not result.ok for result in results)
    cannot = sum(result.state == CANNOT for result in results)
    print(f"report: {out / 'report.html'}" + ("" if complete else " (PARTIAL: interrupted)"))
    print(f"relith.hil: rig={rig.name} passed={len(results) - failed - cannot} failed={failed} cannot={cannot}")
    return 130 if not complete else int(failed > 0)


def run_all(chosen: list[Scenario], rig: Rig, jobs: int) -> tuple[list[Result], bool]:
    """Every scenario in order, and whether all were run (Ctrl-C ends early). Hardware is not shared: one at a time."""
    if jobs == 1 or len(chosen) == 1 or rig.board == "usb" or rig.cell != "simulated" or rig.time == "real":
        return _one_by_one(chosen, rig)
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    talk = context.Queue()
    screen = Screen(len(chosen))
    # the longest first, so that none is left alone at the end
    order = sorted(range(len(chosen)), key=lambda k: -chosen[k].duration_s)
    results: dict[int, Result] = {}
    complete = True
    with context.Pool(min(jobs, len(chosen)), _worker_starts, (talk,), maxtasksperchild=8) as pool:
        pending = {k: pool.apply_async(_worker_runs, (chosen[k], rig)) for k in order}
        try:
            while pending:
                with contextlib.suppress(queue.Empty):
                    screen.show(*talk.get(timeout=0.1))
                for k in [k for k, waiting in pending.items() if waiting.ready()]:
                    results[k] = pending.pop(k).get()
                    screen.done(results[k])
        except KeyboardInterrupt:
            complete = False
            pool.terminate()
    screen.close()
    return [results[k] for k in sorted(results)], complete


def _one_by_one(chosen: list[Scenario], rig: Rig) -> tuple[list[Result], bool]:
    results: list[Result] = []
    screen = Screen(len(chosen))
    try:
        for one in chosen:
            results.append(_safely(one, rig, screen.show))
            screen.done(results[-1])
    except KeyboardInterrupt:
        return results, False
    finally:
        screen.close()
    return results, True


def _worker_starts(talk: Any) -> None:
    global _TALK
    _TALK = talk
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _worker_runs(one: Scenario, rig: Rig) -> Result:
    return _safely(one, rig, lambda *news: _TALK.put(news))


def _safely(one: Scenario, rig: Rig, progress: Any) -> Result:
    """A scenario that breaks is an error in the report, and does not stop the others; bad input does."""
    try:
        return run(one, rig, progress)
    except InputError:
        raise
    except Exception as error:
        return Result(one, rig, ERROR, f"{type(error).__name__}: {error}")


class Screen:
    """One line that says what runs, on a terminal; elsewhere one line for every scenario that ends."""

    def __init__(self, total: int) -> None:
        self.total, self.ended = total, 0
        self.live = sys.stderr.isatty()
        self.now: dict[str, str] = {}

    def show(self, name: str, share: float, ticks: int) -> None:
        self.now[name] = f"{name} {share:4.0%} ({ticks} ticks)"
        self._draw()

    def done(self, result: Result) -> None:
        self.ended += 1
        self.now.pop(result.scenario.name, None)
        self._wipe()
        state = report.SHOWN[result.state]
        print(
            f"[{self.ended:2}/{self.total}] {result.scenario.name:28} {state:7} {result.took_s:6.1f} s", file=sys.stderr
        )
        self._draw()

    def close(self) -> None:
        self._wipe()

    def _wipe(self) -> None:
        if self.live:
            sys.stderr.write("\r\x1b[2K")

    def _draw(self) -> None:
        if self.live:
            sys.stderr.write("\r\x1b[2K" + "  ".join(self.now.values())[:110])
            sys.stderr.flush()
