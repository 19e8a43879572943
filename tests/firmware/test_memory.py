"""What the journal holds: taken back whole, or not at all."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import memory
from relith.bms import Bms

from tests.firmware.rigging import Store, World, profile


@cache
def worn():
    """A controller with something to remember, nothing of it zero."""
    world = World(share=0.5, policy="both", cell_count=2)
    world.cycle().fill().run(300).empty()
    bms = world.bms
    for k, (owner, name) in enumerate(memory._places(bms)[memory._FIXED :]):
        setattr(owner, name, getattr(owner, name) + 1000 + k)
    return bms


@cache
def kept():
    return memory.pack_all(worn())


def numbers(bms):
    return [getattr(owner, name) for owner, name in memory._places(bms)]


def empty():
    return Bms(profile(policy="both", cell_count=2), Store())


def test_all_of_it_comes_back():
    bms = empty()
    assert memory.unpack_all(bms, kept()) is True
    assert numbers(bms) == numbers(worn())
    assert [vars(e) for e in bms.estimates] == [vars(e) for e in worn().estimates]
    assert memory.pack_all(bms) == kept()


def test_every_account_and_latch_is_in_it():
    named = {name for _, name in memory._places(worn())}
    assert {"latched", "seconds", "boots", "index", "armed_until_s", "life_spent_ppm", "last_pulse_s"} <= named
    owners = [owner for owner, _ in memory._places(worn())]
    for account in (worn().ledger.charged, worn().ledger.discharged, worn().ledger.gaps):
        assert sum(owner is account for owner in owners) == 4


@given(st.integers(0, 1 << 20))
def test_cut_anywhere_it_is_refused(end):
    bms = empty()
    before = numbers(bms)
    assert memory.unpack_all(bms, kept()[: end % len(kept())]) is False
    assert numbers(bms) == before


def test_longer_or_of_another_version_it_is_refused():
    for data in (kept() + b"\0", bytes([kept()[0] + 1]) + kept()[1:], b""):
        bms = empty()
        before = numbers(bms)
        assert memory.unpack_all(bms, data) is False and numbers(bms) == before


@pytest.mark.parametrize("changes", [{"cell_count": 3}, {"nominal_capacity_uah": 240_000}])
def test_of_another_cell_it_is_refused(changes):
    bms = Bms(profile(**{"policy": "both", "cell_count": 2, **changes}), Store())
    assert memory.unpack_all(bms, kept()) is False


def test_what_estimator_or_scheduler_refuse_is_refused(monkeypatch):
    for part in ("inventories", "scheduler"):
        bms = empty()
        owner = getattr(bms, part)
        monkeypatch.setattr(owner[1] if part == "inventories" else owner, "unpack", lambda data: False)
        before = numbers(bms)
        assert memory.unpack_all(bms, kept()) is False and numbers(bms) == before


@cache
def plain():
    """The record of a new board of one cell, and where its parts begin."""
    bms = Bms(profile(), Store())
    at = 1 + 8 * len(memory._places(bms))
    begins = []
    for part in memory._parts(bms):
        begins.append(at)
        at += 2 + len(part.pack())
    return memory.pack_all(bms), begins, at


def test_cut_at_the_edge_of_every_part_it_is_refused():
    data, begins, end = plain()
    assert end == len(data) and len(begins) == 4
    for at in (1, begins[0] - 1, *begins, *(begin + 1 for begin in begins), *(begin + 2 for begin in begins), end - 1):
        bms = Bms(profile(), Store())
        assert memory.unpack_all(bms, data[:at]) is False
    assert memory.unpack_all(Bms(profile(), Store()), data + b"\0") is False
    assert memory.unpack_all(Bms(profile(), Store()), data) is True


def test_what_each_cell_has_bled_and_each_extras_day_come_back():
    bms = Bms(profile(cell_count=2), Store())
    for k, account in enumerate(bms.ledger.bled):
        account.cycles, account.ppm, account.ms, account.us = (10 * k + n for n in (1, 2, 3, 4))
    bms.gate.extras.until_s[3] = 77
    again = Bms(profile(cell_count=2), Store())
    assert memory.unpack_all(again, memory.pack_all(bms)) is True
    for k, account in enumerate(again.ledger.bled):
        assert [account.cycles, account.ppm, account.ms, account.us] == [10 * k + n for n in (1, 2, 3, 4)]
    assert list(again.gate.extras.until_s) == [0, 0, 0, 77, 0]
