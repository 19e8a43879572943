"""A rig's run on tape: every reading that went into the board, every decision that came out, every command and start.

`relith-hil record SCENARIO FILE` writes one, `relith-hil replay FILE` runs it through the firmware in this process.
The file is gzip-compressed text, one JSON value a line: a head, then `["start", slots, watchdog]`,
`["tick", inputs, outputs]`, `["command", name, a, b]`, `["stop"]`, `["end", slots]`.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relith import catalogue
from relith.readings import Outputs, Readings

from hil.boards import Board
from hil.catalogue import TO_HOST
from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.version import version

FORMAT = 1


INPUTS = catalogue.READINGS
OUTPUTS = next(names for name, names, _ in TO_HOST.values() if name == "outputs")


class Tape:
    """Writes a recording; see `hil.boards.Tape`. Line by line, so that a run that dies leaves what there was."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self.ticks = 0
        self._file = gzip.open(path, "wt", encoding="utf-8", compresslevel=3)  # noqa: SIM115 (close() ends it)
        self._line({"format": FORMAT, "version": version(), "inputs": INPUTS, "outputs": OUTPUTS, **head})

    def _line(self, value: Any) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")) + "\n")

    def start(self, slots: Mapping[int, bytes], watchdog: bool) -> None:
        self._line(["start", {str(slot): data.hex() for slot, data in sorted(slots.items())}, int(watchdog)])

    def stop(self) -> None:
        self._line(["stop"])

    def asked(self, what: str, *arguments: Any) -> None:
        self._line([what, *arguments])

    def tick(self, readings: Readings, outputs: Outputs) -> None:
        self.ticks += 1
        self._line(["tick", values(readings, INPUTS), values(outputs, OUTPUTS)])

    def close(self, slots: Mapping[int, bytes]) -> None:
        self._line(["end", {str(slot): data.hex() for slot, data in sorted(slots.items())}])
        self._file.close()


def values(source: object, names: tuple[str, ...]) -> list[Any]:
    """Fields as plain numbers; arrays as lists."""
    out = []
    for name in names:
        value = getattr(source, name)
        out.append(value if isinstance(value, int) else list(value))
    return out


def lines(path: Path) -> Iterator[Any]:
    """The values of a recording, head first. Raises InputError with file and line."""
    number = 0
    if not path.is_file():
        raise InputError(f"{path}: no such recording")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                number += 1
                yield json.loads(line)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        hint = "" if number else "; a cycler's data is for relith-sim replay"
        raise InputError(f"{path}: not a whole recording after line {number} ({error}){hint}") from None
    except json.JSONDecodeError:
        raise InputError(f"{path}: line {number} is not part of a recording") from None
    if not number:
        raise InputError(f"{path}: is empty, not a recording")


def parser() -> Parser:
    p = Parser(prog="relith-hil record", description="Run a scenario and keep every reading and decision in one file.")
    p.add_argument("scenario", metavar="SCENARIO", help="name or file")
    p.add_argument("file", metavar="FILE", type=Path, help="the recording to write, such as run.rec.gz")
    p.add_argument(
        "--rig", default="virtual", metavar="FILE", help="rig file, or the name of one that comes with the rig"
    )
    return p


def main(argv: list[str]) -> int:
    """0 when the scenario passed, 1 when it failed (the recording is there all the same)."""
    from hil import rigs, scenario
    from hil.runner import CANNOT, run

    a = parser().parse_args(argv)
    one, rig = scenario.load(scenario.find(a.scenario)), rigs.load(rigs.find(a.rig))
    if rig.cell != "simulated":
        raise InputError(f"{rig.path.name}: cell is '{rig.cell}'; only injected readings can be replayed bit for bit")
    try:
        a.file.open("ab").close()
    except OSError as error:
        raise InputError(f"{a.file}: cannot be written ({error.strerror})") from None
    tape = Tape(a.file, {"scenario": one.name, "rig": rig.name, "profile": one.profile_text})

    def load(board: Board) -> None:
        board.tape = tape

    result = run(one, rig, prepare=load)
    tape.close(result.slots)
    if result.state == CANNOT:
        a.file.unlink()
        print(f"{rig.name} cannot run {one.name}, it {result.reason}", file=sys.stderr)
        return 1
    print(f"{a.file}: {tape.ticks} ticks of {one.name} on {rig.name}, {result.state}")
    return 0 if result.ok else 1
