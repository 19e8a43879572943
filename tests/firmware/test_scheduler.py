"""Pulse, rest or nothing: the fixed policies do as they say, adaptive weighs, learns and stops."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.halfcycle import END_HIGH, END_LOW
from relith.inventory import LIMIT_ANODE, MEASURED, UNKNOWN, Inventory
from relith.scheduler import NONE, POLICIES, PULSE, REST, Scheduler

from host_sim.tables import REASONS
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
    for seed in range(1, 4):
        _, inventory, _, done = live("adaptive", 120, recoverable=0.0, seed=seed)
        assert inventory.estimate.pulse_trials <= 10 and inventory.estimate.rest_trials <= 10
        assert all(k < 60 for k, _ in done)


def test_what_a_reservoir_covers_is_left_in_store_until_it_shows():
    done = live("adaptive", 60, reservoir_ppm=400_000, weight_hour_ppm=100_000, budgets=gate(pulse_allowed=0))[3]
    reservoir = live("none", 60, reservoir_ppm=400_000)[0]
    first = min(k for k, _ in done)
    assert reservoir.anode_limited and first > 10
    # and once it shows, a rest tries what is in store before a pulse moves it, since what moves corrodes
    free = live("adaptive", 60, reservoir_ppm=400_000, weight_hour_ppm=0)[3]
    later = [(k, what) for k, what in free if k > 2]  # by then it knows that every discharge empties the cell
    assert later[0][0] > 10 and later[0][1] == REST


def test_dear_time_means_fewer_hours():
    rested_s = [live("adaptive", 60, weight_hour_ppm=price)[0].rested_s for price in (0, 10_000, 1_000_000)]
    assert rested_s[0] > rested_s[1] > rested_s[2] == 0


@pytest.mark.parametrize(
    ("readings", "budgets", "words"),
    [
        (user(user_consent=0), gate(), "consent"),
        (user(), gate(pulse_allowed=0, rest_allowed=0), "gate"),  # of a fixed policy
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
        "cathode_ppm": 900_000, "active_ppm": 0, "cathode_capacity_ppm": 1_000_000,
        "cycles_left": 0, "isolated_per_cycle_ppm": 8000, "sei_per_cycle_ppm": 4000,
        "pulse_factor_permille": 1000, "rest_factor_permille": 1000,
        "pulse_factor_sigma_permille": 300, "rest_factor_sigma_permille": 300, "pulse_trials": 0, "rest_trials": 0,
    }  # fmt: skip
    return SimpleNamespace(**{**base, **changes})


def test_unknown_inventory_means_no_intervention():
    scheduler = Scheduler(profile())
    cell = ToyCell(scheduler.profile, 0)
    for h in (cell.charge(), cell.discharge()):
        scheduler.after_half_cycle(h, [estimate(), estimate(known=UNKNOWN)], user(), gate())
        assert scheduler.decision == NONE and "unknown" in REASONS[scheduler.reason]


def after_life(cell, estimates, cycles=6, **readings):
    """What is asked after each of the last charge and discharge of some cycles that are all alike."""
    scheduler = Scheduler(cell.p)
    asked = []
    for _ in range(cycles):
        for h in (cell.charge(rest_s=scheduler.rest_s), cell.discharge(rate=cell.p.user_rate)):
            h.pulse_s = scheduler.pulse_s if h.kind < 0 else 0
            scheduler.after_half_cycle(h, estimates, user(**readings), gate())
            asked.append(scheduler.decision)
    return asked


def test_a_pulse_that_corrodes_more_than_it_returns_is_not_asked_for():
    near = [estimate(cathode_ppm=805_000)]
    for corroded, asked in (([0, 1, 2, 3], True), ([0, 800, 900, 1000], False)):
        little = profile(pulse_share_permille=[0, 2, 15, 20], pulse_corroded_permille=corroded, user_rate=0.2)
        cell = ToyCell(little, 0)
        assert (PULSE in after_life(cell, near)) == asked


def test_what_the_user_does_anyway_is_not_added():
    slow, fast = (ToyCell(profile(user_rate=rate, weight_hour_ppm=1_000_000), 0) for rate in (0.2, 1.5))
    near = [estimate(cathode_ppm=805_000)]  # its end
    assert PULSE in after_life(slow, near) and PULSE not in after_life(fast, near, 12)[6:]
    scheduler = Scheduler(profile())
    cell = ToyCell(scheduler.profile, 0)
    for _ in range(12):  # left empty for ten hours by the user
        for h in (cell.charge(rest_s=36_000), cell.discharge()):
            scheduler.after_half_cycle(h, [estimate()], user(), gate(rest_max_s=30_000))
    assert scheduler.decision == NONE and "already" in REASONS[scheduler.reason]


def test_a_fast_start_alone_moves_as_much_as_a_fast_drive():
    slow, hardly, fast = (Scheduler(profile(weight_hour_ppm=1_000_000)) for _ in range(3))
    for scheduler, early in ((slow, 200), (hardly, 250), (fast, 1500)):
        cell = ToyCell(scheduler.profile, 0)
        for _ in range(8):
            for h in (cell.charge(), cell.discharge()):
                h.early_rate_permille = max(h.rate_permille, early)
                scheduler.after_half_cycle(h, [estimate()], user(), gate(pulse_max_permille=1000))
    assert fast._own_way_s > slow._own_way_s and fast._own_worn > slow._own_worn
    assert hardly._own_way_s == slow._own_way_s


def test_rests_go_on_where_no_pulse_can_be_drawn_and_after_the_trials():
    scheduler = Scheduler(profile())
    cell = ToyCell(scheduler.profile, 0)
    some = estimate(isolated_ppm=200_000, pulse_trials=9, rest_trials=9)
    for h in (cell.charge(), cell.discharge()):
        scheduler.after_half_cycle(h, [some], user(), gate(pulse_allowed=0))
    assert scheduler.decision == REST


def test_a_fixed_pulse_that_was_refused_is_not_asked_for_again_at_once():
    scheduler = Scheduler(profile(policy=POLICIES.index("liu21")))
    cell = ToyCell(scheduler.profile, 0)
    asked, said = [], []
    for _ in range(12):
        scheduler.after_half_cycle(cell.charge(), [estimate()], user(), gate())
        asked.append(scheduler.decision)
        said.append(REASONS[scheduler.reason])
        scheduler.after_half_cycle(cell.discharge(), [estimate()], user(), gate())  # without the pulse
    assert asked[:3] == [PULSE, NONE, PULSE] and asked.count(PULSE) <= 4
    assert "refused it" in said[1]


def test_a_fixed_pulse_is_given_whole_or_not_at_all():
    """The budget grants seconds of the strongest current: 2 min at 1C want 60 s of 2C, and 59 are not enough."""
    for longest_s, expected in ((59, 0), (60, 4)):
        _, _, scheduler, done = live("liu21", 4, budgets=gate(pulse_max_s=longest_s), pulse_fixed_s=120)
        assert len(done) == expected
        assert not done or (scheduler.pulse_permille, scheduler.pulse_s) in ((0, 0), (1000, 120))


@pytest.mark.parametrize("policy", ["zhang24", "adaptive"])
def test_a_rest_that_was_refused_is_not_asked_for_again_at_once(policy):
    scheduler = Scheduler(profile(policy=POLICIES.index(policy)))
    cell = ToyCell(scheduler.profile, 0)
    asked = []
    for _ in range(12):
        for h in (cell.charge(), cell.discharge()):  # it never comes to a rest
            scheduler.after_half_cycle(h, [estimate(cathode_ppm=805_000)], user(), gate())  # and needs it now
        asked.append(scheduler.decision)
    assert asked[:3] == [REST, NONE, REST] and asked.count(REST) <= 4
    assert "refused it" in REASONS[scheduler.reason]


def test_where_no_pulse_can_be_drawn_a_fast_start_is_asked_of_the_user():
    scheduler = Scheduler(profile())
    cell = ToyCell(scheduler.profile, 0)
    for h in (cell.discharge(), cell.charge()):
        scheduler.after_half_cycle(h, [estimate(cathode_ppm=805_000)], user(user_free_s=0), gate(pulse_allowed=0))
    assert scheduler.decision == NONE and "fast start" in REASONS[scheduler.reason]
    scheduler.after_half_cycle(cell.charge(), [estimate(pulse_factor_permille=0)], user(), gate(pulse_allowed=0))
    assert "fast start" not in REASONS[scheduler.reason]


def test_a_cell_not_needed_for_long_is_stored_discharged_and_cool():
    scheduler = Scheduler(profile(weight_hour_ppm=1_000_000))
    cell = ToyCell(scheduler.profile, 0)
    for h in (cell.charge(0.5), cell.discharge(0.2)):
        scheduler.after_half_cycle(h, [estimate()], user(user_free_s=10 * 86400), gate())
        assert scheduler.decision == NONE and "discharged and cool" in REASONS[scheduler.reason]


def test_charging_is_no_faster_than_the_deadline_needs_and_slow_enough_plating_is_not_slowed():
    plate = {"loss_plate_rate_permille": [100, 300, 600], "loss_plate_factor_permille": [1000, 1010, 1500]}
    scheduler = Scheduler(profile(**plate))
    cell = ToyCell(scheduler.profile, 0)
    for full_in_s, permille in ((-1, 1000), (18_000, 1000), (10_000, 1000), (36_000, 500), (360_000, 300)):
        h = cell.discharge(0.1)
        scheduler.after_half_cycle(h, [estimate()], user(user_full_in_s=full_in_s, user_free_s=0), gate())
        assert scheduler.charge_permille == permille


def test_a_string_is_decided_by_its_weakest_and_most_recoverable_cell():
    cell = ToyCell(profile(user_rate=0.2), 0)
    poor = {"isolated_ppm": 2000, "pulse_factor_permille": 0, "rest_factor_permille": 0}
    strong = estimate(cathode_ppm=990_000, **poor)
    weak = estimate(cathode_ppm=805_000, isolated_per_cycle_ppm=20_000)  # its end comes within the cycle
    assert PULSE in after_life(cell, [strong, weak])
    weak_and_poor, strong_and_rich = estimate(cathode_ppm=805_000, **poor), estimate(cathode_ppm=990_000)
    assert set(after_life(cell, [strong_and_rich, weak_and_poor])) == {NONE}


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
        some = estimate(isolated_ppm=isolated, isolated_per_cycle_ppm=loss)
        scheduler.after_half_cycle(h, [some], readings, budgets)
        if scheduler.decision == PULSE:
            assert h.kind > 0 and consent and pulse_ok
            assert scheduler.pulse_permille <= permille and scheduler.pulse_s <= seconds
        elif scheduler.decision == REST:
            assert h.kind < 0 and consent and rest_ok and clock
            assert 0 < scheduler.rest_s <= min(free, rest)
        else:
            assert scheduler.pulse_s == scheduler.rest_s == 0
        assert 0 < scheduler.reason < len(REASONS)


ESTIMATES = st.builds(
    estimate,
    limited_by=st.integers(0, 2), isolated_ppm=st.integers(0, 2_000_000), cathode_ppm=st.integers(0, 2_000_000),
    active_ppm=st.integers(0, 3_000_000), isolated_per_cycle_ppm=st.integers(0, 1_000_000),
    sei_per_cycle_ppm=st.integers(0, 1_000_000), pulse_factor_permille=st.integers(-3000, 5000),
    rest_factor_permille=st.integers(-3000, 5000), pulse_trials=st.integers(0, 300), rest_trials=st.integers(0, 300),
    known=st.integers(0, 2),
)  # fmt: skip
DAYS = st.builds(
    user,
    user_consent=st.integers(0, 1), user_free_s=st.integers(0, 10**6), user_full_in_s=st.integers(-1, 10**6),
    clock_known=st.integers(0, 1),
)  # fmt: skip
STEPS = st.tuples(ESTIMATES, DAYS, st.integers(0, 3000), st.integers(0, 700), st.booleans(), st.integers(0, 10**9))


@given(st.sampled_from(POLICIES), st.lists(STEPS, min_size=2, max_size=12))
def test_no_refused_request_twice_in_a_row_and_no_deadline_starved(policy, steps):
    """Whatever calendars, faults, wrong estimates and clock jumps come: a gate that refuses everything hears no request
    at two opportunities in a row, and a rest always leaves time to charge before the deadline."""
    scheduler = Scheduler(profile(policy=POLICIES.index(policy)))
    cell = ToyCell(scheduler.profile, 0)
    asked = {1: NONE, -1: NONE}
    for some, day, permille, seconds, charging, jump_s in steps:
        h = cell.charge() if charging else cell.discharge(rate=0.3)  # never rests, never pulses
        h.end = END_HIGH if charging else END_LOW
        h.duration_s += jump_s
        scheduler.after_half_cycle(h, [some], day, gate(pulse_max_permille=permille, pulse_max_s=seconds))
        assert NONE in (asked[h.kind], scheduler.decision)
        asked[h.kind] = scheduler.decision
        if scheduler.rest_s:
            assert scheduler.rest_s <= day.user_free_s and day.clock_known and day.user_consent
            if day.user_full_in_s >= 0:
                assert scheduler.rest_s + scheduler.profile.full_charge_s <= day.user_full_in_s
        most, left_s = scheduler.profile.charge_max_permille, day.user_full_in_s - scheduler.rest_s
        if day.user_full_in_s >= 0 and scheduler.charge_permille < most:  # capped, and still full in time
            assert (scheduler.charge_permille + 1) * left_s >= most * scheduler.profile.full_charge_s
        if scheduler.pulse_s:
            assert 0 < scheduler.pulse_permille * scheduler.pulse_s <= permille * max(seconds, 1)


def test_journal_round_trip_and_refusal():
    _, _, scheduler, _ = live("adaptive", 60, recoverable=0.0)
    again = Scheduler(scheduler.profile)
    assert again.unpack(scheduler.pack()) and again.pack() == scheduler.pack()
    assert not again.unpack(b"") and not again.unpack(b"\xff" * len(scheduler.pack()))
