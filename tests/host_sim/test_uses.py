"""Actors: the calendar is consistent, the limits are kept, and a disobedient one breaks them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.readings import Outputs

from host_sim.cell import Control
from host_sim.errors import InputError
from host_sim.uses import USES, Ratings, Terminals, make

RATINGS = Ratings(0.267, 0.239, 3.0, 4.2, 1e-6, 0.08, 0.0268, 0.0268)
DAY_S = 86_400
REST = Control.rest().kind


def permitted(charge_count=500_000, discharge_count=500_000):
    out = Outputs()
    out.charge_enable, out.discharge_enable = int(charge_count > 0), int(discharge_count > 0)
    out.charge_limit_count, out.discharge_limit_count = charge_count, discharge_count
    return out


EVENTS = st.sampled_from([None, None, None, "v_min", "v_max", "i_min", "depleted"])


@pytest.mark.parametrize("name", USES)
@given(
    st.lists(
        st.tuples(st.floats(1, 4000), EVENTS, st.integers(0, 50_000), st.integers(0, 50_000), st.floats(-0.3, 0.3)),
        max_size=60,
    )
)
def test_no_actor_wants_more_than_it_may(name, story):
    actor, time_s = make(name, RATINGS, seed=1), 0.0
    for longest_s, event, charge, discharge, net_ah in story:
        outputs = permitted(charge, discharge)
        control, wait_s = actor.next(time_s, Terminals(3.7, 0.0, 25.0, net_ah, event), outputs)
        assert wait_s > 0.0
        if control.kind == REST:
            assert -discharge * 1e-6 - 1e-12 <= control.value <= charge * 1e-6 + 1e-12
        else:
            assert control.i_max_a <= charge * 1e-6 + 1e-12
        time_s += min(wait_s, longest_s)


@pytest.mark.parametrize("name", USES)
def test_a_disobedient_actor_does(name):
    actor, time_s = make(name, RATINGS, obey=False), 0.0
    wanted = 0.0
    while time_s < 2 * DAY_S:
        control, wait_s = actor.next(time_s, Terminals(3.7, 0.0, 25.0, 0.0, None), permitted(0, 0))
        wanted = max(wanted, abs(control.value))
        time_s += min(wait_s, 600.0)
    assert wanted > 0.0


@pytest.mark.parametrize("name", ["commuter", "grid", "phone"])
def test_the_calendar_keeps_its_word(name):
    """While the user says to be free for so long, nothing is drawn; a deadline never moves later as it comes nearer."""
    actor = make(name, RATINGS, seed=3)
    for start_s in range(0, 9 * DAY_S, 701):
        user = actor.user(start_s)
        assert user.free_s >= 0 and (user.full_in_s == -1 or user.full_in_s <= user.free_s)
        ahead_s = min(user.free_s, 12 * 3600) - 2
        if ahead_s <= 0:
            continue
        for time_s in (start_s + ahead_s / 3, start_s + ahead_s):
            assert not isinstance(actor._window(time_s % DAY_S / 3600), float) or int(time_s // DAY_S) != int(
                start_s // DAY_S
            )
            assert actor.user(time_s).free_s == pytest.approx(user.free_s - (time_s - start_s), abs=2)


@pytest.mark.parametrize("obey", [True, False])
def test_lab_turns_when_current_stays_away(obey):
    """A cycler whose discharge the firmware has ended goes on to the charge, after its patience; whether it obeys or
    not."""
    actor = make("lab", RATINGS, obey=obey)
    may, may_not = permitted(), permitted(discharge_count=0)

    def terminals(current_a, event=None):
        return Terminals(3.8, current_a, 25.0, 0.0, event)

    actor.next(0.0, terminals(0.0), may)
    actor.next(10.0, terminals(0.08, "v_max"), may)
    actor.next(20.0, terminals(0.02, "i_min"), may)
    assert actor.phase == "discharge"
    assert actor.next(100.0, terminals(0.0), may)[0].value < 0.0
    assert actor.next(200.0, terminals(-0.0268), may)[0].value < 0.0
    actor.next(210.0, terminals(0.0), may_not)
    assert actor.phase == "discharge" and actor.cycles == 0
    actor.next(200.0 + actor.patience_s, terminals(0.0), may_not)
    assert actor.phase == "charge" and actor.cycles == 1


def test_lab_waits_for_a_rest_in_the_discharged_state():
    actor = make("lab", RATINGS)
    empty = Terminals(3.0, 0.0, 25.0, 0.0, None)
    for hours in range(12):  # charge not permitted, discharge neither: a rest
        control, _ = actor.next(hours * 3600.0, empty, permitted(0, 0))
        assert control == Control.rest()
    assert actor.next(13 * 3600.0, empty, permitted())[0].value == pytest.approx(0.08)


def test_the_dynamic_stress_test_is_the_published_one():
    from host_sim.uses.drive import DST, PERIOD_S

    assert PERIOD_S == 360 and len(DST) == 20
    mean = sum(seconds * share for seconds, share in DST) / PERIOD_S
    assert math.isclose(mean, -0.125, abs_tol=0.01)


def test_unknown_use_is_one_sentence():
    with pytest.raises(InputError, match="use 'boat' is unknown; there are lab"):
        make("boat", RATINGS)
