"""What a run leaves behind: JUnit for machines, one HTML page for people, BDF logs, and a black box where it failed."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hil.rows import black_box
from hil.runner import CANNOT, ERROR, FAILED, PASSED, Result, together
from hil.units import show
from host_sim import folder
from host_sim.formats import bdf
from host_sim.report.page import Page

MOST_POINTS = 1500  # in a plot
SIMULATED_DAY = "20250101"
MARK = "junit.xml"  # of a folder that is ours
LAST_ROWS = 50  # ticks that the black box keeps of the trace
SHOWN = {PASSED: "passed", FAILED: "FAILED", CANNOT: "cannot", ERROR: "ERROR"}


def out_folder(where: str, path: str) -> Path:
    """Where results go, checked before anything runs: it is replaced as a whole, so nothing else may be in it.

    Raises InputError."""
    folder.refuse(where, Path(path), MARK)
    return Path(path)


def write(out: Path, results: list[Result], complete: bool = True) -> None:
    """Everything, together."""
    with folder.whole(out) as beside:
        for result in results:
            if len(result.trace):
                bdf.write(
                    beside / f"relith-hil__{result.scenario.name}__{_day(result)}_001.bdf.csv", bdf_columns(result)
                )
            if result.state in (FAILED, ERROR):
                _black_box(beside, result)
        (beside / MARK).write_bytes(junit(results))
        (beside / "report.html").write_text(page(results, complete), encoding="utf-8")


def _day(result: Result) -> str:
    """YYYYMMDD of a bench; simulated time has no date, and is given a fixed one."""
    return SIMULATED_DAY if result.rig.cell == "simulated" else f"{datetime.date.today():%Y%m%d}"


def junit(results: list[Result]) -> bytes:
    """One test case per scenario; what a rig cannot do is `skipped` with the reason, every verdict is in system-out."""
    name = results[0].rig.name if results else "none"
    suite = ElementTree.Element(
        "testsuite",
        name=f"relith-hil on {name}",
        tests=str(len(results)),
        failures=str(sum(one.state == FAILED for one in results)),
        errors=str(sum(one.state == ERROR for one in results)),
        skipped=str(sum(one.state == CANNOT for one in results)),
        time=f"{sum(one.took_s for one in results):.3f}",
    )
    for one in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"hil.{one.rig.name}", name=one.scenario.name, time=f"{one.took_s:.3f}"
        )
        tags = {FAILED: "failure", ERROR: "error", CANNOT: "skipped"}
        if one.state in tags:
            ElementTree.SubElement(case, tags[one.state], message=one.reason)
        lines = [
            f"{SHOWN[PASSED] if v.ok else SHOWN[FAILED]}: {v.text}: {v.measured} ({v.limit})" for v in one.verdicts
        ]
        ElementTree.SubElement(case, "system-out").text = "\n".join(lines)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)


def bdf_columns(result: Result) -> dict[str, Any]:
    """A trace as Battery Data Format columns. Positive current charges."""
    trace = result.trace
    seconds = trace.times()
    current = trace.column("current")
    moved_ah = np.diff(seconds, prepend=seconds[0]) * np.nan_to_num(current) / 3600.0
    return {
        "Test Time / s": seconds,
        "Voltage / V": trace.column("lowest_cell_voltage"),
        "Current / A": current,
        "Cycle Count / 1": trace.column("cycles"),
        "Charging Capacity / Ah": np.cumsum(np.maximum(moved_ah, 0.0)),
        "Discharging Capacity / Ah": np.cumsum(np.maximum(-moved_ah, 0.0)),
        "Surface Temperature / degC": trace.column("temperature"),
        "Pulse Current / A": trace.column("pulse_current"),
    }


def _black_box(folder: Path, result: Result) -> None:
    """The last ticks before a failure, and what the board itself has kept."""
    trace = result.trace
    first = max(0, len(trace) - LAST_ROWS)
    broken = [verdict.at_s for verdict in result.verdicts if not verdict.ok and verdict.at_s is not None]
    if broken:
        first = max(0, int(np.searchsorted(trace.times(), broken[0])) - LAST_ROWS // 2)
    rows = []
    for k in range(first, min(first + LAST_ROWS, len(trace))):
        row: dict[str, Any] = {"time_s": trace.time_s[k]}
        row |= {name: (None if np.isnan(values[k]) else values[k]) for name, values in trace.numbers.items()}
        rows.append(row | {name: values[k] for name, values in trace.words.items()})
    kept = black_box(result.black_box, result.scenario.profile.current_lsb_na * 1e-9)
    text = {"reason": result.reason, "answers": result.answers, "board": kept, "ticks": rows}
    (folder / f"{result.scenario.name}.blackbox.json").write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


# --- the page ---------------------------------------------------------------------------------------------------------


def title(results: list[Result]) -> str:
    return f"Relith rig: {len(results)} scenarios on {results[0].rig.name if results else 'no rig'}"


def page(results: list[Result], complete: bool = True) -> str:
    """One self-contained HTML page."""
    out = Page(title(results))
    if not complete:
        out.text("This run was interrupted; what follows is partial.", "warning")
    head(out, results, len(results))
    for one in results:
        part(out, one)
    _made_of(out, results)
    return out.html()


def head(out: Page, results: list[Result], most: int) -> None:
    """What comes before the scenarios: the counts, what failed, `most` rows of the list, and the timing."""
    counts = {state: sum(one.state == state for one in results) for state in SHOWN}
    out.text(", ".join(f"{counts[state]} {SHOWN[state]}" for state in SHOWN if counts[state] or state == PASSED) + ".")
    for one in results:
        if not one.ok:
            out.text(f"{one.scenario.name}: {SHOWN[one.state]}: {one.reason}", "warning")
    out.table(
        ("scenario", "what it shows", "result", "ticks", "took", "reason"),
        [
            (
                one.scenario.name,
                "; ".join(one.scenario.shows),
                SHOWN[one.state],
                len(one.trace),
                f"{one.took_s:.1f} s",
                one.reason,
            )
            for one in results[:most]
        ],
    )
    if len(results) > most:
        out.text(f"… and {len(results) - most} more")
    _timings(out, results)


def part(out: Page, one: Result) -> None:
    """One scenario: every expectation with what was measured, and the plot.

    Limits and measured values carry their units."""
    out.heading(f"{one.scenario.name}: {one.scenario.title}")
    if one.scenario.about:
        out.text(one.scenario.about)
    if one.state in (FAILED, ERROR):
        out.text(f"{SHOWN[one.state]}: {one.reason}", "warning")
    if one.state == CANNOT:
        out.text(f"This rig cannot run it: {one.reason}.", "note")
        return
    rows = [
        (
            f"{verdict.what} ({verdict.text})" if verdict.what else verdict.text,
            verdict.measured,
            verdict.limit,
            "" if verdict.at_s is None else show(verdict.at_s, "time"),
            "ok" if verdict.ok else "NOT MET",
        )
        for verdict in one.verdicts
    ]
    out.table(("expected", "measured", "limit", "at", ""), rows)
    if len(one.trace):
        out.figure(_plot(one), "; ".join(f"{name} at {show(at, 'time')}" for name, at in one.trace.moments.items()))


def _thin(*columns: np.ndarray) -> np.ndarray:
    """Places of the points to plot: of every stretch its ends and its extremes, so that no short excursion is lost."""
    count = len(columns[0])
    if count <= MOST_POINTS:
        return np.arange(count)
    edges = np.linspace(0, count, MOST_POINTS // 4 + 1).astype(int)
    picked = [edges[:-1], edges[1:] - 1]
    for values in columns:
        for extreme in (np.argmin, np.argmax):
            picked.append(np.array([a + extreme(values[a:b]) for a, b in pairwise(edges)]))
    return np.unique(np.concatenate(picked))


def _plot(one: Result) -> Any:
    from matplotlib.figure import Figure

    trace = one.trace
    pick = _thin(np.nan_to_num(trace.column("lowest_cell_voltage")), np.nan_to_num(trace.column("current")))
    scale, unit = _time_scale(trace.time_s[-1])
    seconds = trace.times()[pick] / scale
    figure = Figure(figsize=(10, 4.2))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    top.plot(seconds, trace.column("lowest_cell_voltage")[pick], color="#2b5c8a", lw=1.2)
    top.set_ylabel("cell / V", color="#2b5c8a")
    side = top.twinx()
    side.plot(seconds, trace.column("current")[pick] * 1e3, color="#c25700", lw=0.9, drawstyle="steps-pre")
    side.set_ylabel("current / mA", color="#c25700")
    states = sorted({word for word in trace.words["state"] if word is not None})
    place = {word: k for k, word in enumerate(states)}
    bottom.plot(
        seconds, [place[trace.words["state"][k]] for k in pick], drawstyle="steps-post", color="#1b1f24", lw=1.2
    )
    bottom.set_yticks(range(len(states)), states)
    bottom.set_ylim(-0.5, len(states) - 0.5)
    bottom.set_xlabel(f"time / {unit}")
    for name, at_s in trace.moments.items():
        if name != "start":
            for axes in (top, bottom):
                axes.axvline(at_s / scale, color="#a11", lw=0.8, ls=":")
    figure.tight_layout()
    return figure


def _time_scale(last_s: float) -> tuple[float, str]:
    return next(
        ((size, unit) for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")) if last_s > 3 * size), (1.0, "s")
    )


def _timings(out: Page, results: list[Result]) -> None:
    from matplotlib.figure import Figure

    timing = together(results)
    trips, late = timing.round_trip_s * 1e3, timing.lateness_s * 1e3
    if not len(trips):
        return
    out.heading("Timing")
    out.text(timing.line())
    rows = [("round trip of a tick", *_percentiles(trips))]
    if len(late):
        rows.append(("lateness in real time", *_percentiles(late)))
    out.table(("", "median / ms", "p99 / ms", "max / ms", "number"), rows)
    figure = Figure(figsize=(10, 2.6))
    axes = figure.subplots(1, 2 if len(late) else 1, squeeze=False)[0]
    _histogram(axes[0], trips, "round trip / ms")
    if len(late):
        _histogram(axes[1], late, "lateness / ms")
    figure.tight_layout()
    out.figure(figure, f"Round trips of {len(trips)} ticks" + (", and how late they were." if len(late) else "."))


def _percentiles(values: np.ndarray) -> tuple[str, ...]:
    return (*(f"{value:.3f}" for value in np.percentile(values, [50, 99, 100])), str(len(values)))


def _histogram(axes: Any, values: np.ndarray, label: str) -> None:
    top = max(float(values.max()), 1e-3)
    axes.hist(np.maximum(values, 1e-3), bins=np.geomspace(max(values.min(), 1e-3), top * 1.01, 60), color="#2b5c8a")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("ticks")


def _made_of(out: Page, results: Iterable[Result]) -> None:
    out.heading("Versions and hashes")
    rows: list[tuple[str, str]] = [("machine", f"{platform.machine()}, {platform.system()}")]
    seen: set[tuple[str, str]] = set()
    for one in results:
        for name, value in one.made_of.items():
            label = f"{name} of {one.scenario.name}" if name in ("scenario", "profile") else name
            if (label, value) not in seen:
                seen.add((label, value))
                rows.append((label, value))
        for name, value in one.identity.items():
            if name in ("version", "catalogue") and (f"board {name}", str(value)) not in seen:
                seen.add((f"board {name}", str(value)))
                rows.append((f"board {name}", str(value)))
    out.table(("what", "version, or first 16 digits of its SHA-256"), rows)
