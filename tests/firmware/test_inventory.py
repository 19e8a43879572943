"""The estimator against a cell whose stores are known."""

import math

import numpy as np
import pytest
from relith.inventory import (
    INFERRED,
    LIMIT_ANODE,
    LIMIT_CATHODE,
    MEASURED,
    Inventory,
)

from tests.firmware.toy_cell import RESERVOIR, ToyCell, live, profile, rms, settled


@pytest.mark.parametrize("poor", [False, True])
def test_anode_free_loss_is_measured_and_does_not_drift(poor):
    prof = profile(offset_sigma_ppm_per_h=1000, gain_sigma_ppm=5000) if poor else profile()
    early, late = [], []
    for seed in range(8):
        cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
        for k, (truth, e) in enumerate(live(cell, inventory, 150)):
            if k >= 5 and truth.cathode > 0.4:
                error = e.loss_ppm - (truth.isolated + truth.sei) * 1e6
                (early if k < 75 else late).append(error)
                assert e.known == MEASURED and e.limited_by == LIMIT_ANODE and e.stage == 4
    limit = 20_000 if poor else 10_000
    assert rms(early) < limit and rms(late) < limit


def test_reservoir_hides_the_loss_and_says_so():
    prof = profile(**RESERVOIR)
    cell, inventory = ToyCell(prof, 3), Inventory(prof, 0)
    sigma = 0
    for k, (truth, e) in enumerate(live(cell, inventory, 400)):
        assert abs(e.active_ppm - truth.active * 1e6) < 4 * e.active_sigma_ppm + 1000
        if not truth.anode_limited:
            assert e.known == INFERRED and e.limited_by == LIMIT_CATHODE and e.stage < 4
            assert k < 1 or e.ce_cell_ppm > 998_000 > e.ce_li_ppm
            if k < 60:
                assert e.active_sigma_ppm > sigma
                sigma = e.active_sigma_ppm
        elif truth.q - truth.cathode > 0.05:
            break
    assert truth.anode_limited
    assert e.known == MEASURED and e.limited_by == LIMIT_ANODE and e.stage == 4
    assert e.active_sigma_ppm < 10_000 and abs(e.cathode_ppm - truth.cathode * 1e6) < 15_000


@pytest.mark.parametrize("changes", [{}, RESERVOIR])
def test_intervals_cover(changes):
    prof = profile(**changes)
    inside = []
    for seed in range(12):
        cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
        for truth, e in live(cell, inventory, 80, pulse_every=3):
            inside.append(
                [
                    abs(e.active_ppm - truth.active * 1e6) < 1.96 * e.active_sigma_ppm + 500,
                    abs(e.isolated_ppm - truth.isolated * 1e6) < 1.96 * e.isolated_sigma_ppm + 500,
                    abs(e.sei_ppm - truth.sei * 1e6) < 1.96 * e.sei_sigma_ppm + 500,
                ]
            )
    assert np.mean(inside, axis=0).min() > 0.85


def test_recovery_shows_as_efficiency_above_one_and_as_isolated_lithium():
    prof = profile(recover_spread_permille=100)
    cell, inventory = settled(prof, 5, 30)
    loss, trials = inventory.estimate.loss_ppm, inventory.estimate.pulse_trials
    inventory.half_cycle(cell.charge())
    inventory.half_cycle(cell.discharge(pulse=True))
    assert inventory.estimate.ce_cell_ppm > 1_000_000
    assert inventory.estimate.loss_ppm < loss
    assert inventory.estimate.pulse_trials == trials + 1


def test_measured_recoveries_narrow_isolated_against_sei():
    prior, learned, sigma = [], [], []
    prof = profile(recover_spread_permille=100, loss_isolated_spread_permille=400, loss_sei_spread_permille=400)
    for seed in range(16):
        for pulse_every, errors in ((0, prior), (2, learned)):
            cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
            _, e = list(live(cell, inventory, 40, pulse_every=pulse_every))[-1]
            errors.append(e.isolated_ppm - cell.isolated * 1e6)
        sigma.append(e.isolated_sigma_ppm)
    assert rms(learned) < 0.7 * rms(prior)
    assert rms(learned) < 2 * max(sigma)


def test_what_passed_before_a_restart_is_counted_in_doubt():
    prof = profile()
    _, inventory = settled(prof, 1, 5)
    e = inventory.estimate
    was, sigma = e.cathode_ppm, e.cathode_sigma_ppm
    inventory.passed(200_000)
    assert e.cathode_ppm == pytest.approx(was - 200_000, abs=2)
    assert e.cathode_sigma_ppm == pytest.approx(math.hypot(sigma, 30_000), rel=0.05)


def test_journal_round_trip_and_refusal():
    prof = profile()
    cell, inventory = settled(prof, 2, 12, pulse_every=4)
    saved = inventory.pack()
    again = Inventory(prof, 0)
    assert again.unpack(saved) and again.pack() == saved
    assert vars(again.estimate) == vars(inventory.estimate)
    h = cell.charge()
    again.half_cycle(h)
    inventory.half_cycle(h)
    assert again.pack() == inventory.pack()
    assert not again.unpack(saved[:-1]) and not again.unpack(b"") and not again.unpack(b"\xff" * len(saved))
    assert again.pack() == inventory.pack()
