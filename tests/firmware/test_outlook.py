"""What a user asks beside the inventory: charge, energy, cycles left, the end foreseen, advice, and a soft short."""

import pytest
from relith import outlook
from relith.inventory import INFERRED, MEASURED, UNKNOWN, Inventory
from relith.lossmodel import moved_ppm

from tests.firmware.toy_cell import ToyCell, profile, settled

RESERVOIR = {"reservoir_ppm": 1_000_000, "reservoir_sigma_ppm": 30_000}


def test_charge_energy_and_limits_follow_the_cell():
    prof = profile(**RESERVOIR)
    cell, inventory = settled(prof, 1, 20)
    e = inventory.estimate
    assert e.soc_ppm < 20_000 and e.energy_mwh < 8 and e.discharge_limit_permille < 1000
    inventory.half_cycle(cell.charge())
    assert e.soc_ppm > 980_000 and 0 < e.soc_sigma_ppm < 50_000
    assert e.energy_mwh == pytest.approx(0.1 * cell.q * 3.75e3, rel=0.05)  # 100 mAh at the table's mean voltage
    assert e.charge_limit_permille < 200 and e.discharge_limit_permille == 2000
    inventory.half_cycle(cell.discharge(depth=0.5))
    assert abs(e.soc_ppm - 1e6 * (1 - 0.5 / cell.q)) < 25_000
    assert e.soh_ppm == pytest.approx(cell.q * 1e6, rel=0.02)


def test_cycles_left_and_their_interval():
    inside = total = 0
    for seed in range(10):
        prof = profile(**RESERVOIR)
        cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
        seen = []
        for _ in range(300):
            inventory.half_cycle(cell.charge())
            inventory.half_cycle(cell.discharge())
            if cell.anode_limited:
                break
            seen.append((inventory.estimate.cycles_left, inventory.estimate.cycles_left_sigma))
        for k in range(10, len(seen), 5):
            left, sigma = seen[k]
            inside += abs(left - (len(seen) - k)) < 1.96 * sigma + 2
            total += 1
    assert inside / total > 0.85


def test_cycles_to_80_percent_and_their_interval():
    """Anode-free, no sudden end: 80 % of the profile's capacity comes when the loss says so."""
    inside = total = 0
    for seed in range(10):
        prof = profile(loss_isolated_ppm=3000, loss_sei_ppm=2000)
        cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
        seen = []
        for _ in range(200):
            inventory.half_cycle(cell.charge())
            inventory.half_cycle(cell.discharge(rested=True))
            if cell.cathode < 0.8:
                break
            seen.append((inventory.estimate.cycles_to_end, inventory.estimate.cycles_to_end_sigma))
        for k in range(5, len(seen), 3):
            left, sigma = seen[k]
            inside += abs(left - 0.9 * (len(seen) - k)) < 1.96 * sigma + 2  # full cycles of nominal capacity
            total += 1
        assert inventory.estimate.soh_ppm < 800_000 and inventory.estimate.cycles_to_end == 0
        assert inventory.estimate.cycles_to_end_sigma == 0
    assert total > 50 and inside / total > 0.85


def test_soh_covers_and_limits_are_as_sure_as_the_resistance_and_the_charge():
    inside = []
    prof = profile(cathode_fade_ppm=0)
    for seed in range(8):
        cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
        for k in range(30):
            inventory.half_cycle(cell.charge())
            inventory.half_cycle(cell.discharge(rested=k % 10 == 0))
        e = inventory.estimate
        true = 1e6 * min(cell.q, cell.cathode + cell.active)
        inside.append(abs(e.soh_ppm - true) < 1.96 * e.soh_sigma_ppm + 2000)
    assert sum(inside) >= 7 and 0 < e.soh_sigma_ppm == e.capacity_sigma_ppm
    inventory.half_cycle(cell.charge())
    assert e.discharge_limit_permille == prof.discharge_max_permille
    assert e.discharge_limit_sigma_permille == 0  # the profile's: the window allows far more
    sigma = []
    for ohm in (10_000_000, 10_000_000, 18_000_000, 8_000_000):
        h = cell.discharge(depth=0.05)
        h.resistance_uohm = ohm
        inventory.half_cycle(h)
        sigma.append((e.discharge_limit_permille, e.discharge_limit_sigma_permille))
    assert all(0 < rate < prof.discharge_max_permille for rate, _ in sigma)
    assert 0.1 < sigma[0][1] / sigma[0][0] < 0.3  # one measurement: a fifth
    assert sigma[2][1] / sigma[2][0] > sigma[1][1] / sigma[1][0]  # scattered ones say less
    assert 0 < e.charge_limit_permille <= prof.charge_max_permille and e.charge_limit_sigma_permille > 0


def test_an_empty_cell_s_energy_is_in_doubt_too():
    _, inventory = settled(profile(), 1, 12)
    e = inventory.estimate
    assert e.energy_mwh < 4 and e.energy_sigma_mwh > 0


def test_normalized_life_is_of_a_reservoir():
    _, free = settled(profile(), 1, 12)
    _, reserved = settled(profile(**RESERVOIR), 1, 12)
    assert free.estimate.normalized_life_permille == 0
    assert reserved.estimate.normalized_life_permille == reserved.estimate.cycles_permille  # N/P 1


def test_end_and_advice():
    _, inventory = settled(profile(loss_isolated_ppm=12000, loss_sei_ppm=2000), 2, 30)
    assert inventory.estimate.cycles_left == 0 and inventory.estimate.end_foreseen == outlook.END_ISOLATED
    _, inventory = settled(profile(loss_isolated_ppm=1000, loss_sei_ppm=8000), 2, 30)
    assert inventory.estimate.end_foreseen == outlook.END_SEI
    cell, inventory = settled(profile(**RESERVOIR), 2, 30)
    assert inventory.estimate.end_foreseen == outlook.END_RESERVOIR
    inventory.reset_unknown()
    inventory.half_cycle(cell.charge(0.3))
    e = inventory.estimate
    assert e.known == UNKNOWN and e.advice == outlook.ADVICE_FULL_CHARGE and e.end_foreseen == outlook.END_OPEN
    inventory.half_cycle(cell.charge())
    assert e.advice == outlook.ADVICE_FULL_DISCHARGE


def test_a_short_sags_and_a_healthy_cell_does_not():
    prof = profile()
    for leak_ppm_per_h, expected in ((0, 0), (2000, 1)):
        inventory = Inventory(prof, 0)
        found = 0
        for hour in range(1, 49):
            content = 300_000 + leak_ppm_per_h * hour
            uv = 4_000_000 - (content - 200_000) * 150_000 // 200_000 + (hour * 7919 % 4000) - 2000
            found |= inventory.rest(uv, hour * 3600)
        assert found == expected == inventory.estimate.short_suspected


def test_charge_that_never_comes_out():
    for leak, expected in ((0.0, 0), (0.02, 1)):
        cell, inventory = settled(profile(), 3, 12)
        for _ in range(6):
            h = cell.charge()
            h.charge_ppm += round(leak * 1e6)
            inventory.half_cycle(h)
            inventory.half_cycle(cell.discharge())
        assert inventory.estimate.short_suspected == expected


def test_a_faded_cathode_is_stage_three_and_an_old_anchor_asks_for_a_full_discharge():
    prof = profile(reservoir_ppm=5_000_000, reservoir_sigma_ppm=30_000, cathode_fade_ppm=1000)
    _, inventory = settled(prof, 1, 110)
    e = inventory.estimate
    assert e.stage == 3 and e.since_anchor > 100
    assert e.advice == outlook.ADVICE_FULL_DISCHARGE and e.active_sigma_ppm > 50_000


def test_what_was_measured_long_ago_is_inferred():
    cell, inventory = settled(profile(), 1, 12)
    assert inventory.estimate.known == MEASURED
    for _ in range(22):
        inventory.half_cycle(cell.charge(depth=0.3))
        inventory.half_cycle(cell.discharge(depth=0.25))
    assert inventory.estimate.known == INFERRED


def test_a_flat_curve_anchors_only_at_full_charge():
    """LFP: 0.1 mV over half the content says nothing of the cathode."""
    table = {"ocv_content_ppm": [0, 20000, 900000, 1000000], "ocv_uv": [3600000, 3340000, 3330000, 2500000]}
    prof = profile(**table, max_uv=3_600_000, min_uv=2_500_000)
    cell, inventory = ToyCell(prof, 1), Inventory(prof, 0)
    inventory.half_cycle(cell.charge())
    inventory.half_cycle(cell.discharge(depth=0.5, rested=True))
    assert inventory.anchors == []


def test_a_fast_start_of_the_users_own_moves_isolated_lithium():
    prof = profile()
    cell = ToyCell(prof, 1)
    cell.charge()
    slow = cell.discharge(depth=0.5)
    assert moved_ppm(prof, slow)[0] == 0
    slow.early_rate_permille = 1000
    share, corroded = moved_ppm(prof, slow)
    assert share > 50_000 and corroded > 0
