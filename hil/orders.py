"""What a scenario tells the board over the link: the same words, the same frames, on every rig."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hil.boards import Board
from hil.codec import LinkError
from hil.scenario import Happening, Scenario
from host_sim.errors import InputError
from host_sim.tables import EXTRAS

PPM = 1e-6
Values = Mapping[str, Any]

# event -> the command of the catalogue and its two numbers; `lsb_a`: amperes in a count of the board's profile
_COMMANDS: dict[str, Callable[[Values, float], tuple[str, int, int]]] = {
    "arm": lambda v, lsb_a: ("arm", int(v["days"]), 0),
    "disarm": lambda v, lsb_a: ("disarm", 0, 0),
    "stop": lambda v, lsb_a: ("stop", 0, 0),
    "resume": lambda v, lsb_a: ("resume", 0, 0),
    "commission": lambda v, lsb_a: ("commission", 0, 0),
    "clear": lambda v, lsb_a: ("clear_latch", 0, 0),
    "store": lambda v, lsb_a: ("storage", 1, 0),
    "use": lambda v, lsb_a: ("storage", 0, 0),
    "set_clock": lambda v, lsb_a: ("set_clock", int(v["days"]), int(v["time_of_day"])),
    "quiet": lambda v, lsb_a: ("quiet", int(v["from"]) // 60, int(v["until"]) // 60),
    "extra": lambda v, lsb_a: ("extra", EXTRAS.index(v["which"]) + 1, int(v["uses"])),
    "calibrate": lambda v, lsb_a: ("calibrate", round(v["offset"] / lsb_a * 1e3), round(v["gain"] / PPM)),
    "calendar": lambda v, lsb_a: ("calendar", int(v["free"]), -1 if v["full_in"] is None else int(v["full_in"])),
}
ORDERS = frozenset(_COMMANDS) | {"upload_profile", "read_black_box"}


def give(board: Board, scenario: Scenario, one: Happening, lsb_a: float) -> str:
    """Carry out an event of ORDERS; the board's answer: done, or refused or silent with the sentence after a colon."""
    if one.action in _COMMANDS:
        return board.command(*_COMMANDS[one.action](one.values, lsb_a))
    if one.action == "upload_profile":
        name = one.values["profile"]
        try:
            return board.upload((scenario.path.parent / name).read_bytes())
        except OSError:
            raise InputError(f"{scenario.path.name}: {one.name}: profile {name} cannot be read") from None
    try:
        kept = board.black_box()
    except LinkError as error:
        return f"silent: {error}"
    return f"done: {len(kept)} bytes" if kept else "refused: the black box is empty"
