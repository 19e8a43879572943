"""A thermometer that does not move by a digit while the current warms the cell: off, and on again once it moves."""

import pytest

from host_sim.tables import TABLE
from tests.firmware.rigging import World

QUANTITY = next(row.quantity for row in TABLE if row.id == "sensor_stuck")
LIMIT = next(row.limit for row in TABLE if row.id == "sensor_stuck")


def frozen(r):
    r.temp_cdegc[0] = 2600


def stuck(world):
    return world.bms.protection._values[QUANTITY]


@pytest.mark.safety(6, 13)
@pytest.mark.parametrize("permille, seconds", [(1000, 225), (500, 880)])
def test_found_by_the_square_of_the_current(permille, seconds):
    """6 % of nominal capacity at 1C, 12 % at C/2: everything off, and for good while it is stuck."""
    world = World(share=0.9)
    world.alter = frozen
    world.run(seconds * 0.8, -permille)
    assert world.state == "DISCHARGE" and 0 < stuck(world) <= LIMIT
    world.run(seconds * 0.4, -permille).run(86_400, -permille)
    assert world.state == "SOFT_LIMIT" and "sensor_stuck" in world.alarms()
    assert not (world.outputs.charge_enable or world.outputs.discharge_enable)


@pytest.mark.parametrize("permille, share", [(0, 0.5), (-499, 0.95), (100, 0.2)])
def test_what_warms_nothing_proves_nothing(permille, share):
    world = World(share=share)
    world.alter = frozen
    world.run(6000, permille)
    assert "sensor_stuck" not in world.alarms() and stuck(world) == 0


def test_a_digit_is_enough():
    world = World(share=0.9)
    world.run(1200, -1000)
    assert "sensor_stuck" not in world.alarms()


@pytest.mark.parametrize("still", [0, 1])
def test_either_of_two(still):
    """The warmer or the colder one: the other one moves."""
    world = World(share=0.9)
    readings = world.board.readings
    readings.temp_cdegc.append(2600)

    def alter(r):
        r.temp_cdegc[still] = 2600
        r.temp_cdegc[1 - still] = 2700 + world.board.ms // 1000 % 7

    world.alter = alter
    world.run(260, -1000)
    assert world.state == "SOFT_LIMIT" and "sensor_stuck" in world.alarms()


def test_a_live_one_that_stood_still_goes_on():
    """A cell that has come to rest at one temperature: without current it cools, and that is seen."""
    world = World(share=0.9)
    world.alter = lambda r: r.temp_cdegc.__setitem__(0, 2600 - (world.bms.tracker.rest_s > 30))
    world.run(240, -1000)
    assert world.state == "SOFT_LIMIT"
    world.run(60)
    assert world.state == "IDLE" and world.outputs.discharge_enable


def test_unbelieved_temperatures_prove_nothing():
    world = World(share=0.9)

    def alter(r):
        frozen(r)
        r.temp_ok = 0

    world.alter = alter
    world.run(40, -1000)
    assert stuck(world) == 0


def test_figures_that_no_cell_has_stay_small():
    """A day's charge in one tick, at any rate: no more than half the range of a small int."""
    world = World(share=0.5)
    bms = world.bms
    bms.ledger.moved_ppm, bms.tracker.permille = -(10**9), 10**6
    for _ in range(3):
        bms.protection.measure(bms)
    assert LIMIT < stuck(world) <= 1 << 29
