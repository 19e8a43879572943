"""Each slot valid, erased, empty, absent or destroyed, in every combination: a latch never disappears."""

import itertools

import pytest
from relith.bms import APART_S, Bms
from relith.journal import Journal, encode

from host_sim.loop import NEW_BOARD
from tests.firmware.rigging import Store, World, profile

RUINS = {
    "valid": lambda data: data,
    "erased": lambda data: b"\xff" * 4096,
    "empty": lambda data: b"",
    "absent": lambda data: None,
    "cut": lambda data: data[: len(data) // 2],
    "destroyed": lambda data: bytes(byte ^ 0x55 for byte in data),
}
PAIRS = list(itertools.product(RUINS, repeat=2))


def tripped(r):
    r.hardware_trip = 1


def fallen(r):
    r.cell_uv[0] = 1_900_000


def again(store, ruins):
    """A start after the slots were ruined; None stays a slot that was never written."""
    fresh = Store()
    left = {slot: RUINS[ruin](store.slots.get(slot)) for slot, ruin in enumerate(ruins)}
    fresh.slots = {slot: data for slot, data in left.items() if data is not None}
    return World(store=fresh, share=0.5, ready=False)


@pytest.mark.safety(11, 12)
@pytest.mark.parametrize("ruins", PAIRS, ids="-".join)
@pytest.mark.parametrize("fault, state", [(tripped, "FAULT"), (fallen, "LOCKOUT")])
def test_a_latch_never_disappears(fault, state, ruins):
    """One good slot of two is enough, whichever it is; with none all is unknown, off, and locked."""
    world = World(share=0.5)
    world.alter = fault
    world.run(3)
    assert world.state == state
    before = world.bms.protection.latched
    after = again(world.store, ruins)
    after.run(10)
    bms, o = after.bms, after.outputs
    assert not (o.charge_enable or o.discharge_enable or o.pulse_count)
    if "valid" in ruins:
        assert bms.protection.latched == before and after.state == state
    else:
        assert after.state == "LOCKOUT" and bms.protection.lockout and bms.journal_bad
        assert all(estimate.known == 0 for estimate in bms.estimates) and bms.gate.armed_until_s == 0
    assert not bms.gate.budgets(bms).pulse_allowed and not bms.gate.rest_allowed
    twice = again(after.store, ("valid", "valid"))  # and the next start does not forget it either
    assert twice.run(10).state == after.state and twice.bms.protection.latched == bms.protection.latched
    after.run(APART_S + 30)  # by then it stands in both slots again
    for slots in (("valid", "absent"), ("absent", "valid")):
        assert again(after.store, slots).bms.protection.latched == bms.protection.latched


@pytest.mark.safety(11)
@pytest.mark.parametrize("ruins", PAIRS, ids="-".join)
def test_without_a_latch_a_good_slot_goes_on_and_none_locks(ruins):
    world = World(share=0.5).run(60, 100)
    after = again(world.store, ruins).run(10)
    assert after.state == ("IDLE" if "valid" in ruins else "LOCKOUT")


@pytest.mark.safety(11, 12)
@pytest.mark.parametrize("unlock", ["clear", "commission"])
def test_what_locks_is_unlocked_by_a_person_alone(unlock):
    store = Store()
    store.slots = {}
    world = World(store=store, share=0.5).run(3600)
    assert world.state == "LOCKOUT"
    getattr(world.bms, unlock)()
    world.run(1).run(10)
    assert world.state == "IDLE" and not world.bms.journal_bad
    assert world.bms.estimates[0].known == 0 and not world.bms.gate.budgets(world.bms).pulse_allowed
    after = World(store=store, share=0.5).run(10)
    assert after.state == "IDLE"


@pytest.mark.safety(11)
@pytest.mark.parametrize("slots", [NEW_BOARD, {0: encode(0, b"")}, {1: encode(0, b"")}])
def test_a_new_board_is_one_that_says_so(slots):
    """It may charge and discharge; it knows nothing and intervenes in nothing."""
    store = Store()
    store.slots = dict(slots)
    world = World(store=store, share=0.5).run(10)
    assert world.state == "IDLE" and world.alarms() == ["calibration"]
    assert world.bms.estimates[0].known == 0 and not world.bms.gate.budgets(world.bms).pulse_allowed


@pytest.mark.safety(11)
@pytest.mark.parametrize("change", ["nominal_capacity_uah", "current_lsb_na", "cell_count"])
def test_a_record_of_another_cell_is_none_of_ours(change):
    """Counts of another unit would be another charge."""
    world = World(share=0.5).run(60, 100)
    p = profile()
    bms = Bms(profile(**{change: getattr(p, change) + 1}), world.store)
    assert bms.journal_bad and bms.protection.latched and bms.estimates[0].known == 0
    assert bms.ledger.charged.ppm == 0 and bms.gate.armed_until_s == 0


class OneDead(Store):
    """A store in which one slot cannot be written any more."""

    dead = -1

    def write(self, slot, data):
        if slot == self.dead:
            raise OSError(5)
        super().write(slot, data)


@pytest.mark.safety(11, 12)
@pytest.mark.parametrize("dead", [0, 1])
@pytest.mark.parametrize("fault, state", [(tripped, "FAULT"), (fallen, "LOCKOUT")])
def test_a_latch_is_kept_with_one_slot_that_cannot_be_written(fault, state, dead):
    store = OneDead()
    world = World(store=store, share=0.5)
    store.dead = dead
    world.alter = fault
    world.run(3)
    assert world.state == state and world.bms.journal_bad
    after = again(store, ("valid", "valid"))
    after.run(10)
    assert after.state == state and after.bms.protection.latched == world.bms.protection.latched
    assert not (after.outputs.charge_enable or after.outputs.discharge_enable)


def test_slots_that_could_not_be_read_for_a_moment_do_not_win_over_what_is_saved_later():
    """Their sequence goes on where it stood, and what one slot alone has not got is said."""
    store = OneDead()
    store.slots = {0: encode(500, b"old"), 1: encode(501, b"older still")}
    read, store.read = store.read, lambda slot: (_ for _ in ()).throw(OSError(5))
    journal = Journal(store)
    assert journal.load() is None
    store.read = read
    store.dead = 0
    assert not journal.save(b"latched", True)
    store.dead = -1
    assert Journal(store).load() == b"latched"


@pytest.mark.safety(11)
@pytest.mark.parametrize(
    "slots", [{}, {0: encode(3, b"one")}, {1: encode(3, b"one")}, {0: encode(3, b"one"), 1: b"cut"}]
)
def test_while_a_slot_is_torn_nothing_that_is_counted_is_written(slots):
    store = Store()
    store.slots = dict(slots)
    journal = Journal(store)
    journal.load()
    assert journal.torn == 1 and journal.may(0, 1) is False
    store.broken = True
    assert not journal.save(b"two") and journal.torn == 1
    store.broken = False
    assert journal.save(b"two") and journal.torn == 0 and journal.may(0, 1)


def test_a_day_of_power():
    journal = Journal(Store())
    journal.load()
    assert journal.torn == 0 and journal.may(0, 1) and not journal.may(0, 0)
    journal.day_began_s, journal.day_records = 1000, 5
    assert not journal.may(1000 + 86_399, 5) and journal.may(1000 + 86_399, 6) and journal.day_began_s == 1000
    assert journal.may(1000 + 86_400, 1) and (journal.day_began_s, journal.day_records) == (1000 + 86_400, 0)
