"""What survives a power cut: two slots, written in turn, so that a cut at any byte leaves one good copy.

Record: magic, version, sequence (16 bit, wraps), payload length (16 bit), payload, CRC-32 of all before it; little-
endian.
Bytes after the record are ignored (a flash block is longer). The first save writes both slots: one slot bad beside one
never written can then only be a first save that was cut, and means EMPTY, the state before it.
"""

from binascii import crc32
from struct import pack, unpack

EMPTY, GOOD, BAD = 0, 1, 2  # Journal.status after load()
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


def erased(raw):
    """True for a slot that was never written: absent, of no length, or erased flash (all FF)."""
    return raw is None or raw == b"\xff" * len(raw)


class Journal:
    """`store`: read(slot) -> bytes or None and write(slot, bytes), slots 0 and 1; OSError counts as an unreadable
    slot.
    """

    def __init__(self, store):
        self.store = store
        self.status = EMPTY
        self.sequence = 0
        self._slot = -1  # the slot that holds the newest good record; -1: neither

    def _read(self, slot):
        try:
            return self.store.read(slot)
        except OSError:
            return b"unreadable"

    def load(self):
        """The newest good payload, or None: then `status` is EMPTY (never written) or BAD (written once, unreadable
        now).
        """
        raw = self._read(0), self._read(1)
        blank = erased(raw[0]), erased(raw[1])
        found = None if blank[0] else decode(raw[0]), None if blank[1] else decode(raw[1])
        if found[0] and found[1]:
            self._slot = 1 if 0 < (found[1][0] - found[0][0]) & 0xFFFF < 0x8000 else 0
        else:
            self._slot = 0 if found[0] else 1 if found[1] else -1
        newest = found[self._slot] if self._slot >= 0 else None
        if newest is None:
            cut_first_save = blank[1] and not blank[0] and raw[0] != b"unreadable" and _torn(raw[0])
            self.status = EMPTY if (blank[0] and blank[1]) or cut_first_save else BAD
            return None
        self.status = GOOD
        self.sequence, payload = newest
        return payload

    def save(self, payload):
        """Write beside the newest good record, never over it. True when the new record reads back whole."""
        first = self._slot < 0
        slot = 0 if first else 1 - self._slot
        sequence = (self.sequence + 1) & 0xFFFF
        if not self._write(slot, encode(sequence, payload)):
            return False
        self._slot, self.sequence, self.status = slot, sequence, GOOD
        if first:
            self._write(1 - slot, encode(sequence, payload))
        return True

    def _write(self, slot, record):
        try:
            self.store.write(slot, record)
        except OSError:
            return False
        back = self._read(slot)
        return back is not None and back[: len(record)] == record


def _torn(raw):
    """A record whose end was never written: shorter than it says, or its last byte still erased."""
    if len(raw) < _HEAD + 4:
        return True
    end = _HEAD + unpack(_HEAD_FORMAT, raw[:_HEAD])[3] + 4
    return len(raw) < end or raw[end - 1] == 0xFF
