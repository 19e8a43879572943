"""The estimator's bench on a few half-cycles: records carry the sensor's errors, peers see what the firmware sees."""

import numpy as np
import pytest

from host_sim import bench_estimator as bench
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
    rows = bench.follow(halves, profile, GOOD)
    batch = bench.causal_batch(halves, profile, GOOD)
    assert rows["active_ppm"].shape == batch.shape == bench.product_of_ce(halves, GOOD).shape == (6, 2)
    assert np.abs(batch - rows["true_active"]).max() < 0.1
    assert np.abs(rows["active_ppm"] - rows["true_active"]).max() < 0.1


def test_charge_and_discharge_stop_where_asked():
    lives = Lives([bench.mean_cell(LIFE, "redealt")] * 2, bench.NOMINAL_MAH_CM2, 3.0, 4.2, 50)
    lives.charge(0.3)
    part = lives.discharge([(0.3, 99.0)], np.array([0.1, 0.4]))
    assert part["charge"] == pytest.approx([0.1, 0.4], rel=1e-6)
    assert np.all(part["end"] == 0) and np.all(part["resistance_uohm"] > 0)
