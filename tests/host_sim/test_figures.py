"""The reports' pictures show what they are there to show."""

import math

import numpy as np
import pytest

from host_sim.life import COLUMNS, Life
from host_sim.report import life_figures, replay_figures
from host_sim.report.page import doubted

STORES = ("cathode", "active", "isolated", "sei")


def line(axes, label):
    """The (x, y) of the line of that label."""
    (found,) = [one for one in axes.get_lines() if one.get_label() == label]
    return found.get_xydata()


def replayed(n=20, truth=True):
    row = {"charge_mah": 200.0, "discharge_mah": 199.9, "capacity_mah": 210.0, "capacity_sigma_mah": 1.0}
    row |= {"pulse_mah": 0.0, "rest_after_h": 0.0, "loss_sigma_mah": 5.0}
    row |= {f"{store}_mah": value for store, value in zip(STORES, (100.0, 300.0, 40.0, 60.0), strict=True)}
    row |= {"true_isolated_mah": 30.0, "true_sei_mah": 50.0} if truth else {}
    return [row | {"cycle": k + 1, "ce_li": 0.97 + 0.0001 * k} for k in range(n)]


def test_the_efficiency_of_the_lithium_is_inside_its_picture():
    """A reservoir keeps the cell's own at 99.95 %; the lithium's, three points below, is what the reader looks for."""
    ce, *_ = replay_figures.fade(replayed()).axes
    low, high = ce.get_ylim()
    for label in ("this cycle", "of the lithium, estimated"):
        values = line(ce, label)[:, 1]
        assert low < values.min() and values.max() < high


@pytest.mark.parametrize("truth", [True, False])
def test_truth_stands_beside_the_estimate_where_it_is_known(truth):
    (axes,) = replay_figures.inventory(replayed(truth=truth)).axes
    dashed = [one.get_ydata() for one in axes.get_lines() if one.get_linestyle() == "--"]
    assert [set(y) for y in dashed] == ([{500.0 - 80.0}, {500.0 - 50.0}] if truth else [])


def test_a_lifes_estimate_has_the_truth_beside_its_band():
    life = Life("none")
    for k in range(10):
        for name in COLUMNS:
            life.rows[name].append(0.0)
        life.rows["cycle"][-1] = k + 1
        for store, value in zip(STORES, (100.0, 300.0, 40.0, 60.0), strict=True):
            life.rows[f"estimated_{store}_mah"][-1] = value if k < 8 else math.nan
            life.rows[f"true_{store}_mah"][-1] = value - 10.0
    left, right = life_figures.inventory([life]).axes
    dashed = [one.get_ydata() for one in right.get_lines() if one.get_linestyle() == "--"]
    assert [y[0] for y in dashed] == [500.0 - 80.0, 500.0 - 50.0] and np.isnan(dashed[0][-1])
    assert not [one for one in left.get_lines() if one.get_linestyle() == "--"]


@pytest.mark.parametrize(
    "value, sigma, said",
    [
        (344.3, 220.4, "340 ± 220"), (0.000956, 0.12, "0.00 ± 0.12"), (209.94, 2.2, "209.9 ± 2.2"),
        (12.3, 0.99, "12.30 ± 0.99"), (5.0, 0.0, "5.000 ± 0.000"),
    ],
)  # fmt: skip
def test_a_figure_is_told_as_far_as_it_is_known(value, sigma, said):
    assert doubted(value, sigma) == said
