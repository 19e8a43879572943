"""What the journal holds of a `Bms`: one record of whole numbers, then the estimator's and the scheduler's own."""

from struct import calcsize, pack, unpack

_VERSION = 1
_HEAD = "<HHIIII"  # version, cells, nominal_capacity_uah, boots, clock, latched
_ACCOUNT = "<IIIH"
_GATE = "<iiiIIiII"
_LEDGER = "<iiI"


def pack_all(bms):
    """The whole state as bytes."""
    ledger, gate, p = bms.ledger, bms.gate, bms.profile
    parts = [
        pack(_HEAD, _VERSION, p.cell_count, p.nominal_capacity_uah, bms.boots, bms.clock.seconds, bms.protection.latched),
        pack(_GATE, gate.armed_until_s, gate.calibrated_until_s, gate.day_began_s, max(0, gate.day_spent_ppm),
             max(0, gate.life_spent_ppm), gate.last_pulse_s, gate.pulses, gate.rests),
        pack(_LEDGER, ledger.offset_mcount, ledger.gain_ppm, ledger.corrections),
        pack("<I", bms.tracker.index),
    ]  # fmt: skip
    for account in (ledger.charged, ledger.discharged, ledger.gaps):
        parts.append(pack(_ACCOUNT, account.cycles, account.ppm, account.ms, account.us))
    tail = [inventory.pack() for inventory in bms.inventories]
    tail.append(bms.scheduler.pack())
    for part in tail:
        parts.append(pack("<H", len(part)))
        parts.append(part)
    return b"".join(parts)


def unpack_all(bms, data):
    """Take back what pack_all() gave. False when it cannot be that, or is of another cell: then the caller starts
    from unknown.
    """
    reader = _Reader(data)
    ledger, gate, p = bms.ledger, bms.gate, bms.profile
    head = reader.take(_HEAD)
    if not head or head[:3] != (_VERSION, p.cell_count, p.nominal_capacity_uah):
        return False
    kept, corrections, index = reader.take(_GATE), reader.take(_LEDGER), reader.take("<I")
    accounts = reader.take(_ACCOUNT), reader.take(_ACCOUNT), reader.take(_ACCOUNT)
    tails = [reader.share() for _ in range(p.cell_count + 1)]
    if None in tails or not reader.done():
        return False
    for k in range(p.cell_count):
        if not bms.inventories[k].unpack(tails[k]):
            return False
    if not bms.scheduler.unpack(tails[-1]):
        return False
    bms.boots, bms.clock.seconds, bms.protection.latched = head[3:]
    gate.armed_until_s, gate.calibrated_until_s, gate.day_began_s, gate.day_spent_ppm = kept[:4]
    gate.life_spent_ppm, gate.last_pulse_s, gate.pulses, gate.rests = kept[4:]
    ledger.offset_mcount, ledger.gain_ppm, ledger.corrections = corrections
    bms.tracker.index = index[0]
    for account, numbers in zip((ledger.charged, ledger.discharged, ledger.gaps), accounts):
        account.cycles, account.ppm, account.ms, account.us = numbers
    return True


class _Reader:
    def __init__(self, data):
        self._data = data
        self._at = 0

    def take(self, form):
        """The next numbers of `form`, or None."""
        end = self._at + calcsize(form)
        raw = self._data[self._at : end]
        self._at = end
        return unpack(form, raw) if len(raw) == calcsize(form) else None

    def share(self):
        """The next counted bytes, or None."""
        size = self.take("<H")
        if not size:
            return None
        raw = self._data[self._at : self._at + size[0]]
        self._at += size[0]
        return raw if len(raw) == size[0] else None

    def done(self):
        return self._at == len(self._data)
