"""How fast the gate lets the user charge: the scheduler's advice, and what outranks it."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.gate_worlds import WHY, ready

SLOW = "charging slowly: there is time until the cell must be full, and slow plating is compact"


def limit(world, advice_permille, full_in_s=86_400, **readings):
    """What the charger may use, per mille of 1C."""
    r = world.bms.readings
    r.user_full_in_s, r.user_consent, r.clock_known = full_in_s, 1, 1
    for name, value in readings.items():
        setattr(r, name, value)
    world.bms.scheduler.charge_permille = advice_permille
    world.bms.gate.apply(world.bms)
    return world.outputs.charge_limit_count * 1000 / world.p.one_c_count


def test_the_advice_is_what_the_charger_may_use():
    world = ready()
    assert limit(world, 300) == pytest.approx(300, abs=0.1)
    assert limit(world, 500) == limit(world, 100, -1) == pytest.approx(500, abs=0.1)
    assert limit(world, 100) == pytest.approx(202, abs=0.1)  # twice the taper: slower ends no charge


def test_a_deadline_overrides_it_and_more_so_from_hour_to_hour():
    world = ready()
    seen = [limit(world, 210, hours * 3600) for hours in (24, 12, 10, 8, 6, 5)]
    assert seen == pytest.approx([210, 210, 251.8, 314.5, 419.1, 500], abs=1.5)
    assert limit(world, 210, 18_000) == limit(world, 210, 60) == limit(world, 210, 0) == pytest.approx(500, abs=0.1)
    assert limit(world, 210, 18_001) == pytest.approx(500, abs=0.1)


@pytest.mark.safety(1)
def test_no_consent_and_no_clock_are_no_advice():
    world = ready()
    assert limit(world, 300, user_consent=0) == limit(world, 300, clock_known=0) == pytest.approx(500, abs=0.1)


def test_its_reason_is_told_once_when_it_begins_to_bind():
    world = ready()
    world.bms.scheduler.charge_permille = 300

    def day(r):
        r.user_full_in_s = 60_000

    world.alter = day
    world.run(30)
    assert world.reason != SLOW  # nobody charges
    world.seen.clear()
    world.run(600, 500)
    assert world.bms.tracker.permille == pytest.approx(300, abs=2)
    assert world.seen[-1] == ("CHARGE", SLOW)
    world.bms.outputs.reason = 0
    world.run(60, 500)
    assert world.bms.outputs.reason == 0
    world.run(60)
    world.bms.scheduler.charge_permille = 300
    world.run(60, 500)
    assert world.reason == SLOW  # the next charge says so again


@pytest.mark.parametrize("minutes", [310, 360, 480, 600, 700])
def test_no_faster_than_the_deadline_needs(minutes):
    """A minute and a per mille over at most."""
    world = ready()
    p = world.p
    need = p.charge_max_permille * (p.full_charge_s + 60) / (minutes * 60)
    assert need - 1 < limit(world, 0, minutes * 60) <= need + 1


@pytest.mark.parametrize("advice, over, told", [(300, 1, True), (300, 0, False), (500, 1, False)])
def test_its_reason_is_that_of_a_charge_held_back(advice, over, told):
    world = ready()
    world.outputs.reason = WHY["CALENDAR"]
    world.bms.belief.count = world.p.idle_count + over
    limit(world, advice)
    assert (world.reason == SLOW) == told


@cache
def quiet():
    return ready()


@given(st.integers(-10, 10_000), st.integers(-1, 31_536_000), st.integers(0, 1), st.integers(0, 1))
def test_it_never_raises_a_limit_and_never_breaks_a_deadline(advice, full_in_s, consent, clock):
    world = quiet()
    p = world.p
    permille = limit(world, advice, full_in_s, user_consent=consent, clock_known=clock)
    count = world.outputs.charge_limit_count
    assert 0 < count <= p.charge_max_count
    if full_in_s >= 0 and count < p.charge_max_count:  # what is kept free is a full charge at the greatest current
        assert permille * full_in_s >= p.charge_max_permille * p.full_charge_s


def test_a_short_time_kept_free_divides_by_nothing():
    world = ready(full_charge_s=0)
    assert limit(world, 300, 1) == limit(world, 300, 59) == pytest.approx(500, abs=0.1)  # too late to be sure
    assert limit(world, 300, 6000) == pytest.approx(300, abs=0.1)
