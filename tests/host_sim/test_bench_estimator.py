"""The estimator's bench on a few half-cycles: records carry the sensor's errors, peers see what the firmware sees."""

from dataclasses import replace

import numpy as np
import pytest
from relith.halfcycle import END_LOW, END_STOPPED

from host_sim import bench_estimator as estimator
from host_sim import estimator_faults as faults
from host_sim import estimator_lives as bench
from host_sim import estimator_peers as peers
from host_sim.half_cycles import GOOD, POOR, Lives, Sensor

LIFE = bench.Life(np_ratio=0.5, cells=2, cycles=6)


@pytest.fixture(scope="module")
def halves():
    return bench.play(LIFE)


def test_a_life_alternates_and_keeps_its_lithium(halves):
    assert [totals["kind"] for totals, _ in halves[:4]] == [1, -1, 1, -1]
    sums = np.array([t["cathode"] + t["active"] + t["isolated"] + t["sei"] for _, t in halves])
    assert np.abs(sums - sums[2]).max(axis=0).max() < 0.1  # but for what the first cycle frees in the cathode
    assert np.all(np.diff([t["sei"] for _, t in halves], axis=0) >= 0)


def test_records_carry_gain_and_offset(halves):
    totals = halves[1][0]
    ideal, poor = Sensor(GOOD, 2, 0), Sensor(POOR, 2, 0)
    ideal.gain[:] = ideal.offset[:] = 0.0
    exact = [record.charge_ppm for record in ideal.fill(totals)]
    assert exact == [round(1e6 * c) for c in totals["charge"]]
    hours = totals["duration_s"] / 3600.0
    expected = totals["charge"] * (1 + poor.gain) - poor.offset * hours
    seen = [record.charge_ppm for record in poor.fill(totals)]
    assert seen == pytest.approx(expected * 1e6, abs=1)


def test_peers_and_firmware_on_one_life(halves):
    profile = bench.profile_of(LIFE, GOOD)
    rows = peers.follow(halves, profile, GOOD)
    line = peers.LossLine.of(halves, profile, peers.follow(halves, profile, GOOD, estimator=peers.OpenLoop))
    batch, left = line.batch()
    true = np.array([truth["active"] for totals, truth in halves if totals["kind"] < 0])
    assert rows["active_ppm"].shape == batch.shape == left.shape == peers.product_of_ce(halves, GOOD).shape == (6, 2)
    for active in (rows["active_ppm"], batch, line.smoother()):
        assert np.abs(active - true).max() < 0.1


def test_a_class_becomes_rows():
    reservoir, free = (estimator.measure(bench.Life(np_ratio=ratio, cells=2, cycles=8)) for ratio in (0.5, 0.0))
    assert {row["target"] for row in estimator.reservoir_rows(reservoir)} == {"<= 1.3", "<= 1.05", "< 1", None}
    assert 0.0 < estimator.rms(estimator.pooled(free, "loss")) < 0.05
    every = [*reservoir, *free]
    counts = sum(np.concatenate(list(x["covered"].values()))[:, 1].sum() for x in every)
    assert counts == 5 * 8 * 2 * len(every)  # stores and loss, cycles, cells: each in one phase
    worlds = [x | {"life": replace(x["life"], world=world)} for x in every for world in bench.WORLDS]
    told = {row["name"]: row["value"] for row in estimator.coverage_rows(worlds)}
    assert 0.0 < told["active lithium before the anode was seen empty, other: error over its stated sigma, RMS"] < 3.0
    (cut,) = estimator.end_rows(every)
    assert cut["value"] == 0.0 and "0 of 8" in cut["peer"] and "N/P 0.5 8" in cut["peer"]


def test_healthy_rest_is_quiet_and_a_short_is_found():
    life = bench.Life(cells=3)
    assert np.isnan(faults.alarm_hours(life, POOR, 0.0, 48)).all()
    assert (faults.alarm_hours(life, POOR, 1.5, 48) <= 24).all()


def test_what_one_discharge_tells_of_another_cell(monkeypatch):
    """Cells with capacities of their own can be told apart, the same cells again cannot."""
    life = bench.Life(np_ratio=1.0, cells=8)
    assert faults.could_be_told(life, GOOD, 5, 5).mean() > 0.5
    monkeypatch.setattr(faults, "spread_cells", lambda mean, n, seed: bench.spread_cells(mean, n, 0))
    assert faults.could_be_told(life, GOOD, 5, 5).sum() <= 1  # the one at the limit of what is allowed to err


def test_months_of_standby_lose_nothing():
    own, stated, ticks = faults.standby(0.02)
    assert max(own) <= 1.0 and max(stated) <= 1.0 and ticks == 10_519


def test_each_cell_s_discharge_ends_at_its_own_current():
    """One stops by depth while the others go on, faster: neither their current nor its own end under that is told."""
    lives = Lives([bench.mean_cell(LIFE, "redealt")] * 2, bench.NOMINAL_MAH_CM2, 3.0, 4.2, 50)
    lives.charge(0.3)
    totals = lives.discharge([(0.3, 3.75), (3.0, 1.0)], [1.12, 9.0])
    assert totals["end"].tolist() == [END_STOPPED, END_LOW]
    assert totals["end_permille"].tolist() == pytest.approx([300.0, 3000.0])
    assert totals["charge"][0] == pytest.approx(1.12, abs=1e-3) and totals["charge"][1] > 1.125


def test_a_rest_is_watched_hour_by_hour():
    lives = Lives([bench.mean_cell(LIFE, "redealt")] * 2, bench.NOMINAL_MAH_CM2, 3.0, 4.2, 50)
    lives.charge(0.3)
    lives.rest(8.5 * 3600.0, True)
    after = lives.discharge([(0.3, 99.0)], 0.1)
    assert after["hourly_v"].shape == (8, 2) and after["rest_before_s"] == pytest.approx(8.5 * 3600.0)
    assert lives.charge(0.3)["hourly_v"].shape == (0, 2)


def test_a_rest_qualifies_when_the_voltage_has_settled():
    """2 mV in the last ten minutes, as `halfcycle.Tracker` has it: after a charge soon, after a full discharge late."""
    lives = Lives([bench.mean_cell(LIFE, "redealt")] * 2, bench.NOMINAL_MAH_CM2, 3.0, 4.2, 50)
    lives.charge(0.3)
    lives.rest(599.0)
    assert not lives.discharge([(0.5, 99.0)])["ocv_before_v"].any()
    lives.rest(np.array([600.0, 6 * 3600.0]))
    early, late = lives.charge(0.3)["ocv_before_v"]
    assert early == 0.0 and late > 3.0  # has crept up from the cut-off
    lives.rest(600.0)
    assert lives.discharge([(0.1, 99.0)], 0.1)["ocv_before_v"] == pytest.approx(4.18, abs=0.03)


def test_charge_and_discharge_stop_where_asked():
    lives = Lives([bench.mean_cell(LIFE, "redealt")] * 2, bench.NOMINAL_MAH_CM2, 3.0, 4.2, 50)
    lives.charge(0.3)
    part = lives.discharge([(0.3, 99.0)], np.array([0.1, 0.4]))
    assert part["charge"] == pytest.approx([0.1, 0.4], rel=1e-6)
    assert np.all(part["end"] == 0) and np.all(part["resistance_uohm"] > 0)


def test_another_cell_is_told_where_it_can_be_seen_and_not_where_it_cannot():
    free, reserved = bench.Life(cells=2), bench.Life(np_ratio=1.0, cells=2)
    told, differ = faults.swapped(free, GOOD, 5, 30)
    assert told.all() and (differ > faults.DIFFERENT).all()
    told, differ = faults.swapped(free, POOR, 0, 30)
    assert told.all() and (differ > faults.DIFFERENT).all()
    assert faults.swapped(reserved, GOOD, 5, 10, depth=0.5)[0].all()  # its rested voltage is another
    told, differ = faults.swapped(reserved, GOOD, 5, 10)
    assert not told.any() and (differ < faults.DIFFERENT).all()


def test_the_batch_weighs_what_the_resistance_says(halves):
    """A cell whose resistance grows as if it lost more than the laws expect is thought to have less left."""
    profile = bench.profile_of(LIFE, GOOD)
    open_loop = peers.follow(halves, profile, GOOD, estimator=peers.OpenLoop)
    assert np.isfinite(open_loop["grown"]).any()
    left = []
    for more in (0.0, 0.15):
        line = peers.LossLine.of(halves, profile, open_loop)
        line.grown[:] = line.layer * (line.isolated + line.bound)
        line.grown[1:] += more
        left.append(line.batch()[0][-1])
    assert (left[1] < left[0]).all()


def test_one_in_ten_cycles_ends_in_a_rest_that_is_warm_enough():
    life = bench.Life(use="mixed", cells=2, cycles=40)
    rested = [totals["ocv_before_v"][0] > 0 for totals, _ in bench.play(life)]
    cold = [totals["temp_cdegc"][0] < 100 * bench.COLD_DEGC - 100 for totals, _ in bench.play(life)]
    assert sum(rested) == 4 and any(cold)
    assert not any(after and before for after, before in zip(rested[1:], cold, strict=False))


def test_bootstrap_is_over_cells_of_which_sensor_classes_share_theirs():
    one, other = bench.Life(cells=3), bench.Life(cells=3, seed=1)
    sums = np.array([[1.0, 1.0], [4.0, 1.0], [9.0, 1.0]])
    results = [{"life": life, "x": sums} for life in (one, one, other)]
    assert estimator.pooled(results, "x").shape == (6, 2)
    assert estimator.rms(estimator.pooled(results, "x")) == pytest.approx((14 / 3) ** 0.5)
    low, high = estimator.bounds(estimator.rms, sums)
    assert low == 1.0 and high == 3.0
