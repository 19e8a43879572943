"""Quiet hours: in a part of the clock's day no pulse begins, and none while the clock is not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.budgets import quiet
from relith.inventory import INFERRED
from relith.memory import pack_all, unpack_all

from hil.catalogue import COMMANDS
from tests.firmware.gate_worlds import names, order, pulsing, quiet_now, ready, resting
from tests.firmware.rigging import World

DAY_S, DAY_MIN = 86_400, 1440
CODE = {name: COMMANDS[name].code for name in ("quiet", "set_clock")}


@pytest.mark.parametrize(
    "from_min, until_min, second, refused",
    [
        (1320, 420, 1320 * 60 - 1, False),
        (1320, 420, 1320 * 60, True),
        (1320, 420, 0, True),
        (1320, 420, 420 * 60 - 1, True),
        (1320, 420, 420 * 60, False),
        (60, 61, 3599, False),
        (60, 61, 3600, True),
        (60, 61, 3659, True),
        (60, 61, 3660, False),
        (5, 4, 299, False),
        (5, 4, 300, True),
        (0, 0, 0, False),
        (700, 700, 700 * 60, False),
    ],
)
def test_from_the_first_minute_to_the_last(from_min, until_min, second, refused):
    world = ready()
    quiet_now(world, from_min, until_min, second)
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == ({"QUIET"} if refused else set())
    assert world.bms.gate.refuse_rest(world.bms, 21_600) == 0, "a rest is silent"


def test_the_next_days_hours_are_quiet_too():
    world = ready()
    quiet_now(world, 0, 60, 3600)
    world.bms.wishes.set_at_s -= 7 * DAY_S
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()
    world.bms.wishes.set_at_s += 1
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"QUIET"}


def test_without_a_clock_nobody_knows_whether_it_is_quiet():
    world = ready()
    world.bms.quiet(0, 1)
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"NO_CLOCK"}
    assert world.bms.gate.refuse_rest(world.bms, 21_600) == 0
    world.bms.quiet(1, 1)
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()


def test_what_is_asked_waits_for_the_end_of_quiet_hours_and_says_so():
    world = ready()
    quiet_now(world, 1320, 420, 420 * 60 - 90)
    order(world)
    world.run(80)
    assert world.state == "IDLE" and world.reason == "quiet hours: no pulse begins until they are over"
    assert world.bms.log._kept[(world.bms.log.count - 1) % 32 * 3 + 1] & 0xFF == world.outputs.reason
    world.run(30, until="PULSE")
    assert world.state == "PULSE"


def test_what_runs_is_not_disturbed():
    for world in (pulsing(), resting()):
        state = world.state
        quiet_now(world, 0, 1439)
        world.run(10)
        assert world.state == state


def test_they_outlive_a_loss_of_power_and_the_clock_does_not():
    world = ready()
    quiet_now(world, 1320, 420, 43_200)
    again = World(store=world.store, policy="none")
    gate = again.bms.gate
    assert (gate.quiet_from_min, gate.quiet_until_min) == (1320, 420)
    assert names(quiet(gate, again.bms)) == {"NO_CLOCK"}


def test_a_journal_from_before_them_is_not_believed():
    world = ready()
    data = pack_all(world.bms)
    assert unpack_all(world.bms, data) and not unpack_all(world.bms, b"\x06" + data[1:])


SECOND = st.one_of(st.integers(0, DAY_S - 1), st.integers(0, DAY_MIN - 1).map(lambda m: (60 * m - 700) % DAY_S))
MINUTE = st.integers(0, DAY_MIN - 1)
HAPPENS = st.one_of(
    st.tuples(st.just("quiet"), MINUTE, MINUTE),
    st.tuples(st.just("set_clock"), st.integers(0, 99_999), SECOND),
    st.tuples(st.just("late"), st.integers(1, (1 << 29) - 101), st.just(0)),
    st.tuples(st.just("back"), st.integers(1, 1 << 28), st.just(0)),
)


@given(st.lists(HAPPENS, min_size=1, max_size=6))
def test_a_pulse_begins_outside_quiet_hours_and_never_inside_whatever_clocks_do(happenings):
    """What was told is kept beside the firmware; a pulse is asked for after each happening, once alarms are over."""
    world = ready()
    world.p.storage_after_s = 1 << 29  # no pulse begins there, and none has been asked for so long
    bms, quiet, told = world.bms, (0, 0), None
    gate, clock = bms.gate, bms.clock
    for what, a, b in happenings:
        if what == "quiet":
            quiet = a, b
        elif what == "set_clock":
            told = b - clock.seconds
        else:
            world.board.ms += a if what == "late" else -a
        if what in CODE:
            assert bms.command(CODE[what], a, b) == 0
        gate.armed_until_s = gate.calibrated_until_s = 1 << 29
        world.run(800)
        gate.last_pulse_s, gate.day_spent_ppm, gate.life_spent_ppm, bms.estimates[0].known = -1, 0, 0, INFERRED
        rest = gate.refuse_rest(bms, 21_600)
        order(world, 2)
        world.run(3, until="PULSE")
        length = (quiet[1] - quiet[0]) % DAY_MIN
        inside = length and (told is None or ((told + clock.seconds) // 60 - quiet[0]) % DAY_MIN < length)
        assert world.state == ("IDLE" if inside else "PULSE"), (world.reason, quiet, told)
        assert gate.refuse_rest(bms, 21_600) == rest, "deadlines and rests are what they are without"
        world.run(10)
        gate.asked = 0
