"""An exception at every line of a tick, one at a time: outputs off, a black-box entry, and the watchdog not fed."""

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import relith
from relith.bms import Bms

from tests.firmware.gate_worlds import order, ready, resting
from tests.firmware.rigging import World

RELITH = str(Path(__file__).resolve().parents[2] / "firmware" / "relith")


class InjectedError(Exception):
    """What no code of the firmware expects."""


def lines_of(world, act):
    """(file, line) of every line that the tick runs, in order, each once.

    Not those of `Bms.tick` itself: a bare `try:` and a return, which do nothing that could fail.
    """
    seen = {}

    def trace(frame, event, _):
        if not frame.f_code.co_filename.startswith(RELITH):
            return None
        if frame.f_code is Bms.tick.__code__:
            return None
        if event == "line":
            seen.setdefault((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        act(world)
    finally:
        sys.settrace(None)
    return list(seen)


def raising_at(place, world, act):
    """Run the tick; at its first arrival at `place` an exception is thrown. True when it was."""
    thrown = []

    def trace(frame, event, _):
        if not frame.f_code.co_filename.startswith(RELITH):
            return None
        if event == "line" and not thrown and (frame.f_code.co_filename, frame.f_lineno) == place:
            thrown.append(1)
            raise InjectedError(place)
        return trace

    sys.settrace(trace)
    try:
        act(world)
    except InjectedError:
        return True
    finally:
        sys.settrace(None)
    return False


def tick(world):
    """One tick of the controller alone: its readings are the ones that the board filled in `prepared`."""
    world.bms.tick(world.bms.readings)


def prepared(make):
    """A world whose next readings are filled in and not yet seen."""
    world = make()
    kept, world.bms.tick = world.bms.tick, lambda r: setattr(world.bms, "readings", r)
    world.tick(100, world.flows(0))
    world.bms.tick = kept
    return world


def charging():
    return World(share=0.5).run(60, 300)


def due():
    """A pulse that begins in the next tick: the effects of a transition, and the journal."""
    world = ready()
    order(world)
    return world


def faulty():
    """A latch in the next tick."""
    world = World(share=0.5).run(60, 300)
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    return world


@pytest.mark.safety(10, 14)
@pytest.mark.parametrize("make", [charging, due, faulty, resting], ids=lambda make: make.__name__)
def test_at_every_line_of_a_tick(make):
    places = lines_of(prepared(make), tick)
    assert len(places) > 150
    in_tick = 0
    for place in places:
        world = prepared(make)
        if not raising_at(place, world, tick):
            continue  # swallowed where it is expected (a stream, a store): the tick went on whole
        in_tick += 1
        o = world.bms.outputs
        assert not (o.charge_enable or o.discharge_enable or o.pulse_count or o.pulse_ms or o.balance_mask), place
        assert not (o.charge_limit_count or o.discharge_limit_count), place
        assert Bms(world.p, world.store).black_box.kept, place  # in the journal, not in memory alone
    assert in_tick > 150


@pytest.mark.safety(10, 14)
@pytest.mark.parametrize("policy, rest_s, on_s", [("adaptive", 0, 0), ("both", 0, 0), ("adaptive", 7200, 45)])
def test_at_every_line_of_a_half_cycles_end(policy, rest_s, on_s):
    """Schedule, and estimate: lines that none of those ticks comes to."""
    first = World(policy=policy).fill().run(60).empty().run(rest_s).run(on_s, 300)
    places = lines_of(copy.deepcopy(first), lambda world: world.run(20, 300))
    assert {"inventory.py" if rest_s else "scheduler.py"} <= {Path(file).name for file, _ in places}
    for place in places:
        world = copy.deepcopy(first)
        if Path(place[0]).name == "readings.py" or not raising_at(place, world, lambda world: world.run(20, 300)):
            continue  # the rig's board runs these too, outside a tick
        o = world.bms.outputs
        assert not (o.charge_enable or o.discharge_enable or o.pulse_count or o.balance_mask), place
        assert Bms(world.p, world.store).black_box.kept, place


@pytest.mark.safety(10)
@pytest.mark.parametrize("hangs", ["", "read", "tick", "apply"])
def test_the_watchdog_is_fed_after_a_whole_tick_and_only_then(monkeypatch, hangs):
    """main.py's loop on a board of paper; what hangs for good never returns, as here by an exception."""
    done = []

    def part(name, answer=None):
        def call(*_):
            if name == hangs:
                raise InjectedError(name)
            done.append(name)
            return answer

        return call

    def forever(turn):
        for _ in range(2):
            turn()

    outputs = SimpleNamespace(next_tick_ms=100)
    board = SimpleNamespace(
        read=part("read", 1), apply=part("apply"), feed=part("feed"), safe=part("safe"), forever=forever
    )
    bms = SimpleNamespace(
        readings=None, tick=part("tick", outputs), wishes=SimpleNamespace(restart=0), news=False,
        profile=SimpleNamespace(log_level=0),
    )  # fmt: skip
    monkeypatch.setattr(relith, "running", None, raising=False)
    for name in ("board", "machine"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    spec = importlib.util.spec_from_file_location("firmware_main", Path(RELITH).parent / "main.py")
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    monkeypatch.setattr(main, "build", lambda: (board, bms, ""))
    if not hangs:
        main.run()
        assert done == ["read", "tick", "apply", "feed"] * 2
        return
    with pytest.raises(InjectedError):
        main.run()
    assert "feed" not in done
