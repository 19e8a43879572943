"""What an object has, it has from the start: no tick adds an attribute, which would allocate, and some path lack it."""

from functools import cache

import pytest
from relith.bms import Bms

from tests.firmware.gate_worlds import order, ready
from tests.firmware.link_host import Host, upload
from tests.firmware.rigging import Store, profile
from tests.link_stub import Board

PARTS = ("ledger", "gate", "protection", "machine", "journal", "clock", "belief", "tracker")


def names(thing):
    """Of the object and of the accounts in it."""
    found = set(vars(thing))
    for name, value in vars(thing).items():
        if type(value).__name__ == "Account":
            found |= {f"{name}.{inner}" for inner in vars(value)}
    return found


@cache
def lived():
    """A cycle, a pulse, a rest, a fault that is cleared, a stop."""
    world = ready()
    world.cycle().fill()
    order(world, 30)
    world.run(60)
    world.empty()
    world.bms.scheduler.rest_s, world.bms.gate.asked = 600, 2
    world.run(700)
    world.alter = lambda r: r.cell_uv.__setitem__(0, 4_300_000)
    world.run(5)
    world.alter = None
    world.run(5)
    world.bms.protection.clear()
    world.bms.stop(1)
    return world.run(60)


@pytest.mark.parametrize("part", PARTS)
def test_a_life_adds_nothing(part):
    new = Bms(profile(), Store())
    assert names(getattr(lived().bms, part)) == names(getattr(new, part))


def test_a_conversation_adds_nothing():
    host = Host(Board())
    new = names(Board().link)
    upload(host, b"profile")
    host.dangerous("commit_profile")
    host.reply("read", {"area": 2, "offset": 0})
    host.replies(20)
    assert names(host.board.link) == new
