"""The gate: the only place that turns an output on. The scheduler asks, the world wishes; the rest stays off.

Precedence: hardware trip > hard limit > lockout > soft limit > scheduler > operator; an operator's stop or refusal
outranks the scheduler at once. The first reason that speaks against something is the one that is told; 0: none does.
"""

from relith import const
from relith.budgets import charge_ppm, cooling, day_spent, lowest_uv, offer, quiet, spend, useless
from relith.clock import elapsed
from relith.extras import BUDGET_PPM, Extras
from relith.halfcycle import TURN_PPM
from relith.inventory import UNKNOWN
from relith.journal import OWN_MOST
from relith.pace import FAST_MS, bleeders, charge_limit, wait_ms
from relith.states import PULSE, REST

# What a state lets through, in the order of states.TABLE: charge switch 1, discharge switch 2, pulse sink 4.
#          BOOT IDLE CHARGE DISCHARGE PULSE REST SOFT_LIMIT FAULT LOCKOUT STORAGE
PERMITS = (0, 3, 3, 3, 6, 0, 3, 0, 0, 3)

# why not, and what ends a pulse or rest: lines of reasons.txt
_WHY_TRIPPED = const(1)
_WHY_HARD = const(2)
_WHY_LOCKED = const(3)
_WHY_STALE = const(4)
_WHY_JOURNAL = const(5)
_WHY_CALIBRATION = const(6)
_WHY_ALARM = const(7)
_WHY_UNKNOWN = const(8)
_WHY_UNARMED = const(9)
_WHY_CUTOFF = const(10)
_WHY_STOP = const(11)
_WHY_CONSENT = const(12)
_WHY_WINDOW = const(13)
_WHY_NO_RESISTANCE = const(14)
_WHY_PREDICTED = const(15)
_WHY_TOO_STRONG = const(16)
_WHY_PULSE_BUDGET = const(17)
_WHY_DAY_BUDGET = const(18)
_WHY_LIFE_BUDGET = const(19)
_WHY_COOLDOWN = const(20)
_WHY_NO_BENEFIT = const(21)
_WHY_NO_CLOCK = const(22)
_WHY_CALENDAR = const(23)
_WHY_FLOOR = const(24)
_WHY_VOLTAGE = const(25)
_WHY_HEAT = const(26)
_WHY_LATE = const(27)
_WHY_CURRENT = const(28)
_WHY_DELIVERED = const(29)
_WHY_RESTED = const(30)
_WHY_PASSED = const(31)
_WHY_WORN = const(58)

_ASKED_PULSE = const(1)  # place in scheduler.DECISIONS
_QUIET_S = const(600)  # after any alarm, no intervention for so long
_FRESH_MS = const(300)  # a sample older than this ends a pulse
_LATE_MS = const(200)  # a tick later than this ends a pulse
_SAG_UV = const(30000)  # so far above the cut-off a pulse is predicted to stay
_HEAT_CDEGC = const(1000)  # warming that ends a pulse: ten minutes at 1C warm a simulated 400 mAh cell by 6.8 degC
_FLOOR_UV = const(50000)  # a rest starts so far above its floor


class Gate:
    """Standing permissions, budgets, and the running pulse or rest. It reads the `bms` passed in, never calls it."""

    def __init__(self, profile):
        self.profile = profile
        self.extras = Extras(profile)
        self.cutoff_present = 0  # the board says 1: it has an independent cut-off
        self.bleed_uv = 0  # the board says: cell voltage per count of a bled cell's current; 0: it bleeds none
        self.stopped = 0  # 1: the operator said stop
        # kept in the journal; times are seconds of Clock
        self.armed_until_s = self.calibrated_until_s = 0
        self.day_began_s = self.day_spent_ppm = self.life_spent_ppm = 0
        self.last_pulse_s = -1  # when the last one ended, or began
        self.quiet_from_min = self.quiet_until_min = 0  # of the clock's day: quiet hours; the same: there are none
        self.pulses = self.rests = 0
        # what was asked, and what the state table is told of it
        self.asked = 0  # index into scheduler.DECISIONS, until its time has come or passed
        self.due = 0  # `asked`, when its time has come
        self.granted = 0
        self.over = 0  # why the running pulse or rest is
        # what runs
        self.pulse_permille = self.pulse_ms = self.rest_s = 0
        self.run_ms = 0  # since it began
        self._moved_ppm = self._planned_ppm = self._began_cdegc = 0
        # what the scheduler may ask for (docs/interfaces.md)
        self.pulse_allowed = self.rest_allowed = self.pulse_max_s = 0
        self.pulse_max_permille = profile.pulse_max_permille
        self.rest_max_s = profile.rest_max_s
        self.slow = 0  # 1: charging is held back below what the profile allows

    # -- what speaks against it ----------------------------------------------------------------------------

    def veto(self, bms):
        """Against anything that conducts."""
        protection = bms.protection
        if bms.readings.hardware_trip:
            return _WHY_TRIPPED
        if protection.fault:
            return _WHY_HARD
        if protection.lockout:
            return _WHY_LOCKED
        if bms.readings.stop or self.stopped:
            return _WHY_STOP
        return 0

    def standing(self, bms):
        """Against any intervention, before it and while it runs."""
        r, now_s = bms.readings, bms.clock.seconds
        reason = self.veto(bms)
        if reason:
            return reason
        if not bms.belief.good:
            return _WHY_STALE
        if elapsed(r.now_ms, r.current_ms) > _FRESH_MS or elapsed(r.now_ms, r.cell_ms) > _FRESH_MS:
            return _WHY_STALE
        if bms.journal_bad:
            return _WHY_JOURNAL
        if now_s > self.calibrated_until_s:
            return _WHY_CALIBRATION
        if bms.protection.quiet_s < _QUIET_S:
            return _WHY_ALARM
        for estimate in bms.estimates:
            if estimate.known == UNKNOWN and (estimate.loss_ppm or not self.extras.forming):
                return _WHY_UNKNOWN
        if now_s >= self.armed_until_s:
            return _WHY_UNARMED
        if not r.user_consent:
            return _WHY_CONSENT
        return 0

    def refuse_pulse(self, bms, permille, seconds):
        """Against this pulse, now."""
        p, b, now_s = self.profile, bms.belief, bms.clock.seconds
        reason = self.standing(bms) or quiet(self, bms)
        if reason:
            return reason
        if not self.cutoff_present:
            return _WHY_CUTOFF
        extra = self.extras.pulse
        if extra:
            reason = self.extras.against(bms, extra)
            if self.extras.uses < 1:
                reason = _WHY_UNARMED
            if reason:
                return reason
        if b.min_cdegc < p.pulse_low_cdegc or b.max_cdegc + bms.protection.tighter_cdegc > p.pulse_high_cdegc:
            return _WHY_WINDOW
        if not 0 < permille <= p.pulse_max_permille or not 0 < seconds <= p.pulse_max_s:
            return _WHY_TOO_STRONG
        lowest = lowest_uv(bms, permille)
        if lowest == 0:
            return _WHY_NO_RESISTANCE
        if lowest < p.min_uv + _SAG_UV:
            return _WHY_PREDICTED
        charge = charge_ppm(p, permille, seconds)
        if charge > p.pulse_budget_ppm or extra and charge > extra[BUDGET_PPM]:
            return _WHY_PULSE_BUDGET
        if day_spent(self, now_s) + charge > p.day_budget_ppm:
            return _WHY_DAY_BUDGET
        if self.life_spent_ppm + charge > p.life_budget_ppm:
            return _WHY_LIFE_BUDGET
        if cooling(self, now_s):
            return _WHY_COOLDOWN
        return _WHY_NO_BENEFIT if not extra and useless(bms) else 0

    def refuse_rest(self, bms, seconds):
        """Against a rest of `seconds` in the discharged state, or against going on with one for so long."""
        p, r = self.profile, bms.readings
        reason = self.standing(bms)
        if reason:
            return reason
        if not r.clock_known:
            return _WHY_NO_CLOCK
        if seconds > p.rest_max_s or r.user_free_s < seconds or 0 <= r.user_full_in_s < seconds + p.full_charge_s:
            return _WHY_CALENDAR
        return _WHY_FLOOR if bms.belief.min_uv < p.rest_floor_uv else 0

    budgets = offer  # what would be granted now

    # -- what the state table is told ----------------------------------------------------------------------

    def watch(self, bms):
        """Is the running pulse or rest over? Is what was asked due, and granted?"""
        self.due = self.granted = self.over = 0
        state = bms.machine.state
        if state == PULSE:
            self.run_ms += bms.clock.elapsed_ms
            self.over = reason = self._end_pulse(bms)
        elif state == REST:
            self.run_ms += bms.clock.elapsed_ms
            self.over = reason = _WHY_RESTED if self.run_ms >= self.rest_s * 1000 else self.refuse_rest(bms, 1)
        elif self.asked:
            reason = self._ask(bms)
        else:
            return
        if reason:
            bms.outputs.reason = reason

    def _ask(self, bms):
        """A pulse begins the discharge after a charge, a rest follows a discharge; later is too late."""
        s = bms.scheduler
        if bms.tracker.since_end_ppm >= TURN_PPM:
            self.asked = 0
            return _WHY_PASSED
        if self.asked == _ASKED_PULSE:
            if bms.belief.count > self.profile.taper_count:
                return 0  # the charger has not let go yet
            reason = self.refuse_pulse(bms, s.pulse_permille, s.pulse_s)
        else:
            reason = self.refuse_rest(bms, s.rest_s)
            if not reason and bms.belief.min_uv < self.profile.rest_floor_uv + _FLOOR_UV:
                reason = _WHY_FLOOR
        self.due = self.asked
        if not reason and not bms.journal.may(bms.clock.seconds, OWN_MOST):
            reason = _WHY_WORN
        self.granted = 0 if reason else 1
        return reason or s.reason

    def _end_pulse(self, bms):
        p, b, extra = self.profile, bms.belief, self.extras.pulse
        self._moved_ppm -= bms.ledger.moved_ppm
        reason = self.standing(bms)
        if not reason and extra:
            reason = self.extras.against(bms, extra)
        if reason:
            return reason
        if b.min_uv < p.min_uv:
            return _WHY_VOLTAGE
        if not extra and b.max_cdegc > self._began_cdegc + _HEAT_CDEGC:
            return _WHY_HEAT
        if bms.clock.elapsed_ms > bms.outputs.next_tick_ms + _LATE_MS:
            return _WHY_LATE
        if self._moved_ppm > p.pulse_budget_ppm:
            return _WHY_PULSE_BUDGET
        if self.run_ms > 1000 and abs(bms.tracker.permille - self.pulse_permille) * 5 > self.pulse_permille:
            return _WHY_CURRENT
        return _WHY_DELIVERED if self.run_ms >= self.pulse_ms else 0

    # -- a granted pulse or rest ---------------------------------------------------------------------------

    def begin_pulse(self, bms):
        """Book the whole pulse before it flows: what a power cut leaves behind is spent, not forgotten."""
        s = bms.scheduler
        self.pulse_permille = s.pulse_permille
        self.pulse_ms = s.pulse_s * 1000
        self._planned_ppm = charge_ppm(self.profile, s.pulse_permille, s.pulse_s)
        self._began_cdegc = bms.belief.max_cdegc
        self._moved_ppm = 0
        spend(self, bms.clock.seconds, self._planned_ppm)
        if self.extras.pulse:
            self.extras.uses -= 1
        self.pulses += 1
        self.asked = self.run_ms = 0

    def end_pulse(self, bms):
        """Book what it was instead."""
        spend(self, bms.clock.seconds, self._moved_ppm - self._planned_ppm)
        bms.tracker.pulsed(self._moved_ppm, self.pulse_permille, self.run_ms // 1000)
        self.pulse_permille = 0
        self.extras.pulse = None

    def begin_rest(self, bms):
        """At most 10 days, so that `run_ms` stays below 2**30."""
        self.rest_s = bms.scheduler.rest_s
        self.rests += 1
        self.asked = self.run_ms = 0

    # -- what conducts -------------------------------------------------------------------------------------

    def apply(self, bms):
        """Write the outputs of this tick, from all off, in the order of precedence."""
        o, p = bms.outputs, self.profile
        protection, tracker = bms.protection, bms.tracker
        was = o.charge_enable + o.discharge_enable
        bled = o.balance_mask
        o.off()
        o.state = bms.machine.state
        o.alarms = protection.alarms
        permits = PERMITS[o.state]
        self.extras.step(bms)
        reason = self.veto(bms)
        if reason:
            o.reason = reason
        else:
            if permits & 1 and not protection.no_charge and not tracker.full:
                o.charge_enable = 1
                o.charge_limit_count = self.extras.limit(1, charge_limit(bms))
            if permits & 2 and not protection.no_discharge and not tracker.empty:
                o.discharge_enable = 1
                if permits & 4:  # the sink alone draws the pulse
                    o.pulse_count = self.pulse_permille * p.one_c_count // 1000
                    o.pulse_ms = self.pulse_ms - self.run_ms
                else:
                    o.discharge_limit_count = self.extras.limit(0, p.discharge_max_count)
            if permits & 1 and self.bleed_uv and not o.alarms and not bled:  # a cell that bleeds shows less than it has
                o.balance_mask = bleeders(bms)
        switched = o.charge_enable + o.discharge_enable != was  # look again at once: did the switches follow?
        o.next_tick_ms = FAST_MS if switched else wait_ms(bms)
