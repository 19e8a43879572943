"""docs/messages.md, made from the catalogue: `python -m hil.messages` writes it, `--check` says whether it is current.

What a reading or an output means is said once, in the comments of the firmware's `readings.py` and `inventory.py`; what
only the link knows is said here.
"""

from __future__ import annotations

import re
from pathlib import Path

from relith import catalogue

from hil.codec import REFUSALS
from host_sim.cli import Parser
from host_sim.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/messages.md"
SOURCES = ("firmware/relith/readings.py", "firmware/relith/inventory.py")

MESSAGES = {
    "hello": "Opens a conversation; taken whatever its session and sequence number are.",
    "command": "Has a command carried out that is not dangerous.",
    "challenge": "Asks for a nonce, which the very next frame must answer.",
    "answer": "Has any command carried out; `answer` is 30 bits of SHA-256 over link key, nonce, command, a and b.",
    "begin": "Announces a profile: the first of the two phases of an upload.",
    "chunk": "The next bytes of that profile. The command `commit_profile` ends the upload.",
    "read": "Asks for a share of a record, by its number in the list of records below.",
    "inject": "The readings of one tick. Only a rig build takes them, and it has no switch to enable.",
    "welcome": "Answers `hello`: who the board is, and which sequence number it expects next.",
    "done": "A frame was taken: with `refusal` 0 what it asked is done, else that says why it is not.",
    "refused": "A frame was not taken; and what became of the last one that was, in case its reply was lost.",
    "nonce": "Answers `challenge`.",
    "data": "Answers `read`: up to 64 bytes from `offset` on.",
    "readings": "What the board measured; every second.",
    "outputs": "What the tick decided; every second, when state, decision, reason or alarms change, after `inject`.",
    "estimate": "Where one cell's lithium is; every second, the cells in turn.",
}
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
    "nonce": "never the same twice",
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
    "known": "0 unknown, 1 inferred, 2 measured",
    "limited_by": "what ended the last discharge: 0 neither, 1 the anode, 2 the cathode",
    "stage": "of life, 1 to 4",
    "cathode_ppm": "lithium in the cathode, of nominal capacity",
    "active_ppm": "metal on the anode that can be stripped",
    "isolated_ppm": "metal without contact",
    "sei_ppm": "bound in the SEI",
}
COMMANDS = {
    "stop": "Everything off, at once; outranks the scheduler until `resume`.",
    "resume": "Takes `stop` back.",
    "clear_latch": "Forgets the latches of faults that are gone.",
    "arm": "Consent to interventions for so many days; the profile bounds them.",
    "disarm": "Takes that consent back.",
    "consent": "1: interventions are welcome now; 0: they are not; -1: the board's own line decides.",
    "calendar": "The user does not need the cell for `free_s`, and needs it full in `full_in_s` (-1: no deadline).",
    "calibrate": "What the current monitor reads at no current, 1/1000 count, and its gain error; dated.",
    "commission": "A new cell of this profile is in: what the profile says of it is believed from here on.",
    "storage": "1: rest in the storage state as soon as there is no current.",
    "set_clock": "Wall-clock time: days since 1970-01-01 and second of the day, UTC. Known until the power goes.",
    "reboot": "Everything off, then a restart.",
    "commit_profile": "Checks the uploaded profile whole and keeps it for the next start; until then the old one runs.",
}
RECORDS = {
    "journal_0": "journal, first slot",
    "journal_1": "journal, second slot",
    "black_box": "the last events before a latch",
    "log": "32-bit numbers: seconds since commissioning, day and second of the clock (-1: not set); then three for "
    "each of up to 32 events (relith/log.py)",
    "profile": "the profile that was uploaded last, in force from the next start",
    "refusal": "the sentence that says why the last profile was refused",
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
    "ppm": "ppm",
    "permille": "‰",
    "count": "counts of current_lsb_na",
    "mcount": "1/1000 count",
}


def unit(name: str) -> str:
    """The unit that a field's name ends in, empty when there is none."""
    return UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else ""


def meanings() -> dict[str, str]:
    """Field -> what it means. Raises KeyError for a field nobody explains."""
    said: dict[str, str] = {}
    for source in SOURCES:
        for line in (ROOT / source).read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\s+self\.(\w+) = .*?\S  # (.+)", line):
                said.setdefault(match[1], match[2])
    said |= FIELDS
    names = {name for _, names, _ in (*catalogue.TO_BOARD, *catalogue.TO_HOST) for name in names}
    for name in names - said.keys():
        stem = name.removesuffix("_ppm").removesuffix("_sigma")
        if not name.endswith("_sigma_ppm"):
            raise KeyError(f"nobody says what {name} means")
        said[name] = f"1 σ of {stem}_ppm"
    return {name: said[name] for name in names}


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
        *[line.strip() for line in (catalogue.__doc__ or "").strip().split("\n")[2:]],
        "",
        "## What is taken, what is refused",
        *RULES.strip().split("\n"),
        "",
    ]
    for title, first, messages in (("To the board", 0, catalogue.TO_BOARD), ("From the board", 16, catalogue.TO_HOST)):
        lines += [f"## {title}", ""]
        for code, (name, names, kinds) in enumerate(messages, first):
            lines += [f"### {code} `{name}`", MESSAGES[name], ""]
            if names == catalogue.TO_HOST[5][1] and name == "inject":
                lines += ["Its fields are those of `readings`.", ""]
            elif names:
                rows = [(f"`{n}`", KINDS[chr(k)], unit(n), text[n]) for n, k in zip(names, kinds, strict=True)]
                lines += table("field | kind | unit | meaning", rows)
    commands = []
    for code, (name, dangerous, *both) in enumerate(catalogue.COMMANDS):
        numbers = [
            f"{n}: `{what}`, {low} … {high}"
            for n, (what, low, high) in zip("ab", (both[:3], both[3:]), strict=True)
            if what
        ]
        commands.append((code, f"`{name}`", "yes" if dangerous else "", "; ".join(numbers), COMMANDS[name]))
    records = [(area, f"`{name}`", RECORDS[name]) for area, name in enumerate(catalogue.AREAS)]
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
