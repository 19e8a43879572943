"""How long a tick may be: no limit is passed between two, and they are short where something happens."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.tables import STATES
from tests.firmware.gate_worlds import pulsing, ready, resting

UV = st.integers(2_000_000, 4_400_000)


@cache
def quiet():
    return ready()


@given(UV, st.integers(-2600, 700), st.sampled_from(["IDLE", "CHARGE", "DISCHARGE", "STORAGE", "SOFT_LIMIT"]))
def test_no_limit_is_passed_between_two_ticks(uv, permille, state):
    """At the steepest slopes assumed, from this tick to the next; or 100 ms, where it is closer than that."""
    world = quiet()
    bms, p = world.bms, world.p
    bms.belief.min_uv = bms.belief.max_uv = uv
    bms.belief.count = permille * p.one_c_count // 1000
    bms.tracker.permille = abs(permille)
    bms.machine.state = STATES.index(state)
    bms.moved = 0
    bms.gate.apply(bms)
    bms.gate.apply(bms)  # the second time no switch has just changed
    wait = world.outputs.next_tick_ms
    assert 100 <= wait <= 60_000
    if wait == 100:
        return
    ppm = wait / 3600  # at 1C, times permille/1000
    if permille < 0:
        assert uv - 200 * ppm * -permille / 1000 * 1000 >= p.min_uv - 1e-6
    if permille > 0:
        assert uv + 20 * ppm * permille <= p.soft_max_uv + 1e-6
    assert uv - 100 * ppm * p.discharge_max_permille >= p.hard_min_uv - 1e-6
    assert uv + 20 * ppm * p.charge_max_permille <= p.hard_max_uv + 1e-6


def test_short_ticks_where_something_happens():
    world = ready()
    bms = world.bms
    world.run(300)
    assert world.outputs.next_tick_ms > 10_000
    for part, name, value, wait in (
        (bms, "moved", 1, 100),
        (bms.protection, "pending", 1, 100),
        (bms.tracker, "ended", 1, 100),
        (bms.tracker, "ready", 1, 100),
        (bms, "ended", 1, 100),
        (bms.clock, "still", 1, 100),
        (bms.protection, "recovering", 1, 1000),
        (bms.ledger, "doubt", 1, 1000),
        (bms.gate, "asked", 1, 1000),
        (bms.protection, "active", 1 << 27, 10_000),
    ):
        setattr(part, name, value)
        bms.gate.apply(bms)
        assert world.outputs.next_tick_ms == wait
        setattr(part, name, 0)
        bms.gate.apply(bms)
        assert world.outputs.next_tick_ms > 10_000


def waits(world, **changes):
    bms = world.bms
    for name, value in changes.items():
        owner, _, field = name.partition("__")
        setattr(getattr(bms, owner), field, value)
    bms.gate.apply(bms)
    bms.gate.apply(bms)  # the second time no switch has just changed
    return world.outputs.next_tick_ms


def test_the_longest_wait_to_the_millisecond():
    """Slopes of docs/profile.md: 100 and 200 uV down, 20 up per ppm; at 1C a ppm moves in 3.6 ms."""
    world = ready()
    p, idle = world.p, {"belief__count": 0, "tracker__permille": 0, "machine__state": STATES.index("IDLE")}
    room = 3_000_000
    assert waits(world, **idle, belief__min_uv=p.hard_min_uv + room, belief__max_uv=3_500_000) == 60_000
    near = {"belief__min_uv": p.hard_min_uv + 50_000, "belief__max_uv": 3_500_000}
    assert waits(world, **idle, **near) == 50_000 * 36 // p.discharge_max_permille
    near = {"belief__min_uv": 4_000_000, "belief__max_uv": p.hard_max_uv - 10_000}
    assert waits(world, **idle, **near) == 10_000 * 180 // p.charge_max_permille
    out = {"belief__count": -1, "tracker__permille": 500, "belief__max_uv": 3_500_000}
    assert waits(world, **idle | out, belief__min_uv=p.min_uv + 100_000) == 100_000 * 18 // 500
    inward = {"belief__count": 1, "tracker__permille": 500, "belief__min_uv": 4_000_000}
    assert waits(world, **idle | inward, belief__max_uv=p.soft_max_uv - 3000) == 3000 * 180 // 500
    assert waits(world, **idle | inward, belief__max_uv=p.soft_max_uv - 100) == 100
    blocked = {"tracker__full": 1, "belief__min_uv": 4_000_000, "belief__max_uv": p.hard_max_uv - 100}
    assert waits(world, **idle, **blocked) == (4_000_000 - p.hard_min_uv) * 36 // p.discharge_max_permille
    blocked = {"tracker__empty": 1, "belief__min_uv": p.hard_min_uv + 100, "belief__max_uv": 3_500_000}
    assert waits(world, **idle, **blocked) == 60_000  # what is off cannot hurt
    world.bms.tracker.full = world.bms.tracker.empty = 0


def test_a_current_is_watched_for_the_limit_it_goes_to_and_not_for_the_other():
    world = ready()
    p, idle = world.p, {"machine__state": STATES.index("IDLE"), "tracker__permille": 500}
    low, high = p.min_uv + 1000, p.soft_max_uv - 100
    inward = waits(world, **idle, belief__count=1, belief__min_uv=low, belief__max_uv=3_300_000)
    assert inward == (low - p.hard_min_uv) * 36 // p.discharge_max_permille
    outward = waits(world, **idle, belief__count=-1, belief__min_uv=4_000_000, belief__max_uv=high)
    assert outward == (p.hard_max_uv - high) * 180 // p.charge_max_permille > 100


def test_the_wait_of_a_pulse_and_of_a_rest():
    world = pulsing(seconds=2)
    world.bms.gate.run_ms = 1950
    world.bms.gate.apply(world.bms)
    assert (world.outputs.pulse_ms, world.outputs.next_tick_ms) == (50, 50)
    world.bms.gate.run_ms = 2000
    world.bms.gate.apply(world.bms)
    assert (world.outputs.pulse_ms, world.outputs.next_tick_ms) == (0, 1)
    world = resting(3600)
    world.run(60)
    world.bms.gate.run_ms = 3_600_000 - 12_345
    world.bms.gate.apply(world.bms)
    assert world.outputs.next_tick_ms == 12_345


@pytest.mark.parametrize("good, wait", [(0, 100), (19, 100), (20, 60_000)])
def test_a_sensor_that_comes_and_goes_is_watched_closely(good, wait):
    world = ready()
    world.bms.belief.max_uv = 3_500_000
    assert waits(world, belief__good=good, belief__min_uv=world.p.hard_min_uv + 3_000_000) == wait


def test_boot_is_watched_closely():
    world = ready()
    assert waits(world, machine__state=STATES.index("BOOT")) == 100
