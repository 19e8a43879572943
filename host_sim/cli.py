"""`relith-sim`: every host command by hand, each with `--help`. A command's module is imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from host_sim.errors import InputError

# name -> (module with `main(argv) -> exit status`, what it does); those whose module is not installed are not offered
COMMANDS = {
    "run": ("host_sim.run", "the main job: a cell's life without and with reactivation"),
    "reproduce": ("host_sim.reproduce", "the published experiments on the simulated cell"),
    "fit": ("host_sim.fit", "fit the cell's parameters to the published experiments"),
    "sensitivity": ("host_sim.sensitivity", "move every assumed parameter over its range"),
    "campaign": ("host_sim.campaign", "many cells, many protocols, over processes or a cluster"),
    "replay": (
        "host_sim.replay",
        "recorded cycler data through the firmware (of a rig's own recording: relith-hil replay)",
    ),
    "profile": ("host_sim.profile_builder", "a checked profile from a slow cycle and pulses of your own cell"),
    "bench": ("host_sim.bench", "speed, memory and accuracy, beside the peers"),
    "faults": ("host_sim.faults", "the fault-injection campaign"),
    "mutants": ("host_sim.mutants", "mutation testing of the safety rooms"),
}


class Parser(argparse.ArgumentParser):
    """Argument parser whose complaints are one sentence and exit 2, as every other bad input is."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.ArgumentDefaultsHelpFormatter, **options)

    def error(self, message: str):
        """Raises InputError."""
        raise InputError(f"{self.prog}: {message}")


class Progress:
    """How far a command has come, on stderr: one line updated in place on a terminal, elsewhere a line each time."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()

    def show(self, text: str) -> None:
        """In place of what was shown before, or below it."""
        self.stream.write(f"\r{text}\x1b[K" if self.live else f"{text}\n")
        self.stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self.live:
            self.stream.write("\n")


def out_folder(where: str, path: str | Path) -> Path:
    """The folder for a command's results, made if need be. Raises InputError when nothing can be written there."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{where}: --out is {path}, which cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{where}: --out is {path}, which cannot be written to; name a folder that can")
    return folder


def available() -> dict[str, tuple[str, str]]:
    """The commands whose module is here."""
    return {name: entry for name, entry in COMMANDS.items() if importlib.util.find_spec(entry[0])}


def usage() -> str:
    """What `relith-sim --help` prints."""
    lines = [f"  {name:12} {what}" for name, (_, what) in available().items()]
    return "usage: relith-sim COMMAND [options]; relith-sim COMMAND --help tells them\n\n" + "\n".join(lines)


def guarded(call, *arguments) -> int:
    """Run a command; bad input is one sentence on stderr and 2, an interrupt is 130. Shared by both command lines."""
    try:
        return call(*arguments)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("host_sim", "hil", "relith"):
            raise
        needed = f"this command needs the package {error.name!r}, which is not installed"
        print(
            f"{needed}; `make test` or `make hil` installs it once, as do the extras in pyproject.toml", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def dispatch(argv: list[str]) -> int:
    """Call the command named first. Raises InputError when there is none of that name."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        from host_sim.version import version

        print(version())
        return 0
    commands = available()
    if argv[0] not in commands:
        raise InputError(f"relith-sim: no command {argv[0]!r}; there are {', '.join(commands)}")
    return importlib.import_module(commands[argv[0]][0]).main(argv[1:])


def main() -> None:
    """Entry point of `relith-sim`."""
    sys.exit(guarded(dispatch, sys.argv[1:]))
