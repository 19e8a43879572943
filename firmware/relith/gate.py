"""The gate: the only place that turns an output on. The scheduler asks, the world wishes; the rest stays off.

Precedence: hardware trip > hard limit > lockout > soft limit > scheduler > operator; an operator's stop or refusal
outranks the scheduler at once. The first reason that speaks against something is the one that is told; 0: none does.
"""

from relith import const
from relith.clock import DAY_S, elapsed
from relith.extras import BUDGET_PPM, Extras
from relith.halfcycle import TURN_PPM
from relith.inventory import UNKNOWN
from relith.states import BOOT, PULSE, REST

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
_WHY_SLOW = const(53)

_ASKED_PULSE = const(1)  # place in scheduler.DECISIONS
_QUIET_S = const(600)  # after any alarm, no intervention for so long
_FRESH_MS = const(300)  # a sample older than this ends a pulse
_LATE_MS = const(200)  # a tick later than this ends a pulse
_MARGIN_PERMILLE = const(1250)  # resistance is taken a quarter higher than measured,
_SAG_UV = const(30000)  # and so far above the cut-off a pulse must stay
_HEAT_CDEGC = const(1000)  # warming that ends a pulse: ten minutes at 1C warm a simulated 400 mAh cell by 6.8 degC
_FLOOR_UV = const(50000)  # a rest starts so far above its floor
_BALANCE_UV = const(200000)  # so near the end-of-charge voltage it shows which cell is fuller,
_APART_UV = const(10000)  # and a cell so far above the lowest is
_TRIALS = const(20)  # measurable pulses without benefit that end pulsing
_SLOW_MS = const(60000)
_WATCH_MS = const(10000)  # while an alarm stands
_FAST_MS = const(100)
_STEADY = const(20)  # ticks in a row with every reading good: a sensor that comes and goes is watched closely


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
        self._slow = 0  # 1: charging is held back below what the profile allows

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
        reason = self.standing(bms)
        if reason:
            return reason
        if not self.cutoff_present:
            return _WHY_CUTOFF
        extra = self.extras.pulse
        if extra:
            reason = self.extras.against(bms, extra)
            if reason:
                return reason
        if b.min_cdegc < p.pulse_low_cdegc or b.max_cdegc + bms.protection.tighter_cdegc > p.pulse_high_cdegc:
            return _WHY_WINDOW
        if not 0 < permille <= p.pulse_max_permille or not 0 < seconds <= p.pulse_max_s:
            return _WHY_TOO_STRONG
        lowest_uv = self.lowest_uv(bms, permille)
        if lowest_uv == 0:
            return _WHY_NO_RESISTANCE
        if lowest_uv < p.min_uv + _SAG_UV:
            return _WHY_PREDICTED
        charge = self._charge_ppm(permille, seconds)
        if charge > p.pulse_budget_ppm or extra and charge > extra[BUDGET_PPM]:
            return _WHY_PULSE_BUDGET
        if self._day_spent(now_s) + charge > p.day_budget_ppm:
            return _WHY_DAY_BUDGET
        if self.life_spent_ppm + charge > p.life_budget_ppm:
            return _WHY_LIFE_BUDGET
        if self._cooling(now_s):
            return _WHY_COOLDOWN
        return _WHY_NO_BENEFIT if not extra and self._useless(bms) else 0

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

    def lowest_uv(self, bms, permille):
        """The lowest cell voltage that a pulse will reach, from measured resistance; 0: not measured."""
        drops, cells = bms.tracker.drop_uv, bms.readings.cell_uv
        permille = (permille + bms.tracker.permille) * _MARGIN_PERMILLE // 1000  # a charger's lift is lost as well
        least = 1 << 29
        for k in range(len(cells)):
            if drops[k] == 0:
                return 0
            least = min(least, cells[k] - drops[k] * permille // 1000)
        return max(least, 1)

    def _charge_ppm(self, permille, seconds):
        p = self.profile
        return permille * seconds * p.one_c_ua * 5 // (18 * p.nominal_capacity_uah)

    def _day_spent(self, now_s):
        if now_s - self.day_began_s >= DAY_S:
            self.day_began_s = now_s
            self.day_spent_ppm = 0
        return self.day_spent_ppm

    def _cooling(self, now_s):
        return self.last_pulse_s >= 0 and now_s - self.last_pulse_s < self.profile.cooldown_s

    def _useless(self, bms):
        for e in bms.estimates:
            if e.pulse_trials < _TRIALS or e.pulse_factor_permille + 2 * e.pulse_factor_sigma_permille > 100:
                return False
        return True

    def budgets(self, bms):
        """What would be granted now: the scheduler does not ask for what it will not get."""
        p, now_s = self.profile, bms.clock.seconds
        left = min(
            p.day_budget_ppm - self._day_spent(now_s), p.life_budget_ppm - self.life_spent_ppm, p.pulse_budget_ppm
        )
        self.pulse_max_s = min(
            p.pulse_max_s, p.pulse_max_s * max(0, left) // (self._charge_ppm(p.pulse_max_permille, p.pulse_max_s) or 1)
        )
        self.rest_allowed = 0 if self.standing(bms) else 1
        self.pulse_allowed = self.rest_allowed
        if not self.cutoff_present or self._cooling(now_s) or self._useless(bms) or self.pulse_max_s == 0:
            self.pulse_allowed = 0
        return self

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
        if reason:
            return reason
        self.granted = 1
        return s.reason

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
        self._planned_ppm = self._charge_ppm(s.pulse_permille, s.pulse_s)
        self._began_cdegc = bms.belief.max_cdegc
        self._moved_ppm = 0
        self._spend(bms, self._planned_ppm)
        if self.extras.pulse:
            self.extras.uses -= 1
        self.pulses += 1
        self.asked = self.run_ms = 0

    def end_pulse(self, bms):
        """Book what it was instead."""
        self._spend(bms, self._moved_ppm - self._planned_ppm)
        bms.tracker.pulsed(self._moved_ppm, self.pulse_permille, self.run_ms // 1000)
        self.pulse_permille = 0
        self.extras.pulse = None

    def _spend(self, bms, ppm):
        now_s = bms.clock.seconds
        self.day_spent_ppm = max(0, self._day_spent(now_s) + ppm)
        self.life_spent_ppm += ppm
        self.last_pulse_s = now_s

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
                o.charge_limit_count = self.extras.limit(1, self._charge_limit(bms))
            if permits & 2 and not protection.no_discharge and not tracker.empty:
                o.discharge_enable = 1
                if permits & 4:  # the sink alone draws the pulse
                    o.pulse_count = self.pulse_permille * p.one_c_count // 1000
                    o.pulse_ms = self.pulse_ms - self.run_ms
                else:
                    o.discharge_limit_count = self.extras.limit(0, p.discharge_max_count)
            if permits & 1 and self.bleed_uv and not o.alarms and not bled:  # a cell that bleeds shows less than it has
                self._balance(o, bms.readings.cell_uv, bms.belief)
        switched = o.charge_enable + o.discharge_enable != was  # look again at once: did the switches follow?
        o.next_tick_ms = _FAST_MS if switched else self._wait(bms)

    def _charge_limit(self, bms):
        """As slow as the scheduler advises, but never so slow that a deadline breaks: what is needed now counts, not
        what was when the advice was given. No consent, no clock, no deadline: no advice.
        """
        p, r = self.profile, bms.readings
        limit = p.charge_max_count
        if r.user_consent and r.clock_known and r.user_full_in_s > p.full_charge_s:
            need = p.charge_max_permille * (p.full_charge_s // 60 + 1) // (r.user_full_in_s // 60 or 1) + 1
            need = max(need, bms.scheduler.charge_permille, 2 * p.taper_permille)
            limit = min(limit, min(need, p.charge_max_permille) * p.one_c_count // 1000)
        slow = limit < p.charge_max_count and bms.belief.count > p.idle_count
        if slow and not self._slow:
            bms.outputs.reason = _WHY_SLOW
        self._slow = slow
        return limit

    def _balance(self, o, cell_uv, b):
        """Near full charge, with no current out, the cells above the lowest bleed; every other tick none does."""
        if b.count >= 0 and b.min_uv > self.profile.max_uv - _BALANCE_UV:
            for k in range(len(cell_uv)):
                if cell_uv[k] > b.min_uv + _APART_UV:
                    o.balance_mask |= 1 << k

    def _wait(self, bms):
        """Longest wait until the next tick, so that no limit can be passed unseen (docs/profile.md).

        At the present current a cell may fall by 200 uV per ppm of charge towards the cut-off and rise by 20; at
        the greatest current permitted fall by 100 and rise by 20 to the hard limits. At 1C one ppm moves in 3.6 ms.
        """
        o, p, b = bms.outputs, self.profile, bms.belief
        tracker, protection = bms.tracker, bms.protection
        state = o.state
        if state == PULSE:
            return min(_FAST_MS, max(1, o.pulse_ms))
        if tracker.ended or tracker.ready or bms.ended:
            return _FAST_MS
        if state == BOOT or bms.moved or protection.pending or bms.clock.still or b.good < _STEADY:
            return _FAST_MS
        wait = _SLOW_MS
        if state == REST:
            wait = self.rest_s * 1000 - self.run_ms
        if self.asked or self.extras.shape or protection.recovering or bms.ledger.doubt:
            wait = 1000
        elif protection.active:
            wait = min(wait, _WATCH_MS)
        rate = tracker.permille
        if o.discharge_enable:
            wait = min(wait, (b.min_uv - p.hard_min_uv) * 36 // p.discharge_max_permille)
            if rate and b.count < 0:
                wait = min(wait, (b.min_uv - p.min_uv) * 18 // rate)
        if o.charge_enable:
            wait = min(wait, (p.hard_max_uv - b.max_uv) * 180 // p.charge_max_permille)
            if rate and b.count > 0:
                wait = min(wait, (p.soft_max_uv - b.max_uv) * 180 // rate)
        return min(max(wait, _FAST_MS), _SLOW_MS)
