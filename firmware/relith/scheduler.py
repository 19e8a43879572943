"""Pulse, rest, or leave the cell alone: asked once after every half-cycle. It requests; the gate alone grants.

`adaptive` compares plans, each an action repeated every so many cycles until the cell's end. The cell has `room`, the
lithium it can lose until 80 % are left, and isolated lithium D. A cycle binds `sei` for good and isolates `lost`; a
plan returns the share f of D and corrodes the share c (what moves, corrodes). D settles at lost / (f + c), and with
k = f + c    cycles * (sei + lost * c/k) = room + f/k * (D - lost/k) * (1 - exp(-k * cycles))
A plan is worth cycles * (depth - w_h * hours - w_q * charge spent) in equivalent full cycles. While a reservoir covers
the loss, D is kept in store for rests to come: what is fetched later costs no more, and then it can be measured.
"""

from struct import calcsize, pack, unpack

from relith import const
from relith.halfcycle import EARLY_PPM, END_HIGH, END_LOW
from relith.inventory import LIMIT_ANODE, LIMIT_CATHODE, UNKNOWN
from relith.lossmodel import corrosion_ppb, one_minus_exp, pulse_way_s, rest_share_ppm, seconds, table

DECISIONS = ("none", "pulse", "rest")
NONE, PULSE, REST = 0, 1, 2
POLICIES = ("none", "liu21", "zhang24", "both", "adaptive")
_LIU21, _ZHANG24, _ADAPTIVE = const(1), const(2), const(4)

# lines of reasons.txt
_WHY_UNKNOWN = const(8)
_WHY_CONSENT = const(12)
_WHY_NO_CLOCK = const(22)
_WHY_CALENDAR = const(23)
_WHY_POLICY_NONE = const(36)
_WHY_FIXED_PULSE = const(37)
_WHY_FIXED_REST = const(38)
_WHY_NOT_HERE = const(39)
_WHY_NOT_DUE = const(40)
_WHY_NOT_FULL = const(41)
_WHY_NOT_EMPTY = const(42)
_WHY_GATE = const(43)
_WHY_USER_DOES = const(44)
_WHY_NO_GAIN = const(45)
_WHY_GAIN_PULSE = const(46)
_WHY_GAIN_REST = const(47)
_WHY_STORED = const(48)
_WHY_FAILED = const(49)
_WHY_REFUSED = const(50)
_WHY_FAST_START = const(51)
_WHY_STORE = const(52)

_PERIODS = (1, 2, 4, 8)
_WEAR_DOUBT = const(3)  # corrosion by moving is never seen as such: beside rests, so many times what is expected
_MUCH_PPM = const(100000)  # isolated lithium from which on trying is worth more than expected
_SPARE_PPM = const(50000)  # a reservoir below covers no loss
_TRIALS, _ENOUGH = const(8), const(10)  # measurable ones, after which an action that shows nothing is given up
_LEAST_REST_S = const(3600)
_SELDOM = const(300)  # per mille of the discharges, below which a cell is seldom empty
_FORMAT = "<BBBii"


class Scheduler:
    """`profile.policy` names one of POLICIES by index."""

    def __init__(self, profile):
        self.profile = profile
        self.decision = NONE
        self.reason = 0
        self.pulse_permille = self.pulse_s = self.rest_s = 0
        self.charge_permille = profile.charge_max_permille  # slow charge plates compact: no faster than there is need
        self._given_up = 0  # bit 0 pulses, bit 1 rests: did not help, not tried again
        self._since_pulse = self._since_rest = 255  # opportunities since the last request
        # after a refusal, of pulses and of rests: opportunities to let pass, and how many were the last time
        self._hold, self._held = [0, 0], [0, 0]
        self._since_rest_s = 1000000  # time since the last long discharged rest
        # what the user's own life is like, each a mean over some cycles
        self._depth_ppm = 1000000
        self._empty = 500  # per mille of the discharges that end at the cut-off
        self._own_way_s = self._own_worn = 0  # how far discharges move isolated lithium, and that times their rate
        self._rots_ppm = 0  # what time corrodes of the deposit while it is discharged
        self._strips = 1000  # how much the rate of the user's own discharges isolates, per mille of the reference
        self._own_rest_s = 0  # how long the cell waits empty
        self._free_s = 2 * _LEAST_REST_S  # how long the last rest could have been

    def after_half_cycle(self, h, estimates, readings, budgets):
        """Decide what comes next. `estimates`: one per cell of the string; `budgets`: what the gate would grant now."""
        p = self.profile
        self._learn(h)
        self.pulse_permille = self.pulse_s = self.rest_s = 0
        self.decision = NONE
        if p.policy == 0:
            self.reason = _WHY_POLICY_NONE
        elif not readings.user_consent:
            self.reason = _WHY_CONSENT
        elif h.kind > 0:
            self.reason = self._after_charge(h, estimates, budgets)
        else:
            self.reason = self._after_discharge(h, estimates, readings, budgets)
        if self.pulse_s:
            self.decision = PULSE
        elif self.rest_s:
            self.decision = REST
        elif p.policy == _ADAPTIVE and readings.user_free_s > p.storage_after_s:
            self.reason = _WHY_STORE
        self.charge_permille = most = p.charge_max_permille
        if p.policy == _ADAPTIVE and readings.user_full_in_s > 0:
            slow = most * p.full_charge_s // max(1, readings.user_full_in_s - self.rest_s)
            self.charge_permille = min(most, max(slow, self._compact()))

    def _learn(self, h):
        """What the half-cycle tells of the user's life, and whether the request before it was granted."""
        p = self.profile
        self._since_rest_s = min(self._since_rest_s + h.rest_before_s + h.duration_s, 100000000)
        if self.decision != NONE:
            done = h.pulse_s if self.decision == PULSE else h.rest_before_s * 2 >= self.rest_s
            which = self.decision - 1
            self._hold[which] = self._held[which] = 0 if done else min(2 * self._held[which] + 1, 63)
        if h.kind > 0:
            if h.rest_before_s >= p.rest_fixed_s // 2:
                self._since_rest_s = h.duration_s
            if not self.rest_s or h.rest_before_s > self.rest_s * 9 // 8:
                self._own_rest_s += (min(h.rest_before_s, 1000000) - self._own_rest_s) // 4
        else:
            rate, rest = h.rate_permille, h.charge_ppm - h.pulse_ppm
            if h.pulse_s and rest > 0:
                rate = max(1, (rate * h.charge_ppm - h.pulse_permille * h.pulse_ppm) // rest)
            isolates = table(p.loss_strip_rate_permille, p.loss_strip_factor_permille, rate)
            self._strips += (isolates - self._strips) // 4
            self._depth_ppm += (min(max(h.charge_ppm, 10000), 4000000) - self._depth_ppm) // 4
            self._empty += ((1000 if h.end == END_LOW else 0) - self._empty) // 8
            way = pulse_way_s(p, rate, h.duration_s, h.temp_cdegc)
            if not h.pulse_s and h.early_rate_permille > rate:
                early = h.early_rate_permille
                fast = pulse_way_s(p, early, seconds(p, EARLY_PPM, early), h.temp_cdegc)
                if fast > way:
                    way, rate = fast, early
            rots = corrosion_ppb(p, h.charge_ppm * 1000, 0, 1000, 0, h.duration_s, h.temp_cdegc) // 1000
            self._rots_ppm += (min(rots, 1000000) - self._rots_ppm) // (4 if self._rots_ppm else 1)
            self._own_way_s += (way - self._own_way_s) // 4
            self._own_worn += (way * rate // 1000 - self._own_worn) // 4

    def _compact(self):
        """The rate below which slower charging isolates hardly less."""
        rates, factors = self.profile.loss_plate_rate_permille, self.profile.loss_plate_factor_permille
        k = 0
        while k + 1 < len(rates) and factors[k + 1] * 50 <= factors[0] * 51:
            k += 1
        return rates[k]

    def _waits(self, action):
        """Whether such a request was refused a moment ago: it is not made again at once."""
        left = self._hold[action - 1]
        self._hold[action - 1] = max(0, left - 1)
        return left

    def _after_charge(self, h, estimates, budgets):
        p = self.profile
        if p.policy == _ZHANG24:
            return _WHY_NOT_HERE
        if h.end != END_HIGH:
            return _WHY_NOT_FULL
        self._since_pulse = min(self._since_pulse + 1, 255)
        can = budgets.pulse_allowed and budgets.pulse_max_permille and budgets.pulse_max_s
        if p.policy != _ADAPTIVE:
            # whole or not at all: half of a pulse does little; the budget grants seconds of the strongest one
            charge = p.pulse_fixed_permille * p.pulse_fixed_s
            if not can or charge > budgets.pulse_max_permille * budgets.pulse_max_s:
                return _WHY_GATE
            if self._waits(PULSE):
                return _WHY_REFUSED
            self.pulse_permille, self.pulse_s = p.pulse_fixed_permille, p.pulse_fixed_s
            return _WHY_FIXED_PULSE
        why = self._refused(estimates, 1)
        if why:
            return why
        _, _, rest = self._plan_rest(estimates, (0, 0, 0, 0, 0))
        permille, length_s, period, _ = self._plan_pulse(estimates, rest, budgets if can else p, h.temp_cdegc)
        if not period:
            return _WHY_NO_GAIN
        if self._since_pulse < period:
            return _WHY_NOT_DUE
        if not can:  # no sink for it, as in a pack: the user's next drive can do it
            return _WHY_FAST_START
        if self._waits(PULSE):
            return _WHY_REFUSED
        self._since_pulse = 0
        self.pulse_permille, self.pulse_s = permille, length_s
        return _WHY_GAIN_PULSE

    def _after_discharge(self, h, estimates, readings, budgets):
        p = self.profile
        if p.policy == _LIU21:
            return _WHY_NOT_HERE
        if h.end != END_LOW:
            return _WHY_NOT_EMPTY
        if not budgets.rest_allowed:
            return _WHY_GATE
        if not readings.clock_known:
            return _WHY_NO_CLOCK
        self._since_rest = min(self._since_rest + 1, 255)
        free_s = min(readings.user_free_s, budgets.rest_max_s)
        if readings.user_full_in_s >= 0:
            free_s = min(free_s, readings.user_full_in_s - p.full_charge_s)
        if p.policy != _ADAPTIVE:
            if self._since_rest_s < p.rest_period_s:
                return _WHY_NOT_DUE
            if free_s < p.rest_fixed_s:
                return _WHY_CALENDAR
            if self._waits(REST):
                return _WHY_REFUSED
            self.rest_s = p.rest_fixed_s
            return _WHY_FIXED_REST
        self._free_s = max(0, free_s)
        if free_s < _LEAST_REST_S:
            return _WHY_CALENDAR
        why = self._refused(estimates, 2)
        if why:
            return why
        if self._longer_s() > free_s:
            return _WHY_USER_DOES
        if self._waits(REST):
            return _WHY_REFUSED
        pulse = 0, 0, 0, 0, 0
        if budgets.pulse_allowed and not self._given_up & 1:
            _, _, rest = self._plan_rest(estimates, pulse)
            pulse = self._plan_pulse(estimates, rest, budgets, h.temp_cdegc)[3]
        length_s, period, _ = self._plan_rest(estimates, pulse)
        if not period:
            return _WHY_NO_GAIN
        if self._since_rest < period:
            return _WHY_NOT_DUE
        self._since_rest = 0
        self.rest_s = length_s
        return _WHY_GAIN_REST

    # -- plans: a pulse is (way in s, way times rate, cost, corrosion spared), a rest (share freed, cost) in a cycle

    def _longer_s(self):
        """A rest must be so long to add to what the user leaves the cell anyway."""
        return max(_LEAST_REST_S, self._own_rest_s * 3 // 2)

    def _plan_rest(self, estimates, pulse):
        """(seconds, every so many cycles, rest) of the best rest beside `pulse`; 0 cycles: none."""
        p = self.profile
        own = rest_share_ppm(p, self._own_rest_s)
        best = self._worth(estimates, pulse, (own, 0))
        choice = 0, 0, (own, 0)
        for part in (4, 3, 2, 1):
            rest_s = self._free_s * part // 4
            if rest_s < self._longer_s() or self._given_up & 2:
                break
            cost = (rest_s - self._own_rest_s) * p.weight_hour_ppm // 3600 * self._empty // 1000
            share = rest_share_ppm(p, rest_s) - own
            for every in _PERIODS:
                rest = own + share // every, cost // every
                worth = self._worth(estimates, pulse, rest)
                if worth > best:
                    best, choice = worth, (rest_s, every, rest)
        return choice

    def _plan_pulse(self, estimates, rest, budgets, temp_cdegc):
        """(per mille of 1C, seconds, every so many cycles, pulse) of the best pulse beside `rest`; 0 cycles: none."""
        p = self.profile
        choice = 0, 0, 0, (0, 0, 0, 0, 0)
        best = self._worth(estimates, choice[3], rest)
        for part in (2, 4, 6):
            permille = max(1, min(p.pulse_fixed_permille * part // 4, budgets.pulse_max_permille))
            longest_s = min(p.pulse_max_s, budgets.pulse_max_s * budgets.pulse_max_permille // permille)
            for length_s in (longest_s, longest_s // 2, longest_s // 4):
                way = pulse_way_s(p, permille, length_s, temp_cdegc)
                charge = permille * length_s * 5 // 18  # ppm: so much less waits to be stripped, and is stripped sooner
                cost = p.weight_hour_ppm * length_s // 3600 + p.weight_charge_permille * charge // 1000
                spared = self._rots_ppm * 2 * charge // self._depth_ppm
                isolates = table(p.loss_strip_rate_permille, p.loss_strip_factor_permille, permille)
                clean = charge * (1000000 - isolates * 1000000 // self._strips) // self._depth_ppm
                for every in _PERIODS:
                    pulse = way // every, way * permille // 1000 // every, cost // every, spared // every, clean // every
                    worth = self._worth(estimates, pulse, rest)
                    if worth > best:
                        best, choice = worth, (permille, length_s, every, pulse)
        return choice

    def _worth(self, estimates, pulse, rest):
        """What is left of the string's life under a plan, in 1/1000 ppm of an EFC: that of its weakest cell."""
        cycles = 1 << 60
        for e in estimates:
            cycles = min(cycles, self._cycles(e, pulse, rest[0]))
        return cycles * (self._depth_ppm - pulse[2] - rest[1])

    def _cycles(self, e, plan, freed):
        """Cycles left (per mille) of one cell under a plan, see above."""
        p = self.profile
        way_s, worn, _, spared, clean = plan
        depth = self._depth_ppm // 1000
        lost = (e.isolated_per_cycle_ppm or p.loss_isolated_ppm) * depth // 1000
        lost -= lost * clean // 1000000
        sei = (e.sei_per_cycle_ppm or p.loss_sei_ppm) * depth // 1000
        sei = max(sei // 2, sei - spared)
        room = max(20000, e.cathode_ppm + e.active_ppm - p.cathode_capacity_ppm * 8 // 10)
        pulse, rest = e.pulse_factor_permille, e.rest_factor_permille
        if e.isolated_ppm > _MUCH_PPM:  # knowing is worth most where most can be won
            if e.pulse_trials < _TRIALS:
                pulse += e.pulse_factor_sigma_permille // 3
            if e.rest_trials < _TRIALS:
                rest += e.rest_factor_sigma_permille // 3
        if e.limited_by != LIMIT_ANODE:
            rest = rest * p.rest_local_permille // 1000
        back = table(p.pulse_way_s, p.pulse_share_permille, self._own_way_s + way_s) * max(0, pulse)
        back = min(900000, back + freed * self._empty // 1000 * max(0, rest) // 1000)
        worn = (self._own_worn + worn * (_WEAR_DOUBT if self._rests() else 1)) * p.pulse_corroded_ppm
        cycles = room * 1000 // max(1, lost + sei)
        k = back + worn
        if k < 100:
            return cycles
        settled = lost * 1000000 // k
        per_cycle = max(1, sei + lost * worn // k)
        for _ in range(6):
            gone = one_minus_exp(min(k * cycles // 1000000, 5000))
            left = room + (e.isolated_ppm - settled) * back // k * gone // 1000
            cycles = (cycles + max(0, left) * 1000 // per_cycle) // 2
        return cycles

    def _rests(self):
        """Whether rests are to be had, which win lithium back without wear."""
        return self._empty > _SELDOM and max(self._own_rest_s, self._free_s) >= 2 * _LEAST_REST_S

    def _refused(self, estimates, action):
        """0, or the reason why an action (bit as in _given_up) is not looked at."""
        p = self.profile
        shown = 0  # cells still to be tried, or whose recovery stands out of the noise
        hidden = self._rests() if action == 1 else p.weight_hour_ppm  # time for nothing: a rest does no harm
        for e in estimates:
            if e.known == UNKNOWN:
                return _WHY_UNKNOWN
            spare = e.cathode_ppm + e.active_ppm - e.cathode_capacity_ppm
            if e.limited_by == LIMIT_CATHODE:
                spare = p.reservoir_ppm
            if e.limited_by == LIMIT_ANODE or spare < _SPARE_PPM:
                hidden = 0
            trials, factor, sigma = e.rest_trials, e.rest_factor_permille, e.rest_factor_sigma_permille
            if action == 1:
                trials, factor, sigma = e.pulse_trials, e.pulse_factor_permille, e.pulse_factor_sigma_permille
            if trials < _TRIALS or factor > (sigma if trials < _ENOUGH else sigma * 3 // 2):
                shown = 1
        if not shown:
            self._given_up |= action
        if self._given_up & action:
            return _WHY_FAILED
        return _WHY_STORED if hidden else 0

    def pack(self):
        return pack(_FORMAT, self._given_up, self._held[0], self._held[1], self._since_rest_s, self._own_rest_s)

    def unpack(self, data):
        """Take back what pack() gave; False, and nothing changed, when it cannot be that. The user's life is soon
        learned anew.
        """
        if len(data) != calcsize(_FORMAT):
            return False
        given_up, pulses, rests, since, own = unpack(_FORMAT, data)
        if given_up > 3 or max(pulses, rests) > 63 or since < 0 or own < 0:
            return False
        self._given_up, self._since_rest_s, self._own_rest_s = given_up, since, own
        self._hold, self._held = [pulses, rests], [pulses, rests]
        return True
