"""The firmware's tables in names, for people, docs and oracles: states, triggers, guards, diagnostic rows, reasons.

Nothing is written down twice: states and facts are named by the constants of `relith/states.py`, quantities and rows by
`relith/protection.txt`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from relith import protection, schema, states, tell
from relith.profile import lines

EXTRAS = tuple(row[1].removeprefix("extra_") for row in schema.rows() if row[0] == "extra")  # in the command's order
REASONS = tuple(tell.reasons())
LEVELS = ("warning", "soft", "hard", "lockout")
BLOCKS = ("none", "charge", "discharge", "all")


class Row(NamedTuple):
    """One row of protection.txt; `level` and `blocks` are places in LEVELS and BLOCKS."""

    id: str
    quantity: int  # place among the quantities
    limit: int | str
    delay_ms: int
    level: int
    blocks: int
    below: int
    recover_ms: int
    response_ms: int
    black_box: bool


def _constants(prefix: str, text: str) -> dict[str, str]:
    """Constants of states.py -> what their comments say."""
    found = re.findall(rf"^_?{prefix}([A-Z_]+) = const\([\d< ]+\)(?:  # (.*))?$", text, re.M)
    return {name.lower() if prefix else name: meaning for name, meaning in found}


def diagnostics(text: list[str]) -> tuple[Row, ...]:
    """The rows in the lines of protection.txt."""
    words = [line.split() for line in text]
    quantities = [word[1] for word in words if word[0] == "quantity"]
    return tuple(
        Row(
            name, quantities.index(quantity), int(limit) if limit.lstrip("-").isdigit() else limit, int(delay),
            LEVELS.index(level), BLOCKS.index(blocks), int(below), int(recover), int(response), kept == "yes",
        )
        for _, name, quantity, limit, delay, level, blocks, below, recover, response, kept in (
            word for word in words if word[0] == "row"
        )
    )  # fmt: skip


_HEAD, _, _REST = Path(states.__file__).read_text(encoding="utf-8").partition("# triggers\n")
STATES = tuple(_constants("", _HEAD))
MEANINGS = _constants("ON_", _REST) | _constants("IF_", _REST)  # of triggers and guards
TRIGGERS = tuple(_constants("ON_", _REST))
GUARDS = tuple(_constants("IF_", _REST))
TABLE = diagnostics(lines("protection.txt", protection.CRC))
