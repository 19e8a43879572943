"""A rig: a board, what stands for its cell, and how time goes, named in one TOML file.

    board = "host" | "virtual" | "usb"          the firmware here, on MicroPython in WebAssembly, or on a real board
    cell  = "simulated" | "bench" | "real"      readings over the link, driven by instruments, or truly there
    time  = "lockstep" | "real"

Everything in the file is checked before anything is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil import tables
from hil.boards import Board, HostBoard, VirtualRigBoard
from hil.codec import LinkError
from hil.instruments.capabilities import Limits
from hil.instruments.dialects import DIALECTS
from hil.instruments.errors import InstrumentError
from hil.orders import ORDERS
from hil.scenario import ROOM_DEGC, Scenario
from hil.serialport import BAUD
from hil.tables import Table
from hil.usb import UsbBoard
from host_sim.errors import InputError

FOLDER = Path(__file__).parent / "rigs"
BOARDS = ("host", "virtual", "usb")
CELLS = ("simulated", "bench", "real")
ROLES = {  # what an instrument is for -> the capability that its dialect must have
    "emulator": "emulator",
    "source": "source",
    "sink": "sink",
    "meter": "meter",
    "chamber": "chamber",
    "relay": "relay",
}
WORDS = {  # a scenario's need, for people
    "truth": "a simulated cell",
    "sensors": "sensors that can be made to fail",
    "switches": "switches that can be made to fail",
    "power": "control of the board's power",
    "flash": "a flash that can be made to refuse",
    "storage": "a flash that can be made to keep something else",
    "link": "a wire that can be cut and disturbed",
    "fast": "time faster than the wall's",
    "injection": "a build that takes injected readings",
    "past": "a board that wakes up with a given journal",
}
# what a kind of cell lets be done, whatever the board
CELL_CAN = {
    "simulated": frozenset(WORDS),
    "bench": frozenset({"truth", "past"}),
    "real": frozenset[str](),
}
# events that a rig with real terminals knows; one with a simulated cell knows them all
EVENTS = {
    "bench": ORDERS | {"mark", "charge_anyway", "draw_anyway", "soft_short", "ambient"},
    "real": ORDERS | {"mark"},
}


@dataclass(frozen=True)
class InstrumentFile:
    """One `[instruments.<role>]` table."""

    role: str
    address: str
    dialect: str
    channel: int
    deadline_s: float


@dataclass(frozen=True)
class Rig:
    """A rig as its file says. `late_s`: a tick later than this fails a real-time run."""

    name: str
    what: str
    path: Path
    board: str
    cell: str
    time: str
    port: str | None = None
    baud: int = BAUD
    repl: str | None = None
    late_s: float = 0.05
    limits: Limits | None = None
    lowest_v: float = 0.0  # this and the next: of a real cell
    hottest_degc: float = 0.0
    instruments: dict[str, InstrumentFile] = field(default_factory=dict)

    @property
    def can(self) -> frozenset[str]:
        """Which needs of a scenario it can meet."""
        board = {
            "host": HostBoard.can,
            "virtual": VirtualRigBoard.can,
            "usb": UsbBoard.can | ({"past"} if self.repl else set()),
        }[self.board]
        can = board & CELL_CAN[self.cell]
        return can - {"fast"} if self.time == "real" else can

    def cannot(self, scenario: Scenario) -> str:
        """Why a scenario cannot be run here, in words; empty when it can."""
        missing = [WORDS[need] for need in sorted(scenario.needs - self.can)]
        if self.cell in EVENTS:
            beyond = {one.action for one in scenario.happenings} - EVENTS[self.cell] - {"fault"}
            missing += [f"a way to do '{action}'" for action in sorted(beyond)]
        if self.cell == "bench" and scenario.profile.cell_count > 1:
            missing.append("an emulator for every cell of the string")
        weather = scenario.weather_degc != ROOM_DEGC or any(one.action == "ambient" for one in scenario.happenings)
        if self.cell == "bench" and weather and "chamber" not in self.instruments:
            missing.append("a thermal chamber")
        return "needs " + ", ".join(missing) if missing else ""

    def make_board(self, scenario: Scenario) -> Board:
        if self.board == "host":
            return HostBoard(scenario.profile, scenario.profile_text)
        if self.board == "virtual":
            return VirtualRigBoard(scenario.profile, scenario.profile_text)
        assert self.port is not None
        return UsbBoard(scenario.profile, scenario.profile_text, self.port, self.baud, self.repl)


@contextlib.contextmanager
def naming(rig: Rig, *others: str) -> Iterator[None]:
    """What is wrong with a port or an address is said with the rig file's name; not what names a file already, or one
    of `others`.
    """
    try:
        yield
    except (InstrumentError, LinkError):
        raise
    except InputError as error:
        named = str(error).startswith((f"{rig.path.name}:", *others))
        raise error if named else InputError(f"{rig.path.name}: {error}") from None


def find(name: str) -> Path:
    """A rig file by its name or path. Raises InputError."""
    if found := tables.find(name, FOLDER):
        return found
    known = ", ".join(path.stem for path in sorted(FOLDER.glob("*.toml")))
    raise InputError(f"{name}: no such rig file (there are {known})")


def load(path: Path | str) -> Rig:
    """Read and check a rig file. Raises InputError with file and field."""
    return parse(*tables.read(path))


def parse(data: dict[str, Any], path: Path) -> Rig:
    top = Table(path.name, "", data, "rig file")
    board, cell = top.word("board", BOARDS), top.word("cell", CELLS, "simulated")
    time = top.word("time", ("lockstep", "real"), "lockstep" if cell == "simulated" else "real")
    port = top.take("port", None)
    if board == "usb" and port is None:
        raise InputError(f"{top.where('port')} is missing: a usb board needs its port, such as '/dev/ttyACM0'")
    if cell != "simulated" and time == "lockstep":
        raise InputError(f"{top.where('time')} is 'lockstep', a {cell} cell goes in real time (allowed: real)")
    baud = top.take("baud", BAUD, int)
    if not 1200 <= baud <= 4_000_000:
        raise InputError(f"{top.where('baud')} is {baud} (allowed: 1200 … 4000000)")
    limits_table = top.table("limits")
    limits = None
    lowest_v, hottest_degc = 0.0, 0.0
    if limits_table.data:
        limits = Limits(
            limits_table.number("voltage", "voltage"),
            limits_table.number("source", "current", 0.0),
            limits_table.number("sink", "current", 0.0),
        )
        if cell == "real":
            lowest_v = limits_table.number("lowest_voltage", "voltage")
            hottest_degc = limits_table.number("temperature", "temperature")
    limits_table.done()
    table = top.table("instruments")
    instruments = {role: _instrument(table.table(role), role) for role in [*table.data] if _role(table, role)}
    if cell == "bench" and "emulator" not in instruments:
        raise InputError(f"{path.name}: instruments.emulator is missing: it stands in for the cell")
    if cell != "simulated" and limits is None:
        raise InputError(f"{path.name}: limits is missing: a {cell} cell needs its limits of voltage and current")
    rig = Rig(
        name=path.stem,
        what=top.take("what", ""),
        path=path,
        board=board,
        cell=cell,
        time=time,
        port=port,
        baud=baud,
        repl=top.take("repl", None),
        late_s=top.number("late", "time", 0.05),
        limits=limits,
        lowest_v=lowest_v,
        hottest_degc=hottest_degc,
        instruments=instruments,
    )
    top.done()
    return rig


def _role(table: Table, role: str) -> bool:
    if role not in ROLES:
        raise InputError(f"{table.where(role)} is not a role of an instrument (allowed: {', '.join(ROLES)})")
    return True


def _instrument(table: Table, role: str) -> InstrumentFile:
    known = tuple(name for name, one in DIALECTS.items() if ROLES[role] in one.capabilities)
    one = InstrumentFile(
        role=role,
        address=table.take("address"),
        dialect=table.word("dialect", known),
        channel=table.take("channel", 1, int),
        deadline_s=table.number("deadline", "time", 0.2),
    )
    table.done()
    return one
