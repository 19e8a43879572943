"""What a profile arms by name (physics.md §5): off until a person asks for one by name, each with limits of its own.

Pulses, which the sink draws at the start of the discharge after a full charge when the scheduler asks for nothing:
`self_heating`, `first_strip`. Shapes of the user's own current: `first_plating`, a greater one at the start of the
first charge; `pulse_charging` and `pulse_discharge`, which pause: the limit that charger or load is told falls to
nothing. The gate grants and ends them, as all else.
"""

from array import array

from relith import const
from relith.clock import DAY_S
from relith.readings import zeros
from relith.states import PULSE

# places in schema.txt, from 1; self_heating is 1
_FIRST_STRIP = const(2)
_FIRST_PLATING = const(3)
_PULSE_CHARGING = const(4)
_PULSE_DISCHARGE = const(5)
_CHARGE = const(2)  # places in states.TABLE
_DISCHARGE = const(3)
# and of the limits of each
_STRENGTH = const(0)  # per mille of 1C
_LENGTH_S = const(1)
_PAUSE_S = const(2)
_LOW_CDEGC = const(3)
_HIGH_CDEGC = const(4)
_DAY_USES = const(5)
BUDGET_PPM = const(6)  # most charge of one use

# lines of reasons.txt
_WHY_UNARMED = const(9)
_WHY_WINDOW = const(13)
_WHY_PULSE_BUDGET = const(17)
_WHY_CALENDAR = const(23)
_WHY_DELIVERED = const(29)
_WHY_EXTRA = const(54)
_WHY_NO_EXTRA = const(55)
_WHY_USES = const(56)
_WHY_NOT_NEW = const(57)

_NEAR_UV = const(20000)  # this near the end of charge a charger that is paused would take it for full


class Extras:
    """Of it only the days outlive a loss of power."""

    def __init__(self, profile):
        self.profile = profile
        self.which = self.uses = 0  # what was asked for, and how often still
        self.until_s = zeros(_PULSE_DISCHARGE)  # of each, when its day is over
        self.pulse = None  # limits of the pulse that is asked for or flows, when it is one of these
        self.shape = None  # limits of the shape that the current has now
        self.forming = 0  # 1: either is of a new cell, of which nothing can be known yet
        self.off = 0  # 1: the shape pauses
        self._ms = self._moved_ppm = 0

    def arm(self, bms, which, uses):
        """One, by its place, for so many uses within a day; and no more of it in that day, restarts or not."""
        x = self.profile.named[which - 1]
        now_s = bms.clock.seconds
        if not x:
            return _WHY_NO_EXTRA
        if now_s >= bms.gate.armed_until_s:
            return _WHY_UNARMED
        if uses > x[_DAY_USES] or now_s < self.until_s[which - 1]:
            return _WHY_USES
        self.cancel(bms)
        self.until_s[which - 1] = now_s + DAY_S
        self.which = which
        self.uses = uses
        self.shape = None
        return bms.kept()

    def cancel(self, bms):
        """What was asked for does not begin any more; what flows, the gate ends."""
        if self.pulse and bms.machine.state != PULSE:
            self.pulse = None
            bms.gate.asked = self.forming = 0
        self.uses = 0

    def ask(self, bms, full):
        """The scheduler asks for nothing: does a pulse of these come after a charge that is full?"""
        self.pulse = None
        self.forming = self._moved_ppm = 0
        if full and self.uses > 0 and self.which <= _FIRST_STRIP:
            x = self.pulse = self.profile.named[self.which - 1]
            self.forming = self.which - 1
            s = bms.scheduler
            s.pulse_permille = x[_STRENGTH]
            s.pulse_s = x[_LENGTH_S]
            s.reason = bms.outputs.reason = _WHY_EXTRA
            bms.gate.asked = bms.outputs.decision = 1

    def against(self, bms, x):
        """Why it may not begin or go on; 0: it may. The hot limit tightens as all limits of temperature do."""
        b, which = bms.belief, self.which
        if bms.clock.seconds >= self.until_s[which - 1]:
            return _WHY_UNARMED
        if self.forming and bms.estimates[0].loss_ppm:
            return _WHY_NOT_NEW
        if b.min_cdegc < x[_LOW_CDEGC] or b.max_cdegc + bms.protection.tighter_cdegc > x[_HIGH_CDEGC]:
            return _WHY_WINDOW
        if self._moved_ppm > x[BUDGET_PPM]:
            return _WHY_PULSE_BUDGET
        if which == _PULSE_CHARGING:
            if bms.readings.user_full_in_s >= 0:
                return _WHY_CALENDAR
            if b.max_uv > self.profile.max_uv - _NEAR_UV:
                return _WHY_DELIVERED
        return _WHY_DELIVERED if which == _FIRST_PLATING and self._ms >= x[_LENGTH_S] * 1000 else 0

    def step(self, bms):
        """Once per tick: does a shape begin, go on, end?"""
        x, which = self.shape, self.which
        if x:
            self._ms += bms.clock.elapsed_ms
            self._moved_ppm += abs(bms.ledger.moved_ppm)
            self.off = 1 if self._ms % ((x[_LENGTH_S] + x[_PAUSE_S]) * 1000) >= x[_LENGTH_S] * 1000 else 0
            reason = bms.gate.standing(bms) or self.against(bms, x)
            if reason:
                bms.outputs.reason = reason
                self.forming = 0
            if reason or bms.moved:
                self.shape = None
        elif bms.moved and self.uses > 0 and which > _FIRST_STRIP:
            if bms.machine.state == (_DISCHARGE if which == _PULSE_DISCHARGE else _CHARGE):
                x = self.profile.named[which - 1]
                self.off = self._ms = self._moved_ppm = 0
                self.forming = 1 if which == _FIRST_PLATING else 0
                reason = bms.gate.standing(bms) or self.against(bms, x)
                bms.outputs.reason = reason or _WHY_EXTRA
                if not reason:
                    self.shape = x
                    self.uses -= 1

    def limit(self, charging, count):
        """What charger or load may draw, who may draw `count` otherwise; only the first plating is ever greater."""
        x = self.shape
        if not x or charging != (self.which < _PULSE_DISCHARGE):
            return count
        if self.off:
            return 0
        own = x[_STRENGTH] * self.profile.one_c_count // 1000
        return own if self.which == _FIRST_PLATING else min(own, count)

    def pack(self):
        """For the journal."""
        return bytes(self.until_s)

    def unpack(self, data):
        """Take back what pack() gave; False when it cannot be that."""
        if len(data) != 4 * _PULSE_DISCHARGE:
            return False
        self.until_s = array("i", data)
        return True
