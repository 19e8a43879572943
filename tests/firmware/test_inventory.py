"""The estimator against a cell whose stores are known."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.halfcycle import END_HIGH, END_LOW
from relith.inventory import (
    ANCHOR_BARE,
    ANCHOR_FULL,
    ANCHOR_OCV,
    INFERRED,
    LIMIT_ANODE,
    LIMIT_CATHODE,
    MEASURED,
    UNKNOWN,
    Inventory,
)
from relith.outlook import (
    ADVICE_FULL_CHARGE,
    ADVICE_FULL_DISCHARGE,
    DOUBTS,
    GAIN,
    LIMIT_NONE,
    OFFSET,
    RZERO,
    C,
    N,
    Q,
    S,
)
from relith.udfilter import ONE

from tests.firmware.toy_cell import ToyCell, profile

RESERVOIR = {"reservoir_ppm": 1_500_000, "reservoir_sigma_ppm": 75_000}


def live(cell, inventory, cycles, rest_every=10, pulse_every=0):
    """Full cycles; after each discharge yields (truth, estimate)."""
    for k in range(cycles):
        inventory.half_cycle(cell.charge())
        pulse = pulse_every > 0 and k % pulse_every == 0
        inventory.half_cycle(cell.discharge(rested=k % rest_every == 0, pulse=pulse))
        yield cell, inventory.estimate


def settled(prof, seed, cycles, **how):
    """(cell, inventory) after so many cycles."""
    cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
    for _ in live(cell, inventory, cycles, **how):
        pass
    return cell, inventory


def rms(values):
    return math.sqrt(sum(v * v for v in values) / len(values))


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


def test_first_power_up_and_lost_journal_are_unknown_until_an_anchor():
    prof = profile()
    inventory = Inventory(prof, 0)
    assert inventory.estimate.known == UNKNOWN
    cell = ToyCell(prof, 1)
    for _ in live(cell, inventory, 40):
        pass
    inventory.reset_unknown()
    assert inventory.estimate.known == UNKNOWN
    assert inventory.estimate.isolated_sigma_ppm > 200_000
    inventory.half_cycle(cell.charge())
    assert inventory.estimate.known == UNKNOWN
    inventory.half_cycle(cell.discharge(rested=True))
    e = inventory.estimate
    assert e.known == MEASURED
    assert abs(e.loss_ppm - (cell.isolated + cell.sei) * 1e6) < 20_000


def followed(cell, inventory, cycles):
    """(contradictions, known, advice) after every half-cycle."""
    said = []
    for _ in range(cycles):
        for h in (cell.charge(), cell.discharge(rested=True)):
            inventory.half_cycle(h)
            said.append((inventory.resets, inventory.estimate.known, inventory.estimate.advice))
    return said


@pytest.mark.parametrize("age, other_age", [(60, 0), (5, 40), (20, 50)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_swapped_cell_becomes_unknown_and_then_known(age, other_age, seed):
    """Another cell at the same state of charge: its capacity contradicts, and the next full discharge resolves it."""
    prof = profile()
    _, inventory = settled(prof, seed, age)
    other = ToyCell(prof, seed + 7)
    for _ in range(other_age):
        other.charge()
        other.discharge()
    said = followed(other, inventory, 5)
    assert inventory.resets == 1
    unknown = [advice for _, known, advice in said if known == UNKNOWN]
    assert unknown and set(unknown) <= {ADVICE_FULL_CHARGE, ADVICE_FULL_DISCHARGE}
    assert said[-1][1] == MEASURED
    assert abs(inventory.estimate.loss_ppm - (other.isolated + other.sei) * 1e6) < 30_000


@pytest.mark.parametrize("reservoir_ppm", [0, 300_000])
@pytest.mark.parametrize("age", [40, 60])
def test_a_used_cell_commissioned_as_new_is_found_out(age, reservoir_ppm):
    prof = profile(reservoir_ppm=reservoir_ppm, reservoir_sigma_ppm=10_000)
    cell, inventory = ToyCell(prof, 1), Inventory(prof, 0)
    for _ in range(age):
        cell.charge()
        cell.discharge()
    assert cell.anode_limited
    said = followed(cell, inventory, 5)
    assert UNKNOWN in [known for _, known, _ in said]  # believed new until it contradicts
    assert inventory.resets == 1 and inventory.estimate.known == MEASURED
    e = inventory.estimate
    assert abs(e.loss_ppm - (cell.isolated + cell.sei) * 1e6) < 3 * e.loss_sigma_ppm
    assert e.isolated_sigma_ppm > 50_000  # nobody saw which mechanism it was


def test_one_end_that_contradicts_is_taken_back_by_the_next_that_does_not():
    """A discharge cut off by something else, at the anode as it seems: doubted, and not believed."""
    prof = profile()
    cell, inventory = settled(prof, 4, 20)
    before = inventory.estimate.loss_ppm
    inventory.half_cycle(cell.charge())
    cut = cell.discharge(depth=cell.active - 0.15)
    cut.end, cut.end_uv = END_LOW, prof.min_uv
    inventory.half_cycle(cut)
    assert inventory.estimate.known == UNKNOWN and inventory.estimate.limited_by == LIMIT_NONE
    inventory.half_cycle(cell.charge())
    inventory.half_cycle(cell.discharge())
    assert inventory.estimate.known == MEASURED and inventory.resets == 0
    assert abs(inventory.estimate.loss_ppm - before) < 40_000


def test_a_doubted_end_before_one_at_the_cathode():
    """A reservoir, and a discharge that something else cut off half way."""
    prof = profile(reservoir_ppm=200_000)
    cell, inventory = settled(prof, 4, 4)
    inventory.half_cycle(cell.charge())
    cut = cell.discharge(depth=cell.active - 0.3)
    cut.end, cut.end_uv = END_LOW, prof.min_uv
    inventory.half_cycle(cut)
    assert inventory.estimate.known == UNKNOWN
    inventory.half_cycle(cell.charge())
    inventory.half_cycle(cell.discharge(rested=True))
    assert inventory.estimate.known == INFERRED and inventory.estimate.limited_by == LIMIT_CATHODE
    assert inventory.resets == 0


def test_a_small_contradiction_before_a_great_one_is_no_other_cell():
    """A leak moves the rested voltage of a charged cell a little, and that of an empty one out of the table."""
    prof = profile()
    cell, inventory = ToyCell(prof, 4), Inventory(prof, 0)
    for _ in live(cell, inventory, 20):
        pass
    full, empty = cell.charge(), cell.discharge(rested=True)
    full.ocv_after_uv, full.rest_after_s = prof.ocv_uv[0] - 40_000, 28800
    empty.ocv_after_uv = prof.min_uv
    inventory.half_cycle(full)
    assert inventory.kept[DOUBTS] == -1
    inventory.half_cycle(empty)
    assert inventory.kept[DOUBTS] == 1 and inventory.resets == 0
    for _ in live(cell, inventory, 2):
        pass
    assert inventory.resets == 0 and inventory.estimate.known == MEASURED


def test_a_swap_that_changes_the_cathode_moves_its_capacity():
    """Charge and rested voltage contradict each other again and again, by less than another cell's eight percent."""
    prof = profile(**RESERVOIR)
    cell, inventory = settled(prof, 3, 12, rest_every=1)
    cell.q -= 0.05
    cell.cathode -= 0.05
    cell.active += 0.05
    for _ in live(cell, inventory, 4, rest_every=1):
        pass
    assert abs(inventory.estimate.cathode_capacity_ppm - cell.q * 1e6) < 10_000
    assert inventory.estimate.limited_by == LIMIT_CATHODE


def test_what_a_full_charge_is_off_by_is_no_better_known_after_many():
    """The taper's drop is not that of the resistance: alike every time, so the doubt of the cathode covers it."""
    prof = profile(resistance_uohm=4_000_000)  # 20 mV
    for off_uv in (-4_000, 4_000):
        cell, inventory = ToyCell(prof, 2), Inventory(prof, 0)
        for k in range(30):
            full = cell.charge()
            full.end_uv = prof.max_uv + 20_000 + off_uv
            inventory.half_cycle(full)
            inventory.half_cycle(cell.discharge(rested=k % 10 == 0))
        e = inventory.estimate
        assert abs(e.cathode_ppm - cell.cathode * 1e6) < 2 * e.cathode_sigma_ppm
        assert abs(e.loss_ppm - (cell.isolated + cell.sei) * 1e6) < 2 * e.loss_sigma_ppm


def test_the_taper_is_of_the_charge_s_own_warmth():
    """Resistance measured cold, charge warm: the drop is less than the resistance says."""
    prof = profile(resistance_uohm=1_000_000)
    found = []
    for cdegc in (2500, 500):
        cell, inventory = ToyCell(prof, 2), Inventory(prof, 0)
        inventory.half_cycle(cell.charge())
        inventory.half_cycle(SimpleNamespace(**{**vars(cell.discharge()), "temp_cdegc": cdegc}))
        full = cell.charge()
        full.resistance_uohm = 2_000_000
        full.end_uv = prof.max_uv
        inventory.half_cycle(full)
        found.append(inventory.anchors[0][1])
    assert found[1] + 2000 < found[0]  # less drop: less in the cathode than was counted


def test_charge_that_passed_unseen_is_no_fault_of_the_sensor():
    prof = profile()
    cell, inventory = settled(prof, 1, 12, rest_every=3)
    before = inventory.filter.x[OFFSET], inventory.filter.x[GAIN], inventory.filter.x[Q]
    inventory.half_cycle(cell.charge())
    cell.cathode += 0.06  # on the bench
    cell.active -= 0.06
    for _ in live(cell, inventory, 3, rest_every=1):
        pass
    assert inventory.resets == 0
    after = inventory.filter.x[OFFSET], inventory.filter.x[GAIN], inventory.filter.x[Q]
    most = prof.offset_sigma_ppm_per_h * 1000, prof.gain_sigma_ppm * 1000, 10_000_000
    for then, now, limit in zip(before, after, most, strict=True):
        assert abs(now - then) < limit
    assert abs(inventory.estimate.cathode_ppm - cell.cathode * 1e6) < 20_000


def test_what_passed_before_a_restart_is_counted_in_doubt():
    prof = profile()
    _, inventory = settled(prof, 1, 5)
    e = inventory.estimate
    was, sigma = e.cathode_ppm, e.cathode_sigma_ppm
    inventory.passed(200_000)
    assert e.cathode_ppm == pytest.approx(was - 200_000, abs=2)
    assert e.cathode_sigma_ppm == pytest.approx(math.hypot(sigma, 30_000), rel=0.05)


def test_gain_is_told_beyond_doubt_only_and_goes_over():
    inventory = Inventory(profile(), 0)
    f = inventory.filter
    f.x[GAIN] = 1_500_000  # 1.5 sigma of the profile's 1000 ppm
    assert inventory.gain() == 0
    f.x[GAIN] = 2_500_000
    assert inventory.gain() == 2500
    inventory.corrected(2000)
    assert f.x[GAIN] == 500_000 and inventory.gain() == 0


PLATEAU = {
    "ocv_content_ppm": [0, 10000, 800000, 850000, 1000000],
    "ocv_uv": [3600000, 3420000, 3390000, 3380000, 2500000],
}


def test_a_full_charge_whose_drop_leaps_over_the_plateau_says_nothing():
    """Cold and worn: the drop is as long as the steep head of the curve, and in doubt by a third."""
    prof = profile(**PLATEAU, max_uv=3600000, resistance_uohm=1_000_000)
    cell, inventory = settled(prof, 1, 3)
    full = cell.charge()
    full.resistance_uohm, full.end_uv = 80_000_000, prof.max_uv
    inventory.half_cycle(full)
    assert inventory.anchors[0][0] == ANCHOR_FULL and abs(inventory.anchors[0][1]) > 500_000
    assert abs(inventory.estimate.cathode_ppm - cell.cathode * 1e6) < 20_000


def test_a_plateau_beside_the_reading_says_nothing():
    """A steep foot of the curve, read where a plateau is a sensor's error away."""
    for sigma, anchored in ((3000, False), (100, True)):
        inventory = Inventory(profile(**PLATEAU, voltage_sigma_uv=sigma), 0)
        cell = ToyCell(inventory.profile, 1)
        inventory.half_cycle(SimpleNamespace(**{**vars(cell.charge()), "ocv_after_uv": 3_388_000}))
        assert (ANCHOR_OCV in [kind for kind, _ in inventory.anchors]) == anchored


def test_a_new_cell_that_forms_is_no_other_cell():
    prof = profile(**RESERVOIR)
    cell, inventory = ToyCell(prof, 3), Inventory(prof, 0)
    first = cell.charge(depth=0.3)
    first.ocv_before_uv = 3_020_000  # as built: discharged, and rested for long
    inventory.half_cycle(first)
    cell.q -= 0.12  # the first charge takes sites that it does not give back
    cell.cathode -= 0.12
    cell.active += 0.12
    for _ in live(cell, inventory, 6, rest_every=1):
        pass
    assert inventory.resets == 0 and inventory.estimate.known == INFERRED
    assert abs(inventory.estimate.cathode_capacity_ppm - cell.q * 1e6) < 60_000


def test_a_leak_that_looks_like_another_cell_is_still_a_leak():
    prof = profile()
    cell, inventory = settled(prof, 1, 12)
    for _ in range(4):
        inventory.half_cycle(cell.charge())
        leak = min(0.2, cell.active)
        cell.active -= leak
        cell.cathode += leak
        inventory.half_cycle(cell.discharge())
    assert inventory.estimate.short_suspected == 1


def test_resistance_of_the_dead_layer_is_weak_evidence_of_a_hidden_loss():
    """A cell that loses twice what its profile expects, seen with and without its resistance."""
    wide = {"loss_isolated_spread_permille": 900, "loss_sei_spread_permille": 900}
    prof = profile(**RESERVOIR, **wide, dead_layer_uohm=100_000)
    errors = []
    for told in (False, True):
        cell, inventory = ToyCell(prof, 5), Inventory(prof, 0)
        cell.isolated_factor, cell.sei_factor = 2.0, 2.0
        for _ in range(50):
            inventory.half_cycle(cell.charge())
            lost = cell.isolated + cell.sei
            h = cell.discharge()
            h.resistance_uohm = round(100_000 * math.exp(lost)) if told else 0
            inventory.half_cycle(h)
        assert inventory.estimate.limited_by == LIMIT_CATHODE
        errors.append(abs(inventory.estimate.active_ppm - cell.active * 1e6))
    assert errors[1] < 0.85 * errors[0]


def test_a_resistance_that_scatters_is_worth_less():
    """Under a drive each is measured at a current of its own; the metal stays in doubt as without it, nearly."""
    prof = profile(**RESERVOIR, dead_layer_uohm=100_000)
    doubts = []
    for off in (0, 40_000):
        cell, inventory = ToyCell(prof, 5), Inventory(prof, 0)
        for k in range(30):
            inventory.half_cycle(cell.charge())
            h = cell.discharge()
            h.resistance_uohm = round(100_000 * math.exp(cell.isolated + cell.sei)) + (off if k % 2 else -off)
            inventory.half_cycle(h)
        doubts.append(inventory.filter.sigma_of(RZERO))
    assert doubts[1] > 1.5 * doubts[0]


def test_anchors_tell_their_residuals():
    prof = profile()
    cell, inventory = ToyCell(prof, 2), Inventory(prof, 0)
    kinds = set()
    for k in range(20):
        for h in (cell.charge(), cell.discharge(rested=k % 3 == 0)):
            inventory.half_cycle(h)
            kinds |= {kind for kind, _ in inventory.anchors}
            assert k < 3 or all(abs(residual) < 30_000 for _, residual in inventory.anchors)
    assert {ANCHOR_OCV, ANCHOR_FULL, ANCHOR_BARE} <= kinds


def test_a_rested_voltage_before_the_first_charge_is_no_anchor():
    """The first charge forms a new cathode, which then holds less. A used cell has long been formed."""
    prof = profile()
    cell = ToyCell(prof, 2)
    for lost in (False, True):
        inventory = Inventory(prof, 0)
        if lost:
            inventory.reset_unknown()
        h = cell.charge(rest_s=28_800)
        h.ocv_before_uv = 3_500_000
        inventory.half_cycle(h)
        assert (ANCHOR_OCV in {kind for kind, _ in inventory.anchors}) == lost
        cell.discharge()


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
