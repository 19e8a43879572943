"""The gate: the only place that turns an output on. The scheduler asks, the world wishes; the rest stays off.

Precedence: hardware trip > hard limit > lockout > soft limit > scheduler > operator; an operator's stop or refusal
outranks the scheduler at once. Every refusal is a bit, in that order; the lowest one set is the reason that is told.
"""

from relith import const
from relith.clock import DAY_S, elapsed
from relith.halfcycle import TURN_PPM
from relith.inventory import UNKNOWN
from relith.states import BOOT, PULSE, REST

# What a state lets through, in the order of states.STATES: charge switch 1, discharge switch 2, pulse sink 4.
#          BOOT IDLE CHARGE DISCHARGE PULSE REST SOFT_LIMIT FAULT LOCKOUT STORAGE
PERMITS = (0, 3, 3, 3, 6, 0, 3, 0, 0, 3)

# refusals, and what ends a pulse or rest: bit k is line k + 1 of reasons.txt
_BIT_TRIPPED = const(1 << 0)
_BIT_HARD = const(1 << 1)
_BIT_LOCKED = const(1 << 2)
_BIT_STALE = const(1 << 3)
_BIT_JOURNAL = const(1 << 4)
_BIT_CALIBRATION = const(1 << 5)
_BIT_ALARM = const(1 << 6)
_BIT_UNKNOWN = const(1 << 7)
_BIT_UNARMED = const(1 << 8)
_BIT_CUTOFF = const(1 << 9)
_BIT_STOP = const(1 << 10)
_BIT_CONSENT = const(1 << 11)
_BIT_WINDOW = const(1 << 12)
_BIT_NO_RESISTANCE = const(1 << 13)
_BIT_PREDICTED = const(1 << 14)
_BIT_TOO_STRONG = const(1 << 15)
_BIT_PULSE_BUDGET = const(1 << 16)
_BIT_DAY_BUDGET = const(1 << 17)
_BIT_LIFE_BUDGET = const(1 << 18)
_BIT_COOLDOWN = const(1 << 19)
_BIT_NO_BENEFIT = const(1 << 20)
_BIT_NO_CLOCK = const(1 << 21)
_BIT_CALENDAR = const(1 << 22)
_BIT_FLOOR = const(1 << 23)
_BIT_VOLTAGE = const(1 << 24)
_BIT_HEAT = const(1 << 25)
_BIT_LATE = const(1 << 26)
_BIT_CURRENT = const(1 << 27)
_BIT_DELIVERED = const(1 << 28)
_WHY_RESTED = const(30)
_WHY_PASSED = const(31)

_ASKED_PULSE = const(1)  # place in scheduler.DECISIONS
_QUIET_S = const(600)  # after any alarm, no intervention for so long
_FRESH_MS = const(300)  # a sample older than this ends a pulse
_LATE_MS = const(200)  # a tick later than this ends a pulse
_MARGIN_PERMILLE = const(1250)  # resistance is taken a quarter higher than measured,
_SAG_UV = const(30000)  # and so far above the cut-off a pulse must stay
_HEAT_CDEGC = const(300)  # warming that ends a pulse
_FLOOR_UV = const(50000)  # a rest starts so far above its floor
_TRIALS = const(20)  # measurable pulses without benefit that end pulsing
_SLOW_MS = const(60000)
_WATCH_MS = const(10000)  # while an alarm stands
_FAST_MS = const(100)


def lowest(mask):
    """The reason that the lowest bit of a refusal stands for; 0 for none."""
    reason = 0
    while mask:
        reason += 1
        if mask & 1:
            return reason
        mask >>= 1
    return 0


class Gate:
    """Standing permissions, budgets, and the running pulse or rest. It reads the `bms` passed in, never calls it."""

    def __init__(self, profile):
        self.profile = profile
        self.cutoff_present = 0  # the board says 1: it has an independent cut-off
        self.stopped = 0  # 1: the operator said stop
        # kept in the journal; times are seconds of Clock
        self.armed_until_s = self.calibrated_until_s = 0
        self.day_began_s = self.day_spent_ppm = self.life_spent_ppm = 0
        self.last_pulse_s = -1  # when the last one ended, or began
        self.pulses = self.rests = 0
        # what was asked, and what the state table is told of it
        self.asked = 0  # index into scheduler.DECISIONS, until its time has come or passed
        self.pulse_due = self.rest_due = self.granted = self.pulse_over = self.rest_over = 0
        # what runs
        self.pulse_permille = self.pulse_ms = self.rest_s = 0
        self.run_ms = 0  # since it began
        self._moved_ppm = self._planned_ppm = self._began_cdegc = 0
        # what the scheduler may ask for (docs/interfaces.md)
        self.pulse_allowed = self.rest_allowed = self.pulse_max_s = 0
        self.pulse_max_permille = profile.pulse_max_permille
        self.rest_max_s = profile.rest_max_s

    # -- what speaks against it ----------------------------------------------------------------------------

    def standing(self, bms):
        """Against any intervention, before it and while it runs."""
        r, protection = bms.readings, bms.protection
        now_s = bms.clock.seconds
        mask = 0
        if r.hardware_trip:
            mask |= _BIT_TRIPPED
        if protection.fault:
            mask |= _BIT_HARD
        if protection.lockout:
            mask |= _BIT_LOCKED
        if not self._fresh(r, bms.belief):
            mask |= _BIT_STALE
        if bms.journal_bad:
            mask |= _BIT_JOURNAL
        if now_s > self.calibrated_until_s:
            mask |= _BIT_CALIBRATION
        if protection.alarms or protection.quiet_s < _QUIET_S:
            mask |= _BIT_ALARM
        for estimate in bms.estimates:
            if estimate.known == UNKNOWN:
                mask |= _BIT_UNKNOWN
        if now_s >= self.armed_until_s:
            mask |= _BIT_UNARMED
        if r.stop or self.stopped:
            mask |= _BIT_STOP
        if not r.user_consent:
            mask |= _BIT_CONSENT
        return mask

    def _fresh(self, r, b):
        if not (b.current_good and b.voltage_good and b.temp_good):
            return False
        return elapsed(r.now_ms, r.current_ms) <= _FRESH_MS and elapsed(r.now_ms, r.cell_ms) <= _FRESH_MS

    def refuse_pulse(self, bms, permille, seconds):
        """Against this pulse, now."""
        p, b, now_s = self.profile, bms.belief, bms.clock.seconds
        mask = self.standing(bms)
        if not self.cutoff_present:
            mask |= _BIT_CUTOFF
        if b.min_cdegc < p.pulse_low_cdegc or b.max_cdegc > p.pulse_high_cdegc:
            mask |= _BIT_WINDOW
        if not 0 < permille <= p.pulse_max_permille or not 0 < seconds <= p.pulse_max_s:
            return mask | _BIT_TOO_STRONG
        lowest_uv = self.lowest_uv(bms, permille)
        if lowest_uv == 0:
            mask |= _BIT_NO_RESISTANCE
        elif lowest_uv < p.min_uv + _SAG_UV:
            mask |= _BIT_PREDICTED
        charge = self._charge_ppm(permille, seconds)
        if charge > p.pulse_budget_ppm:
            mask |= _BIT_PULSE_BUDGET
        if self._day_spent(now_s) + charge > p.day_budget_ppm:
            mask |= _BIT_DAY_BUDGET
        if self.life_spent_ppm + charge > p.life_budget_ppm:
            mask |= _BIT_LIFE_BUDGET
        if self._cooling(now_s):
            mask |= _BIT_COOLDOWN
        if self._useless(bms):
            mask |= _BIT_NO_BENEFIT
        return mask

    def refuse_rest(self, bms, seconds):
        """Against a rest of `seconds` in the discharged state, or against going on with one for so long."""
        p, r = self.profile, bms.readings
        mask = self.standing(bms)
        if not r.clock_known:
            mask |= _BIT_NO_CLOCK
        if seconds > p.rest_max_s or r.user_free_s < seconds or 0 <= r.user_full_in_s < seconds + p.full_charge_s:
            mask |= _BIT_CALENDAR
        if bms.belief.min_uv < p.rest_floor_uv:
            mask |= _BIT_FLOOR
        return mask

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
            p.pulse_max_s, p.pulse_max_s * max(0, left) // self._charge_ppm(p.pulse_max_permille, p.pulse_max_s)
        )
        self.rest_allowed = 0 if self.standing(bms) else 1
        self.pulse_allowed = self.rest_allowed
        if not self.cutoff_present or self._cooling(now_s) or self._useless(bms) or self.pulse_max_s == 0:
            self.pulse_allowed = 0
        return self

    # -- what the state table is told ----------------------------------------------------------------------

    def watch(self, bms):
        """Is the running pulse or rest over? Is what was asked due, and granted?"""
        self.pulse_due = self.rest_due = self.granted = self.pulse_over = self.rest_over = 0
        state = bms.machine.state
        if state == PULSE:
            self.run_ms += bms.clock.elapsed_ms
            self.pulse_over = reason = lowest(self._end_pulse(bms))
        elif state == REST:
            self.run_ms += bms.clock.elapsed_ms
            self.rest_over = reason = self._end_rest(bms)
        elif self.asked:
            reason = self._ask(bms)
        else:
            return
        if reason:
            bms.outputs.reason = reason

    def _ask(self, bms):
        """A pulse begins the discharge after a charge, a rest follows a discharge; later is too late."""
        if bms.tracker.since_end_ppm >= TURN_PPM:
            self.asked = 0
            return _WHY_PASSED
        s = bms.scheduler
        if self.asked == _ASKED_PULSE:
            if bms.belief.count > self.profile.taper_count:
                return 0  # the charger has not let go yet
            self.pulse_due = 1
            mask = self.refuse_pulse(bms, s.pulse_permille, s.pulse_s)
        else:
            self.rest_due = 1
            mask = self.refuse_rest(bms, s.rest_s)
            if bms.belief.min_uv < self.profile.rest_floor_uv + _FLOOR_UV:
                mask |= _BIT_FLOOR
        self.granted = 0 if mask else 1
        return lowest(mask) if mask else s.reason

    def _end_pulse(self, bms):
        p, b = self.profile, bms.belief
        self._moved_ppm -= bms.ledger.moved_ppm
        mask = self.standing(bms)
        if b.min_uv < p.min_uv:
            mask |= _BIT_VOLTAGE
        if b.max_cdegc > self._began_cdegc + _HEAT_CDEGC:
            mask |= _BIT_HEAT
        if bms.clock.elapsed_ms > bms.outputs.next_tick_ms + _LATE_MS:
            mask |= _BIT_LATE
        if self._moved_ppm > p.pulse_budget_ppm:
            mask |= _BIT_PULSE_BUDGET
        if self.run_ms > 1000 and abs(bms.tracker.permille - self.pulse_permille) * 5 > self.pulse_permille:
            mask |= _BIT_CURRENT
        if self.run_ms >= self.pulse_ms:
            mask |= _BIT_DELIVERED
        return mask

    def _end_rest(self, bms):
        if self.run_ms >= self.rest_s * 1000:
            return _WHY_RESTED
        return lowest(self.refuse_rest(bms, 1))

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
        self.pulses += 1
        self.asked = self.run_ms = 0

    def end_pulse(self, bms):
        """Book what it was instead."""
        self._spend(bms, self._moved_ppm - self._planned_ppm)
        bms.tracker.pulsed(self._moved_ppm, self.pulse_permille, self.run_ms // 1000)
        self.pulse_permille = 0

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
        o.off()
        o.state = bms.machine.state
        o.alarms = protection.alarms
        permits = PERMITS[o.state]
        if bms.readings.hardware_trip:
            o.reason = lowest(_BIT_TRIPPED)
        elif protection.fault:
            o.reason = lowest(_BIT_HARD)
        elif protection.lockout:
            o.reason = lowest(_BIT_LOCKED)
        elif bms.readings.stop or self.stopped:
            o.reason = lowest(_BIT_STOP)
        else:
            if permits & 1 and not protection.no_charge and not tracker.full:
                o.charge_enable = 1
                o.charge_limit_count = p.charge_max_count
            if permits & 2 and not protection.no_discharge and not tracker.empty:
                o.discharge_enable = 1
                if permits & 4:  # the sink alone draws the pulse
                    o.pulse_count = self.pulse_permille * p.one_c_count // 1000
                    o.pulse_ms = self.pulse_ms - self.run_ms
                else:
                    o.discharge_limit_count = p.discharge_max_count
        switched = o.charge_enable + o.discharge_enable != was  # look again at once: did the switches follow?
        o.next_tick_ms = _FAST_MS if switched else self._wait(bms)

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
        if state == BOOT or bms.moved or protection.pending or tracker.ended or bms.clock.still:
            return _FAST_MS
        wait = _SLOW_MS
        if state == REST:
            wait = self.rest_s * 1000 - self.run_ms
        if self.asked or protection.recovering or bms.ledger.doubt:
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
