"""What survives a power cut: two slots, written in turn, so that a cut at any byte leaves one good copy.

Record: magic, version, sequence (16 bit, wraps), payload length (16 bit), payload, CRC-32 of all before it; little-
endian. Bytes after the record are ignored (a flash block is longer).
Slots that are erased, empty or absent are no new board's: nobody could tell what they held, and it may have been a
latch. A new board is one whose slots hold a record with an empty payload: whoever flashes it writes that.
"""

from binascii import crc32
from struct import pack, unpack

from relith import const
from relith.clock import DAY_S

OWN_MOST = const(64)  # records a day that starts, pulses and rests may bring about,
MOST = const(96)  # what persons ask for besides, and
FAILED_MOST = const(128)  # failed ticks; what moves with charge keeps its distance instead (Bms._journal)
_MAGIC = 0x524C  # "LR" on flash
_VERSION = 1
_HEAD = 8
_HEAD_FORMAT = "<HHHH"


def encode(sequence, payload):
    """One record as bytes. ValueError when `payload` is 64 KiB or longer."""
    if len(payload) > 65535:
        raise ValueError("journal payload")
    record = pack(_HEAD_FORMAT, _MAGIC, _VERSION, sequence, len(payload)) + payload
    return record + pack("<I", crc32(record))


def decode(raw):
    """(sequence, payload) of a sound record, else None."""
    if len(raw) < _HEAD + 4:
        return None
    magic, version, sequence, size = unpack(_HEAD_FORMAT, raw[:_HEAD])
    end = _HEAD + size
    if magic != _MAGIC or version != _VERSION or len(raw) < end + 4:
        return None
    if unpack("<I", raw[end : end + 4])[0] != crc32(raw[:end]):
        return None
    return sequence, raw[_HEAD:end]


class Journal:
    """`store`: read(slot) -> bytes or None and write(slot, bytes), slots 0 and 1; OSError counts as an unreadable
    slot.
    """

    def __init__(self, store):
        self.store = store
        self.sequence = 0
        self.day_began_s = self.day_records = 0  # kept in the journal itself, so that no restart wins it back
        self.alike = False  # both slots held the same at the start
        self.torn = 0  # 1: a slot was not sound at the start, and nothing has been written since
        self.written = 0  # 1: something has
        self._slot = -1  # the slot that holds the newest good record; -1: neither

    def may(self, now_s, most):
        """Are there fewer than `most` records yet in this day of power? Not while a slot is torn, but for a failed
        tick: what was cut off has not been counted. `now_s`: of Clock.
        """
        if now_s - self.day_began_s >= DAY_S:
            self.day_began_s = now_s
            self.day_records = 0
        return self.day_records < most and (most == FAILED_MOST or not self.torn)

    def _read(self, slot):
        try:
            return self.store.read(slot)
        except OSError:
            return b"unreadable"

    def load(self):
        """The newest good payload, or None: no slot can be read, whatever was in it."""
        raw = self._read(0), self._read(1)
        found = [None if data is None else decode(data) for data in raw]
        self.torn = 1
        if found[0] and found[1]:
            self.torn = 0
            self.alike = found[0][1] == found[1][1]
            self._slot = 1 if 0 < (found[1][0] - found[0][0]) & 0xFFFF < 0x8000 else 0
        else:
            self._slot = 0 if found[0] else 1 if found[1] else -1
        newest = found[self._slot] if self._slot >= 0 else None
        if newest is None:
            return None
        self.sequence, payload = newest
        return payload

    def save(self, payload, both=False):
        """Write beside the newest good record; then over that one too if it is to stand in `both` (a latch: each slot
        alone is enough, also where the other can no longer be written) or if there is none. True when all that was
        written reads back whole.
        """
        if self._slot < 0:
            self.load()  # what could not be read at the start may be readable now
        both = both or self._slot < 0
        first = 0 if self._slot < 0 else 1 - self._slot
        saved = self._save(first, payload)
        if both:
            saved = self._save(1 - first, payload) and saved
        if saved:
            self.torn = 0
            self.written = 1
        return saved

    def _save(self, slot, payload):
        sequence = (self.sequence + 1) & 0xFFFF
        if not self._write(slot, encode(sequence, payload)):
            return False
        self._slot, self.sequence = slot, sequence
        return True

    def _write(self, slot, record):
        try:
            self.store.write(slot, record)
        except OSError:
            return False
        back = self._read(slot)
        return back is not None and back[: len(record)] == record
