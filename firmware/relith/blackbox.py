"""The last ticks before a latch: readings, state, what was asked, what was granted (safety rule 14)."""

from struct import pack

from relith import const
from relith.readings import zeros

_WIDTH = const(8)
_TICKS = const(16)
_HALF = const(256)  # bytes


class BlackBox:
    """`note()` in every tick allocates nothing; `keep()` at a latch, and when a tick fails.

    The first event since a person cleared the latches stays, and the newest: then of each the eight ticks nearest to
    it. `kept`: of each tick, oldest first, eight little-endian 32-bit numbers: seconds of Clock; current, counts;
    lowest and highest cell, uV; hottest sensor, cdegC; state, decision and reason, a byte each, state highest; alarms;
    what was granted: 1 charge, 2 discharge, from bit 2 on the pulse current in counts.
    """

    def __init__(self):
        self.kept = b""
        self.first = 0  # bytes of the first event in it, which must stay; 0: a person has cleared since
        self._ring = zeros(_WIDTH * _TICKS)
        self._ticks = 0

    def note(self, bms):
        """Remember this tick."""
        ring, b, o = self._ring, bms.belief, bms.outputs
        at = self._ticks % _TICKS * _WIDTH
        ring[at] = bms.clock.seconds
        ring[at + 1] = b.count
        ring[at + 2] = b.min_uv
        ring[at + 3] = b.max_uv
        ring[at + 4] = b.max_cdegc
        ring[at + 5] = o.state << 16 | o.decision << 8 | o.reason
        ring[at + 6] = bms.protection.alarms
        ring[at + 7] = o.pulse_count << 2 | o.discharge_enable << 1 | o.charge_enable
        self._ticks += 1
        if self._ticks == 2 * _TICKS:
            self._ticks = _TICKS

    def keep(self):
        """Freeze what is remembered, behind what must stay."""
        ring = self._ring
        first = max(0, self._ticks - _TICKS)
        rows = []
        for tick in range(first, self._ticks):
            at = tick % _TICKS * _WIDTH
            rows.append(pack("<8i", *ring[at : at + _WIDTH]))
        old = self.kept[max(0, self.first - _HALF) : self.first]
        self.kept = old + b"".join(rows[-_TICKS // 2 :] if old else rows)
        self.first = len(old) or len(self.kept)

    def pack(self):
        """For the journal."""
        return self.kept

    def unpack(self, data):
        """Take back what pack() gave; False when it cannot be that."""
        if len(data) % (4 * _WIDTH) or len(data) > 4 * _WIDTH * _TICKS:
            return False
        self.kept = data
        return True
