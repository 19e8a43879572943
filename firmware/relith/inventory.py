"""Where a cell's lithium is, and how well that is known: cathode C, active A, isolated D, SEI S (physics.md §1, §6).

All in ppm of nominal capacity outside, ppb inside; C counts from full charge, so that C = 0 there. C, S and D are
carried with the total N, and A = N - C - S - D follows. With them the filter carries what it learns about this cell and
its sensors: the cathode's capacity Q, gain and offset of the current, bias of the voltage, what a full charge is off
by, and factors on the profile's expected loss and recovery.

Charge only moves lithium between C and A. What is lost shows at anchors alone:
  rested voltage          C = Q * content(OCV)
  full charge             C = Q * content(end voltage less the taper current's drop)
  anode-limited end       A = 0, so that the loss S + D = N - C
  cathode-limited end     C = Q * content(cut-off plus the current's drop), and A > 0: a bound on the loss
"""

from array import array

from relith import const
from relith.halfcycle import END_HIGH, END_LOW
from relith.lossmodel import content_ppm, corrosion_ppb, isolated_ppb, moved_ppm, rest_share_ppm, sei_ppb, table, warmth

# isort: off
from relith.outlook import (
    ANCHORED, BACK, BOUND, CE_CELL, CYCLES, DOUBTS, FRESH, FULL_S, GAIN, HIGH_CHARGE, INFERRED, ISO, ISOLATED, KEPT,
    KNOWN, LAYER, LIMIT, LIMIT_ANODE, LIMIT_CATHODE, LIMIT_NONE, LOST, LOW_CHARGE, MEASURED, NET, NET_DOUBT,
    OCV_USED, OFFSET, OUT, PLATE, PULSE, PULSE_TRIALS, RESISTANCE, RESISTANCE_SIGMA, REST, RESTED, REST_TRIALS,
    RZERO, SEI, SHORT, SINCE, STATES, STAY, STRIKES, TAPER, UNKNOWN, UNSEEN, VOLT, WARM, C, D, N, Q, S,
    fill, hidden_doubt, missing, resistance, sags,
)  # fmt: skip

# isort: on
from relith.udfilter import ONE, Filter, root

ANCHOR_OCV, ANCHOR_FULL, ANCHOR_EMPTY, ANCHOR_BARE = 1, 2, 3, 4  # rested, charged, cathode full, anode bare

_PPB = const(1000)  # ppb per ppm
_END_SIGMA = const(350000)  # metal left in reach at an anode-limited end, and for each permille of 1C at that end
_END_RATE = const(1600)
_OCV_SIGMA = const(700000)  # of a rested voltage beside the sensor's: the profile's table, wrong alike every time,
_UNREST_S = const(1500)  # and as much again after so long a rest: what has not settled
_FULL_SIGMA = const(400000)  # repeatability of a full charge
_FACTOR_DRIFT = const(40000000)  # random walk of a learned factor per cycle, ppb
_RECOVER_NOISE_PERMILLE = const(150)  # what one recovery scatters about its expectation
_LOOSE = const(2000)  # ppm: charge missing by less is no soft short
_TAPER_PERMILLE = const(120)  # of the content at a full charge: resistance depends on current, direction and surface
_TAPER_SIGMA = const(1500000)  # at least: the last of a charge is slow in more than resistance
_GROWN_PERMILLE = const(300)
_FADE_NOISE = const(5)  # what a cycle's fade scatters about its expectation: cells differ for good
_TRIAL_PPM = const(14000)  # three sigma of a cycle's loss: an expected recovery below proves nothing by not coming
_LOSS_NOISE_PERMILLE = const(300)  # what one half-cycle's loss scatters about its expectation
_STAY_SIGMA = const(500000000)  # 1 sigma of the share that stays isolated although it should have come back
_RZERO_SIGMA = const(200000000)
_LAYER_SIGMA = const(400000000)
_OHM_SIGMA = const(100000000)  # of the logarithm of one measured resistance about its law
_RESTART_SIGMA = const(30000000)  # a journal record is due every 10 %
_GAIN_PPM = const(200)
_GATE = const(4)  # sigma: an anchor further off than this is no chance
_STRANGE = const(80000000)  # and further off than this, another cell
_LONG = const(40000000)
_LACK_PPM = const(12000)  # of a full cathode's content at the cut-off, beside the current's drop
_PLAIN = const(30000)  # ppm of content that the drop at an end is in doubt by, and still the cathode was full
_DOUBTED = const(2)  # `kept[LOST]` between such an anode-limited end and the next end
_FORMED = const(2000)  # cycles after which a contradiction means another cell, per mille
_OUT_PPM = const(4000000)  # the loss per cycle is that of the last cycles, about so many


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
        self.isolated_per_cycle_ppm = self.sei_per_cycle_ppm = 0  # its parts, before anything returns; 0: none yet
        self.pulse_factor_permille = self.rest_factor_permille = 1000  # its recovery over the profile's expectation
        self.pulse_factor_sigma_permille = self.rest_factor_sigma_permille = 0
        self.pulse_trials = self.rest_trials = 0  # interventions with an anode-limited end on both sides
        self.gain_ppm = 0  # error of the current's gain, learned from anchors; counted in, the ledger stays raw
        self.soc_ppm = self.soc_sigma_ppm = 0  # of the capacity now
        self.soh_ppm = self.soh_sigma_ppm = 0  # capacity now, of the profile's
        self.energy_mwh = self.energy_sigma_mwh = 0  # that still comes out at C/5
        self.charge_limit_permille = self.discharge_limit_permille = 0  # what the voltage window allows now
        self.charge_limit_sigma_permille = self.discharge_limit_sigma_permille = 0
        self.resistance_uohm = self.resistance_sigma_uohm = 0  # 0: not measured
        self.cycles_permille = 0  # equivalent full cycles so far
        self.normalized_life_permille = 0  # those over the reservoir per cathode capacity (Deng26); 0: there is none
        self.cycles_left = self.cycles_left_sigma = 0  # until the reservoir is spent; 0: spent, or none
        self.cycles_to_end = self.cycles_to_end_sigma = 0  # until 80 % of the profile's capacity; 0: past, or unknown
        self.end_foreseen = self.advice = 0  # outlook.END_*, outlook.ADVICE_*
        self.short_suspected = 0  # 1: rest sag, or charge that never comes out
        self.since_anchor = 0  # discharges since A was last anchored


class Inventory:
    def __init__(self, profile, cell_index):
        self.profile = profile
        self.estimate = Estimate(cell_index)
        self.resets = 0  # how often the cell contradicted its estimate (swapped, not new) and it became unknown
        self._start(0)

    def reset_unknown(self):
        """Nothing is known of this cell's past (journal unreadable, cell swapped)."""
        self._start(1)

    def _start(self, lost):
        """Priors: as built when first powered; after a loss of memory any loss at all is possible."""
        p = self.profile
        f = self.filter = Filter(STATES)
        hidden = p.cathode_hidden_permille * 1000000
        swing = p.cathode_capacity_ppm * _PPB
        self._taper_uv = p.one_c_ua * p.taper_permille * p.resistance_uohm // 1000000000  # off the voltage, new cell
        full, slope = content_ppm(p, p.max_uv - self._taper_uv)
        past = 150000 * _PPB * lost
        for state, mean, sigma in (
            (C, 500000 * _PPB, 600000 * _PPB),
            (S, past, 1000 * _PPB + 2 * past),
            (D, past, 1000 * _PPB + 2 * past),
            (N, swing + swing * hidden // ONE + p.reservoir_ppm * _PPB, p.reservoir_sigma_ppm * _PPB + 1000 * _PPB),
            (Q, swing, p.cathode_sigma_ppm * _PPB),
            (GAIN, 0, p.gain_sigma_ppm * _PPB),
            (OFFSET, 0, p.offset_sigma_ppm_per_h * _PPB),
            (VOLT, 0, p.voltage_sigma_uv * 1000),
            (ISO, ONE, p.loss_isolated_spread_permille * 1000000),
            (SEI, ONE, p.loss_sei_spread_permille * 1000000),
            (PULSE, ONE, p.recover_spread_permille * 1000000),
            (REST, ONE, p.recover_spread_permille * 1000000),
            (STAY, 0, _STAY_SIGMA),
            (RZERO, 0, _RZERO_SIGMA),
            (LAYER, ONE, _LAYER_SIGMA),
            (TAPER, 0, max(full * _TAPER_PERMILLE, p.voltage_sigma_uv * ONE // slope, _TAPER_SIGMA)),
        ):
            f.x[state], f.d[state] = mean, max(1, sigma * sigma)
        f.flow(N, Q, ONE + hidden)  # built discharged: N is the cathode's own lithium and the reservoir
        self.kept = array("q", [0] * KEPT)
        self.kept[LOST] = lost
        self.kept[PLATE] = 200
        self.kept[WARM] = 1000
        self.kept[LOW_CHARGE] = self.kept[HIGH_CHARGE] = -1
        self.anchors = []  # (ANCHOR_*, residual in ppm) of the last half-cycle
        fill(self)

    def dead(self):
        """D with what was believed to have come back and did not."""
        return ((D, ONE), (STAY, self.kept[UNSEEN]))

    def moving(self):
        """C + A: what is neither bound, nor isolated, nor held by the cathode."""
        return (
            (N, ONE),
            (S, -ONE),
            (D, -ONE),
            (STAY, -self.kept[UNSEEN]),
            (Q, -self.profile.cathode_hidden_permille * 1000000),
        )

    # one half-cycle, in the order of time -------------------------------------------------------------------------

    def half_cycle(self, h):
        """Book the half-cycle `h` and what the rests about it show."""
        f, kept, p, resets = self.filter, self.kept, self.profile, self.resets
        self.anchors = []
        # a new cathode is formed by its first charge: what was read before tells nothing of what it is then
        if h.ocv_before_uv and not kept[OCV_USED] and (kept[CYCLES] or kept[LOST]):
            self._anchor_ocv(h.ocv_before_uv, h.rest_before_s)
        kept = self.kept  # a swapped cell starts anew
        f = self.filter
        charge = h.kind * h.charge_ppm * _PPB
        metal, swing = kept[FRESH], max(1, f.x[Q])
        after = max(0, metal + charge)
        empty, then = _permille((swing - f.x[C]) * 1000 // swing), _permille((swing - f.x[C] + charge) * 1000 // swing)
        bound = corrosion_ppb(p, metal, metal, empty, empty, h.rest_before_s, h.temp_cdegc)
        bound += corrosion_ppb(p, metal, after, empty, then, h.duration_s, h.temp_cdegc)
        if h.kind > 0:
            self._rest(h)
            bound += sei_ppb(p, h)
            kept[PLATE] = h.rate_permille
        else:
            share, corroded = moved_ppm(p, h)
            trial = share * f.x[D] > _TRIAL_PPM * 1000000 * _PPB
            self._recover(PULSE, share, corroded, h.pulse_s)
        # coulombs: C changes by what passed, in doubt by gain, offset and gaps
        hours = h.duration_s * ONE // 3600
        drift = f.x[OFFSET] * hours // ONE
        moved = drift - charge - charge * f.x[GAIN] // ONE
        f.x[C] += moved
        f.flow(C, GAIN, -charge)
        f.flow(C, OFFSET, hours)
        f.noise(C, h.gap_ppm * _PPB + 20 * _PPB)
        kept[NET] += (charge - drift) // _PPB  # gain cancels in a cycle
        kept[NET_DOUBT] += h.gap_ppm + f.sigma_of(OFFSET) * h.duration_s // 3600
        if kept[FULL_S]:
            kept[FULL_S] += h.duration_s + h.rest_before_s
        self._lose(S, SEI, bound)
        kept[BOUND] += bound
        if h.kind < 0:
            lost = isolated_ppb(p, h, kept[PLATE])
            self._lose(D, ISO, lost)
            kept[ISOLATED] += lost
            after -= lost
            fade = p.cathode_fade_ppm * h.charge_ppm // 1000  # ppb
            f.x[Q] -= fade
            f.noise(Q, fade * _FADE_NOISE)
            f.noise(ISO, _FACTOR_DRIFT)
            f.noise(SEI, _FACTOR_DRIFT)
            kept[WARM] = root(warmth(h.temp_cdegc) * 1000)
        elif h.end == END_HIGH:
            self._full(h)
        kept[FRESH] = max(0, after - bound)
        self.kept[OCV_USED] = 0
        if h.ocv_after_uv:
            self._anchor_ocv(h.ocv_after_uv, h.rest_after_s)
            self.kept[OCV_USED] = 1
        if h.kind < 0 and self.resets == resets:  # else the next one tells
            self._dead_layer(h)
            self._end_of_discharge(h, trial)
        f = self.filter
        for k in (S, ISO, SEI, PULSE, REST, D):
            store = ((k, ONE),) if k != D else self.dead()
            if f.mean(store) < 0:
                f.positive(store)
        self._efficiency(h)
        resistance(self.kept, h.resistance_uohm)
        fill(self)

    def _lose(self, state, factor, expected):
        """state += factor * expected, the factor being this cell's own, learned, and slowly wandering."""
        f = self.filter
        f.x[state] += max(0, f.x[factor]) * expected // ONE
        f.flow(state, factor, expected)
        f.noise(state, expected * _LOSS_NOISE_PERMILLE // 1000)

    def _recover(self, factor, share_ppm, corroded_ppm, seen):
        """D gives factor * share back to A and `corroded` to S: what moves, corrodes (Liu21). Above 100 % efficiency is
        what this is for: nothing is clamped.

        What comes back in the user's own discharges is not `seen` by anchors on both sides, and whether old isolated
        lithium takes part is not known (physics.md §7: the share dealt anew is anywhere in 0 ... 1): STAY is the share
        of all that which stayed isolated.
        """
        f = self.filter
        corroded = corroded_ppm * _PPB
        share = min(max(0, f.x[factor]) * share_ppm // 1000000, 9 * ONE // 10 - corroded)
        isolated = max(0, f.x[D])
        back = isolated * share // ONE
        lost = isolated * corroded // ONE
        f.x[S] += lost
        f.flow(S, D, corroded)
        f.x[D] -= back + lost
        f.flow(D, factor, -isolated * share_ppm // 1000000)
        f.scale(D, ONE - share - corroded)
        f.noise(D, (back + lost) * _RECOVER_NOISE_PERMILLE // 1000)
        self.kept[BACK] += back
        if not seen:
            self.kept[UNSEEN] += back

    def _dead_layer(self, h):
        """What lies dead on the anode adds to the resistance, nobody knows how much: weak evidence of the loss, while
        the layer is as thin as it was when the profile's figure was measured."""
        f, p, kept = self.filter, self.profile, self.kept
        ohm = h.resistance_uohm * kept[WARM] // 1000  # at 25 degC
        thin = ohm and 2 * ohm <= 3 * p.resistance_uohm and p.dead_layer_uohm
        if not thin or not 2200 < h.temp_cdegc < 2900 or kept[LIMIT] == LIMIT_ANODE:
            return
        layer = p.dead_layer_uohm * ONE // p.resistance_uohm
        scatter = kept[RESISTANCE_SIGMA] * ONE // max(1, kept[RESISTANCE])  # at currents of their own, as in a drive
        gain = f.x[LAYER] * layer // ONE
        lost = f.x[S] + f.mean(self.dead())
        f.update(
            ((S, gain), (D, gain), (STAY, kept[UNSEEN] * gain // ONE), (RZERO, ONE), (LAYER, layer * lost // ONE)),
            2 * ONE * (ohm - p.resistance_uohm) // (ohm + p.resistance_uohm) + gain * lost // ONE,  # logarithm
            _OHM_SIGMA * _OHM_SIGMA + scatter * scatter,
        )

    def _rest(self, h):
        """A rest before a charge: does stripping count where a reservoir remains? (physics.md §4)"""
        kept = self.kept
        kept[RESTED] = 0
        if h.rest_before_s > 0 and kept[LOW_CHARGE] >= 0:
            share = rest_share_ppm(self.profile, h.rest_before_s)
            if kept[LIMIT] != LIMIT_ANODE:
                share = share * self.profile.rest_local_permille // 1000
            kept[RESTED] = 1 if share * self.filter.x[D] > _TRIAL_PPM * 1000000 * _PPB else 0
            self._recover(REST, share, 0, 1)

    # anchors --------------------------------------------------------------------------------------------------------

    def _update(self, kind, h, sigma):
        """The filter learns that h = 0."""
        self.anchors.append((kind, self.filter.update(h, 0, sigma * sigma) // _PPB))

    def _drop_uv(self, rate_permille, h):
        """Voltage that the current takes at this rate, from the measured resistance or the profile's."""
        micro_ohm = h.resistance_uohm or self.profile.resistance_uohm
        return self.profile.one_c_ua * rate_permille * micro_ohm // 1000000000

    def _anchor_ocv(self, uv, rest_s):
        """C = Q * content(uv - bias): the sensor's bias stays, so that many rests are not better than one sensor."""
        doubt = 2 * self.profile.voltage_sigma_uv  # as wide as this the slope must hold: a plateau may lie beside it
        high, low = content_ppm(self.profile, uv - doubt)[0], content_ppm(self.profile, uv + doubt)[0]
        per_volt = self.filter.x[Q] * (high - low) // (2 * doubt)
        content = content_ppm(self.profile, uv)[0]
        unsure = per_volt // 1000 * self.profile.voltage_sigma_uv // 1000  # ppb
        if unsure < 30000 * _PPB:  # flatter (LFP) it says nothing; a fifth of the sensor's error is anew each time
            unsure = unsure // 5 + _OCV_SIGMA + _OCV_SIGMA * _UNREST_S * _UNREST_S // max(1, rest_s * rest_s)
            self._anchor_cathode(ANCHOR_OCV, content, unsure, ((VOLT, -per_volt),))

    def _full(self, h):
        """C = Q * content at the end voltage less what the taper's current takes off it, but for TAPER, which stays: so
        many full charges are not better than one. Of what the drop has grown by two thirds count at the taper's small
        current, in doubt for good: TAPER wanders with it."""
        kept, p = self.kept, self.profile
        drop = self._drop_uv(h.end_permille, h) * kept[WARM] // root(warmth(h.temp_cdegc) * 1000)
        cold = drop * (2500 - h.temp_cdegc) // 12500  # diffusion is slower then as well
        grown = drop - self._taper_uv - self._taper_uv * self.filter.x[RZERO] // ONE  # since this cell was new
        uv = h.end_uv - self._taper_uv - grown * 2 // 3 - cold
        grown = abs(grown) * _GROWN_PERMILLE // 1000
        unsure = 1 + abs(cold) // 4 + drop * kept[RESISTANCE_SIGMA] // max(1, 3 * kept[RESISTANCE]) + grown
        wide = content_ppm(p, uv - unsure)[0] - content_ppm(p, uv + unsure)[0]  # a plateau may lie between
        sigma = _FULL_SIGMA + wide * 500
        missing(kept, sigma // _PPB + _LOOSE)
        self.filter.noise(TAPER, wide * 30 * grown // unsure)
        self._anchor_cathode(ANCHOR_FULL, content_ppm(p, uv)[0], sigma, ((TAPER, -p.cathode_capacity_ppm * _PPB),))

    def _anchor_cathode(self, kind, content, sigma, bias=()):
        """C = Q * content, but for a bias. A new C eight sigma and 8 % off the counted one, twice running: another cell
        or a past that is not ours. Once: ignored; and a new cell's first cycles still form it."""
        f, kept = self.filter, self.kept
        h = ((C, ONE), (Q, -content * 1000)) + bias
        off = abs(f.mean(h))
        doubt = root(f.variance(h) + sigma * sigma)
        if kept[KNOWN] != UNKNOWN and kept[CYCLES] > _FORMED:
            if off > _STRANGE and off > 8 * doubt:
                kept[DOUBTS] = max(1, kept[DOUBTS] + 1)
                if kept[DOUBTS] > 1:
                    self.resets += 1
                    self._start(1)
                    for k in (FULL_S, NET, NET_DOUBT, STRIKES, SHORT):  # a leak is no other cell
                        self.kept[k] = kept[k]
                return
        elif kept[KNOWN] == UNKNOWN and not kept[LOST]:
            kept[KNOWN] = INFERRED
        if off > _GATE * doubt:  # charge passed unseen: no gain and no offset is to blame
            f.noise(C, off)
            if kept[DOUBTS] or kept[CYCLES] <= _FORMED:  # again, or sites were formed away
                f.noise(Q, min(off, _STRANGE))
            kept[DOUBTS] = -1
        else:
            kept[DOUBTS] = 0
        self._update(kind, h, sigma)

    def _end_of_discharge(self, h, trial):
        kept = self.kept
        before = kept[LIMIT]
        kept[LIMIT] = self._limit(h) if h.end == END_LOW else LIMIT_NONE
        kept[SINCE] += 1
        if before == kept[LIMIT] == LIMIT_ANODE:  # both ends anchored: what came back between them was measurable
            kept[PULSE_TRIALS] += trial
            kept[REST_TRIALS] += kept[RESTED]

    def _limit(self, h):
        """Which electrode ended this discharge? At its end either A = 0 or the cathode is full; the likelier holds.

        With a the estimated A and m the lithium the cathode lacks: normal densities of a at 0 (times P(m > 0)) against
        of m at 0 (times P(a > 0)), in units of minus twice the logarithm, per mille.
        """
        f, p, kept = self.filter, self.profile, self.kept
        content = content_ppm(p, h.end_uv + self._drop_uv(h.end_permille, h))[0]
        hard = content_ppm(p, h.end_uv + 13 * self._drop_uv(max(h.rate_permille, h.end_permille), h) // 10)[0]
        doubt = (_LACK_PPM + min(content - hard, 80000)) * _PPB  # what flowed before the end weighs too: diffusion
        lack = ((Q, content * 1000), (C, -ONE))
        active = self.moving() + ((C, -ONE),)
        m, m_sigma = f.mean(lack), root(f.variance(lack) + doubt * doubt)
        hidden = hidden_doubt(self)
        left = _END_SIGMA + _END_RATE * h.end_permille
        a, a_sigma = f.mean(active), root(f.variance(active) + left * left + hidden * hidden)
        cathode = _square(m, m_sigma) + _square(min(0, a), a_sigma)
        anode = _square(a, a_sigma) + _square(min(0, m), m_sigma)
        anode += table((125, 250, 500, 1000, 2000, 4000, 8000), (-4159, -2773, -1386, 0, 1386, 2773, 4159),
                       a_sigma * 1000 // m_sigma)  # fmt: skip
        if anode < cathode:
            if cathode - anode > 2000 or _square(m, m_sigma) < 1000:
                if hidden > _LONG:  # the first for long: the laws of loss were on their own
                    f.noise(S, hidden)
                    f.noise(D, hidden)
                off = a if a > 0 else -a - max(0, f.mean(self.dead()))  # what is isolated may come back
                if off > _GATE * a_sigma:
                    if off > _STRANGE and kept[KNOWN]:  # another cell, or a past that is not ours? The next end tells
                        kept[LOST], kept[KNOWN] = _DOUBTED, UNKNOWN
                        return LIMIT_NONE
                    self.resets += kept[LOST] == _DOUBTED
                    f.noise(S, off // 2)
                    f.noise(D, off // 2)
                self._update(ANCHOR_BARE, active, left)
                kept[ANCHORED] = f.x[S] + f.mean(self.dead()) + kept[UNSEEN]
                kept[SINCE] = kept[LOST] = kept[FRESH] = 0
                kept[KNOWN] = MEASURED
            return LIMIT_ANODE
        if anode - cathode > 2000:
            if kept[LOST] == _DOUBTED:
                kept[LOST], kept[KNOWN] = 0, INFERRED
            if m_sigma * m_sigma > 2 * doubt * doubt:  # its error is alike every time: no better than what is known
                self._anchor_cathode(ANCHOR_EMPTY, content, doubt)
                f = self.filter
            # an end that resistance may have brought about does not show A > 0: repeated, it would hold A up
            if content - hard < _PLAIN and self.kept[KNOWN] != UNKNOWN and f.mean(active) < f.sigma(active):
                f.positive(active)
        return LIMIT_CATHODE

    # what others read -----------------------------------------------------------------------------------------------

    def _efficiency(self, h):
        """CE_cell = out over in, of a discharge that follows a charge and ends where the one before it ended; and what
        the expected losses of the last cycles are of."""
        kept = self.kept
        if h.kind > 0:
            kept[HIGH_CHARGE] = h.charge_ppm if kept[LOW_CHARGE] >= 0 and h.end == END_HIGH else -1
            return
        if kept[HIGH_CHARGE] > 0 and h.end == END_LOW:
            kept[CE_CELL] = h.charge_ppm * 1000000 // kept[HIGH_CHARGE]
        kept[LOW_CHARGE] = h.charge_ppm if h.end == END_LOW else -1
        kept[CYCLES] += h.charge_ppm // 1000
        kept[OUT] += h.charge_ppm
        if kept[OUT] > _OUT_PPM:
            for k in (ISOLATED, BOUND, BACK, OUT):
                kept[k] -= kept[k] // 8

    def rest(self, uv, rest_s):
        """A voltage `rest_s` into a rest that still lasts; 1 when a soft short is suspected. Once an hour is enough."""
        if sags(self.kept, self.profile, uv, rest_s):
            self.kept[SHORT] = self.estimate.short_suspected = 1
        return self.estimate.short_suspected

    def gain(self):
        """Gain error of the current in ppm, where anchors have shown one: beyond two sigma and _GAIN_PPM."""
        gain = self.filter.x[GAIN] // _PPB
        return gain if abs(gain) > max(_GAIN_PPM, 2 * self.filter.sigma_of(GAIN)) else 0

    def corrected(self, gain_ppm):
        """So much of the gain error the ledger takes upon itself."""
        self.filter.x[GAIN] -= gain_ppm * _PPB
        self.estimate.gain_ppm -= gain_ppm

    def passed(self, ppm):
        """After a restart: `ppm` went in that no half-cycle will tell of, and the last of it was not counted."""
        f, kept = self.filter, self.kept
        f.x[C] -= ppm * _PPB
        f.noise(C, _RESTART_SIGMA)
        kept[LOW_CHARGE] = kept[HIGH_CHARGE] = -1
        kept[FULL_S] = 0
        fill(self)

    # memory ---------------------------------------------------------------------------------------------------------

    def pack(self):
        """Everything learned, as bytes of constant length."""
        f = self.filter
        return bytes(self.kept) + bytes(f.x) + bytes(f.d) + bytes(f.u)

    def unpack(self, data):
        """Take back what pack() gave; False, and nothing changed, when it cannot be that."""
        f, at, parts = self.filter, 0, []
        if len(data) != len(self.pack()):
            return False
        for own in (self.kept, f.x, f.d, f.u):
            parts.append(array("q", data[at : at + 8 * len(own)]))
            at += 8 * len(own)
        kept, x, d, u = parts
        if min(d) < 1 or not 0 <= kept[KNOWN] <= MEASURED or not 0 <= kept[LIMIT] <= LIMIT_CATHODE:
            return False
        self.kept, f.x, f.d, f.u = kept, x, d, u
        fill(self)
        return True


def _square(value, sigma):
    """(value/sigma)**2, per mille, at most 10**9."""
    ratio = min(abs(value) * 1000 // max(1, sigma), 1000000)
    return ratio * ratio // 1000


def _permille(permille):
    return min(max(permille, 0), 1000)
