"""A soft short in the whole firmware: watched for in every rest, latched, remembered; and anchors in the log."""

import struct

import pytest
from relith.inventory import ANCHOR_BARE, ANCHOR_FULL
from relith.log import ANCHOR

from tests.firmware.rigging import World

pytestmark = pytest.mark.safety(8)


def rested(hours, leak_per_h):
    """A world that has rested, and the hours until it suspected a short (None: never)."""
    world = World(share=0.7)
    world.run(600, -300)
    for hour in range(hours):
        world.share -= leak_per_h
        world.run(3600)
        if world.bms.short_suspected:
            return world, hour + 1
    return world, None


@pytest.mark.parametrize("leak_per_h", [0.0, 1 / 5000])
def test_a_healthy_rest_is_quiet(leak_per_h):
    world, found = rested(48, leak_per_h)
    assert found is None and "soft_short" not in world.alarms()


def test_a_short_above_c_500_is_found_within_48_h_and_stays():
    world, found = rested(48, 1 / 490)
    assert found is not None and found <= 48
    world.run(5)
    assert world.state == "FAULT" and "soft_short" in world.alarms()
    again = World(share=world.share, store=world.store)
    assert again.bms.short_suspected == 1  # the journal knows
    again.bms.commission()
    assert again.bms.short_suspected == 0  # another cell is in


def test_anchors_are_logged_with_their_residuals():
    world = World(share=0.9)
    for _ in range(2):
        world.cycle()
    data = world.bms.log.pack(0, -1, -1)
    events = [struct.unpack_from("<iii", data, at) for at in range(12, len(data), 12)]
    anchors = [(code & 255, residual) for _, code, residual in events if code >> 24 == ANCHOR]
    assert {kind for kind, _ in anchors} <= set(range(1, ANCHOR_BARE + 1))
    assert ANCHOR_FULL in {kind for kind, _ in anchors}
    assert all(abs(residual) < 1_000_000 for _, residual in anchors)


def test_a_cell_that_was_charged_elsewhere_is_no_short():
    """The jump contradicts the anchors and drags the learned offset far off; charge must not seem to vanish by it."""
    world = World(share=0.9)
    world.cycle()
    world.share = 0.7  # on the bench, unseen
    for _ in range(5):
        world.cycle()
    assert world.bms.short_suspected == 0 and "soft_short" not in world.alarms()
