"""Two slots, one good copy: power cut at every byte, random histories, flipped bits, wrapped sequence."""

import contextlib
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.clock import DAY_S
from relith.journal import FAILED_MOST, MOST, OWN_MOST, Journal, decode, encode

from tests.firmware.rigging import at_power_up


class Store:
    """Two slots; `cut` bytes into a write the power fails.

    What is there then: torn: so many bytes. flash: a raw block, so many bytes and FF behind them. littlefs: written
    beside and renamed, the old slot. fat: the same, but the last moment, between removing the old file and renaming the
    new one, leaves none.
    """

    def __init__(self, kind="torn"):
        self.slots = [None, None]
        self.cut = None
        self.kind = kind

    def read(self, slot):
        return self.slots[slot]

    def write(self, slot, data):
        if self.cut is None:
            self.slots[slot] = data
            return
        if self.cut < len(data):
            if self.kind in ("torn", "flash"):
                self.slots[slot] = data[: self.cut] + (
                    b"\xff" * (len(data) - self.cut) if self.kind == "flash" else b""
                )
            elif self.kind == "fat" and self.cut == len(data) - 1:
                self.slots[slot] = None
            self.cut = None
            raise PowerCutError
        self.cut -= len(data)
        self.slots[slot] = data


class PowerCutError(Exception):
    pass


KINDS = ("torn", "flash", "littlefs", "fat")


def after_reboot(store):
    return Journal(store).load()


def test_without_a_record_there_is_none_and_what_is_saved_comes_back():
    store = Store()
    journal = Journal(store)
    assert journal.load() is None
    assert journal.save(b"first") and journal.save(b"second")
    assert after_reboot(store) == b"second"


def test_a_new_boards_record_is_empty():
    """One slot is enough: `make flash` may be cut between the two."""
    for slots in ([encode(0, b"")] * 2, [encode(0, b""), None]):
        store = Store()
        store.slots = slots
        journal = Journal(store)
        assert journal.load() == b""
        assert journal.save(b"first") and after_reboot(store) == b"first"


@pytest.mark.safety(11)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("saves_before", [0, 1, 2, 3])
def test_cut_at_every_byte_leaves_old_or_new(kind, saves_before):
    old = b"state %d" % saves_before if saves_before else None
    new = bytes(range(40))
    for cut in range(2 * len(encode(1, new)) + 1):
        store = Store(kind)
        journal = Journal(store)
        journal.load()
        for k in range(saves_before):
            journal.save(b"state %d" % (k + 1))
        store.cut = cut
        with contextlib.suppress(PowerCutError):
            journal.save(new)
        found = after_reboot(store)
        assert found in (old, new)
        assert cut < len(encode(1, new)) or found == new


@pytest.mark.safety(11)
def test_ten_thousand_histories_with_one_cut_each():
    rng = random.Random(6)
    for _ in range(10_000):
        store, last = Store(rng.choice(KINDS)), None
        journal = Journal(store)
        journal.load()
        for k in range(rng.randrange(1, 6)):
            payload = bytes([k]) * rng.randrange(0, 30)
            store.cut = rng.randrange(0, 60) if rng.random() < 0.4 else None
            try:
                assert journal.save(payload)
            except PowerCutError:
                found = after_reboot(store)
                assert found in (last, payload)
                break
            store.cut = None
            last = payload
        journal = Journal(store)  # and after the cut it goes on
        journal.load()
        assert journal.save(b"go on") and after_reboot(store) == b"go on"


@pytest.mark.safety(11)
@given(st.binary(max_size=60), st.lists(st.tuples(st.booleans(), st.integers(0, 10**6)), min_size=1, max_size=12))
def test_flipped_bits_are_never_accepted(payload, flips):
    store = Store()
    journal = Journal(store)
    journal.save(payload)
    journal.save(payload + b"!")
    good = {bytes(payload), payload + b"!"}
    for slot, where in flips:
        raw = bytearray(store.slots[slot])
        raw[where // 8 % len(raw)] ^= 1 << where % 8
        store.slots[slot] = bytes(raw)
    found = after_reboot(store)
    assert found is None or found in good


@pytest.mark.safety(11)
def test_both_slots_bad_is_no_record_and_never_a_default():
    store = Store()
    journal = Journal(store)
    journal.save(b"latched")
    for ruin in (b"", None, b"\xff" * 30):  # one slot lost, the other damaged in its middle
        raw = bytearray(encode(1, b"latched"))
        raw[10] ^= 4
        store.slots = [bytes(raw), ruin]
        assert after_reboot(store) is None
        store.slots = [ruin, bytes(raw)]
        assert after_reboot(store) is None


def test_sequence_wraps():
    store = Store()
    journal = Journal(store)
    journal.sequence = 0xFFFD
    for k in range(8):
        assert journal.save(b"%d" % k)
        assert after_reboot(store) == b"%d" % k
        assert {decode(raw)[0] for raw in store.slots} == {(0xFFFF + k) & 0xFFFF, (0xFFFE + k) & 0xFFFF}


def test_a_store_that_fails_or_lies_is_reported():
    store = Store()
    journal = Journal(store)
    journal.save(b"good")

    def lie(slot, data):
        store.slots[slot] = data[:-1] + b"?"

    def fail(slot, data):
        raise OSError(28, "no space")

    for write in (lie, fail):
        store.write = write
        assert not journal.save(b"new")
        assert after_reboot(store) == b"good"


def test_unreadable_slots_are_no_record():
    store = Store()

    def fail(slot):
        raise OSError(5, "io")

    store.read = fail
    assert after_reboot(store) is None


def test_the_first_save_is_written_twice():
    store = Store()
    assert Journal(store).save(b"first") and store.slots == [encode(1, b"first"), encode(2, b"first")]


def test_where_no_slot_is_good_the_next_save_is_written_twice_as_well():
    store = Store()
    store.slots = [b"bad", b"bad"]
    journal = Journal(store)
    assert journal.load() is None and journal.save(b"anew")
    assert [decode(raw)[1] for raw in store.slots] == [b"anew", b"anew"]


def test_payload_too_long_and_foreign_record_are_refused():
    with pytest.raises(ValueError):
        encode(1, bytes(65536))
    record = encode(7, b"abc")
    assert decode(record) == (7, b"abc") and decode(record + b"\xff" * 9) == (7, b"abc")
    assert decode(encode(7, b"")) == (7, b"")
    for k in range(4):  # another magic or version
        assert decode(record[:k] + bytes([record[k] ^ 1]) + record[k + 1 :]) is None


def test_a_new_journal_knows_no_record():
    at_power_up(Journal(None), _slot=-1)


def test_the_record_on_flash():
    """Magic LR, version 1, sequence, length, payload, CRC-32 of all before it; little-endian."""
    record = encode(0x0102, b"abc")
    assert record[:11] == b"LR\x01\x00\x02\x01\x03\x00abc" and len(record) == 15
    assert int.from_bytes(record[11:], "little") == zlib.crc32(record[:11])
    assert encode(1, bytes(65535))[-4:] and decode(record[:14]) is None and decode(record[:11]) is None


def test_the_newer_of_two_is_taken_whichever_slot_it_is_in():
    for old, new in ((5, 6), (0xFFFF, 0), (0x7FFF, 0x8000), (1, 0x8000)):
        for slots in ([encode(old, b"old"), encode(new, b"new")], [encode(new, b"new"), encode(old, b"old")]):
            store = Store()
            store.slots = slots
            journal = Journal(store)
            assert journal.load() == b"new" and journal.sequence == new
            assert journal.save(b"newest")
            kept = [decode(raw)[1] for raw in store.slots]
            assert sorted(kept) == [b"new", b"newest"]  # written over the old one


def test_where_neither_is_newer_the_first_slot_is_kept():
    """Of one number, or half of all numbers apart: no saving leaves that, but it is not left to chance."""
    for one, two in ((7, 7), (1, 0x8001), (0x8001, 1), (0, 0x8000)):
        store = Store()
        store.slots = [encode(one, b"one"), encode(two, b"two")]
        journal = Journal(store)
        assert journal.load() == b"one" and journal.sequence == one
        assert journal.save(b"next")
        assert [decode(raw)[1] for raw in store.slots] == [b"one", b"next"]


def test_the_numbers_never_go_back_while_it_runs():
    """Not even when the newest record is damaged under it: what comes next is newer than all that was there."""
    store = Store()
    journal = Journal(store)
    assert journal.load() is None and journal.save(b"first") and journal.save(b"second")
    assert [decode(raw)[0] for raw in store.slots] == [3, 2]
    store.slots[0] = b"damaged"
    assert journal.save(b"third")
    assert store.slots[0] == b"damaged" and decode(store.slots[1]) == (4, b"third")


@pytest.mark.safety(4)
def test_whether_anything_was_written_since_the_start():
    store = Store()
    journal = Journal(store)
    assert journal.torn == journal.written == 0 and journal.may(0, 1)
    journal.load()
    assert journal.written == 0
    assert journal.save(b"one") and journal.written == 1
    again = Journal(store)
    again.load()
    assert again.written == 0
    store.write = lambda slot, data: None
    assert not again.save(b"two") and again.written == 0


@pytest.mark.safety(10, 14)
def test_records_of_a_day():
    journal = Journal(Store())
    for most in (OWN_MOST, MOST, FAILED_MOST):
        journal.day_records = most - 1
        assert journal.may(0, most)
        journal.day_records = most
        assert not journal.may(DAY_S - 1, most)
    journal.day_records, journal.torn = 5, 1
    assert not journal.may(0, OWN_MOST) and not journal.may(0, MOST) and journal.may(0, FAILED_MOST)
    assert journal.may(DAY_S, FAILED_MOST) and (journal.day_began_s, journal.day_records) == (DAY_S, 0)


def test_how_many_records_a_day_may_have():
    """What wear is reckoned with (host_sim/wear.py, docs/safety.md)."""
    assert (OWN_MOST, MOST, FAILED_MOST) == (64, 96, 128)
