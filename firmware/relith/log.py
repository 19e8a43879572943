"""The last events, in memory: what the controller decided and why, what it refused over the link."""

from struct import pack

from relith import const
from relith.readings import zeros

CHANGE, REFUSAL, ANCHOR, CORRECTION = 0, 1, 2, 3  # kinds
_ROOM = const(32)  # events kept
_MASK = const(0x3FFFFFFF)


class Log:
    """Allocates nothing but in pack().

    An event is three numbers: seconds of `Clock`; kind, state, decision and reason, a byte each; and a detail. The
    detail of a CHANGE is `Outputs.alarms`. A REFUSAL has the message code as decision, the link's refusal as reason,
    and the controller's own reason as detail. An ANCHOR has the cell's index as decision, inventory.ANCHOR_* as reason,
    and the residual as detail, ppm of nominal capacity. A CORRECTION of what the ledger reads out has the gain in
    the code's lower 24 bits (signed, ppm) and the offset as detail (1/1000 count).
    """

    def __init__(self):
        self.count = 0  # events so far, wraps at 2**30
        self._kept = zeros(3 * _ROOM)
        self._code = self._alarms = -1

    def watch(self, outputs, now_s):
        """True, and kept, when state, decision, reason or alarms are not what they were."""
        code = outputs.state << 16 | outputs.decision << 8 | outputs.reason
        if code == self._code and outputs.alarms == self._alarms:
            return False
        self._code = code
        self._alarms = outputs.alarms
        self.add(now_s, code, outputs.alarms)
        return True

    def add(self, now_s, code, detail):
        """Keep an event; one like the last only renews its time, so that a flood of refusals costs one place."""
        kept = self._kept
        last = (self.count - 1) % _ROOM * 3
        if self.count and kept[last + 1] == code and kept[last + 2] == detail:
            kept[last] = now_s
            return
        at = self.count % _ROOM * 3
        kept[at] = now_s
        kept[at + 1] = code
        kept[at + 2] = detail
        self.count = (self.count + 1) & _MASK

    def pack(self, now_s, day, second):
        """Bytes to download: seconds of `Clock` now, the wall clock's day and second (-1: not set), the events."""
        parts = [pack("<iii", now_s, day, second)]
        for k in range(max(0, self.count - _ROOM), self.count):
            at = k % _ROOM * 3
            parts.append(pack("<iii", self._kept[at], self._kept[at + 1], self._kept[at + 2]))
        return b"".join(parts)
