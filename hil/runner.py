"""Run one scenario on one rig: what was seen, the verdicts, and what the run was made of."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import relith

from hil.boards import Board
from hil.codec import LinkError
from hil.instruments.errors import InstrumentError
from hil.judge import Verdict, judge
from hil.rigs import Rig, naming
from hil.scenario import Scenario
from hil.trace import Trace
from hil.units import show
from host_sim.version import version

PASSED, FAILED, CANNOT, ERROR = "passed", "failed", "cannot", "error"
Progress = Callable[[str, float, int], None]  # scenario, share done, ticks


@dataclass
class Timing:
    """Round trips of every tick, and in real time how late each was; all in s."""

    round_trip_s: np.ndarray
    lateness_s: np.ndarray

    def line(self) -> str:
        """Median, p99 and maximum, for people."""
        if not len(self.round_trip_s):
            return "no tick"
        middle, high, most = np.percentile(self.round_trip_s, [50, 99, 100])
        text = f"{1 / middle:.0f} ticks/s (round trip median {middle * 1e3:.2f} ms, p99 {high * 1e3:.2f}, "
        text += f"max {most * 1e3:.2f})"
        if len(self.lateness_s):
            middle, high, most = np.percentile(self.lateness_s, [50, 99, 100]) * 1e3
            text += f"; lateness median {middle:.2f} ms, p99 {high:.2f}, max {most:.2f}"
        return text


def together(results: list[Result]) -> Timing:
    """The timing of several runs as one."""
    timed = [one.timing for one in results if one.timing is not None]
    return Timing(
        np.concatenate([np.empty(0), *(one.round_trip_s for one in timed)]),
        np.concatenate([np.empty(0), *(one.lateness_s for one in timed)]),
    )


@dataclass
class Result:
    """What a run leaves. `state`: passed, failed, cannot (the rig is not able to) or error; `reason` says why."""

    scenario: Scenario
    rig: Rig
    state: str
    reason: str = ""
    verdicts: list[Verdict] = field(default_factory=list)
    trace: Trace = field(default_factory=Trace)
    timing: Timing | None = None
    slots: dict[int, bytes] = field(default_factory=dict)
    black_box: bytes = b""
    identity: dict[str, Any] = field(default_factory=dict)
    took_s: float = 0.0
    made_of: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.state in (PASSED, CANNOT)


def run(
    scenario: Scenario, rig: Rig, progress: Progress | None = None, prepare: Callable[[Board], None] | None = None
) -> Result:
    """Run it. A rig that cannot says so in the result. Instruments and boards are safe when this returns, whatever
    happens. `prepare(board)`: called before the board starts, for a recording. Raises InputError for bad input."""
    began = time.perf_counter()
    result = Result(scenario, rig, PASSED, made_of=_made_of(scenario))
    result.reason = rig.cannot(scenario)
    if result.reason:
        result.state = CANNOT
        return result
    try:
        with naming(rig, f"{scenario.path.name}:"):
            if rig.cell == "simulated":
                _simulated(scenario, rig, result, progress, prepare)
            else:
                from hil import live

                live.run(scenario, rig, result, progress)
        result.verdicts += [judge(expectation, result.trace) for expectation in scenario.expectations]
        failed = [verdict for verdict in result.verdicts if not verdict.ok]
        if failed:
            result.state = FAILED
            result.reason = f"{failed[0].text}: {failed[0].measured} (allowed: {failed[0].limit})"
    except (InstrumentError, LinkError) as error:
        result.state, result.reason = FAILED, str(error)
    result.took_s = time.perf_counter() - began
    return result


def _simulated(scenario: Scenario, rig: Rig, result: Result, progress: Progress | None, prepare: Any) -> None:
    from hil.staging import stage

    board = rig.make_board(scenario)
    try:
        if prepare:
            prepare(board)
        world = stage(scenario, board)
        result.trace, result.answers = world.trace, world.answers
        result.identity = dict(board.latest().get("welcome", {}))
        pace = Pace() if rig.time == "real" else None
        shown = time.perf_counter()
        for time_s in world.run():
            if pace:
                pace.wait(time_s)
            if progress and time.perf_counter() - shown > 0.2:
                shown = time.perf_counter()
                progress(scenario.name, min(1.0, time_s / scenario.duration_s), len(world.trace))
        result.timing = Timing(np.array(board.round_trip_s), np.array(pace.lateness_s if pace else []))
        if pace:
            result.verdicts.append(lateness(pace.lateness_s, rig.late_s))
        result.slots = board.slots() if board.powered else {}
        result.black_box = board.black_box()
    finally:
        board.close()


def lateness(seen_s: list[float], limit_s: float) -> Verdict:
    """The verdict on a real-time run's deadlines."""
    worst_s = max(seen_s, default=0.0)
    missed = sum(late_s > limit_s for late_s in seen_s)
    measured = f"{show(worst_s, 'time')}, {missed} of {len(seen_s)} missed"
    return Verdict("deadlines of the rig", "every tick on time", measured, f"<= {show(limit_s, 'time')}", missed == 0)


class Pace:
    """Real time: waits until a tick is due, and keeps how late it was."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.lateness_s: list[float] = []

    def wait(self, time_s: float) -> None:
        """Return when `time_s` of the scenario has come."""
        left_s = self.began + time_s - time.perf_counter()
        if left_s > 0:
            time.sleep(left_s)
        self.lateness_s.append(max(0.0, time.perf_counter() - self.began - time_s))


def _made_of(scenario: Scenario) -> dict[str, str]:
    """Versions and hashes of everything that a result depends on."""

    def digest(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()[:16]

    root = scenario.path.parent
    made_of = {
        "relith": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scenario": digest(scenario.path.read_bytes()) if scenario.path.is_file() else "",
        "profile": digest(scenario.profile_text.encode()),
        "firmware": digest(firmware_bytes()),
    }
    for happening in scenario.happenings:
        if "profile" in happening.values and (root / happening.values["profile"]).is_file():
            made_of[happening.values["profile"]] = digest((root / happening.values["profile"]).read_bytes())
    return made_of


def firmware_bytes() -> bytes:
    """The firmware's sources, one after another in order of name; their hash says which firmware ran."""
    folder = Path(str(relith.__file__)).parent
    return b"".join(path.name.encode() + path.read_bytes() for path in sorted(folder.glob("*.py")))
