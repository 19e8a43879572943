"""Pulse, rest or nothing: the fixed policies do as they say, adaptive weighs, learns and stops."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.inventory import LIMIT_ANODE, MEASURED, UNKNOWN, Inventory
from relith.reasons import REASONS
from relith.scheduler import NONE, POLICIES, PULSE, REST, Scheduler

from tests.firmware.toy_cell import ToyCell, profile


def user(**changes):
    return SimpleNamespace(
        **{"user_consent": 1, "user_free_s": 50_000, "user_full_in_s": -1, "clock_known": 1, **changes}
    )


def gate(**changes):
    grants = {
        "pulse_allowed": 1,
        "rest_allowed": 1,
        "pulse_max_permille": 2000,
        "pulse_max_s": 300,
        "rest_max_s": 86400,
    }
    return SimpleNamespace(**{**grants, **changes})


def live(policy, cycles, recoverable=1.0, seed=1, readings=None, budgets=None, **changes):
    """A toy cell under one policy. Returns (cell, inventory, scheduler, list of decisions with their cycle)."""
    prof = profile(policy=POLICIES.index(policy), **changes)
    cell, inventory, scheduler = ToyCell(prof, seed, recoverable), Inventory(prof, 0), Scheduler(prof)
    done, rest_s = [], 0
    for k in range(cycles):
        for charging in (True, False):
            pulse = scheduler.decision == PULSE
            h = cell.charge(rest_s=rest_s) if charging else cell.discharge(rested=k % 10 == 0, pulse=pulse)
            inventory.half_cycle(h)
            scheduler.after_half_cycle(h, [inventory.estimate], readings or user(), budgets or gate())
            rest_s = scheduler.rest_s
            if scheduler.decision != NONE:
                done.append((k, scheduler.decision))
    return cell, inventory, scheduler, done


def test_fixed_policies_do_the_same_thing_every_cycle():
    assert live("none", 10)[3] == []
    assert live("liu21", 10)[3] == [(k, PULSE) for k in range(10)]
    assert live("zhang24", 10)[3] == [(k, REST) for k in range(10)]
    assert len(live("both", 10)[3]) == 20


def test_fixed_rest_keeps_its_period():
    done = live("zhang24", 40, rest_period_s=3 * 86400)[
        3
    ]  # a toy cycle takes about ten hours, so every seventh or eighth
    assert 4 <= len(done) <= 7


def test_adaptive_wins_lithium_back_and_stops_where_nothing_comes():
    cell, _, _, done = live("adaptive", 80)
    plain = live("none", 80)[0]
    assert len(done) > 10 and cell.q - cell.cathode < 0.8 * (plain.q - plain.cathode)
    _, _, scheduler, done = live("adaptive", 120, recoverable=0.0)
    for action in (PULSE, REST):
        tries = [k for k, decision in done if decision == action]
        assert len(tries) <= 12 and (not tries or tries[-1] < 60)
    assert "not tried again" in REASONS[scheduler.reason] or "below its cost" in REASONS[scheduler.reason]


@pytest.mark.parametrize(
    ("readings", "budgets", "words"),
    [
        (user(user_consent=0), gate(), "consent"),
        (user(), gate(pulse_allowed=0, rest_allowed=0), "gate"),
    ],
)
def test_refusals_are_said(readings, budgets, words):
    _, _, scheduler, done = live("both", 4, readings=readings, budgets=budgets)
    assert done == [] and words in REASONS[scheduler.reason]


def test_rest_needs_a_clock_and_time():
    for readings, words in ((user(clock_known=0), "clock"), (user(user_free_s=3000), "needs the cell soon")):
        for policy in ("zhang24", "adaptive"):
            _, _, scheduler, done = live(policy, 12, readings=readings)
            assert REST not in [decision for _, decision in done] and words in REASONS[scheduler.reason]


def estimate(**changes):
    base = {
        "known": MEASURED, "limited_by": LIMIT_ANODE, "isolated_ppm": 100_000, "isolated_sigma_ppm": 20_000,
        "loss_per_cycle_ppm": 8000, "pulse_factor_permille": 1000, "rest_factor_permille": 1000,
        "pulse_factor_sigma_permille": 300, "rest_factor_sigma_permille": 300, "pulse_trials": 0, "rest_trials": 0,
    }  # fmt: skip
    return SimpleNamespace(**{**base, **changes})


def test_unknown_inventory_means_no_intervention():
    scheduler = Scheduler(profile())
    cell = ToyCell(scheduler.profile, 0)
    for h in (cell.charge(), cell.discharge()):
        scheduler.after_half_cycle(h, [estimate(), estimate(known=UNKNOWN)], user(), gate())
        assert scheduler.decision == NONE and "unknown" in REASONS[scheduler.reason]


def test_what_the_user_does_anyway_is_not_added():
    scheduler = Scheduler(profile())
    cell = ToyCell(scheduler.profile, 0)
    for k in range(4):
        h = cell.charge()
        scheduler.after_half_cycle(h, [estimate(pulse_trials=9, rest_trials=9)], user(), gate())
        assert (scheduler.decision == PULSE) == (k < 2)
        scheduler.after_half_cycle(cell.discharge(rate=1.0), [estimate()], user(), gate())
    assert scheduler._user_pulses & 3 == 3


@given(
    st.sampled_from(POLICIES), st.integers(0, 1), st.integers(0, 200_000), st.integers(0, 1), st.integers(0, 1),
    st.integers(0, 1), st.integers(0, 3000), st.integers(0, 500), st.integers(0, 100_000), st.integers(0, 10**6),
    st.integers(0, 10**6),
)  # fmt: skip
def test_never_asks_beyond_what_is_granted_or_free(
    policy, consent, free, clock, pulse_ok, rest_ok, permille, seconds, rest, isolated, loss
):
    scheduler = Scheduler(profile(policy=POLICIES.index(policy), rest_fixed_s=7200))
    cell = ToyCell(scheduler.profile, 0)
    budgets = gate(
        pulse_allowed=pulse_ok, rest_allowed=rest_ok, pulse_max_permille=permille, pulse_max_s=seconds, rest_max_s=rest
    )
    readings = user(user_consent=consent, user_free_s=free, clock_known=clock)
    for h in (cell.charge(), cell.discharge(), cell.charge(0.3), cell.discharge(0.1)):
        scheduler.after_half_cycle(h, [estimate(isolated_ppm=isolated, loss_per_cycle_ppm=loss)], readings, budgets)
        if scheduler.decision == PULSE:
            assert h.kind > 0 and consent and pulse_ok
            assert scheduler.pulse_permille <= permille and scheduler.pulse_s <= seconds
        elif scheduler.decision == REST:
            assert h.kind < 0 and consent and rest_ok and clock
            assert 0 < scheduler.rest_s <= min(free, rest)
        else:
            assert scheduler.pulse_s == scheduler.rest_s == 0
        assert 0 < scheduler.reason < len(REASONS)


def test_journal_round_trip_and_refusal():
    _, _, scheduler, _ = live("adaptive", 60, recoverable=0.0)
    again = Scheduler(scheduler.profile)
    assert again.unpack(scheduler.pack()) and again.pack() == scheduler.pack()
    assert not again.unpack(b"") and not again.unpack(b"\xff" * len(scheduler.pack()))
