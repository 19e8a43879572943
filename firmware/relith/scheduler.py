"""Pulse, rest, or leave the cell alone: asked once after every half-cycle. It requests; the gate alone grants.

`adaptive` looks at plans, a pulse, a rest, both or neither in every cycle until the cell's end, and asks for today's
part of the one that is worth most. The cell has `room`, the lithium it can lose until 80 % of its capacity are
left, and isolated lithium D. A cycle binds `sei` for good and isolates `lost`; a plan returns the share f of D and
corrodes the share c (what moves, corrodes). D settles at lost / (f + c), and with
k = f + c    cycles * (sei + lost * c/k) = room + f/k * (D - lost/k) * (1 - exp(-k * cycles))
A plan is worth cycles * (depth - w_h * hours - w_q * charge spent) in equivalent full cycles.

Or D is kept in store until the room is nearly used up, and then taken as it is needed, by rests while they give enough
and by pulses after that (`_kept`): what is not moved does not corrode, and when the anode ends every discharge, what an
action brings back can be measured.
"""

from struct import calcsize, pack, unpack

from relith import const
from relith.halfcycle import EARLY_PPM, END_HIGH, END_LOW
from relith.inventory import LIMIT_ANODE, UNKNOWN
from relith.lossmodel import corrosion_ppb, one_minus_exp, pulse_way_s, rest_share_ppm, seconds, table
from relith.udfilter import root

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

_TRIALS, _ENOUGH = const(8), const(10)  # measurable ones, after which an action that shows nothing is given up
_LEAST_REST_S = const(3600)
_REST_AT, _PULSE_AT = const(2000), const(1000)  # per mille of a cycle's loss: room at which a store is drawn from
_MUCH = const(8)  # cycles' losses
_EMPTIES = const(600)  # per mille of the discharges: a life that shows every time what the anode has
_FORMAT = "<BBBii"
_NO_PULSE = 0, 0, 0, 0, 0, 0, 0


class Scheduler:
    """`profile.policy` names one of POLICIES by index."""

    def __init__(self, profile):
        self.profile = profile
        self.decision = NONE
        self.reason = 0
        self.pulse_permille = self.pulse_s = self.rest_s = 0
        self.charge_permille = profile.charge_max_permille  # slow charge plates compact: no faster than there is need
        self._given_up = 0  # bit 0 pulses, bit 1 rests: did not help, not tried again
        # after a refusal, of pulses and of rests: opportunities to let pass, and how many were the last time
        self._hold, self._held = [0, 0], [0, 0]
        self._since_rest_s = 1000000  # time since the last long discharged rest
        # what the user's own life is like, each a mean over some cycles
        self._depth_ppm = 1000000
        self._empty = 500  # per mille of the discharges that end at the cut-off
        # how far discharges move isolated lithium, what share of it corrodes then and what share returns, ppm
        self._own_way_s = self._own_worn = self._own_share = 0
        self._rots_ppm = 0  # what time corrodes of the deposit while it is discharged
        self._strips = 1000  # how much the rate of the user's own discharges isolates, per mille of the reference
        self._own_rest_s = 0  # how long the cell waits empty
        self._corrodes = 1000  # per mille of the profile's share
        self._stored = False  # what is isolated is kept for later
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
                slow = 4 if self._own_rest_s else 1  # the first is all there is to go by
                self._own_rest_s += (min(h.rest_before_s, 100000) - self._own_rest_s) // slow
        else:
            rate, rest = h.rate_permille, h.charge_ppm - h.pulse_ppm
            if h.pulse_s and rest > 0:
                rate = max(1, (rate * h.charge_ppm - h.pulse_permille * h.pulse_ppm) // rest)
            isolates = table(p.loss_strip_rate_permille, p.loss_strip_factor_permille, rate)
            slow = 4 if self._rots_ppm else 1
            self._strips += (isolates - self._strips) // slow
            self._depth_ppm += (min(max(h.charge_ppm, 10000), 4000000) - self._depth_ppm) // slow
            self._empty += ((1000 if h.end == END_LOW else 0) - self._empty) // 8
            way = pulse_way_s(p, rate, h.duration_s, h.temp_cdegc)
            if not h.pulse_s and h.early_rate_permille > rate:
                early = h.early_rate_permille
                fast = pulse_way_s(p, early, seconds(p, EARLY_PPM, early), h.temp_cdegc)
                if fast > way:
                    way, rate = fast, early
            rots = corrosion_ppb(p, h.charge_ppm * 1000, 0, 1000, 0, h.duration_s, h.temp_cdegc) // 1000
            self._rots_ppm += (max(1, min(rots, 1000000)) - self._rots_ppm) // slow
            self._own_way_s += (way - self._own_way_s) // slow
            self._own_share = table(p.pulse_way_s, p.pulse_share_permille, self._own_way_s) * 1000
            worn = table(p.pulse_way_s, p.pulse_corroded_permille, way) * rate
            self._own_worn += (worn - self._own_worn) // slow

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
        pulses = self._pulses(budgets if can else p, h.temp_cdegc)
        _, _, _, _, _, permille, length_s = self._begin(estimates, pulses, self._rests(), PULSE)
        if not length_s:
            return _WHY_STORED if self._stored else _WHY_NO_GAIN
        if not can:  # no sink for it, as in a pack: the user's next drive can do it
            return _WHY_FAST_START
        if self._waits(PULSE):
            return _WHY_REFUSED
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
        rests = self._rests()
        if len(rests) == 1:
            return _WHY_USER_DOES
        if self._waits(REST):
            return _WHY_REFUSED
        pulses = self._pulses(budgets, h.temp_cdegc) if budgets.pulse_allowed else [_NO_PULSE]
        _, _, rest_s = self._begin(estimates, pulses, rests, REST)
        if not rest_s:
            return _WHY_STORED if self._stored else _WHY_NO_GAIN
        self.rest_s = rest_s
        return _WHY_GAIN_REST

    # -- plans, in a cycle: a pulse is (share returned, share corroded, cost, SEI and isolation spared, per mille of 1C,
    # seconds), a rest (share freed, cost, seconds), a step both

    def _rests(self):
        """The rests to choose from; first what the user does anyway."""
        p = self.profile
        rests = [(rest_share_ppm(p, self._own_rest_s), 0, 0)]
        self._own = _NO_PULSE, rests[0]
        for part in (4, 3, 2, 1):
            rest_s = self._free_s * part // 4
            # it must be so long to add to what the user leaves the cell anyway
            if rest_s < max(_LEAST_REST_S, self._own_rest_s * 3 // 2) or self._given_up & 2:
                break
            cost = (rest_s - self._own_rest_s) * p.weight_hour_ppm // 3600 * self._empty // 1000
            rests.append((rest_share_ppm(p, rest_s), cost, rest_s))
        return rests

    def _pulses(self, budgets, temp_cdegc):
        """The pulses to choose from; first none."""
        p = self.profile
        pulses = [_NO_PULSE]
        for part in (2, 4, 6):
            permille = max(1, min(p.pulse_fixed_permille * part // 4, budgets.pulse_max_permille))
            longest_s = min(p.pulse_max_s, budgets.pulse_max_s * budgets.pulse_max_permille // permille)
            for length_s in (longest_s, longest_s // 2, longest_s // 4):
                if self._given_up & 1:
                    break
                way = pulse_way_s(p, permille, length_s, temp_cdegc)
                share = table(p.pulse_way_s, p.pulse_share_permille, self._own_way_s + way) * 1000 - self._own_share
                worn = table(p.pulse_way_s, p.pulse_corroded_permille, way) * permille
                if part < 4:  # where the dead band ends is not known: below the published strength half is believed
                    share //= 2
                charge = permille * length_s * 5 // 18  # ppm: so much less waits to be stripped, and is stripped sooner
                cost = p.weight_hour_ppm * length_s // 3600 + p.weight_charge_permille * charge // 1000
                spared = 2000 * charge // self._depth_ppm  # per mille of what time binds while it is discharged
                isolates = table(p.loss_strip_rate_permille, p.loss_strip_factor_permille, permille)
                clean = charge * (1000000 - isolates * 1000000 // self._strips) // self._depth_ppm
                pulses.append((share, worn, cost, spared, clean, permille, length_s))
        return pulses

    def _begin(self, estimates, pulses, rests, action):
        """The pulse or rest to begin with."""
        stores = []  # per cell: (cell, room, isolated, reservoir, cycles until the room is used up, isolated then)
        for e in estimates:
            dead, spare = self._state(e)
            room = max(20000, self._room(e))
            store = room - self._loss(e)
            then = self._cycles(e, self._own, store, dead, spare) if store > 0 else (0, dead)
            stores.append((e, room, dead, spare) + then)
        now, *best = self._best(self._now, stores, pulses, rests)
        # what moves, corrodes, and published data leave open how much: what cannot be undone must pay in the worse case
        self._corrodes = 1500
        kept, pulse, rest = self._best(self._kept, stores, pulses, rests)
        now = self._now(stores, *best)
        # what is kept can still be taken; but where the room is seen now and then only, it may be taken too late
        now += now // 50 if self._empty < _EMPTIES else -(now // 100)
        # a life that offers rests every time has use for them first
        often = self._empty > _EMPTIES
        does = often and max([self._use(x[0], (_NO_PULSE, rest), x[5])[0] for x in stores]) > 0
        self._corrodes = 1000
        # what a large store, or perhaps one, gives back is tried by a rest before a pulse
        untried = rest[2]
        for e in estimates:
            if e.rest_trials or e.isolated_ppm + e.isolated_sigma_ppm * often < _MUCH * self._loss(e):
                untried = 0
        self._stored = kept > now or untried
        if self._stored:
            left = min([self._room(e) * 1000 // self._loss(e) for e in estimates])
            if action == REST:
                return rest if left <= _REST_AT else rests[0]
            return pulse if left <= (0 if does else _PULSE_AT) and not untried else _NO_PULSE
        return best[action - 1]

    def _best(self, worth, stores, pulses, rests):
        """(worth, pulse, rest) of the best plan: a pulse, a rest or both in every cycle."""
        best = max([(worth(stores, x, rests[0]), x, rests[0]) for x in pulses])
        for x in (best[1], pulses[0]):
            best = max([best] + [(worth(stores, x, rest), x, rest) for rest in rests[1:]])
        return best

    def _room(self, e):
        """What can be lost until 80 % of the capacity are left, ppm."""
        return e.cathode_ppm + e.active_ppm - self.profile.cathode_capacity_ppm * 8 // 10

    def _loss(self, e):
        """What a cycle isolates and binds, ppm."""
        _, _, lost, sei = self._rates(e, self._own, 0)
        return max(5000, lost + sei)

    def _state(self, e):
        """(isolated lithium, reservoir), ppm."""
        spare = e.cathode_ppm + e.active_ppm - e.cathode_capacity_ppm
        if e.limited_by == LIMIT_ANODE:
            spare = min(spare, 0)
        # what the user's own life returns is not there for long, whatever the estimate says
        back, worn, lost, _ = self._rates(e, self._own, spare)
        return min(e.isolated_ppm, lost * 4000000 // max(1, back + worn)), spare

    def _now(self, stores, pulse, rest):
        """What is left of the string's life, in 1/1000 ppm of an EFC, that of its weakest cell, under a plan."""
        step = pulse, rest
        cycles = min([self._cycles(e, step, room, dead, spare)[0] for e, room, dead, spare, _, _ in stores])
        return cycles * self._net(step)

    def _kept(self, stores, pulse, rest):
        """The same when D is kept until the room is nearly used up, then taken as it is needed or in every cycle."""
        worst, plan = 1 << 60, (pulse, rest)
        for e, _, _, _, wait, dead in stores:
            often = self._cycles(e, plan, self._loss(e), dead, 0)[0] * self._net(plan)
            worth = 0
            for step in ((_NO_PULSE, rest), (pulse, self._own[1])):
                gain, dead = self._use(e, step, dead)
                worth += gain
            worth += self._cycles(e, plan, self._loss(e), dead, 0)[0] * self._net(plan)
            worst = min(worst, wait * self._depth_ppm + max(worth, often))
        return worst

    def _use(self, e, step, dead):
        """(worth, what is left isolated) of taking from `dead` by a step just as often as there is need, as long as
        one in every cycle is enough. With shares f, c of the step and b, w of the user's own life a cycle needs
        n = lost + sei - b D from it, spends sei + w D + n c/f, and n/(f D) steps.
        """
        own_back, own_worn, lost, sei = self._rates(e, self._own, 0)
        back, worn, with_lost, with_sei = self._rates(e, step, 0)
        least = (lost + sei) * 1000000 // max(1, back)
        back -= own_back
        if back < 1000 or dead <= least:
            return 0, dead
        mean = root(dead * least)
        need = max(0, lost + sei - mean * own_back // 1000000)
        often = min(1000, need * 1000 // max(1, back * mean // 1000000))  # per mille of the cycles
        spent = sei + mean * own_worn // 1000000 + need * (worn - own_worn) // back
        spent -= (lost + sei - with_lost - with_sei) * often // 1000
        cycles = (dead - least) * 1000 // max(1, spent)
        # each at three times its cost: how many it will be is the least sure
        return cycles * (self._depth_ppm - 3 * (self._depth_ppm - self._net(step)) * often // 1000), least

    def _net(self, step):
        """What a cycle with it is worth, ppm of an EFC."""
        return self._depth_ppm - step[0][2] - step[1][1]

    def _rates(self, e, step, spare):
        """Shares of D that return and corrode (ppm), and what is isolated and bound (ppm), in a cycle with a step."""
        p = self.profile
        share, worn, _, spared, clean, _, _ = step[0]
        depth = self._depth_ppm // 1000
        lost = (e.isolated_per_cycle_ppm or p.loss_isolated_ppm) * depth // 1000
        lost -= lost * clean // 1000000
        sei = (e.sei_per_cycle_ppm or p.loss_sei_ppm) * depth // 1000
        sei = max(sei // 2, sei - min(self._rots_ppm, sei) * spared // 1000)
        pulse, rest = e.pulse_factor_permille, e.rest_factor_permille
        if spare > 0:
            rest = rest * p.rest_local_permille // 1000
        back = (self._own_share + share) * max(0, pulse) // 1000
        back = min(900000, back + step[1][0] * self._empty // 1000 * max(0, rest) // 1000)
        worn = self._own_worn + worn * self._corrodes // 1000
        worn = worn * min(1000, max(0, pulse)) // 1000  # what moves, corrodes
        both = (back + worn) // 1000
        if both > 900:
            back, worn = back * 900 // both, worn * 900 // both
        return back, worn, lost, sei

    def _cycles(self, e, plan, room, dead, spare):
        """(cycles, per mille, in which one cell with `dead` isolated loses `room` under a plan, see above; what is
        isolated then).
        """
        back, worn, lost, sei = self._rates(e, plan, spare)
        k = back + worn
        if k < 100:
            cycles = room * 1000 // max(1, lost + sei)
            return cycles, dead + lost * cycles // 1000
        settled = lost * 1000000 // k
        per_cycle = max(1, sei + lost * worn // k)
        cycles = max(0, room) * 1000 // per_cycle
        for _ in range(8):
            gone = one_minus_exp(min(k * cycles // 1000000, 5000))
            left = room + (dead - settled) * back // k * gone // 1000
            cycles = (cycles + max(0, left) * 1000 // per_cycle) // 2
        return cycles, dead + (settled - dead) * gone // 1000

    def _refused(self, estimates, action):
        """0, or the reason why an action (bit as in _given_up) is not looked at."""
        shown = 0  # cells still to be tried, or whose recovery stands out of the noise
        for e in estimates:
            if e.known == UNKNOWN:
                return _WHY_UNKNOWN
            trials, factor, sigma = e.rest_trials, e.rest_factor_permille, e.rest_factor_sigma_permille
            if action == 1:
                trials, factor, sigma = e.pulse_trials, e.pulse_factor_permille, e.pulse_factor_sigma_permille
            if trials < _TRIALS or factor > (sigma if trials < _ENOUGH else sigma * 3 // 2):
                shown = 1
        if not shown:
            self._given_up |= action
        return _WHY_FAILED if self._given_up & action else 0

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
