"""What a run leaves behind: every signal at every tick, and when each happening began and ended."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hil.signals import SIGNALS

NUMBERS = tuple(one.name for one in SIGNALS.values() if one.kind not in ("word", "words"))
WORDS = tuple(one.name for one in SIGNALS.values() if one.kind in ("word", "words"))


class Trace:
    """`time_s`: the ticks; `numbers[name]`, `words[name]`: one entry a tick; NaN or None where a rig does not know it.
    `moments`: name of a happening (or `end of` it) -> time in s; a happening that never came is not in it."""

    def __init__(self) -> None:
        self.time_s = array("d")
        self.numbers = {name: array("d") for name in NUMBERS}
        self.words: dict[str, list[Any]] = {name: [] for name in WORDS}
        self.moments: dict[str, float] = {"start": 0.0}

    def __len__(self) -> int:
        return len(self.time_s)

    def append(self, time_s: float, row: Mapping[str, Any]) -> None:
        self.time_s.append(time_s)
        for name, column in self.numbers.items():
            value = row[name]
            column.append(np.nan if value is None else value)
        for name, words in self.words.items():
            words.append(row[name])

    def times(self) -> np.ndarray:
        """Tick times in s, shape (n,)."""
        return np.frombuffer(self.time_s, dtype=float) if len(self.time_s) else np.empty(0)

    def column(self, name: str) -> np.ndarray:
        """One number signal in the first unit of its kind, shape (n,)."""
        return np.frombuffer(self.numbers[name], dtype=float) if len(self.time_s) else np.empty(0)

    def changes(self, name: str) -> Iterator[tuple[float, Any]]:
        """Times at which a word signal takes a new value, with the value."""
        last = object()
        for time_s, word in zip(self.time_s, self.words[name], strict=True):
            if word != last:
                last = word
                yield time_s, word
