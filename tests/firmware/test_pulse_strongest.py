"""The strongest pulse that a profile allows, against the limit of the load and the hard one."""

import pytest

from tests.firmware.gate_worlds import pulsing

STRONG = {"pulse_max_permille": 2000, "discharge_soft_permille": 1350, "discharge_max_permille": 1250}


@pytest.mark.safety(5)
def test_a_pulse_is_no_load_beyond_its_limit():
    """It draws more than a load may, as it was granted, to its end."""
    world = pulsing(30, 2000, **STRONG)
    world.run(40, until="IDLE")
    assert world.state == "IDLE" and world.reason == "the pulse was delivered" and world.alarms() == []


@pytest.mark.safety(5)
@pytest.mark.parametrize("load, row", [(140, []), (1360, ["discharge_hard"])])
def test_a_load_beside_a_pulse_counts(load, row):
    """The hard limit holds for both together, the load's own limit for what is beyond the pulse."""
    world = pulsing(30, 2000, **STRONG)
    one_c = world.p.one_c_count
    for _ in range(10):
        world.tick(100, -world.outputs.pulse_count - load * one_c // 1000 if world.outputs.pulse_count else 0)
    assert [name for name in world.alarms() if name != "pulse_current"] == row
