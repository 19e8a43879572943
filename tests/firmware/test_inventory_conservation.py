"""The estimator never leaves what conservation of lithium allows, whatever it is told."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.halfcycle import END_HIGH, END_LOW
from relith.inventory import (
    Inventory,
)
from relith.outlook import (
    LIMIT_NONE,
    C,
    N,
    Q,
    S,
)
from relith.udfilter import ONE

from tests.firmware.toy_cell import ToyCell, profile

steps = st.lists(
    st.tuples(
        st.sampled_from("cd"), st.floats(0.02, 1.2), st.sampled_from([0.05, 0.2, 1.0]), st.booleans(), st.booleans()
    ),
    max_size=40,
)


def conserved(seed, reservoir, script):
    """Any partial cycles: stores not negative, their sum the total, that total and every store as near to the truth as
    is said, no more in the cathode than it holds; SEI falls by anchors alone, and a full charge anchors the cathode."""
    prof = profile(reservoir_ppm=reservoir, reservoir_sigma_ppm=20000)
    cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
    for kind, depth, rate, rested, pulse in script:
        bound, h = inventory.filter.x[S], None
        if kind == "c" and cell.cathode > 0.01:
            h = cell.charge(depth, rate)
        elif kind == "d" and cell.active > 0.01 and cell.q - cell.cathode > 0.01:
            h = cell.discharge(depth, rate, rested, pulse)
        if h is None:
            continue
        inventory.half_cycle(h)
        e, f = inventory.estimate, inventory.filter
        stores = (e.cathode_ppm, e.active_ppm, e.isolated_ppm, e.sei_ppm)
        assert min(stores) >= 0
        assert abs(sum(stores) - f.x[N] // 1000) <= 1
        assert min(f.d) >= 1
        assert inventory.resets == 0
        assert abs(cell.cathode + cell.active + cell.isolated + cell.sei - cell.total) < 1e-9
        assert abs(f.x[N] / 1000 - 1e6 * cell.total) <= 6 * (f.sigma_of(N) + 1000)
        assert f.x[C] - f.x[Q] <= 6 * (f.sigma(((C, ONE), (Q, -ONE))) + 1_000_000)
        for name in ("cathode", "active", "isolated", "sei"):
            error = abs(getattr(e, f"{name}_ppm") - 1e6 * getattr(cell, name))
            assert error <= 6 * (getattr(e, f"{name}_sigma_ppm") + 1000), name
        assert inventory.anchors or f.x[S] >= bound
        assert h.end != END_HIGH or e.cathode_sigma_ppm < 20_000


@given(st.integers(0, 1000), st.sampled_from([0, 700_000, 1_500_000]), steps)
def test_never_outside_what_conservation_allows(seed, reservoir, script):
    conserved(seed, reservoir, script)


LOSE = Inventory._lose


@pytest.mark.parametrize(
    "broken",
    [
        {"_lose": lambda self, state, factor, loss: LOSE(self, state, factor, 20 * loss)},
        {"_lose": lambda self, state, factor, loss: LOSE(self, state, factor, -loss)},
        {"_lose": lambda self, state, factor, loss: None},
        {"_anchor_cathode": lambda self, *anchor: None, "_limit": lambda self, h: LIMIT_NONE},
        {"_update": lambda self, kind, h, sigma: self.filter.update(((h[0][0], -ONE), *h[1:]), 0, sigma * sigma)},
    ],
    ids=["losses too great", "losses negative", "no losses", "no anchors", "anchors of the wrong sign"],
)
def test_conservation_would_see_a_broken_estimator(broken, monkeypatch):
    def lived():
        for seed in range(20):
            rng = random.Random(seed)
            script = [
                (rng.choice("cd"), rng.uniform(0.02, 1.2), rng.choice((0.05, 0.2, 1.0)), rng.random() < 0.5, False)
                for _ in range(40)
            ]
            conserved(seed, (0, 700_000, 1_500_000)[seed % 3], script)

    lived()
    for name, method in broken.items():
        monkeypatch.setattr(Inventory, name, method)
    with pytest.raises(AssertionError):
        lived()


def test_garbage_half_cycles_do_not_break_the_filter():
    prof = profile()
    inventory = Inventory(prof, 0)
    cell = ToyCell(prof, 0)
    for k in range(200):
        h = cell._record(1 - 2 * (k % 2), 1.2, 0.01, END_LOW if k % 2 else 0)
        h.duration_s, h.ocv_after_uv, h.rest_before_s = 10**7, (k * 7919) % 5_000_000, 10**6
        inventory.half_cycle(h)
        e = inventory.estimate
        assert min(e.cathode_ppm, e.active_ppm, e.isolated_ppm, e.sei_ppm) >= 0 and min(inventory.filter.d) >= 1
