"""The plug pulled in the middle of `make flash`: does the board then start the old firmware or the new one, all off?

`pull(folder, profiles, points)` flashes two profiles in turn onto a virtual board and cuts its power each time when a
random share of what is sent has arrived.
"""

import contextlib
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hil import flash, image
from hil.virtual.bench import Bench
from hil.virtual.board import VirtualBoard, served
from host_sim.errors import InputError

LAST = 800
SWITCHES = ("charge", "discharge", "enable")


class Watched(Bench):
    """A bench that remembers whether a switch was driven on, and what was going on then (`now`)."""

    def __init__(self) -> None:
        self.on: list[str] = []
        self.now = ""
        super().__init__()

    def advance(self, milliseconds: float) -> None:
        super().advance(milliseconds)
        if any(self.hardware.pins.get(name) for name in SWITCHES):
            self.on.append(self.now)


@contextlib.contextmanager
def board_on(folder: Path, bench: Bench | None = None, **options) -> Iterator[tuple[VirtualBoard, str]]:
    """A virtual board on this flash folder, running on its terminal, and its port."""
    folder.mkdir(exist_ok=True)
    with VirtualBoard(folder, (bench or Bench()).hardware, **options) as board, served(board) as port:
        yield board, port


def what_starts(folder: Path) -> str:
    """Name of the profile that a power-up on this flash runs; "" when nothing starts. Raises AssertionError when a
    switch is on before its first tick."""
    bench = Watched()
    with VirtualBoard(folder, bench.hardware, stepped=True) as board:
        board.start()
        assert not bench.on, "a switch was on before the first tick"
        if not board.processor.looping:
            return ""
        board.step()
        return board.exec(image.at_prompt("import relith\nprint(relith.running.profile.name)")).strip()


@dataclass
class Pull:
    """`sent`: bytes that had arrived when the power went. `old`, `new`, `starts`: names of profiles; `starts`: what ran
    afterwards. `on`: whether a switch was on while flashing."""

    sent: int
    old: str
    new: str
    starts: str
    on: bool


def _flash(folder: Path, profile: Path, bench: Watched, most: int | None) -> int:
    """Flash, with the power going after `most` bytes. Returns how many arrived."""
    arrived = 0
    with board_on(folder, bench) as (board, port):
        assert board.terminal
        read = board.terminal.read

        def counted(wait_s: float | None = 0.0) -> bytes:
            nonlocal arrived
            data = read(wait_s)
            if data:
                bench.now = "flashing"
            arrived += len(data)
            if most is not None and arrived >= most:
                board.kill()
            return data

        board.terminal.read = counted  # type: ignore[method-assign]
        bench.on.clear()
        with contextlib.suppress(*([InputError] if most is not None else [])):
            flash.flash(port, profile, None, lambda text: None)
    return arrived


def _empty_idle(folder: Path) -> None:
    """Take from the folder that is not in use what a flash could keep: or there would be little to interrupt."""
    slots = [folder / f"firmware.{slot}" for slot in (0, 1)]
    running = max(path.read_text().split() for path in slots if path.exists())[1]
    for name in flash.FOLDERS:
        if name != running:
            shutil.rmtree(folder / name, ignore_errors=True)


def pull(folder: Path, old: Path, new: Path, points: int, seed: int = 7) -> list[Pull]:
    """Cut the power `points` times while `old` or `new` (profiles whose names are their files') is being flashed, at
    random, every fourth time in the last LAST bytes, then in their last half, where the choice is made."""
    draw = random.Random(seed)
    for profile in (old, new):  # so that both folders are there
        _flash(folder, profile, Watched(), None)
    _empty_idle(folder)
    shutil.copytree(folder, whole := folder.with_name("whole"))
    total = _flash(whole, old, Watched(), None)
    seen, runs = [], new.stem
    for point in range(points):
        wanted = old if runs == new.stem else new
        _empty_idle(folder)
        bench = Watched()
        first = total - LAST // (point // 4 + 1) if point % 4 == 3 else 1
        sent = _flash(folder, wanted, bench, draw.randrange(first, total))
        starts = what_starts(folder)
        seen.append(Pull(sent, runs, wanted.stem, starts, "flashing" in bench.on))
        runs = starts
    return seen
