"""Expectations against a trace: each becomes one row with a measured value, a limit and a unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hil.condition import Clause, Condition, Span
from hil.scenario import Expectation
from hil.signals import FLAG_WORDS
from hil.trace import Trace
from hil.units import show


@dataclass(frozen=True)
class Verdict:
    """One row of the expectation table. `at_s`: when it was met, or broken."""

    text: str
    what: str
    measured: str
    limit: str
    ok: bool
    at_s: float | None = None


def holds(condition: Condition, trace: Trace) -> np.ndarray:
    """Where a condition holds, shape (n,) of bool."""
    met = np.ones(len(trace), dtype=bool)
    for clause in condition.clauses:
        met &= _clause(clause, trace)
    return met


def _clause(clause: Clause, trace: Trace) -> np.ndarray:
    name = clause.signal.name
    if clause.signal.kind in ("word", "words"):
        seen: dict[object, bool] = {}
        out = np.empty(len(trace), dtype=bool)
        for k, word in enumerate(trace.words[name]):
            if word not in seen:
                seen[word] = clause.holds({name: word})
            out[k] = seen[word]
        return out
    values = trace.column(name)
    if clause.signal.kind == "flag":
        met = values == FLAG_WORDS.index(str(clause.value))
        return met if clause.verb == "is" else ~met & ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return values > clause.value if clause.verb == "above" else values < clause.value


def judge(expectation: Expectation, trace: Trace) -> Verdict:
    """The verdict on one expectation. A window that never opened, or holds no tick, is a failure, not a pass."""
    text = f"{expectation.kind} {expectation.text}"
    window, start_s, missing = _window(expectation, trace)
    if missing:
        return Verdict(text, expectation.what, missing, "it must happen", False)
    if not window.any():
        return Verdict(text, expectation.what, "no tick in that time", "at least one", False)
    if expectation.kind == "within":
        return _within(expectation, text, window, trace)
    assert isinstance(expectation.condition, Condition)
    met = holds(expectation.condition, trace) & window
    first = int(np.argmax(met)) if met.any() else None
    if expectation.kind == "never":
        return _never(expectation.condition, expectation.what, text, window, first, trace)
    limit_s = math.inf if expectation.before_s is None else expectation.before_s
    limit = "in the time given" if expectation.before_s is None else f"<= {show(limit_s, 'time')}"
    if first is None:
        return Verdict(text, expectation.what, "never", limit, False)
    took_s = trace.time_s[first] - start_s
    return Verdict(text, expectation.what, show(took_s, "time"), limit, took_s <= limit_s + 1e-9, trace.time_s[first])


def _window(expectation: Expectation, trace: Trace) -> tuple[np.ndarray, float, str]:
    edges = []
    for (name, delay_s), last in ((expectation.after, False), (expectation.until, True)):
        if name == "end":
            edges.append(math.inf if last else (trace.time_s[-1] if len(trace) else math.inf))
        elif name in trace.moments:
            edges.append(trace.moments[name] + delay_s)
        elif last:
            edges.append(math.inf)  # what should have ended the window never came
        else:
            return np.zeros(len(trace), dtype=bool), 0.0, f"'{name}' never happened"
    times = trace.times()
    # what happens at a moment happens before the tick of that moment, so that tick is the first one after it
    return (times >= edges[0] - 1e-9) & (times < edges[1] - 1e-9), edges[0], ""


def _within(expectation: Expectation, text: str, window: np.ndarray, trace: Trace) -> Verdict:
    span = expectation.condition
    assert isinstance(span, Span)
    kind, values = span.signal.kind, trace.column(span.signal.name)
    inside = values[window]
    limit = f"{show(span.low, kind)} … {show(span.high, kind)}"
    if np.isnan(inside).all():
        return Verdict(text, expectation.what, "not known", limit, False)
    low, high = float(np.nanmin(inside)), float(np.nanmax(inside))
    outside = window & ((values < span.low) | (values > span.high))
    at_s = trace.time_s[int(np.argmax(outside))] if outside.any() else None
    return Verdict(text, expectation.what, f"{show(low, kind)} … {show(high, kind)}", limit, at_s is None, at_s)


def _never(condition: Condition, what: str, text: str, window: np.ndarray, first: int | None, trace: Trace) -> Verdict:
    limit = "never"
    if first is not None:
        return Verdict(text, what, f"after {show(trace.time_s[first], 'time')}", limit, False, trace.time_s[first])
    clause = condition.clauses[0]
    measured = "never"
    if len(condition.clauses) == 1 and clause.verb in ("above", "below"):
        values = trace.column(clause.signal.name)[window]
        if np.isnan(values).all():
            return Verdict(text, what, "not known", limit, False)
        extreme = float(np.nanmax(values) if clause.verb == "above" else np.nanmin(values))
        measured = (
            f"at most {show(extreme, clause.signal.kind)}"
            if clause.verb == "above"
            else (f"at least {show(extreme, clause.signal.kind)}")
        )
    return Verdict(text, what, measured, limit, True)
