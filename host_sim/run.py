"""`make run`, the main job: one cell's life under each policy, side by side, to 80 % of its initial capacity.

Leaves report.html, summary.json, CSV tables and one BDF file per policy in one folder; it appears whole or not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import multiprocessing
import os
import queue
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from host_sim import folder
from host_sim.cell import SETS, WORLDS, Cell, Control, load_parameters
from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.firmware import POLICIES, load_profile
from host_sim.formats import bdf
from host_sim.life import Life, Setup
from host_sim.misfit import misfit
from host_sim.recorder import live
from host_sim.report.page import plain_table
from host_sim.uses import USES
from host_sim.version import ROOT, version

DEFAULT = ("none", "pulse", "rest", "adaptive")
PROFILE = ROOT / "firmware" / "profiles" / "liu21_nmc532.json"
SUMMARY = "summary.json"


def parser() -> Parser:
    """The options of `relith-sim run`."""
    setup = Setup(profile=_shown(PROFILE))
    p = Parser(prog="relith-sim run", description=__doc__.splitlines()[0])
    p.add_argument("--profile", default=setup.profile, metavar="FILE", help="the firmware's profile (JSON)")
    p.add_argument("--policies", default=",".join(DEFAULT), metavar="P,…", help=f"which of {', '.join(POLICIES)}")
    p.add_argument(
        "--area", type=float, default=argparse.SUPPRESS, metavar="CM2",
        help="electrode area in cm², to which the profile is scaled (default: the profile's own)",
    )  # fmt: skip
    p.add_argument("--seed", type=int, default=setup.seed, help="of the sensors and the use")
    p.add_argument("--cycles", type=int, default=setup.cap, metavar="N", help="stop a life here at the latest")
    p.add_argument("--world", choices=WORLDS, default=setup.world, help="which of the laws that the data leave open")
    p.add_argument("--electrolyte", choices=SETS, default=setup.electrolyte, help="the cell's parameter set")
    p.add_argument("--use", choices=USES, default=setup.use, help="the world outside: charger, load and user")
    p.add_argument("--temperature", type=float, default=setup.temperature_degc, metavar="DEGC", help="around the cell")
    p.add_argument("--charge", type=float, default=setup.charge_ma_cm2, metavar="MA_CM2", help="charge current density")
    p.add_argument(
        "--discharge", type=float, default=setup.discharge_ma_cm2, metavar="MA_CM2", help="discharge current density"
    )
    p.add_argument(
        "--hold-stop", type=float, default=setup.hold_stop_ma_cm2, metavar="MA_CM2", help="ends the voltage hold"
    )
    p.add_argument("--processes", type=int, default=2, help="lives run side by side")
    p.add_argument("--picture", metavar="FILE", help="also the first picture, as PNG (docs/run.png was made so)")
    p.add_argument("--out", default="build/run", metavar="FOLDER", help="replaced as a whole at the end")
    return p


def main(argv: list[str]) -> int:
    """Exit status: 0 when every life came to its end; 1 when one did not (its line says why); 130 after Ctrl-C."""
    a = parser().parse_args(argv)
    policies = _policies(a.policies)
    own_cm2 = load_profile(a.profile).electrode_area_mm2 / 100.0
    area_cm2 = getattr(a, "area", own_cm2)
    for name, value, low, high in (
        ("area", area_cm2, 0.1, 1e5),
        ("seed", a.seed, 0, 999_999_999),
        ("cycles", a.cycles, 1, 100_000),
        ("temperature", a.temperature, -20, 60),
        ("charge", a.charge, 0.001, 20),
        ("discharge", a.discharge, 0.001, 20),
        ("hold-stop", a.hold_stop, 0.001, 20),
        ("processes", a.processes, 1, 256),
    ):
        if not low <= value <= high:
            raise InputError(f"relith-sim run: --{name} is {value:.12g}, allowed is {low:.12g} to {high:.12g}")
    setup = Setup(a.profile, area_cm2, a.seed, a.cycles, a.world, a.electrolyte, a.use, a.temperature,
                  a.charge, a.discharge, a.hold_stop)  # fmt: skip
    profile = load_profile(setup.profile, POLICIES[policies[0]], area_cm2)
    if profile.cell_count != 1:
        raise InputError(
            f"{a.profile}: cell_count is {profile.cell_count}, but relith-sim run lives one cell; allowed is 1"
        )
    out = Path(a.out)
    folder.refuse("relith-sim run", out, SUMMARY)
    if a.picture:
        _refuse_picture(Path(a.picture))

    from host_sim.report import life_page  # matplotlib takes a second: not for `--help` or a refusal

    warnings = misfit(profile, load_parameters(a.electrolyte, a.world), area_cm2)
    if warnings:
        print(f"warning: {'; '.join(warnings)}; the firmware will live with a wrong profile", file=sys.stderr)
    lives, interrupted = live_all(policies, setup, a.processes)
    write(out, lives, setup, interrupted, warnings)
    if a.picture:
        life_page.picture(Path(a.picture), lives)
    print(plain_table(*life_page.table(lives)))
    print(f"report: {out / 'report.html'}" + (" (PARTIAL: interrupted)" if interrupted else ""))
    for life in lives:
        if life.ended not in ("end of life", "cycle cap", "interrupted"):
            print(f"{life.policy}: ended early, {life.ended}", file=sys.stderr)
    print(line(lives))
    if interrupted:
        return 130
    return int(any(life.ended not in ("end of life", "cycle cap") for life in lives))


def line(lives: list[Life]) -> str:
    """The last line on the screen: cycles to 80 % by policy; `>N` when N cycles were lived and it was not reached."""
    return "relith.run: " + " ".join(f"{life.policy}={_cycles(life)}" for life in lives)


def _cycles(life: Life):
    reached = life.results["cycles_to_80"]
    return reached if reached is not None else f">{life.results['cycles']}"


def _policies(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in POLICIES or names.count(name) > 1:
            raise InputError(f"relith-sim run: --policies has {name!r}, allowed is each of {', '.join(POLICIES)} once")
    if not names:
        raise InputError(f"relith-sim run: --policies is empty, allowed is each of {', '.join(POLICIES)} once")
    return names


def _refuse_picture(path: Path) -> None:
    """It is drawn when the lives are over: too late to hear that it cannot be kept."""
    if path.suffix != ".png":
        raise InputError(f"relith-sim run: --picture is {path}, allowed is a file whose name ends in .png")
    folder.refuse_unwritable("relith-sim run", "picture", path)


# -- the lives, side by side -------------------------------------------------------------------------------------------

_TALK: tuple[Any, Any] | None = None  # (queue, event) in a worker: progress goes out, the wish to stop comes in


def live_all(policies: list[str], setup: Setup, processes: int) -> tuple[list[Life], bool]:
    """All lives in order, and whether they were interrupted (Ctrl-C): then each is as far as it had come."""
    Cell(load_parameters(setup.electrolyte, setup.world)).advance(Control.rest(), 1.0)  # compile once, before the fork
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    talk = context.Queue()
    stop = context.Event()
    screen = Screen(policies)
    with _Interrupts() as interrupts, context.Pool(min(processes, len(policies)), _worker_starts, (talk, stop)) as pool:
        pending = [pool.apply_async(_worker_lives, (policy, setup)) for policy in policies]
        while not all(result.ready() for result in pending):
            with contextlib.suppress(queue.Empty):
                screen.show(*talk.get(timeout=0.1))
            if interrupts.count:
                stop.set()
        lives = [result.get() for result in pending]
    for life in lives:
        screen.show(life.policy, len(life.rows["cycle"]), 0.0, life.ended)
    return lives, any(life.ended == "interrupted" for life in lives)


class _Interrupts:
    """Counts Ctrl-C instead of raising it, so that none is lost between two lines; the third one raises."""

    def __enter__(self):
        self.count = 0
        self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def _heard(self, number, frame):
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt

    def __exit__(self, *error):
        signal.signal(signal.SIGINT, self._before)


def _worker_starts(talk, stop) -> None:
    global _TALK
    _TALK = (talk, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and says so through `stop`


def _worker_lives(policy: str, setup: Setup) -> Life:
    assert _TALK is not None
    talk, stop = _TALK

    def progress(life: Life) -> None:
        share = 100.0 * life.rows["capacity_mah"][-1] / life.rows["capacity_mah"][0]
        talk.put((life.policy, len(life.rows["cycle"]), share, "running"))

    return live(policy, setup, progress, stop.is_set)


class Screen:
    """One line per policy, updated in place on a terminal; elsewhere a plain line every 20 cycles and at the end."""

    EVERY = 20

    def __init__(self, policies: list[str], stream=None):
        self.stream = stream or sys.stderr
        self.lines = dict.fromkeys(policies, "waiting")
        self.live = self.stream.isatty()
        if self.live:
            self.stream.write("\n" * len(self.lines))
            self._draw()

    def show(self, policy: str, cycles: int, share: float, ended: str) -> None:
        """`share` of initial capacity in %, while running."""
        running = ended == "running"
        text = f"cycle {cycles:4d}" + (f"  capacity {share:5.1f} %" if running else f"  {ended}")
        if self.live:
            self.lines[policy] = text
            self._draw()
        elif not running or cycles % self.EVERY == 0:
            print(f"{policy:9} {text}", file=self.stream, flush=True)

    def _draw(self) -> None:
        self.stream.write(f"\x1b[{len(self.lines)}A")
        for policy, text in self.lines.items():
            self.stream.write(f"\x1b[2K{policy:9} {text}\n")
        self.stream.flush()


# -- what is left behind -----------------------------------------------------------------------------------------------


def write(out: Path, lives: list[Life], setup: Setup, partial: bool, warnings: list[str]) -> None:
    """Everything, together."""
    from host_sim.report import life_page

    with folder.whole(out) as beside:
        for life in lives:
            write_csv(beside / f"cycles_{life.policy}.csv", life.rows)
            if life.bdf.get("Test Time / s"):
                bdf.write(beside / f"relith-sim__{setup.use}-{life.policy}__20250101_001.bdf.csv", life.bdf)
        life_page.write(beside, lives, setup, partial, warnings)
        about = summary(lives, setup, partial) | {"warnings": warnings}
        (beside / SUMMARY).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")


def summary(lives: list[Life], setup: Setup, partial: bool) -> dict:
    """What summary.json holds: no time stamp, so the same seed gives the same bytes."""
    return {
        "line": line(lives),
        "cycles": {life.policy: _cycles(life) for life in lives},
        "partial": partial,
        "parameters": asdict(replace(setup, profile=Path(setup.profile).name)),
        "results": {life.policy: life.results for life in lives},
        "seed": setup.seed,
        "version": version(),
    }


def write_csv(path: Path, columns: dict[str, list[float]]) -> None:
    """Columns of equal length as CSV with nine significant digits."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{value:.9g}" for value in row])


def _shown(path: Path) -> str:
    """As a person in the project's folder would write it."""
    with contextlib.suppress(ValueError):
        return os.path.relpath(path) if Path.cwd() == ROOT else str(path)
    return str(path)
