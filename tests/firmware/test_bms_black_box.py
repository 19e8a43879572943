"""The last ticks before a latch or a failed tick, kept and told; last words; a second latch."""

import struct

import pytest
from relith.bms import Bms
from relith.journal import FAILED_MOST, MOST, OWN_MOST

from host_sim.tables import STATES, TABLE
from tests.firmware.rigging import Store, World, lived


def box(bms):
    """Rows of eight numbers."""
    return list(struct.iter_unpack("<8i", bms.black_box.kept))


def test_the_last_ticks_before_a_latch_are_kept():
    world = lived("none")
    world.run(120, 300)
    assert box(world.bms) == []
    world.alter = lambda r: r.cell_uv.__setitem__(0, 4_300_000)
    world.run(5, 300).run(5, 300)
    rows = box(world.bms)
    assert world.state == "FAULT" and len(rows) == 16
    seconds, count, low, high, hot, what, alarms, switches = rows[-1]
    assert (count, low, high, hot) == (40_050, 4_300_000, 4_300_000, 2500)
    assert STATES[what >> 16] == "CHARGE" and switches == 3  # what had been granted until then
    assert alarms & 2 and rows[0][6] == 0  # the hard row, and nothing at first
    assert seconds == world.bms.clock.seconds or seconds == world.bms.clock.seconds - 5
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert min(row[2] for row in rows) < 4_200_000  # from before it began
    again = World(share=0.5, store=world.store, policy="none")
    assert again.state == "FAULT" and box(again.bms) == rows  # a boot into the latch does not overwrite it
    assert again.bms.record(2) == again.bms.black_box.kept


@pytest.mark.safety(14)
def test_the_first_event_stays_and_the_newest_stands_behind_it():
    """Until a person clears: then the next one has the box for itself."""
    world = lived("none")
    world.run(120, 300)
    world.alter = lambda r: r.cell_uv.__setitem__(0, 2_400_000)
    world.run(5).run(5)
    assert world.state == "FAULT"
    first = box(world.bms)
    assert len(first) == 16
    world.alter = lambda r: r.cell_uv.__setitem__(0, 1_900_000)
    world.run(60).run(60)
    assert world.state == "LOCKOUT"
    both = box(world.bms)
    assert both[:8] == first[8:] and both[8:] != first[8:] and both[-1][2] < 2_000_000
    again = World(share=0.5, store=world.store, policy="none")  # over a loss of power too
    again.alter = lambda r: setattr(r, "hardware_trip", 1)
    again.run(2)
    third = box(again.bms)
    assert third[:8] == first[8:] and third[-1][6] & 1 and third[-1][0] > both[-1][0]
    again.alter = None
    again.run(10)
    assert again.bms.clear() == 0 and box(again.bms) == third  # it may still be read
    again.run(3).run(3)
    assert again.state == "IDLE"
    again.alter = lambda r: setattr(r, "hardware_trip", 1)
    again.run(2)
    rows = box(again.bms)
    assert again.state == "FAULT" and rows[0][0] > third[-1][0] - 16 and not set(rows) & set(first)


@pytest.mark.safety(14)
def test_a_latch_while_it_boots_is_kept_as_well():
    world = World(share=0.5, store=Store(), ready=False)
    assert world.state == "BOOT" and world.bms.black_box.kept == b""
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.tick(100, 0)
    rows = box(world.bms)
    assert world.state == "FAULT" and [row[5] >> 16 for row in rows] == [0] * len(rows)
    assert World(store=world.store).bms.black_box.kept == world.bms.black_box.kept


def failed(world):
    """A tick fails; the journal is asked, by a start, what it was."""
    kept, world.bms.gate.watch = world.bms.gate.watch, lambda bms: 1 // 0
    with pytest.raises(ZeroDivisionError):
        world.tick(100, 0)
    world.bms.gate.watch = kept
    assert world.bms.black_box.kept
    return box(Bms(world.p, world.store))


def torn(world):
    """The power has failed within the last record."""
    slot = 1 - world.bms.journal._slot
    world.store.slots[slot] = world.store.slots[slot][:500]
    return World(share=0.5, store=world.store, policy="none")


def used_up(records):
    def spent(world):
        world.bms.journal.day_records = records
        world.bms.save(0)
        return World(share=0.5, store=world.store, policy="none")

    return spent


@pytest.mark.safety(10, 14)
@pytest.mark.parametrize("spoil", [torn, used_up(OWN_MOST), used_up(MOST)])
def test_a_failed_tick_is_in_the_journal_whatever_was_written_today(spoil):
    world = spoil(lived("none"))
    assert not world.bms.journal.may(world.bms.clock.seconds, OWN_MOST)
    world.run(5)
    seconds = world.bms.clock.seconds
    rows = failed(world)
    assert rows == box(world.bms) and seconds - 1 <= rows[-1][0] <= seconds + 1


@pytest.mark.safety(11, 14)
def test_failed_ticks_without_end_are_kept_as_long_as_there_is_room():
    """Then the first since a person cleared stands, and none wears the flash."""
    world = lived("none")
    first = failed(world)
    for _ in range(FAILED_MOST):
        world = World(share=0.5, store=world.store, policy="none")
        rows = failed(world)
    assert world.bms.journal.day_records == FAILED_MOST and rows[:8] == first[-8:]
    writes = world.store.writes
    world = World(share=0.5, store=world.store, policy="none")
    assert failed(world) == rows and world.store.writes == writes


@pytest.mark.safety(14)
def test_a_failed_tick_that_nobody_has_read_of_is_not_lost_to_a_latch(monkeypatch):
    world = lived("none")
    world.run(60, 300)
    with monkeypatch.context() as patch:
        patch.setattr(world.bms.gate, "watch", lambda bms: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            world.tick(100, 0)
    failed = box(world.bms)
    again = World(share=0.5, store=world.store, ready=False)
    again.alter = lambda r: setattr(r, "hardware_trip", 1)
    again.tick(100, 0)
    rows = box(again.bms)
    assert again.state == "FAULT" and rows[:8] == failed[-8:] and len(rows) > 8


def test_the_table_says_what_the_black_box_is_kept_for(monkeypatch):
    """Not a latching row alone: a row of the table that says yes."""
    world = lived("none")
    world.alter = lambda r: setattr(r, "watchdog_reset", 1)
    world.tick(100, 0)
    assert world.alarms() == ["watchdog"] and world.bms.black_box.kept == b""
    world = lived("none")
    world.bms.protection.boxed |= 1 << [row[0] for row in TABLE].index("watchdog")
    world.alter = lambda r: setattr(r, "watchdog_reset", 1)
    world.run(2)
    kept = world.bms.black_box.kept
    assert world.alarms() == ["watchdog"] and kept
    world.run(5)
    assert world.bms.black_box.kept == kept  # once


def test_a_box_of_the_wrong_size_is_refused():
    world = lived("none")
    assert world.bms.black_box.unpack(b"x" * 31) is False
    assert world.bms.black_box.unpack(b"x" * 32 * 17) is False
    assert world.bms.black_box.unpack(b"x" * 32) is True


@pytest.mark.safety(10)
def test_last_words_that_fail_too_change_nothing(monkeypatch):
    """The first exception goes on, outputs stay off."""
    world = lived("none")
    world.run(60, 300)

    def broken(*args):
        raise RuntimeError("first")

    def worse(*args):
        world.outputs.charge_enable = 1
        raise OSError("second")

    monkeypatch.setattr(world.bms.gate, "watch", broken)
    monkeypatch.setattr(world.bms, "save", worse)
    with pytest.raises(RuntimeError, match="first"):
        world.tick(100, 0)
    assert not world.outputs.charge_enable


@pytest.mark.safety(11)
def test_a_second_latch_is_kept_as_well():
    """It comes when the state is FAULT already, and no transition brings a record."""
    world = lived("none")
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.run(2)
    assert world.state == "FAULT" and world.alarms() == ["hardware_trip"]
    writes = world.store.writes
    world.alter = lambda r: r.temp_cdegc.__setitem__(0, 6100)
    world.run(3)
    latched = world.bms.protection.latched
    assert latched.bit_count() >= 2 and writes < world.store.writes <= writes + 2
    assert World(store=world.store).bms.protection.latched == latched
