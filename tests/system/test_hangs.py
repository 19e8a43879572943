"""A stuck main loop: whatever part of it never returns, the watchdog is fed no more and resets the board in time."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import relith
from boards.base import _WATCHDOG_MS

from tests.firmware.rigging import World


class ResetError(BaseException):
    """The watchdog resets the board: nothing catches that."""


class Clock:
    """The board's time, and a watchdog of hardware on it."""

    def __init__(self):
        self.ms = 0
        self.fed_ms = None  # never: it does not run yet

    def wait(self, ms):
        self.ms += ms
        if self.fed_ms is not None and self.ms - self.fed_ms > _WATCHDOG_MS:
            raise ResetError

    def stuck(self, *_):
        while True:
            self.wait(1)


class Board:
    """A board of paper under the real controller; `hang(part)` makes a part of it never return."""

    def __init__(self):
        self.clock = Clock()
        self.world = World(share=0.5)
        self.bms = self.world.bms
        self.bms.link.stream = self
        self.calls = []

    def read(self, r=None):
        """The sensors, and, without readings to fill, the link's bytes."""
        if r is None:
            return None
        self.calls.append("read")
        self.clock.wait(20)
        self.world.board.pass_(100, 0)
        o = self.bms.outputs
        for name, value in vars(self.world.board.readings).items():
            setattr(r, name, value)
        r.charge_switch, r.discharge_switch = o.charge_enable, o.discharge_enable
        return 1

    def write(self, data):
        pass

    def apply(self, outputs):
        self.calls.append("apply")

    def feed(self):
        self.calls.append("feed")
        self.clock.fed_ms = self.clock.ms

    def safe(self):
        self.calls.append("safe")

    def forever(self, turn):
        while True:
            self.clock.wait(min(turn(), 4000))


@pytest.fixture
def main(monkeypatch):
    monkeypatch.setattr(relith, "running", None, raising=False)
    for name in ("board", "machine"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    path = Path(relith.__file__).resolve().parents[1] / "main.py"
    spec = importlib.util.spec_from_file_location("firmware_main", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    board = Board()
    monkeypatch.setattr(module, "build", lambda: (board, board.bms, ""))
    module.paper = board
    return module


PARTS = {  # what never returns: where it hangs, and its place in a turn
    "a driver's read": (lambda b: setattr(b, "read", b.clock.stuck), []),
    "the link's bytes": (lambda b: setattr(b.bms.link.stream, "read", within_tick(b)), ["read"]),
    "the journal's flash": (lambda b: journal_stuck(b), ["read"]),
    "the switches": (lambda b: setattr(b, "apply", b.clock.stuck), ["read"]),
}


def within_tick(board):
    """Sensors still answer; the link, asked in the tick, does not."""
    sensors = board.read
    return lambda r=None: board.clock.stuck() if r is None else sensors(r)


def journal_stuck(board):
    board.bms.journal.store.write = board.clock.stuck
    board.bms._saved_s -= 10**6  # a record is due


@pytest.mark.safety(10)
@pytest.mark.parametrize("part", PARTS)
def test_what_never_returns_is_ended_by_the_watchdog(main, part):
    board, (hang, reached) = main.paper, PARTS[part]
    turns = []
    whole = board.feed

    def feed():
        whole()
        turns.append(1)
        if len(turns) == 5:
            hang(board)
            board.calls.clear()

    board.feed = feed
    with pytest.raises(ResetError):
        main.run()
    assert len(turns) == 5 and board.calls == reached  # no feeding after the hang, however long
    assert board.clock.ms - board.clock.fed_ms == _WATCHDOG_MS + 1


@pytest.mark.safety(10)
def test_healthy_turns_feed_it(main):
    board = main.paper
    whole, turns = board.feed, []

    def feed():
        whole()
        turns.append(1)
        if len(turns) == 200:
            raise KeyboardInterrupt

    board.feed = feed
    with pytest.raises(KeyboardInterrupt):
        main.run()
    assert board.clock.ms > 2 * _WATCHDOG_MS and board.calls[-3:] == ["read", "apply", "feed"]
