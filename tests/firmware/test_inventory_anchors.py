"""What each anchor tells the estimator of a cell and of its sensors, and what it does not."""

import math
from types import SimpleNamespace

from relith.inventory import (
    ANCHOR_BARE,
    ANCHOR_FULL,
    ANCHOR_OCV,
    LIMIT_CATHODE,
    Inventory,
)
from relith.outlook import (
    GAIN,
    OFFSET,
    RZERO,
    Q,
)

from tests.firmware.toy_cell import RESERVOIR, ToyCell, live, profile, settled


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
