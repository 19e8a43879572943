"""`relith-hil`: the rig by hand. A command's module is imported only when it is called."""

from __future__ import annotations

import importlib
import sys

from host_sim.cli import guarded
from host_sim.errors import InputError

# name -> (module with `main(argv) -> exit status`, what it does)
COMMANDS = {
    "run": ("hil.run", "scenarios on a rig: JUnit, one HTML report, BDF logs"),
    "record": ("hil.recording", "run a scenario and keep every reading and decision in one file"),
    "replay": (
        "hil.replay",
        "a recorded rig run through the host's firmware, bit for bit (of a cycler's data: relith-sim replay)",
    ),
    "monitor": ("hil.monitor", "watch a board live in the terminal"),
    "tell": ("hil.tell", "have a board do something: arm, stop, clear_latch, commission, a new profile, …"),
    "calibrate": ("hil.calibrate", "offset and gain of a board's current path against a meter"),
    "soak": ("hil.soak", "one scenario over and over, for hours"),
    "loopback": ("hil.instruments.serve", "instruments without hardware on TCP ports, to learn and to try a rig file"),
}


def usage() -> str:
    """What `relith-hil --help` prints."""
    lines = [f"  {name:10} {what}" for name, (_, what) in COMMANDS.items()]
    return "usage: relith-hil COMMAND [options]; relith-hil COMMAND --help tells them\n\n" + "\n".join(lines)


def dispatch(argv: list[str]) -> int:
    """Call the command named first. Raises InputError when there is none of that name."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] not in COMMANDS:
        raise InputError(f"relith-hil: no command {argv[0]!r}; there are {', '.join(COMMANDS)}")
    status: int = importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])
    return status


def main() -> None:
    """Entry point of `relith-hil`."""
    sys.exit(guarded(dispatch, sys.argv[1:]))
