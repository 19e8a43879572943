"""Pulse, rest, or leave the cell alone: asked once after every half-cycle. It requests; the gate alone grants.

Value of an action, in ppm of an equivalent full cycle (EFC). Life ends when what is lost reaches a fixed share of
capacity, so lithium
won back buys cycles at the rate at which the cell loses it:
    value = regained / loss per cycle  -  w_h * hours  -  w_q * charge spent
"""

from struct import calcsize, pack, unpack

from relith import const
from relith.halfcycle import END_HIGH, END_LOW
from relith.inventory import LIMIT_ANODE, UNKNOWN
from relith.lossmodel import pulse_share_ppm, rest_share_ppm

DECISIONS = ("none", "pulse", "rest")
NONE, PULSE, REST = 0, 1, 2
POLICIES = ("none", "liu21", "zhang24", "both", "adaptive")

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
_WHY_TURN = const(48)
_WHY_FAILED = const(49)

_REST_HOURS = (2, 4, 6, 8, 12)
_TRIALS = 8  # measurable ones, after which an action that shows nothing is given up
_FORMAT = "<BBBi"


class Scheduler:
    """`profile.policy` names one of POLICIES by index."""

    def __init__(self, profile):
        self.profile = profile
        self.decision = NONE
        self.reason = 0
        self.pulse_permille = self.pulse_s = self.rest_s = 0
        self._given_up = 0  # bit 0 pulses, bit 1 rests: did not help, not tried again
        self._turn = 0  # while unproven: nothing, pulse, nothing, rest, so that each shows what it does alone
        self._user_pulses = 0  # of the last eight discharges, one bit each: started fast by the user
        self._since_rest_s = 1000000  # time since the last long discharged rest

    def after_half_cycle(self, h, estimates, readings, budgets):
        """Decide what comes next. `estimates`: one per cell of the string; `budgets`: what the gate would grant now."""
        p = self.profile
        self.pulse_permille = self.pulse_s = self.rest_s = 0
        self._since_rest_s = min(self._since_rest_s + h.rest_before_s + h.duration_s, 100000000)
        if h.kind > 0 and h.rest_before_s >= p.rest_fixed_s // 2:
            self._since_rest_s = h.duration_s
        if h.kind > 0:
            self._turn = (self._turn + 1) & 3
        else:
            own = h.pulse_s == 0 and h.early_rate_permille >= p.pulse_fixed_permille * 8 // 10
            self._user_pulses = (self._user_pulses << 1 | own) & 255
        policy = POLICIES[p.policy]
        if policy == "none":
            self._say(NONE, _WHY_POLICY_NONE)
        elif not readings.user_consent:
            self._say(NONE, _WHY_CONSENT)
        elif h.kind > 0:
            self._after_charge(policy, h, estimates, budgets)
        else:
            self._after_discharge(policy, h, estimates, readings, budgets)

    def _say(self, decision, reason):
        self.decision, self.reason = decision, reason

    def _after_charge(self, policy, h, estimates, budgets):
        p = self.profile
        if policy == "zhang24":
            return self._say(NONE, _WHY_NOT_HERE)
        if h.end != END_HIGH:
            return self._say(NONE, _WHY_NOT_FULL)
        if not budgets.pulse_allowed:
            return self._say(NONE, _WHY_GATE)
        self.pulse_permille = min(p.pulse_fixed_permille, budgets.pulse_max_permille)
        self.pulse_s = min(p.pulse_fixed_s, budgets.pulse_max_s)
        if policy != "adaptive":
            return self._say(PULSE, _WHY_FIXED_PULSE)
        share = pulse_share_ppm(p, self.pulse_permille, self.pulse_s, h.temp_cdegc)
        spent = self.pulse_permille * self.pulse_s * 1000 // 3600  # ppm of nominal
        cost = p.weight_hour_ppm * self.pulse_s // 3600 + p.weight_charge_permille * spent // 1000
        why = self._refuse(estimates, 1, share, cost)
        if not why and self._user_pulses & 3 == 3:
            why = _WHY_USER_DOES
        if why:
            self.pulse_permille = self.pulse_s = 0
            return self._say(NONE, why)
        return self._say(PULSE, _WHY_GAIN_PULSE)

    def _after_discharge(self, policy, h, estimates, readings, budgets):
        p = self.profile
        if policy == "liu21":
            return self._say(NONE, _WHY_NOT_HERE)
        if h.end != END_LOW:
            return self._say(NONE, _WHY_NOT_EMPTY)
        if not budgets.rest_allowed:
            return self._say(NONE, _WHY_GATE)
        if not readings.clock_known:
            return self._say(NONE, _WHY_NO_CLOCK)
        free_s = min(readings.user_free_s, budgets.rest_max_s)
        if policy != "adaptive":
            if self._since_rest_s < p.rest_period_s:
                return self._say(NONE, _WHY_NOT_DUE)
            if free_s < p.rest_fixed_s:
                return self._say(NONE, _WHY_CALENDAR)
            self.rest_s = p.rest_fixed_s
            return self._say(REST, _WHY_FIXED_REST)
        best, why = 0, _WHY_CALENDAR
        for hours in _REST_HOURS:
            if hours * 3600 > free_s:
                break
            share = rest_share_ppm(p, hours * 3600)
            refused = self._refuse(estimates, 2, share, p.weight_hour_ppm * hours)
            if refused:
                why = refused if not best else why
                continue
            value = self._gain(estimates, 2, share) - p.weight_hour_ppm * hours
            if value > best:
                best, self.rest_s, why = value, hours * 3600, _WHY_GAIN_REST
        return self._say(REST if best else NONE, why)

    def _gain(self, estimates, action, share_ppm):
        """Cycles (ppm of one EFC) that an action returning `share_ppm` of D buys, mean over the cells of the string."""
        total = 0
        for e in estimates:
            factor = e.pulse_factor_permille if action == 1 else e.rest_factor_permille
            back = e.isolated_ppm * share_ppm // 1000000 * max(0, factor) // 1000
            total += back * 1000000 // max(100, e.loss_per_cycle_ppm)
        return total // len(estimates)

    def _refuse(self, estimates, action, share_ppm, cost_ppm):
        """0, or the reason why an action is not worth asking for."""
        if self._given_up & action:
            return _WHY_FAILED
        unproven = self._given_up != 3 and self._turn & 3 != (1 if action == 1 else 3)
        shown = 0  # cells still to be tried, or whose recovery stands out of the noise
        for e in estimates:
            if e.known == UNKNOWN:
                return _WHY_UNKNOWN
            trials = e.pulse_trials if action == 1 else e.rest_trials
            factor = e.pulse_factor_permille if action == 1 else e.rest_factor_permille
            sigma = e.pulse_factor_sigma_permille if action == 1 else e.rest_factor_sigma_permille
            # taking turns teaches only where the outcome shows; a reservoir hides it, and expected value alone decides
            shows = e.limited_by == LIMIT_ANODE
            unproven = unproven and shows and (e.pulse_trials < _TRIALS or e.rest_trials < _TRIALS)
            shown += 1 if trials < _TRIALS or factor > 2 * sigma else 0
            if action == 2 and e.limited_by != LIMIT_ANODE and self.profile.rest_local_permille < 100:
                return _WHY_NOT_EMPTY
        if not shown:
            self._given_up |= action
            return _WHY_FAILED
        if self._gain(estimates, action, share_ppm) <= cost_ppm:
            return _WHY_NO_GAIN
        return _WHY_TURN if unproven else 0

    def pack(self):
        return pack(_FORMAT, self._given_up, self._turn, self._user_pulses, self._since_rest_s)

    def unpack(self, data):
        """Take back what pack() gave; False, and nothing changed, when it cannot be that."""
        if len(data) != calcsize(_FORMAT):
            return False
        given_up, turn, user_pulses, since = unpack(_FORMAT, data)
        if given_up > 3 or turn > 3 or since < 0:
            return False
        self._given_up, self._turn, self._user_pulses, self._since_rest_s = given_up, turn, user_pulses, since
        return True
