"""The bound of a policy that cannot know the world: blind while the reservoir lasts, then the best choice."""

import numpy as np

from host_sim import bound_scheduler
from host_sim.bench_scheduler import NO_PULSE, NO_REST, Kind, fixed, lived, values
from host_sim.bound_scheduler import Switch
from host_sim.policy_lives import Fixed

KIND = Kind("redealt", "lab", 0.1, 2)
NOTHING, BOTH = NO_PULSE + NO_REST, (1.0, 600, 1, 8.0, 1)


def switched(blind, seeing):
    """Values of one choice until it shows and another after that."""
    columns = [Fixed(*np.tile(np.array(side, float), (KIND.cells, 1)).T) for side in (blind, seeing)]
    return values(lived(KIND, Switch(*columns), 1), 1)["free"][:, 0]


def test_the_same_choice_before_and_after_is_the_fixed_one():
    for choice in (NOTHING, BOTH):
        assert np.array_equal(switched(choice, choice), fixed(KIND, [choice])["free"][:, 0])


def test_what_comes_after_matters_and_what_comes_before_as_well():
    best, worst = switched(BOTH, BOTH)[0], switched(NOTHING, NOTHING)[0]
    assert worst < switched(NOTHING, BOTH)[0] and switched(BOTH, NOTHING)[0] < best


def test_shares_are_of_the_best_fixed_and_of_the_best_published(monkeypatch):
    monkeypatch.setattr(bound_scheduler, "BLIND", (NOTHING, BOTH))
    monkeypatch.setattr(bound_scheduler, "SEEING", (NOTHING, BOTH))
    for tuned, published in bound_scheduler.shares(KIND).values():
        assert tuned.shape == published.shape == (2,) and (tuned <= published).all()
