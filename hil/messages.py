"""docs/messages.md, made from the catalogue: `python -m hil.messages` writes it, `--check` says whether it is current.

What a reading or an output means is said once, in the comments of the firmware's `readings.py` and `inventory.py`; what
only the link knows is said here.
"""

from __future__ import annotations

import re
from pathlib import Path

from relith import catalogue

from hil.catalogue import COMMANDS, REFUSALS, ROWS, TO_BOARD, TO_HOST
from host_sim.cli import Parser
from host_sim.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/messages.md"
SOURCES = ("firmware/relith/readings.py", "firmware/relith/inventory.py")

FIELDS = {
    "command": "place in the list of commands below",
    "a": "the command's first number",
    "b": "its second number",
    "answer": "see above",
    "size": "bytes that will come, 1 to 8192",
    "crc30": "low 30 bits of zlib's CRC-32 over all of them",
    "offset": "where these bytes begin",
    "data": "the bytes",
    "area": "place in the list of records below",
    "catalogue": "CRC-16 of the catalogue: host and board must have the same",
    "version": "10000 · major + 100 · minor + patch of the firmware",
    "profile_crc30": "low 30 bits of zlib's CRC-32 of the profile in force",
    "current_lsb_na": "one count of current",
    "nominal_capacity_uah": "what the ppm are of",
    "boots": "starts since commissioning",
    "cells": "in series",
    "expected": "sequence number of the next frame that will be taken",
    "rig": "1: this build takes injected readings",
    "message": "code of the last frame that was taken",
    "refusal": "why what it asked was refused: place in the list of refusals below",
    "field": "which field was out of range, counted from 1; 0 none",
    "reason": "why, in the controller's words: a line of relith/reasons.txt, counted from 0",
    "cause": "why this frame was not taken: place in the list of refusals below",
    "counts": "stream errors; then frames not taken, by the first five refusals",
    "nonce": "of the clock and a counter",
    "total": "bytes of the whole record",
    "cell_uv": "each cell, from the negative end",
    "cell_ok": "1 when the cell voltages were read",
    "temp_cdegc": "each thermistor",
    "temp_ms": "ticks_ms of the temperatures",
    "temp_ok": "1 when the temperatures were read",
    "charge_switch": "1 when it conducts",
    "discharge_switch": "1 when it conducts",
    "pulse_switch": "1 when the pulse sink conducts",
    "cell_index": "which cell, from 0",
    "charged": "charge that went in, ppm of nominal capacity",
    "discharged": "charge that came out, ppm of nominal capacity",
    "gaps": "charge that may have passed unseen, ppm of nominal capacity",
    "offset_mcount": "reading at no current that is corrected for",
    "gain_ppm": "gain error that is corrected for",
    "corrections": "how often offset or gain were corrected",
    "known": "0 unknown, 1 inferred, 2 measured",
    "limited_by": "what ended the last discharge: 0 neither, 1 the anode, 2 the cathode",
    "stage": "of life, 1 to 4",
    "cathode_ppm": "lithium in the cathode, of nominal capacity",
    "active_ppm": "metal on the anode that can be stripped",
    "isolated_ppm": "metal without contact",
    "sei_ppm": "bound in the SEI",
    "under_way_ppm": "charge since the half-cycle that the estimates are of: state of charge now is that much more",
    "soc_ppm": "charge that still comes out, of the capacity now",
    "resistance_uohm": "of the cell, from steps of current; 0: not measured",
    "cycles_left": "full cycles until the reservoir is spent; 0: spent, or none",
    "cycles_to_end": "full cycles until 80 % of the profile's capacity; 0: past, or unknown",
    "normalized_life_permille": "full cycles so far over the reservoir per cathode capacity (Deng26); 0: there is none",
    "charge_limit_permille": "what the voltage window allows, of 1C",
    "discharge_limit_permille": "what the voltage window allows, of 1C",
    "end_foreseen": "0 open, 1 reservoir spent, 2 isolated lithium, 3 SEI, 4 soft short",
    "advice": "what would resolve the inventory: 0 nothing, 1 a full charge, 2 a full discharge",
}
RULES = """
The board takes a frame only when it is whole, known, of this boot's session and the next in sequence. Any other is
counted and answered by one `refused`. What a frame asked for is answered by `done`, `nonce` or `data`; injected
readings by `outputs`. At most one frame is acted on in a tick. A dangerous command must answer a challenge in the
very next frame. That keeps out a stray, recorded or repeated byte stream; it does not keep out somebody who has the
profile, in which the link key lies open, and it hides nothing.
"""
KINDS = {
    "B": "8 bits",
    "H": "16 bits",
    "i": "32 bits, signed",
    "A": "cycles and ppm, 2 × 32 bits",
    "?": "1 bit",
    "[": "count byte, that many × 32 bits",
    "*": "bytes to the end",
}
UNITS = {
    "uv": "µV",
    "cdegc": "0.01 °C",
    "ms": "ms",
    "s": "s",
    "na": "nA",
    "uah": "µAh",
    "mwh": "mWh",
    "uohm": "µΩ",
    "ppm": "ppm",
    "permille": "‰",
    "count": "counts of current_lsb_na",
    "mcount": "1/1000 count",
}


def unit(name: str) -> str:
    """The unit that a field's name ends in, empty when there is none."""
    return UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else ""


def said(rows: str) -> dict[str, str]:
    """Name -> meaning, from the comments of one of the catalogue's tables."""
    return {name: meaning for name, _, meaning in ROWS[rows]}


def meanings() -> dict[str, str]:
    """Field -> what it means. Raises KeyError for a field nobody explains."""
    known: dict[str, str] = {}
    for source in SOURCES:
        for line in (ROOT / source).read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\s+self\.(\w+) = .*?\S  # (.+)", line):
                known.setdefault(match[1], match[2])
    known |= FIELDS
    names = {name for _, names, _ in (*TO_BOARD.values(), *TO_HOST.values()) for name in names}
    for name in names - known.keys():
        if "_sigma" not in name:
            raise KeyError(f"nobody says what {name} means")
        known[name] = f"1 σ of {name.replace('_sigma', '')}"
    return {name: known[name] for name in names}


def table(head: str, rows: list[tuple]) -> list[str]:
    """A Markdown table."""
    columns = head.split(" | ")
    return (
        [f"| {head} |", "|" + "---|" * len(columns)] + ["| " + " | ".join(map(str, row)) + " |" for row in rows] + [""]
    )


def page() -> str:
    """The whole page."""
    text = meanings()
    lines = [
        "# Messages of the link",
        "",
        "Made from `firmware/relith/catalogue.py` by `python -m hil.messages`; do not edit.",
        "",
        *[line.strip() for line in (catalogue.__doc__ or "").split("\n\n")[1].split("\n")],
        "",
        "## What is taken, what is refused",
        *RULES.strip().split("\n"),
        "",
    ]
    to_board = [(code, name, names, kinds) for name, (code, names, kinds) in TO_BOARD.items()]
    to_host = [(code, name, names, kinds) for code, (name, names, kinds) in TO_HOST.items()]
    for title, rows, messages in (("To the board", "TO_BOARD", to_board), ("From the board", "TO_HOST", to_host)):
        lines += [f"## {title}", ""]
        for code, name, names, kinds in messages:
            lines += [f"### {code} `{name}`", said(rows)[name], ""]
            if name == "inject":
                lines += ["Its fields are those of `readings`.", ""]
            elif names:
                fields = [(f"`{n}`", KINDS[chr(k)], unit(n), text[n]) for n, k in zip(names, kinds, strict=True)]
                lines += table("field | kind | unit | meaning", fields)
    commands = []
    for name, c in COMMANDS.items():
        numbers = [
            f"{n}: `{what}`, {low} … {high}"
            for n, what, (low, high) in (("a", c.a, c.a_range), ("b", c.b, c.b_range))
            if what
        ]
        what = said("COMMANDS")[name]
        commands.append((c.code, f"`{name}`", ("", "yes", "unless a is 0")[c.dangerous], "; ".join(numbers), what))
    records = [(area, f"`{name}`", meaning) for area, (name, _, meaning) in enumerate(ROWS["AREAS"])]
    lines += ["## Commands", "", *table("code | command | dangerous | numbers | what it does", commands)]
    lines += ["## Refusals", "", *table("code | meaning", [(code, what) for code, (_, what) in enumerate(REFUSALS)])]
    lines += ["## Records", "", *table("area | record | what it is", records)]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Write the page, or with `--check` compare it; 1 when it is not current."""
    parser = Parser(prog="python -m hil.messages", description="docs/messages.md from the message catalogue")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is not current")
    if not parser.parse_args(argv).check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    raise InputError(f"{PAGE.relative_to(ROOT)} is not current; run python -m hil.messages")


if __name__ == "__main__":
    import sys

    from host_sim.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
