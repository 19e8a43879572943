"""What the estimator does not know, it says: first power-up, lost journal, swapped cells, contradictions."""

import pytest
from relith.halfcycle import END_LOW
from relith.inventory import (
    INFERRED,
    LIMIT_CATHODE,
    MEASURED,
    UNKNOWN,
    Inventory,
)
from relith.outlook import (
    ADVICE_FULL_CHARGE,
    ADVICE_FULL_DISCHARGE,
    DOUBTS,
    LIMIT_NONE,
)

from tests.firmware.toy_cell import RESERVOIR, ToyCell, live, profile, settled


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
