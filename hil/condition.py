"""The few sentences that a scenario's conditions are made of, parsed and evaluated on a recorded trace.

    state is activation_pulse            alarm is cell_over_voltage          pulse_current above 0 A
    reason is not policy is none         charge_permitted is off             lowest_cell_voltage below 3.0 V
several joined by ` and `; a span is   `lowest_cell_voltage from 2.95 V to 4.25 V`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hil.signals import FLAG_WORDS, SIGNALS, Signal
from hil.units import quantity
from host_sim.errors import InputError


@dataclass(frozen=True)
class Clause:
    """`verb`: is, is not, above, below. `value`: a number in the first unit of the signal's kind, or a word."""

    signal: Signal
    verb: str
    value: float | str

    def holds(self, now: Mapping[str, Any]) -> bool:
        """On one row of signals. A signal that is not known (None) meets nothing."""
        seen = now[self.signal.name]
        if seen is None:
            return False
        if self.verb in ("above", "below"):
            return seen > self.value if self.verb == "above" else seen < self.value
        if self.signal.kind == "words":
            met = self.value in seen or (self.value == "none" and not seen)
        elif self.signal.kind == "flag":
            met = FLAG_WORDS[bool(seen)] == self.value
        else:
            met = seen == self.value
        return met == (self.verb == "is")


@dataclass(frozen=True)
class Condition:
    text: str
    clauses: tuple[Clause, ...]

    def holds(self, now: Mapping[str, Any]) -> bool:
        return all(clause.holds(now) for clause in self.clauses)

    def signals(self) -> list[Signal]:
        return [clause.signal for clause in self.clauses]


@dataclass(frozen=True)
class Span:
    """A signal between two values, both in the first unit of its kind, ends included."""

    text: str
    signal: Signal
    low: float
    high: float

    def signals(self) -> list[Signal]:
        return [self.signal]


def words_of(signal: Signal) -> tuple[str, ...]:
    """The words a signal may take, from the firmware's own tables."""
    from hil import words

    lists: dict[str, Callable[[], tuple[str, ...]]] = {
        "state": words.states_,
        "decision": words.decisions,
        "reason": words.reasons,
        "alarm": words.alarms,
        "known": words.known,
        "answer": lambda: ("none", "done", "refused", "silent"),
    }
    return FLAG_WORDS if signal.kind == "flag" else lists[signal.name]()


def _signal(name: str, where: str) -> Signal:
    if name not in SIGNALS:
        raise InputError(f"{where}: '{name}' is not a signal (allowed: {', '.join(SIGNALS)})")
    return SIGNALS[name]


def parse_condition(text: object, where: str) -> Condition:
    """Raises InputError that names what is not understood."""
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: {text!r} is not a condition, such as 'state is idle'")
    names = "|".join(SIGNALS)
    parts = re.split(rf"\s+and\s+(?=(?:{names})\s+(?:is|above|below)\b)", text.strip())
    return Condition(text, tuple(_clause(part, where) for part in parts))


def _clause(text: str, where: str) -> Clause:
    match = re.fullmatch(r"(\S+)\s+(is not|is|above|below)\s+(.+)", text)
    if not match:
        raise InputError(
            f"{where}: '{text}' is not understood (write '<signal> is <word>' or '<signal> above <number>')"
        )
    name, verb, rest = match.groups()
    signal = _signal(name, where)
    worded = signal.kind in ("word", "words", "flag")
    if worded != verb.startswith("is"):
        raise InputError(f"{where}: '{verb}' does not go with {name}, which is {'a word' if worded else 'a number'}")
    if not worded:
        return Clause(signal, verb, quantity(rest, signal.kind, where))
    allowed = words_of(signal)
    if rest not in allowed and not (signal.kind == "words" and rest == "none"):
        raise InputError(f"{where}: '{rest}' is not a {name} (allowed: {', '.join(allowed)})")
    return Clause(signal, verb, rest)


def parse_span(text: object, where: str) -> Span:
    """`<signal> from <number> to <number>`. Raises InputError."""
    match = re.fullmatch(r"(\S+)\s+from\s+(.+?)\s+to\s+(.+)", text.strip()) if isinstance(text, str) else None
    if not match or not isinstance(text, str):
        raise InputError(f"{where}: {text!r} is not understood (write '<signal> from <number> to <number>')")
    signal = _signal(match[1], where)
    if signal.kind in ("word", "words", "flag"):
        raise InputError(f"{where}: {signal.name} is a word and has no limits; use never or eventually")
    low, high = quantity(match[2], signal.kind, where), quantity(match[3], signal.kind, where)
    if low > high:
        raise InputError(f"{where}: '{text}' has its lower limit above its upper one")
    return Span(text, signal, low, high)
