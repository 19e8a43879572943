"""What the journal really holds, against power cuts and flipped bits: old or new, never a mixture, never a default.

`HYPOTHESIS_PROFILE=long` plays ten thousand histories of a whole controller instead of a few hundred.
"""

import os
import random

import pytest
from relith import memory
from relith.bms import Bms
from relith.journal import Journal, decode, encode

from host_sim import wear
from host_sim.loop import NEW_BOARD
from tests.firmware.gate_worlds import order, pulsing, ready
from tests.firmware.rigging import World, profile
from tests.firmware.test_journal import KINDS as STORES
from tests.firmware.test_journal import PowerCutError
from tests.firmware.test_journal import Store as CutStore

HISTORIES = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 200
PROFILE = profile(policy="none")
TWICE = 2 * len(encode(0, memory.pack_all(Bms(PROFILE, CutStore(STORES[0])))))  # bytes: a latch is kept in both slots


def latched():
    world = World(share=0.5)
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    return world


def cleared():
    world = latched()
    world.run(1)
    world.alter = None
    world.run(5)
    return world


def cycled():
    return World(share=0.5, policy="none").cycle()


def due():
    world = ready()
    order(world)
    return world


# kind of record -> (the world just before, what writes it)
KINDS = {
    "commissioning": (lambda: World(share=0.5), lambda w: w.bms.commission()),
    "consent": (lambda: World(share=0.5), lambda w: w.bms.arm(3)),
    "calibration": (lambda: World(share=0.5), lambda w: w.bms.command(7, 5, 100)),
    "intent of a pulse": (due, lambda w: w.tick(100, 0)),
    "end of a pulse": (lambda: pulsing(seconds=2), lambda w: w.run(3, until="IDLE")),
    "latch and black box": (latched, lambda w: w.tick(100, 0)),
    "latch cleared": (cleared, lambda w: w.bms.clear()),
    "estimate after a half-cycle": (cycled, lambda w: w.run(120, 300)),
}


@pytest.fixture(scope="module")
def records():
    """kind -> payloads (before, after) as they stand in the journal."""
    found = {}
    for kind, (make, write) in KINDS.items():
        world = make()
        journal = Journal(world.store)
        before = journal.load()
        write(world)
        after = Journal(world.store).load()
        assert before and after and before != after, kind
        found[kind] = before, after
    return found


@pytest.mark.safety(11)
@pytest.mark.parametrize("made", STORES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_at_every_byte_of_every_kind_of_record(records, kind, made):
    old, new = records[kind]
    whole = len(encode(2, new))
    seen = set()
    for cut in range(whole + 1):
        store = CutStore(made)
        Journal(store).save(old)
        journal = Journal(store)
        journal.load()
        store.cut = cut
        try:
            journal.save(new)
        except PowerCutError:
            assert cut < whole
        found = Journal(store).load()
        whole_all_the_same = found == new and made == "flash"  # what was cut off were bytes FF, as the flash had them
        assert whole_all_the_same or found == (new if cut == whole else old)
        seen.add(found)
    assert seen == {old, new}


@pytest.mark.safety(11)
@pytest.mark.parametrize("kind", KINDS)
def test_every_single_bit_of_both_slots(records, kind):
    """One flipped bit is noticed wherever it is; in both slots, and the inventory is unknown, not a default."""
    record = encode(7, records[kind][1])
    for bit in range(8 * len(record)):
        raw = bytearray(record)
        raw[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(raw)) is None, bit
        if bit % 97 == 0:
            store = CutStore()
            store.slots = [bytes(raw), bytes(raw)]
            journal = Journal(store)
            assert journal.load() is None


@pytest.mark.safety(11)
def test_any_two_bits_of_a_record():
    record = encode(9, b"short")
    bits = 8 * len(record)
    for first in range(bits):
        for second in range(first):
            raw = bytearray(record)
            raw[first // 8] ^= 1 << first % 8
            raw[second // 8] ^= 1 << second % 8
            assert decode(bytes(raw)) is None, (first, second)


@pytest.mark.safety(11, 12)
def test_both_slots_destroyed_is_unknown_and_off():
    world = latched().run(1)
    for ruin in (bytes(50), b"", b"\xff" * 3000):
        store = type(world.store)()
        store.slots = {0: ruin, 1: bytes(range(256)) * 8}
        bms = Bms(PROFILE, store)
        assert all(estimate.known == 0 for estimate in bms.estimates)
        assert bms.journal_bad and bms.protection.latched and not bms.gate.budgets(bms).pulse_allowed
        assert not bms.gate.rest_allowed and bms.gate.armed_until_s == 0


def lives(rng, bms):
    """One thing that is written down."""
    what = rng.randrange(7)
    if what == 0:
        bms.arm(rng.randrange(1, 30))
    elif what == 1:
        bms.calibrated()
    elif what == 2:
        bms.protection.latched |= 1 << rng.randrange(15)
        bms.save()
    elif what == 3:
        bms.gate.life_spent_ppm += rng.randrange(1000)
        bms.gate.pulses += 1
        bms.save()
    elif what == 4:
        bms.commission()
    elif what == 5:
        bms.ledger.charged.add(rng.randrange(1 << 19), 60000, 0)
        bms.clock.seconds += rng.randrange(10_000)
        bms.save()
    else:
        bms.disarm()


@pytest.mark.safety(11)
def test_random_histories_of_a_controller_with_one_cut_each():
    """The first start too: then the new board's own empty record is the old state."""
    rng = random.Random(11)
    for history in range(HISTORIES):
        store = CutStore(rng.choice(STORES))
        store.slots = list(NEW_BOARD.values())
        steps = rng.randrange(1, 6)
        fatal = rng.randrange(steps + 1)  # 0: the first start itself
        old = wanted = None
        try:
            store.cut = rng.randrange(TWICE) if fatal == 0 else None
            bms = Bms(PROFILE, store)
            for step in range(1, steps + 1):
                old = Journal(store).load()
                store.cut = rng.randrange(TWICE) if step == fatal else None
                lives(rng, bms)
        except PowerCutError:
            wanted = memory.pack_all(bms) if old else None  # what it was about to write
        store.cut = None
        journal = Journal(store)
        found = journal.load()
        assert found is not None, history
        if wanted is not None:
            assert found in (old, wanted), history
        again = Bms(PROFILE, store)
        if found:
            kept = int.from_bytes(found[1 + 8 * 5 : 1 + 8 * 6], "little")  # protection.latched
            assert again.protection.latched == kept, history
        else:
            assert again.protection.latched == 0 and again.estimates[0].known == 0


@pytest.mark.parametrize("policy, less", [("none", 3), ("both", 0)])
def test_writes_of_a_cycle(policy, less):
    """What docs/safety.md says (host_sim/wear.py), and one a day without use; without a policy no pulse, no rest."""
    world = World(share=0.5, policy=policy)
    world.cycle().run(20_000)
    writes = world.store.writes
    world.cycle().run(20_000)
    assert 20 <= world.store.writes - writes <= wear.cycle() + 1 - less
    world.run(86_400)
    writes = world.store.writes
    world.run(10 * 86_400)
    assert world.store.writes - writes <= 11
