"""`relith-hil replay`: a recorded rig run through the firmware in this process, compared bit for bit."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relith.profile import Profile, ProfileError
from relith.readings import Readings

from hil.boards import HostBoard
from hil.recording import FORMAT, INPUTS, OUTPUTS, lines, values
from host_sim.cli import Parser
from host_sim.errors import InputError

# kind of line -> what stands in it
PARTS = {"start": [str, dict, int], "tick": [str, list, list], "command": [str, str, int, int], "upload": [str, str],
         "stop": [str], "end": [str, dict]}  # fmt: skip


@dataclass
class Replayed:
    """`ticks` compared; `difference` is empty when every one agreed and the journal's bytes are the same."""

    ticks: int
    difference: str


def replay(path: Path) -> Replayed:
    """Run a recording. Raises InputError when it is none, or of another format."""
    tape = lines(path)
    head = next(tape)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        found = head.get("format") if isinstance(head, dict) else "none"
        raise InputError(f"{path}: format {found} is not {FORMAT}, which this program reads")
    if (tuple(head.get("inputs", ())), tuple(head.get("outputs", ()))) != (INPUTS, OUTPUTS):
        raise InputError(f"{path}: was recorded with firmware {head.get('version')}, whose readings have other fields")
    try:
        profile = Profile(head["profile"], f"{path.name}: profile")
    except (KeyError, ProfileError) as error:
        raise InputError(f"{path}: its profile is not sound ({error})") from None
    board = HostBoard(profile, head["profile"])
    readings = Readings(profile.cell_count)
    ticks = 0
    last: dict[int, bytes] = {}
    for line, entry in enumerate(tape, 2):
        if not isinstance(entry, list) or [type(part) for part in entry] != PARTS.get(str(*entry[:1])):
            raise InputError(f"{path}: line {line} is not part of a recording")
        kind, *rest = entry
        if kind == "tick":
            if not board.powered:
                raise InputError(f"{path}: a tick before the first start")
            _fill(readings, rest[0])
            got = values(board.tick(readings), OUTPUTS)
            if got != rest[1]:
                return Replayed(ticks, _where(ticks, readings.now_ms, rest[1], got))
            ticks += 1
        elif kind == "start":
            board.start({int(slot): bytes.fromhex(data) for slot, data in rest[0].items()}, bool(rest[1]))
        elif kind == "stop":
            last = board.slots()
            board.power_off()
        elif kind == "command":
            board.command(*rest)
        elif kind == "upload":
            board.upload(bytes.fromhex(rest[0]))
        else:
            kept = {int(slot): bytes.fromhex(data) for slot, data in rest[0].items()}
            mine = board.slots() if board.powered else last
            if kept and any(mine.get(slot) != data for slot, data in kept.items()):
                return Replayed(ticks, "every decision is the same, the journal's bytes at the end are not")
    return Replayed(ticks, "")


def _fill(readings: Readings, numbers: list[Any]) -> None:
    for name, value in zip(INPUTS, numbers, strict=True):
        if isinstance(value, list):
            held = getattr(readings, name)
            for k, one in enumerate(value):
                held[k] = one
        else:
            setattr(readings, name, value)


def _where(tick: int, now_ms: int, recorded: list[Any], got: list[Any]) -> str:
    name, was, now = next((name, was, now) for name, was, now in zip(OUTPUTS, recorded, got, strict=True) if was != now)
    return f"tick {tick} (now_ms {now_ms}): {name} was {was} on the rig and is {now} here"


def main(argv: list[str]) -> int:
    """0 when every tick agreed, 1 when one did not."""
    p = Parser(
        prog="relith-hil replay", description=__doc__.splitlines()[0],
        epilog="A cycler's data, as CSV or in a vendor's format, go through the firmware by relith-sim replay instead.",
    )  # fmt: skip
    p.add_argument("file", metavar="FILE", type=Path, help="a recording of relith-hil record")
    a = p.parse_args(argv)
    result = replay(a.file)
    if result.difference:
        print(f"{a.file}: {result.difference}", file=sys.stderr)
        return 1
    print(f"{a.file}: {result.ticks} ticks, every decision and the journal the same bit for bit")
    return 0
