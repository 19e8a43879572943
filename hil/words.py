"""The words that signals may take, from the firmware's own tables."""

from __future__ import annotations

from functools import cache

from relith import scheduler

from host_sim import tables

KNOWN = ("unknown", "inferred", "measured")  # inventory.UNKNOWN, INFERRED, MEASURED in order
ROWS = tuple(row[0] for row in tables.TABLE)


@cache
def states_() -> tuple[str, ...]:
    """States of the firmware, in its own order, lower case."""
    return tuple(name.lower() for name in tables.STATES)


@cache
def decisions() -> tuple[str, ...]:
    return tuple(scheduler.DECISIONS)


@cache
def reasons() -> tuple[str, ...]:
    return tables.REASONS


def alarms() -> tuple[str, ...]:
    """Ids of the diagnostic rows; row k is bit k of `Outputs.alarms`."""
    return ROWS


def known() -> tuple[str, ...]:
    return KNOWN


_SETS: dict[int, tuple[str, ...]] = {}


def alarm_names(mask: int) -> tuple[str, ...]:
    """The rows whose bits are set; one tuple per mask, so that a trace of them is small."""
    if mask not in _SETS:
        _SETS[mask] = tuple(name for k, name in enumerate(ROWS) if mask >> k & 1)
    return _SETS[mask]
