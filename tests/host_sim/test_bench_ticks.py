"""Lives tick by tick beside those by half-cycles: the same days, the same end of life, nearly the same decisions."""

import numpy as np
import pytest

from host_sim import bench, bench_ticks
from host_sim.bench_scheduler import NOMINAL_MAH_CM2, Kind, lived, profile
from host_sim.bench_ticks import Lived, board_profile, both, by_half_cycles, by_ticks, end_of_life, judged
from host_sim.half_cycles import GOOD
from host_sim.policy_lives import Firmware


@pytest.mark.parametrize("life", ["lab", "phone"])
def test_a_short_life_comes_to_the_same(life):
    """Both have the same anchors, and so come to the same decisions."""
    ticks, halves = both(Kind("redealt", life, 0.0, 1), 4)
    assert ticks.efc == pytest.approx(halves.efc, rel=0.03) and ticks.censored and halves.censored
    assert ticks.pulses == halves.pulses > 0 and ticks.deadlines == halves.deadlines == 0


def test_the_board_has_the_profile_of_the_bench():
    board, bench_profile = board_profile(0.0), profile(0.0, "normal")
    for name in (
        "pulse_max_permille",
        "loss_isolated_ppm",
        "reservoir_ppm",
        "min_uv",
        "weight_hour_ppm",
        "full_charge_s",
    ):
        assert getattr(board, name) == getattr(bench_profile, name), name
    assert list(board.ocv_uv) == list(bench_profile.ocv_uv) and board.one_c_count == bench_profile.one_c_count
    assert board.nominal_capacity_uah == NOMINAL_MAH_CM2 * 100 * 1000


def test_the_end_of_life_is_that_of_the_bench():
    """The same charge and capacity, cycle by cycle, judged here and there."""
    kind = Kind("redealt", "lab", 0.0, 1)
    board = Firmware([profile(0.0, "normal")], GOOD, 0)
    out, capacity = [], []
    seen = board.after_discharge

    def watch(k, totals, lives, free_s):
        t = lives.truth()
        out.append(float(np.broadcast_to(totals["charge"], (1,))[0]))
        capacity.append(float(np.minimum(t["swing"], t["cathode"] + t["active"])[0]))
        return seen(k, totals, lives, free_s)

    board.after_discharge = watch
    result = lived(kind, board, 1)
    assert end_of_life(out, capacity) == (pytest.approx(float(result.efc[0])), False)
    assert end_of_life(out[:3], capacity[:3])[1]


def test_half_cycles_are_those_of_the_bench():
    kind = Kind("redealt", "grid", 0.0, 1)
    (life,), _ = by_half_cycles(kind, 3)
    assert life.efc > 2.0 and life.censored


def test_a_life_that_stands_still_is_told(monkeypatch):
    monkeypatch.setattr(bench_ticks, "STALL_S", 3600.0)
    with pytest.raises(RuntimeError, match="redealt, lab, anode-free: no cycle since day 0"):
        by_ticks(Kind("redealt", "lab", 0.0, 1), 0, 2)


def test_rows_judge_what_was_lived():
    kind = Kind("redealt", "lab", 0.0, 1)
    same, far = Lived(10.0, 5, 5, 1.0, 0), Lived(11.5, 9, 5, 1.0, 1)
    good = judged([(kind, same, same)])
    bad = judged([(kind, far, same), (kind, same, same)])
    assert all(bench.meets(one["value"], one["target"]) for one in good)
    assert not any(bench.meets(one["value"], one["target"]) for one in bad)
    assert bad[1]["peer"] == "redealt, lab, anode-free" and bad[1]["value"] == pytest.approx(15.0)
    assert "redealt, lab, anode-free" in bench_ticks.table([(kind, far, same)])[1]
    assert len(bench_ticks.kinds()) == 20
