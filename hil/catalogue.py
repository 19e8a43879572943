"""The firmware's message catalogue as the host has it: numbers and kinds from its tables, names and meaning from its
comments (`relith/catalogue.py`), and what the refusals of `relith/link.py` mean.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from pathlib import Path
from typing import NamedTuple

from relith import catalogue

# why a frame was refused; the place is the number on the wire, the name that of the constant in relith/link.py
REFUSALS = (
    ("ACCEPTED", "accepted"),
    ("MALFORMED", "the frame arrived damaged"),
    ("UNKNOWN", "the board does not know this message"),
    ("SESSION", "the frame belongs to an earlier session; the board has restarted"),
    ("REPLAYED", "the frame was taken before"),
    ("MISPLACED", "a frame before this one is missing"),
    ("FIELD", "a field is missing or out of its range"),
    ("CHALLENGE", "this command is dangerous and must answer a challenge"),
    ("ANSWER", "the answer to the challenge is wrong or late"),
    ("RIG", "this board is no rig build and takes no injected readings"),
    ("ORDER", "the upload was not begun, or is not complete"),
    ("CHECKSUM", "the upload does not match its checksum"),
    ("MEMORY", "the board has no room for the upload"),
    ("NOTHING", "there is nothing to download there"),
    ("CONTROLLER", "the controller refuses it"),
)
REFUSAL = {name: code for code, (name, _) in enumerate(REFUSALS)}


def described() -> dict[str, list[tuple[str, tuple[str, ...], str]]]:
    """The catalogue's comments: table -> (name, fields, meaning) of each row."""
    text = Path(catalogue.__file__).read_text(encoding="utf-8")
    head = r"    # (\w+)(?:\(([\w, ]*)\))?: "
    row = re.compile(rf"^{head}(.*(?:\n    # (?!{head.strip().removeprefix('# ')}).*)*)", re.MULTILINE)
    parts = re.split(r"^(?:# )?(TO_BOARD|TO_HOST|COMMANDS|AREAS)\b", text, flags=re.MULTILINE)
    return {
        table: [
            (
                found[1],
                tuple((found[2] or "").replace(" ", "").split(",")) if found[2] else (),
                found[3].replace("\n    # ", " "),
            )
            for found in row.finditer(part)
        ]
        for table, part in zip(parts[1::2], parts[2::2], strict=True)
    }


ROWS = described()
AREAS = tuple(name for name, _, _ in ROWS["AREAS"])
TO_BOARD = {
    name: (code, catalogue.READINGS if names == ("READINGS",) else names, kinds)
    for code, ((name, names, _), kinds) in enumerate(zip(ROWS["TO_BOARD"], catalogue.TO_BOARD, strict=True))
}
TO_HOST = {
    code: (name, names, kinds)
    for code, ((name, _, _), (names, kinds)) in enumerate(zip(ROWS["TO_HOST"], catalogue.TO_HOST, strict=True), 16)
}


class Command(NamedTuple):
    """A row of the catalogue's COMMANDS; `a` and `b`: what the two numbers are, empty when they must be 0."""

    code: int
    dangerous: int  # 1: it must answer a challenge; 2: with any `a` but 0
    a: str
    a_range: tuple[int, int]
    b: str
    b_range: tuple[int, int]

    def challenged(self, a: int) -> bool:
        """With this `a` it must answer a challenge."""
        return self.dangerous == 1 or bool(self.dangerous and a)


def _commands() -> dict[str, Command]:
    found = {}
    for code, (name, numbers, _) in enumerate(ROWS["COMMANDS"]):
        dangerous, a_low, a_high, b_low, b_high = catalogue.COMMANDS[code]
        a, b = (*numbers, "", "")[:2]
        found[name] = Command(code, dangerous, a, (a_low, a_high), b, (b_low, b_high))
    return found


COMMANDS = _commands()


def fingerprint() -> int:
    """CRC-16 over the catalogue's tables; both sides carry it, so that a board with other messages is recognised."""
    return crc_hqx(repr((catalogue.TO_BOARD, catalogue.TO_HOST, catalogue.COMMANDS, AREAS)).encode(), 0xFFFF)
