"""Budgets of the gate: what a pulse takes and books, the day, the life, the cool-down, and what is on offer."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.budgets import charge_ppm, day_spent, spend
from relith.journal import OWN_MOST

from tests.firmware.gate_worlds import SPOIL, names, order, pulsing, ready


def test_the_charge_of_a_pulse():
    """Per mille of 1C times seconds, in ppm of nominal: 1C is 267 mA, nominal 239 mAh."""
    world = ready()
    p = world.p
    for permille, seconds in ((1000, 120), (2000, 300), (1, 1)):
        exact = permille * seconds * p.one_c_ua / 3.6 / p.nominal_capacity_uah
        assert charge_ppm(world.p, permille, seconds) == int(exact)


def test_what_a_pulse_books():
    world = ready()
    gate, clock = world.bms.gate, world.bms.clock
    gate.day_spent_ppm, gate.life_spent_ppm, gate.pulses, gate.run_ms = 7, 1000, 3, 55
    world.bms.scheduler.pulse_permille, world.bms.scheduler.pulse_s = 1000, 120
    gate.asked, gate._moved_ppm, gate.day_began_s = 1, 9, clock.seconds
    gate.begin_pulse(world.bms)
    assert (gate.pulse_permille, gate.pulse_ms, gate._planned_ppm, gate._moved_ppm) == (1000, 120_000, 37_238, 0)
    assert (gate.day_spent_ppm, gate.life_spent_ppm, gate.pulses, gate.asked, gate.run_ms) == (37_245, 38_238, 4, 0, 0)
    assert gate.last_pulse_s == clock.seconds and gate._began_cdegc == world.bms.belief.max_cdegc
    gate._moved_ppm, gate.run_ms = 20_000, 61_999
    clock.seconds += 61
    gate.end_pulse(world.bms)
    assert (gate.day_spent_ppm, gate.life_spent_ppm, gate.pulse_permille) == (20_007, 21_000, 0)
    assert gate.last_pulse_s == clock.seconds
    main = world.bms.tracker._main
    stretch = main if main.kind < 0 else world.bms.tracker._back
    assert (stretch.pulse_ppm, stretch.pulse_permille, stretch.pulse_s) == (20_000, 1000, 61)
    gate.day_spent_ppm = 0
    spend(gate, world.bms.clock.seconds, -5)
    assert gate.day_spent_ppm == 0 and gate.life_spent_ppm == 20_995


def test_a_pulse_armed_by_name_takes_one_of_its_uses():
    world = ready()
    gate = world.bms.gate
    world.bms.scheduler.pulse_permille, world.bms.scheduler.pulse_s = 1000, 10
    for extra, uses in ((None, 3), ([0] * 7, 2)):
        gate.extras.pulse, gate.extras.uses = extra, 3
        gate.begin_pulse(world.bms)
        assert gate.extras.uses == uses
        gate.end_pulse(world.bms)
        assert gate.extras.pulse is None and gate.extras.uses == uses


def test_a_day_is_a_day():
    world = ready()
    gate, clock = world.bms.gate, world.bms.clock
    gate.day_began_s, gate.day_spent_ppm = clock.seconds - 86_399, 5
    assert day_spent(gate, clock.seconds) == 5
    clock.seconds += 1
    assert day_spent(gate, clock.seconds) == 0 and gate.day_began_s == clock.seconds


def test_cooling_down_ends():
    world = ready()
    gate, now_s = world.bms.gate, world.bms.clock.seconds
    world.bms.clock.seconds = now_s + 2000
    for ago, expected in ((1799, {"COOLDOWN"}), (1800, set())):
        gate.last_pulse_s = now_s + 2000 - ago
        assert names(gate.refuse_pulse(world.bms, 1000, 120)) == expected


def test_a_pulse_at_the_start_of_time_cools_down_too():
    world = ready()
    world.bms.clock.seconds = 100
    world.bms.gate.calibrated_until_s = world.bms.gate.armed_until_s = 10**6
    world.bms.gate.last_pulse_s = 0
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"COOLDOWN"}


@pytest.mark.safety(9)
def test_after_a_pulse_it_cools_down_and_the_day_ends():
    world = pulsing(seconds=300, permille=1000)
    world.run(400, until="IDLE")
    gate = world.bms.gate
    order(world)
    world.run(20)
    assert world.reason == "cooling down since the last pulse"
    gate.asked = 0
    world.run(world.p.cooldown_s - 20)
    assert gate.budgets(world.bms).pulse_allowed == 1
    gate.day_spent_ppm = world.p.day_budget_ppm
    assert gate.budgets(world.bms).pulse_allowed == 0
    world.run(86_400)
    assert gate.budgets(world.bms).pulse_allowed == 1 and gate.day_spent_ppm == 0


# -- what is on offer --------------------------------------------------------------------------------------------------

OFFER = {  # what speaks against it -> what is still offered: pulse, rest
    None: (1, 1),
    "CUTOFF": (0, 1),
    "COOLDOWN": (0, 1),
    "CONSENT": (0, 0),
    "JOURNAL": (0, 0),
}


@pytest.mark.safety(4, 9)
@pytest.mark.parametrize("name", OFFER)
def test_nothing_is_offered_that_would_be_refused(name):
    world = ready()
    if name:
        SPOIL[name](world)
    budgets = world.bms.gate.budgets(world.bms)
    assert (budgets.pulse_allowed, budgets.rest_allowed) == OFFER[name]


@pytest.mark.parametrize(
    "day, life, pulse, longest",
    [(0, 0, 10**5, 161), (-37_239, 0, 10**5, 60), (0, -37_239, 10**5, 60), (0, 0, 37_239, 60), (0, 0, 37_238, 59),
     (0, 0, 0, 0), (1, 0, 10**5, 0), (0, 0, 10**6, 300)],
)  # fmt: skip
def test_the_longest_pulse_on_offer(day, life, pulse, longest):
    """At 2C a pulse of 60 s takes 37 238 ppm."""
    world = ready()
    gate, p = world.bms.gate, world.p
    p.pulse_budget_ppm, p.day_budget_ppm = pulse, 10**6
    gate.day_began_s = world.bms.clock.seconds
    gate.day_spent_ppm = p.day_budget_ppm + day if day else 0
    gate.life_spent_ppm = p.life_budget_ppm + life if life else 0
    gate.budgets(world.bms)
    assert gate.pulse_max_s == longest
    assert (gate.pulse_allowed, gate.rest_allowed) == (int(longest > 0), 1)


@pytest.mark.parametrize("left, longest", [(0, 0), (-1, 0), (1, 3), (92, 296), (93, 300)])
def test_the_longest_pulse_on_offer_of_a_profile_that_hardly_pulses(left, longest):
    """At 1 per mille 300 s take 93 ppm, so that a single ppm would be three seconds: with none left none is offered."""
    world = ready()
    gate, p = world.bms.gate, world.p
    p.pulse_max_permille, p.pulse_max_s = 1, 300
    gate.life_spent_ppm = p.life_budget_ppm - left
    assert charge_ppm(gate.profile, 1, 300) == 93
    gate.budgets(world.bms)
    assert (gate.pulse_max_s, gate.pulse_allowed) == (longest, int(longest > 0))


@cache
def quiet():
    world = ready()
    world.bms.tracker.drop_uv[0] = 100_000
    return world


@pytest.mark.safety(9)
@given(st.integers(0, 100_000), st.integers(0, 400_000), st.integers(0, 100_000_000))
def test_budgets_never_offer_what_would_be_refused(pulse, day, life):
    """The longest pulse offered at the greatest strength is granted."""
    world = quiet()
    gate = world.bms.gate
    gate.day_spent_ppm, gate.life_spent_ppm = day, life
    world.p.pulse_budget_ppm = pulse
    budgets = gate.budgets(world.bms)
    if budgets.pulse_allowed:
        refused = names(gate.refuse_pulse(world.bms, budgets.pulse_max_permille, budgets.pulse_max_s))
        assert refused == set()
    else:
        assert budgets.pulse_max_s == 0


def test_a_profile_that_all_but_forbids_pulses_divides_by_nothing():
    """The least that may be written: a pulse too small to move one ppm."""
    world = ready(pulse_max_permille=1, pulse_max_s=1, pulse_fixed_permille=1, pulse_fixed_s=1)
    gate = world.bms.gate
    assert charge_ppm(gate.profile, 1, 1) == 0 and gate.budgets(world.bms).pulse_max_s == 1
    world.cycle()


@pytest.mark.parametrize("left, longest", [(0, 0), (1, 1)])
def test_a_pulse_that_takes_nothing_is_on_offer_while_anything_is_left(left, longest):
    world = ready(pulse_max_permille=1, pulse_max_s=1, pulse_fixed_permille=1, pulse_fixed_s=1)
    gate = world.bms.gate
    gate.life_spent_ppm = world.p.life_budget_ppm - left
    assert gate.budgets(world.bms).pulse_max_s == longest


@pytest.mark.safety(9, 11)
@pytest.mark.parametrize("kind", [1, 2])
def test_what_may_be_written_in_a_day_bounds_interventions_too(kind):
    """A record that must not be written is a pulse or rest that does not begin; the next day it may again."""
    for records, allowed in ((OWN_MOST - 1, 1), (OWN_MOST, 0)):
        world = ready()
        journal = world.bms.journal
        journal.day_began_s, journal.day_records = world.bms.clock.seconds - 86_399, records
        budgets = world.bms.gate.budgets(world.bms)
        assert budgets.pulse_allowed == budgets.rest_allowed == allowed
        order(world)
        world.bms.scheduler.rest_s, world.bms.gate.asked = 3600, kind
        world.tick(100, 0)
        assert (world.state in ("PULSE", "REST")) == bool(allowed)
        assert allowed or names(world.outputs.reason) == {"WORN"}
    assert journal.day_records == OWN_MOST
    world.run(1)
    assert world.state in ("PULSE", "REST") and journal.day_records == 1
