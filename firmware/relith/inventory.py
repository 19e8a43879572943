"""Where a cell's lithium is, and how well that is known: cathode C, active A, isolated D, SEI S (physics.md §1, §6).

All in ppm of nominal capacity outside, ppb inside; C counts from full charge, so that C = 0 there. C, S and D are
carried with the total N, and A = N - C - S - D follows. With them the filter carries what it learns about this cell and
its sensors: the cathode's capacity Q, gain and offset of the current, bias of the voltage, and factors on the profile's
expected loss and recovery.

Charge only moves lithium between C and A. What is lost shows at anchors alone:
  rested voltage          C = Q * content(OCV)
  full charge             C = Q * content(end voltage less the taper current's drop)
  anode-limited end       A = 0, so that the loss S + D = N - C
  cathode-limited end     C = Q * content(cut-off plus the current's drop), and A > 0: a bound on the loss
"""

from struct import calcsize, pack, unpack

from relith import outlook
from relith.halfcycle import END_HIGH, END_LOW
from relith.lossmodel import content_ppm, corrosion_ppb, early_share_ppm, isolated_ppb, rest_share_ppm, sei_ppb
from relith.udfilter import ONE, Filter, root

UNKNOWN, INFERRED, MEASURED = 0, 1, 2  # Estimate.known
LIMIT_NONE, LIMIT_ANODE, LIMIT_CATHODE = 0, 1, 2  # Estimate.limited_by

# states, each depending on later ones only (udfilter)
_C, _S, _D, _N, _Q, _GAIN, _OFFSET, _VOLT, _ISO, _SEI, _PULSE, _REST = range(12)
_PPB = 1000  # ppb per ppm
_LOSS = ((_S, ONE), (_D, ONE))

_END_SIGMA = 3000 * _PPB  # metal left in reach at an anode-limited end
_FULL_SIGMA = 3000 * _PPB  # repeatability of a full charge
_FACTOR_DRIFT = 20000000  # random walk of a learned factor per half-cycle, ppb
_RECOVER_NOISE_PERMILLE = 150  # what one recovery scatters about its expectation
_CATHODE_BIAS = 5000 * _PPB  # what temperature and taper do to a full charge, alike every time
_RETURN_DOUBT_PERMILLE = 200  # of what came back unseen, see _recover
_FADE_NOISE = 5  # what a cycle's fade scatters about its expectation: cells differ for good
_TRIAL_PPM = 3000  # an expected recovery smaller than this proves nothing when it fails to come
_LOSS_NOISE_PERMILLE = 150  # what one half-cycle's loss scatters about its expectation
_FORMAT = "<BBBBBBHhiiiii%dq" % (14 + 12 + 12 + 66)


class Estimate:
    """What is known of one cell now; one object, filled again at every half-cycle. Units: ppm of nominal capacity."""

    def __init__(self, cell_index=0):
        self.cell_index = cell_index
        self.cathode_ppm = self.active_ppm = self.isolated_ppm = self.sei_ppm = 0
        self.cathode_sigma_ppm = self.active_sigma_ppm = self.isolated_sigma_ppm = self.sei_sigma_ppm = 0
        self.loss_ppm = self.loss_sigma_ppm = 0  # isolated + SEI: at an anode-limited end known better than its parts
        self.capacity_ppm = self.capacity_sigma_ppm = 0  # what a full discharge delivers now
        self.cathode_capacity_ppm = 0
        self.known = UNKNOWN
        self.limited_by = LIMIT_NONE
        self.stage = 1
        self.ce_cell_ppm = 0  # charge out over charge in of the last full cycle; 0: none yet
        self.ce_li_ppm = 0  # share of plated lithium that comes back, from the learned loss; 0: none yet
        self.loss_per_cycle_ppm = 0  # what one equivalent full cycle loses, learned
        self.pulse_factor_permille = self.rest_factor_permille = (
            1000  # this cell's recovery over the profile's expectation
        )
        self.pulse_factor_sigma_permille = self.rest_factor_sigma_permille = 0
        self.pulse_trials = self.rest_trials = 0  # interventions with an anode-limited end on both sides
        # the rest is filled by outlook.py
        self.soc_ppm = self.soc_sigma_ppm = 0  # of the capacity now
        self.soh_ppm = 0  # capacity now, of the profile's
        self.energy_mwh = self.energy_sigma_mwh = 0  # that still comes out at C/5
        self.charge_limit_permille = self.discharge_limit_permille = 0  # what the voltage window allows now
        self.resistance_uohm = self.resistance_sigma_uohm = 0  # 0: not measured
        self.cycles_permille = 0  # equivalent full cycles so far
        self.normalized_life_permille = 0  # those over the lithium built in per cathode capacity (Deng26)
        self.cycles_left = self.cycles_left_sigma = 0  # until the reservoir is spent; 0: spent, or none
        self.cycles_to_end = 0  # until 80 % of the profile's capacity
        self.end_foreseen = self.advice = 0  # outlook.END_*, outlook.ADVICE_*
        self.short_suspected = 0  # 1: rest sag, or charge that never comes out
        self.since_anchor = 0  # half-cycles since A was last anchored
        self.resets = 0  # how often the cell contradicted its estimate (swapped cell) and it became unknown


class Inventory:
    def __init__(self, profile, cell_index):
        self.profile = profile
        self.cell_index = cell_index
        self.estimate = Estimate(cell_index)
        self._start(0)

    def reset_unknown(self):
        """Nothing is known of this cell's past (journal unreadable, cell swapped)."""
        self._start(1)

    def _start(self, lost):
        """Priors: as built when first powered; after a loss of memory any loss at all is possible."""
        p, f = self.profile, Filter(12)
        self.filter = f
        f.start(_C, 500000 * _PPB, 600000 * _PPB)
        f.start(_S, 0, 1000 * _PPB)
        f.start(_D, 0, 1000 * _PPB)
        hidden = p.cathode_hidden_permille * 1000000
        swing = p.cathode_capacity_ppm * _PPB
        f.start(_N, swing + swing * hidden // ONE + p.reservoir_ppm * _PPB, p.reservoir_sigma_ppm * _PPB + 1000 * _PPB)
        f.start(_Q, swing, p.cathode_sigma_ppm * _PPB)
        f.flow(_N, _Q, ONE + hidden)  # built discharged: N is the cathode's own lithium and the reservoir
        self.moving = ((_N, ONE), (_S, -ONE), (_D, -ONE), (_Q, -hidden))  # C + A
        self._active = self.moving + ((_C, -ONE),)
        f.start(_GAIN, 0, p.gain_sigma_ppm * _PPB)
        f.start(_OFFSET, 0, p.offset_sigma_ppm_per_h * _PPB)
        f.start(_VOLT, 0, p.voltage_sigma_uv * 1000)
        f.start(_ISO, ONE, p.loss_isolated_spread_permille * 1000000)
        f.start(_SEI, ONE, p.loss_sei_spread_permille * 1000000)
        f.start(_PULSE, ONE, p.recover_spread_permille * 1000000)
        f.start(_REST, ONE, p.recover_spread_permille * 1000000)
        if lost:
            f.start(_S, 150000 * _PPB, 300000 * _PPB)
            f.start(_D, 150000 * _PPB, 300000 * _PPB)
        self._lost = lost
        self._known = UNKNOWN
        self.estimate.since_anchor = 0  # half-cycles since A was last anchored
        self._returned = 0  # ppb that came back unseen
        self._sums = [
            0,
            0,
            0,
            0,
        ]  # expected isolated, SEI, returned (ppb) and discharged (ppm) since they were last folded in
        self._rates = [0, 0, 0]  # the first three per equivalent full cycle
        self._watch = outlook.Watch()
        self._full_s = 0  # time since the last full charge; 0: none yet
        self._doubts = 0
        self._ocv_used = 0  # the rest between two half-cycles anchors once
        self._plate_permille = 200
        self._low_charge = self._high_charge = -1  # charge of the last half-cycle between both ends, for CE_cell
        self._rested = 0  # 1: a discharged rest came before the charge under way
        self._publish()

    # one half-cycle, in the order of time -------------------------------------------------------------------------

    def half_cycle(self, h):
        """Book the half-cycle `h` and what the rests about it show."""
        f = self.filter
        if h.ocv_before_uv and not self._ocv_used:
            self._anchor_ocv(h.ocv_before_uv)
        self._corrode(h.rest_before_s, h.temp_cdegc, 0)
        self._corrode(h.duration_s, h.temp_cdegc, h.kind * h.charge_ppm * _PPB // 2)
        if h.kind > 0:
            self._charge(h)
        else:
            self._discharge(h)
        if self._full_s:
            self._full_s += h.duration_s + h.rest_before_s
        self._ocv_used = 0
        if h.ocv_after_uv:
            self._anchor_ocv(h.ocv_after_uv)
            self._ocv_used = 1
        if h.kind < 0:
            self._end_of_discharge(h)
        for state in (_S, _D):
            if f.x[state] < 0:
                f.positive(((state, ONE),))
        self._efficiency(h)
        self._fold(h)
        self._publish()
        outlook.fill(self, h, self._rates, (_ISO, _SEI, _Q))

    def _count(self, h):
        """Coulombs: C changes by what passed, in doubt by gain, offset and gaps."""
        f = self.filter
        charge = -h.kind * h.charge_ppm * _PPB
        hours = h.duration_s * ONE // 3600
        f.x[_C] += charge + charge * f.x[_GAIN] // ONE + f.x[_OFFSET] * hours // ONE
        f.flow(_C, _GAIN, charge)
        f.flow(_C, _OFFSET, hours)
        f.noise(_C, h.gap_ppm * _PPB + 20 * _PPB)

    def _lose(self, state, factor, expected):
        """state += factor * expected, the factor being this cell's own, learned, and slowly wandering."""
        f = self.filter
        f.x[state] += max(0, f.x[factor]) * expected // ONE
        self._sums[0 if factor == _ISO else 1] += expected
        f.flow(state, factor, expected)
        f.noise(state, expected * _LOSS_NOISE_PERMILLE // 1000)
        f.noise(factor, _FACTOR_DRIFT)

    def _recover(self, factor, share_ppm, seen):
        """A share of D goes back to A: D *= 1 - factor * share. Above 100 % efficiency is what this is for: nothing
        is clamped.

        What comes back in the user's own discharges is not `seen` by anchors on both sides, and whether old isolated
        lithium takes part
        is not known (physics.md §7: the share dealt anew is anywhere in 0 ... 1): its sum widens the split of D and S
        for good.
        """
        f = self.filter
        share = min(max(0, f.x[factor]) * share_ppm // 1000000, 9 * ONE // 10)
        if share_ppm <= 0:
            return
        isolated = max(0, f.x[_D])
        back = isolated * share // ONE
        f.x[_D] -= back
        self._sums[2] += back
        f.flow(_D, factor, -isolated * share_ppm // 1000000)
        f.scale(_D, ONE - share)
        f.noise(_D, back * _RECOVER_NOISE_PERMILLE // 1000)
        if not seen:
            self._returned += back

    def _corrode(self, seconds, temp_cdegc, to_middle):
        """Time's own loss with as much metal plated as lithium is out of the cathode; `to_middle`: charge until half
        time.
        """
        f = self.filter
        metal = _within(f.x[_Q] - f.x[_C] + to_middle, max(0, f.mean(self._active) + to_middle))
        full = metal * 1000 // max(1, f.x[_Q])
        expected = corrosion_ppb(self.profile, metal, full, seconds, temp_cdegc)
        if expected > 0:
            self._lose(_S, _SEI, expected)

    def _charge(self, h):
        if h.rest_before_s > 0 and self._low_charge >= 0:
            share = rest_share_ppm(self.profile, h.rest_before_s)
            if (
                self.estimate.limited_by != LIMIT_ANODE
            ):  # does stripping count where a reservoir remains? (physics.md §4)
                share = share * self.profile.rest_local_permille // 1000
            self._recover(_REST, share, 1)
            self._rested = 1 if share * self.estimate.isolated_ppm > _TRIAL_PPM * 1000000 else 0
        self._count(h)
        self._lose(_S, _SEI, sei_ppb(self.profile, h))
        self._plate_permille = h.rate_permille
        if h.end == END_HIGH:
            drop = self._drop_uv(h.end_permille, h)
            content, slope = content_ppm(self.profile, h.end_uv - drop)
            sigma = _FULL_SIGMA + drop * ONE // slope // 2
            if self._full_s:
                h_full = ((_Q, content * 1000), (_C, -ONE))
                doubt = root(self.filter.variance(h_full) + sigma * sigma)
                if self._watch.cycle(self.filter.mean(h_full), doubt, self._full_s // 3600):
                    self.estimate.short_suspected = 1
            self._full_s = 1
            self._anchor_cathode(content, sigma)

    def _discharge(self, h):
        self._recover(_PULSE, early_share_ppm(self.profile, h), h.pulse_s)
        self._count(h)
        self._lose(_D, _ISO, isolated_ppb(self.profile, h, self._plate_permille))
        fade = self.profile.cathode_fade_ppm * h.charge_ppm // 1000  # ppb
        self.filter.x[_Q] -= fade
        self.filter.noise(_Q, fade * _FADE_NOISE)

    # anchors --------------------------------------------------------------------------------------------------------

    def _drop_uv(self, rate_permille, h):
        """Voltage that the current takes at this rate, from the measured resistance or the profile's."""
        micro_ohm = h.resistance_uohm or self.profile.resistance_uohm
        return self.profile.one_c_ua * rate_permille * micro_ohm // 1000000000

    def _anchor_ocv(self, uv):
        """C = Q * content(uv - bias): the sensor's bias stays, so that many rests are not better than one sensor."""
        content, slope = content_ppm(self.profile, uv)
        per_volt = self.filter.x[_Q] * 1000000 // slope
        if (
            per_volt // 1000 * self.profile.voltage_sigma_uv // 1000 < 30000 * _PPB
        ):  # flatter (LFP's plateau) it says nothing
            self._anchor_cathode(content, 1000 * _PPB, per_volt)

    def _anchor_cathode(self, content, sigma, per_volt=0):
        """C = Q * content. A new C far from the counted one is another cell, or a past that is not ours."""
        h = ((_C, ONE), (_Q, -content * 1000), (_VOLT, -per_volt))
        if self._known != UNKNOWN and self._contradicts(h, sigma):
            return
        self.filter.update(h, 0, sigma * sigma)
        if self._known == UNKNOWN and not self._lost:
            self._known = INFERRED

    def _contradicts(self, h, sigma):
        """Eight sigma and 8 % off twice running: the cell was swapped. Once: ignored."""
        f = self.filter
        off = abs(f.mean(h))
        if off < 80000 * _PPB or off < 8 * root(f.variance(h) + sigma * sigma):
            self._doubts = 0
            return False
        self._doubts += 1
        if self._doubts > 1:
            self.estimate.resets += 1
            self._start(1)
        return True

    def _end_of_discharge(self, h):
        e = self.estimate
        before = e.limited_by
        e.limited_by = self._limit(h) if h.end == END_LOW else LIMIT_NONE
        if before == e.limited_by == LIMIT_ANODE:  # both ends anchored: what came back between them was measurable
            e.pulse_trials += 1 if early_share_ppm(self.profile, h) * e.isolated_ppm > _TRIAL_PPM * 1000000 else 0
            e.rest_trials += self._rested
        self._rested = 0

    def _limit(self, h):
        """Which electrode ended this discharge? At its end either A = 0 or the cathode is full; the likelier holds.

        With a the estimated A and m the lithium the cathode lacks: normal densities of a at 0 (times P(m > 0)) against
        of m at 0 (times P(a > 0)), in units of minus twice the logarithm, per mille.
        """
        f, p = self.filter, self.profile
        content = content_ppm(p, h.end_uv + self._drop_uv(h.end_permille, h))[0]
        hard = content_ppm(p, h.end_uv + 13 * self._drop_uv(max(h.rate_permille, h.end_permille), h) // 10)[0]
        doubt = (8000 + min(content - hard, 25000)) * _PPB  # what flowed before the end weighs too: diffusion
        lack = ((_Q, content * 1000), (_C, -ONE))
        m, m_sigma = f.mean(lack), root(f.variance(lack) + doubt * doubt)
        a, a_sigma = f.mean(self._active), root(f.variance(self._active) + _END_SIGMA * _END_SIGMA)
        cathode = _square(m, m_sigma) + _square(min(0, a), a_sigma)
        anode = _square(a, a_sigma) + _square(min(0, m), m_sigma)
        ratio = a_sigma * 1000 // m_sigma
        anode += 1386 * _log2(ratio)
        if anode < cathode:
            if cathode - anode > 2000 or _square(m, m_sigma) < 1000:
                self._at_anode_end()
            return LIMIT_ANODE
        if anode - cathode > 2000:
            self._anchor_cathode(content, doubt)
            if self._known != UNKNOWN and f.mean(self._active) < f.sigma(self._active):
                f.positive(self._active)
        return LIMIT_CATHODE

    def _at_anode_end(self):
        f = self.filter
        f.update(self._active, 0, _END_SIGMA * _END_SIGMA)
        self.estimate.since_anchor = 0
        self._lost = 0
        self._known = MEASURED

    # what others read -----------------------------------------------------------------------------------------------

    def _efficiency(self, h):
        """CE_cell = out over in, of a discharge that follows a charge and ends where the one before it ended."""
        e = self.estimate
        if h.kind > 0:
            self._high_charge = h.charge_ppm if self._low_charge >= 0 and h.end == END_HIGH else -1
        elif self._high_charge > 0 and h.end == END_LOW:
            e.ce_cell_ppm = h.charge_ppm * 1000000 // self._high_charge
        if h.kind < 0:
            self._low_charge = h.charge_ppm if h.end == END_LOW else -1
        self.estimate.since_anchor += 1

    def _fold(self, h):
        """What an equivalent full cycle is expected to lose in this user's hands, over the last eight or so."""
        sums = self._sums
        if h.kind < 0:
            sums[3] += h.charge_ppm
            self.estimate.cycles_permille += h.charge_ppm // 1000
        if sums[3] >= 500000:
            part = min(sums[3], 4000000) // 8 if self._rates[1] else 1000000
            for k in range(3):
                self._rates[k] += (sums[k] * 1000000 // sums[3] - self._rates[k]) * part // 1000000
                sums[k] = 0
            sums[3] = 0

    def rest(self, uv, rest_s):
        """A voltage `rest_s` into a rest that still lasts; 1 when a soft short is suspected. Once an hour is enough."""
        content, slope = content_ppm(self.profile, uv)
        if self._watch.rest(content, slope, rest_s, self.profile.voltage_sigma_uv):
            self.estimate.short_suspected = 1
        return self.estimate.short_suspected

    def _publish(self):
        f, e = self.filter, self.estimate
        total = max(0, f.mean(self.moving) + f.x[_S] + f.x[_D])
        e.cathode_ppm = _within(f.x[_C], total) // _PPB
        e.sei_ppm = _within(f.x[_S], total - e.cathode_ppm * _PPB) // _PPB
        e.isolated_ppm = _within(f.x[_D], total - (e.cathode_ppm + e.sei_ppm) * _PPB) // _PPB
        e.active_ppm = total // _PPB - e.cathode_ppm - e.sei_ppm - e.isolated_ppm
        e.cathode_sigma_ppm = root(f.variance(((_C, ONE),)) + _CATHODE_BIAS * _CATHODE_BIAS) // _PPB
        hidden = self._returned * _RETURN_DOUBT_PERMILLE // 1000
        e.sei_sigma_ppm = root(f.variance(((_S, ONE),)) + hidden * hidden) // _PPB
        e.isolated_sigma_ppm = root(f.variance(((_D, ONE),)) + hidden * hidden) // _PPB
        e.active_sigma_ppm = f.sigma(self._active) // _PPB
        e.loss_ppm = e.sei_ppm + e.isolated_ppm
        e.loss_sigma_ppm = f.sigma(_LOSS) // _PPB
        e.cathode_capacity_ppm = f.x[_Q] // _PPB
        left = self.moving
        if f.mean(left) < f.x[_Q]:
            e.capacity_ppm, e.capacity_sigma_ppm = f.mean(left) // _PPB, f.sigma(left) // _PPB
        else:
            e.capacity_ppm, e.capacity_sigma_ppm = e.cathode_capacity_ppm, f.sigma(((_Q, ONE),)) // _PPB
        e.pulse_factor_permille, e.rest_factor_permille = f.x[_PULSE] // 1000000, f.x[_REST] // 1000000
        e.pulse_factor_sigma_permille = f.sigma(((_PULSE, ONE),)) // 1000000
        e.rest_factor_sigma_permille = f.sigma(((_REST, ONE),)) // 1000000
        e.known = self._known
        if self._known == MEASURED and self.estimate.since_anchor > 20:
            e.known = INFERRED
        e.stage = self._stage()

    def _stage(self):
        """Deng26: 1 loss hidden and steady, 2 loss grows, 3 the cathode fades too, 4 reservoir spent."""
        f, e = self.filter, self.estimate
        if e.limited_by == LIMIT_ANODE or (self._known != UNKNOWN and self.profile.reservoir_ppm == 0):
            return 4
        if f.x[_Q] < 93 * self.profile.cathode_capacity_ppm * _PPB // 100:
            return 3
        return 2 if f.x[_ISO] > 5 * ONE // 4 else 1

    # memory ---------------------------------------------------------------------------------------------------------

    def pack(self):
        """Everything learned, as bytes of constant length."""
        f, e = self.filter, self.estimate
        return pack(
            _FORMAT, self._lost, self._known, e.limited_by, self._ocv_used, self._rested, min(e.rest_trials, 255),
            min(e.pulse_trials, 65535), min(self._plate_permille, 32767),
            min(e.since_anchor, 1000000), self._low_charge, self._high_charge, e.ce_cell_ppm, e.loss_per_cycle_ppm,
            self._returned, e.cycles_permille, e.resistance_uohm, e.resistance_sigma_uohm, e.short_suspected,
            self._full_s, self._watch.strikes, *self._rates, *self._sums, *f.x, *f.d, *f.u
        )  # fmt: skip

    def unpack(self, data):
        """Take back what pack() gave; False, and nothing changed, when it cannot be that."""
        if len(data) != calcsize(_FORMAT):
            return False
        values = unpack(_FORMAT, data)
        x, d, u = values[27:39], values[39:51], values[51:]
        if values[0] > 1 or values[1] > 2 or values[2] > 2 or min(d) < 1:
            return False
        e, f = self.estimate, self.filter
        self._lost, self._known, e.limited_by, self._ocv_used, self._rested, e.rest_trials = values[:6]
        e.pulse_trials, self._plate_permille, e.since_anchor = values[6:9]
        self._low_charge, self._high_charge, e.ce_cell_ppm, e.loss_per_cycle_ppm = values[9:13]
        self._returned, e.cycles_permille, e.resistance_uohm, e.resistance_sigma_uohm, e.short_suspected = values[13:18]
        self._full_s, self._watch.strikes = values[18:20]
        self._rates, self._sums = list(values[20:23]), list(values[23:27])
        for k in range(12):
            f.x[k], f.d[k] = x[k], d[k]
        for k in range(66):
            f.u[k] = u[k]
        self._publish()
        outlook.fill(self, None, self._rates, (_ISO, _SEI, _Q))
        return True


def _within(value, high):
    return 0 if value < 0 else high if value > high else value


def _square(value, sigma):
    """(value/sigma)**2, per mille, at most 10**9."""
    ratio = min(abs(value) * 1000 // max(1, sigma), 1000000)
    return ratio * ratio // 1000


def _log2(permille):
    """log2 of a ratio given in per mille, rounded down."""
    k = 0
    while permille >= 2000:
        permille //= 2
        k += 1
    while 0 < permille < 1000:
        permille *= 2
        k -= 1
    return k
