"""The gate: the only place that turns an output on. The scheduler asks, the world wishes; what is not granted here stays off.

Precedence: hardware trip > hard limit > lockout > soft limit > scheduler > operator, and an operator's stop or refusal outranks the
scheduler at once. Every refusal is a bit; bit k stands for reasons.REASONS[k + 1], so the lowest one names the most pressing reason.
"""

from relith import reasons as why
from relith import states as st
from relith.clock import DAY_S, elapsed
from relith.inventory import UNKNOWN

# what a state lets through: charge switch, discharge switch, pulse sink
PERMITS = (
    ("BOOT", 0, 0, 0),
    ("IDLE", 1, 1, 0),
    ("CHARGE", 1, 1, 0),
    ("DISCHARGE", 1, 1, 0),
    ("PULSE", 0, 1, 1),
    ("REST", 0, 0, 0),
    ("SOFT_LIMIT", 1, 1, 0),
    ("FAULT", 0, 0, 0),
    ("LOCKOUT", 0, 0, 0),
    ("STORAGE", 1, 1, 0),
)
QUIET_S = 600  # after any alarm, no intervention for so long
FRESH_MS = 300  # a sample older than this ends a pulse
LATE_MS = 200  # a tick later than this ends a pulse
MARGIN_PERMILLE = 1250  # resistance is taken a quarter higher than measured
SAG_UV = 30000  # ... and so far above the cut-off a pulse must stay
HEAT_CDEGC = 300  # warming that ends a pulse
FLOOR_UV = 50000  # a rest starts so far above its floor
_TRIALS = 20  # measurable pulses without benefit that end pulsing
_SLOW_MS, _FAST_MS = 60000, 100


def _bit(reason):
    return 1 << (reason - 1)


_PERMITS = tuple([row[1:] for row in PERMITS])


class Gate:
    """Standing permissions, budgets, and the running pulse or rest. `bms` is passed in: the gate reads it and never calls it."""

    def __init__(self, profile):
        self.profile = profile
        self.cutoff_present = 0  # the board says 1: it has an independent cut-off
        self.stopped = 0  # 1: the operator said stop over the link
        # kept in the journal; seconds of Clock
        self.armed_until_s = self.calibrated_until_s = 0
        self.day_began_s = self.day_spent_ppm = self.life_spent_ppm = 0
        self.last_pulse_s = -1  # when the last one ended
        self.pulses = self.rests = 0
        # what is granted and running
        self.pulse_permille = self.pulse_ms = self.rest_s = 0
        self.run_ms = 0  # since it began
        self.moved_ppm = 0  # by the pulse so far
        self._began_cdegc = self._planned_ppm = 0
        # what the scheduler may ask for (docs/interfaces.md)
        self.pulse_allowed = self.rest_allowed = 0
        self.pulse_max_permille = profile.pulse_max_permille
        self.pulse_max_s = profile.pulse_max_s
        self.rest_max_s = profile.rest_max_s

    # -- may it? -------------------------------------------------------------------------------------------

    def standing(self, bms):
        """Refusals that hold for any intervention."""
        r, protection = bms.readings, bms.protection
        mask = 0
        if r.hardware_trip:
            mask |= _bit(why.TRIPPED)
        if protection.fault():
            mask |= _bit(why.HARD)
        if protection.lockout():
            mask |= _bit(why.LOCKED)
        if protection.alarms() or protection.quiet_s < QUIET_S:
            mask |= _bit(why.ALARM)
        if not self.fresh(bms):
            mask |= _bit(why.STALE)
        if bms.journal_bad:
            mask |= _bit(why.JOURNAL)
        if bms.clock.seconds > self.calibrated_until_s:
            mask |= _bit(why.CALIBRATION)
        for estimate in bms.estimates:
            if estimate.known == UNKNOWN:
                mask |= _bit(why.UNKNOWN)
        if bms.clock.seconds >= self.armed_until_s:
            mask |= _bit(why.UNARMED)
        if r.stop or self.stopped:
            mask |= _bit(why.STOP)
        if not r.user_consent:
            mask |= _bit(why.CONSENT)
        return mask

    def fresh(self, bms):
        """Every reading believed, and young enough to watch a pulse by."""
        r, b = bms.readings, bms.belief
        if not (b.current_good and b.voltage_good and b.temp_good):
            return False
        now = r.now_ms
        return elapsed(now, r.current_ms) <= FRESH_MS and elapsed(now, r.cell_ms) <= FRESH_MS

    def refuse_pulse(self, bms, permille, seconds):
        """All that speaks against this pulse now, as bits."""
        p, now_s = self.profile, bms.clock.seconds
        mask = self.standing(bms)
        if not self.cutoff_present:
            mask |= _bit(why.CUTOFF)
        b = bms.belief
        if b.min_cdegc < p.pulse_low_cdegc or b.max_cdegc > p.pulse_high_cdegc:
            mask |= _bit(why.WINDOW)
        if not 0 < permille <= p.pulse_max_permille or not 0 < seconds <= p.pulse_max_s:
            return mask | _bit(why.TOO_STRONG)
        lowest = self.lowest_uv(bms, permille)
        if lowest == 0:
            mask |= _bit(why.NO_RESISTANCE)
        elif lowest < p.min_uv + SAG_UV:
            mask |= _bit(why.PREDICTED)
        charge = self.charge_ppm(permille, seconds)
        if charge > p.pulse_budget_ppm:
            mask |= _bit(why.PULSE_BUDGET)
        if self.day_spent(now_s) + charge > p.day_budget_ppm:
            mask |= _bit(why.DAY_BUDGET)
        if self.life_spent_ppm + charge > p.life_budget_ppm:
            mask |= _bit(why.LIFE_BUDGET)
        if self.last_pulse_s >= 0 and now_s - self.last_pulse_s < p.cooldown_s:
            mask |= _bit(why.COOLDOWN)
        if self._useless(bms):
            mask |= _bit(why.NO_BENEFIT)
        return mask

    def refuse_rest(self, bms, seconds):
        """All that speaks against a rest of `seconds` in the discharged state."""
        p, r = self.profile, bms.readings
        mask = self.standing(bms)
        if not r.clock_known:
            mask |= _bit(why.NO_CLOCK)
        if not 0 < seconds <= p.rest_max_s or r.user_free_s < seconds or self._due(r, seconds):
            mask |= _bit(why.CALENDAR)
        if bms.belief.min_uv < p.rest_floor_uv + FLOOR_UV:
            mask |= _bit(why.FLOOR)
        return mask

    def lowest_uv(self, bms, permille):
        """The lowest cell voltage a pulse will reach, from measured resistance; 0: not measured."""
        drops, cells = bms.tracker.drop_uv, bms.readings.cell_uv
        permille = (
            (permille + bms.tracker.permille) * MARGIN_PERMILLE // 1000
        )  # what a charger lifts now is lost as well
        lowest = 1 << 29
        for k in range(len(cells)):
            if drops[k] == 0:
                return 0
            lowest = min(lowest, cells[k] - drops[k] * permille // 1000)
        return max(lowest, 1)

    def charge_ppm(self, permille, seconds):
        """Charge of a pulse in ppm of nominal capacity."""
        p = self.profile
        return permille * seconds * p.one_c_ua * 5 // (18 * p.nominal_capacity_uah)

    def _due(self, r, seconds):
        """Would `seconds` more leave too little time to charge full before the user needs it?"""
        return 0 <= r.user_full_in_s < seconds + self.profile.full_charge_s

    def day_spent(self, now_s):
        if now_s - self.day_began_s >= DAY_S:
            self.day_began_s = now_s
            self.day_spent_ppm = 0
        return self.day_spent_ppm

    def _useless(self, bms):
        for e in bms.estimates:
            if e.pulse_trials < _TRIALS or e.pulse_factor_permille + 2 * e.pulse_factor_sigma_permille > 100:
                return False
        return True

    def budgets(self, bms):
        """What would be granted now, for the scheduler: it does not ask for what it will not get."""
        p = self.profile
        standing = self.standing(bms)
        spent = self.day_spent(bms.clock.seconds)
        cool = self.last_pulse_s < 0 or bms.clock.seconds - self.last_pulse_s >= p.cooldown_s
        left = min(p.pulse_budget_ppm, p.day_budget_ppm - spent, p.life_budget_ppm - self.life_spent_ppm)
        self.pulse_max_s = min(p.pulse_max_s, max(0, left) * 18 // 5 // p.pulse_max_permille)
        self.pulse_allowed = 1 if not standing and self.cutoff_present and cool and not self._useless(bms) else 0
        self.rest_allowed = 0 if standing else 1
        return self

    # -- a granted pulse or rest ---------------------------------------------------------------------------

    def begin_pulse(self, bms, permille, seconds):
        """Book the whole pulse before it flows: what a power cut leaves behind is spent, not forgotten."""
        self.pulse_permille = permille
        self.pulse_ms = seconds * 1000
        self.run_ms = self.moved_ppm = 0
        self._planned_ppm = self.charge_ppm(permille, seconds)
        self._began_cdegc = bms.belief.max_cdegc
        self._spend(bms, self._planned_ppm)
        self.pulses += 1

    def end_pulse(self, bms):
        self._spend(bms, self.moved_ppm - self._planned_ppm)
        bms.tracker.pulsed(self.moved_ppm, self.pulse_permille, self.run_ms // 1000)
        self.pulse_permille = self.pulse_ms = 0

    def _spend(self, bms, ppm):
        now_s = bms.clock.seconds
        self.day_spent_ppm = self.day_spent(now_s) + ppm
        self.life_spent_ppm += ppm
        self.last_pulse_s = now_s

    def begin_rest(self, seconds):
        self.rest_s = seconds
        self.run_ms = 0
        self.rests += 1

    def watch_pulse(self, bms):
        """The reason why the running pulse must end now, or 0."""
        r, b = bms.readings, bms.belief
        gone_ms = bms.clock.elapsed_ms
        self.run_ms += gone_ms
        self.moved_ppm -= bms.ledger.moved_ppm
        if not self.fresh(bms):
            return why.STALE
        if b.min_uv < self.profile.min_uv:
            return why.VOLTAGE
        if gone_ms > bms.outputs.next_tick_ms + LATE_MS:
            return why.LATE
        if b.max_cdegc > self._began_cdegc + HEAT_CDEGC:
            return why.HEAT
        if bms.protection.alarms():
            return why.ALARM
        if r.stop or self.stopped:
            return why.STOP
        if not r.user_consent:
            return why.CONSENT
        if self.run_ms >= self.pulse_ms:
            return why.DELIVERED
        if self.moved_ppm > self.profile.pulse_budget_ppm:
            return why.PULSE_BUDGET
        if self.run_ms > 1000 and abs(bms.tracker.permille - self.pulse_permille) * 5 > self.pulse_permille:
            return why.CURRENT
        return 0

    def watch_rest(self, bms):
        """The reason why the running rest must end now, or 0. `run_ms` stays below 2**30: a rest lasts 10 days at most."""
        r = bms.readings
        self.run_ms += bms.clock.elapsed_ms
        if self.run_ms >= self.rest_s * 1000:
            return why.RESTED
        if bms.belief.min_uv < self.profile.rest_floor_uv:
            return why.FLOOR
        if bms.protection.alarms():
            return why.ALARM
        if not r.user_consent:
            return why.CONSENT
        if not r.clock_known:
            return why.NO_CLOCK
        if r.user_free_s <= 0 or self._due(r, 0):
            return why.CALENDAR
        return 0

    # -- what conducts -------------------------------------------------------------------------------------

    def apply(self, bms):
        """Write the outputs of this tick, from all off, in the order of precedence."""
        o, r, p = bms.outputs, bms.readings, self.profile
        protection, tracker = bms.protection, bms.tracker
        o.off()
        state = bms.machine.state
        o.state = state
        o.alarms = protection.alarms()
        permits = _PERMITS[state]
        if r.hardware_trip:
            o.reason = why.TRIPPED
        elif o.alarms and protection.fault():
            o.reason = why.HARD
        elif o.alarms and protection.lockout():
            o.reason = why.LOCKED
        elif r.stop or self.stopped:
            o.reason = why.STOP
        else:
            if permits[0] and not protection.charge_blocked() and not tracker.full:
                o.charge_enable = 1
                o.charge_limit_count = p.charge_max_count
            if permits[1] and not protection.discharge_blocked() and not tracker.empty:
                o.discharge_enable = 1
                if permits[2]:  # the sink alone draws the pulse
                    o.pulse_count = self.pulse_permille * p.one_c_count // 1000
                    o.pulse_ms = self.pulse_ms - self.run_ms
                else:
                    o.discharge_limit_count = p.discharge_max_count
        o.next_tick_ms = self._wait(bms)

    def _wait(self, bms):
        """Longest wait until the next tick, so that no limit can be passed unseen (docs/profile.md, "How long a tick may be").

        At the present current a cell may fall 200 uV per ppm of charge towards the cut-off, and rise 20 uV per ppm; at the greatest
        current permitted 100 and 20 uV per ppm down and up to the hard limits. 1C moves one ppm in 3.6 ms.
        """
        o, p, b, tracker, protection = bms.outputs, self.profile, bms.belief, bms.tracker, bms.protection
        state = bms.machine.state
        if state == st.PULSE:
            return min(_FAST_MS, max(1, self.pulse_ms - self.run_ms))
        if state == st.BOOT or bms.moved or protection.pending or tracker.ended:
            return _FAST_MS
        wait = _SLOW_MS
        if state == st.REST:
            wait = min(wait, self.rest_s * 1000 - self.run_ms)
        if bms.due or protection.recovering or bms.ledger.doubt:
            wait = 1000
        rate = tracker.permille
        if o.discharge_enable:
            wait = min(wait, (b.min_uv - p.hard_min_uv) * 36 // p.discharge_max_permille)
            if rate and b.count < 0:
                wait = min(wait, (b.min_uv - p.min_uv) * 18 // rate)
        if o.charge_enable:
            wait = min(wait, (p.hard_max_uv - b.max_uv) * 180 // p.charge_max_permille)
            if rate and b.count > 0:
                wait = min(wait, (p.soft_max_uv - b.max_uv) * 180 // rate)
        return max(wait, _FAST_MS)
