"""The bench of the scheduler: values by one rule, the clairvoyant never below its candidates, the firmware's route."""

import numpy as np
import pytest
from relith.scheduler import POLICIES

from host_sim import bench_scheduler
from host_sim.bench_scheduler import LIU21, NO_PULSE, NO_REST, ZHANG24, Kind, bootstrap, firmware, fixed, profile
from host_sim.half_cycles import GOOD
from host_sim.policy_lives import Firmware, Result

KIND = Kind("redealt", "lab", 0.0, 2)


@pytest.fixture(scope="module")
def measured():
    """All policies on a class of two cells, few of them hopeless."""
    return bench_scheduler.measure(KIND)


def test_value_is_cycles_less_hours_less_charge():
    some = Result(*(np.full(1, x) for x in (100.0, 20.0, 3.0, 0, 0, 0, 0, 0, 0)))
    assert some.value(0.1, 0.5)[0] == pytest.approx(100.0 - 2.0 - 1.5)


def test_fixed_protocols_through_the_firmware_are_the_fixed_columns():
    """`liu21` and `zhang24` decided by the board's scheduler and gate live as the vectorised protocols do."""
    for policy, choice in (("none", NO_PULSE + NO_REST), ("liu21", LIU21 + NO_REST), ("zhang24", NO_PULSE + ZHANG24)):
        profiles = [profile(0.0, "normal") for _ in range(KIND.cells)]
        for one in profiles:
            one.policy = POLICIES.index(policy)
        board = bench_scheduler.lived(KIND, Firmware(profiles, GOOD), 1)
        plain = fixed(KIND, [choice])["normal"][:, 0]
        # the inventory is unknown until the first full charge is over, so the first action comes a cycle later
        assert board.value(0.01, 0.05) == pytest.approx(plain, rel=0.06)
        assert (board.pulses.sum() > 0) == (policy == "liu21") and (board.rests.sum() > 0) == (policy == "zhang24")


def test_the_clairvoyant_is_never_below_a_candidate(measured):
    for found in measured["values"].values():
        for policy, value in found.items():
            assert (found["oracle"] >= value - 1e-9).all(), policy
        assert found["tuned"].mean() >= max(found[policy].mean() for policy in bench_scheduler.PUBLISHED) - 1e-9


def test_adaptive_lives_longer_than_the_published_and_breaks_nothing(measured):
    found = measured["values"]["normal"]
    assert found["adaptive"].mean() > max(found[policy].mean() for policy in bench_scheduler.PUBLISHED)
    own = measured["adaptive"]
    assert own.limits.sum() == own.deadlines.sum() == 0


def test_a_deadline_holds_where_a_rest_would_fit_only_without_it():
    result, _ = firmware(Kind("redealt", "commuter", 0.0, 2))
    assert result.deadlines.sum() == result.limits.sum() == 0 and result.rests.sum() > 0


def test_bootstrap_is_paired():
    rng = np.random.default_rng(0)
    base = rng.normal(100.0, 30.0, 50)
    value, low, high = bootstrap(base * 1.02 - base, base)
    assert value == pytest.approx(0.02) and high - low < 1e-12


def test_rows_are_made_of_measured_values(measured, monkeypatch):
    monkeypatch.setattr(bench_scheduler, "measured", lambda: [measured])
    monkeypatch.setattr(bench_scheduler, "WORLDS", ("redealt",))
    monkeypatch.setattr(bench_scheduler, "hopeless_rows", lambda results: [])
    rows = bench_scheduler.rows()
    names = [row["name"] for row in rows]
    assert len(names) == len(set(names)) and all(np.isfinite(row["value"]) for row in rows)
    assert "redealt, lab, anode-free, time normal: share of the tuned fixed policy" in names
