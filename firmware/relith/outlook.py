"""What a user asks: where the lithium is, state of charge, energy, limits, how long it will last, how it will end, what
to do to know more.

Filled into the `Estimate` of `inventory.py` from its filter and its memory, once per half-cycle; every figure with its
doubt.
"""

from array import array

from relith import const
from relith.lossmodel import content_ppm, table
from relith.udfilter import ONE, clean, root

# Estimate.known, .limited_by, .end_foreseen, and .advice: what would resolve the inventory
UNKNOWN, INFERRED, MEASURED = 0, 1, 2
LIMIT_NONE, LIMIT_ANODE, LIMIT_CATHODE = 0, 1, 2
END_OPEN, END_RESERVOIR, END_ISOLATED, END_SEI, END_SHORT = 0, 1, 2, 3, 4
ADVICE_NONE, ADVICE_FULL_CHARGE, ADVICE_FULL_DISCHARGE = 0, 1, 2

# states of the filter, each depending on later ones only
C = const(0)
S = const(1)
D = const(2)
N = const(3)
Q = const(4)
GAIN = const(5)
OFFSET = const(6)
VOLT = const(7)
ISO = const(8)
SEI = const(9)
PULSE = const(10)
REST = const(11)
STAY = const(12)  # share of what seemed to come back unseen that stayed isolated
RZERO = const(13)  # logarithm of the resistance as built, over the profile's
LAYER = const(14)  # what the dead layer adds to it, of the profile's
TAPER = const(15)  # what the cathode holds at a full charge beyond what the resistance makes one think, of Q
STATES = const(16)

# places in `Inventory.kept`, what the journal holds beside the filter
LOST = const(0)  # 1: of its past any loss is possible; 2: in doubt since the last end
KNOWN = const(1)
LIMIT = const(2)  # Estimate.limited_by
OCV_USED = const(3)  # the rest between two half-cycles anchors once
RESTED = const(4)  # a discharged rest came before the charge under way
PLATE = const(5)  # rate of the last charge, per mille
LOW_CHARGE = const(6)  # charge of the last half-cycle between both ends, -1: it was not, for CE_cell
HIGH_CHARGE = const(7)
DOUBTS = const(8)  # readings running that contradict the estimate as another cell's do; -1: the last one by less
ISOLATED = const(9)  # expected isolated, bound and returned (ppb), and discharged (ppm), of the last cycles
BOUND = const(10)
BACK = const(11)
OUT = const(12)
FULL_S = const(13)  # time since the last full charge, 0: none yet; charge in less charge out since then, and its doubt
NET = const(14)
NET_DOUBT = const(15)
STRIKES = const(16)  # full charges running at which charge was missing
SHORT = const(17)
UNSEEN = const(18)  # ppb that seem to have come back in the user's own discharges
SINCE = const(19)  # discharges since A was last anchored
PULSE_TRIALS = const(20)
REST_TRIALS = const(21)
CE_CELL = const(22)
CYCLES = const(23)  # per mille
RESISTANCE = const(24)
RESISTANCE_SIGMA = const(25)
FRESH = const(26)  # plated metal, ppb: stripped before the foil beneath it
ANCHORED = const(27)  # isolated, bound and returned unseen when A was last anchored, ppb
WATCHED = const(28)  # cathode content early in this rest, and how early
WATCHED_S = const(29)
WARM = const(30)  # root of the warmth at which the resistance was measured, per mille
KEPT = const(31)

_LEAK_PPM_PER_H = const(1000)  # C/1000: a soft short is suspected above
_SETTLED_S = const(7200)  # a rested voltage is watched from here on
_WATCH_S = const(14400)
_OLD = const(100)  # discharges without an anchor of the anode, after which one is advised
_SPLIT_PERMILLE = const(250)  # of the loss: which mechanism it was nobody measures
_HIDDEN_PERMILLE = const(850)  # of what was lost and returned unseen: the laws of both may be off by so much, for good
_ENOUGH_PPM = const(500000)  # discharged, before a loss per cycle is told
_END_PERMILLE = const(800)  # of the cathode's capacity as built: end of life
_PPB = const(1000)
_MOST = const((1 << 30) - 1)
_small = array("i", [0])  # what is read from it is a small int


def fill(inventory):
    """Everything an `Estimate` says, from the filter and what is kept."""
    clean()
    e, f, p, kept = inventory.estimate, inventory.filter, inventory.profile, inventory.kept
    dead, moving = inventory.dead(), inventory.moving()
    total = max(0, f.mean(moving) + f.x[S] + f.mean(dead))
    e.cathode_ppm = _within(f.x[C], total) // _PPB
    e.sei_ppm = _within(f.x[S], total - e.cathode_ppm * _PPB) // _PPB
    e.isolated_ppm = _within(f.mean(dead), total - (e.cathode_ppm + e.sei_ppm) * _PPB) // _PPB
    e.active_ppm = total // _PPB - e.cathode_ppm - e.sei_ppm - e.isolated_ppm
    e.cathode_sigma_ppm = f.sigma_of(C)
    e.loss_ppm = e.sei_ppm + e.isolated_ppm
    hidden = hidden_doubt(inventory) // _PPB
    split = _hypot(e.loss_ppm * _SPLIT_PERMILLE // 1000, hidden)
    e.sei_sigma_ppm = _hypot(f.sigma_of(S), split)
    e.isolated_sigma_ppm = _hypot(f.sigma(dead) // _PPB, split)
    e.active_sigma_ppm = _hypot(f.sigma(moving + ((C, -ONE),)) // _PPB, hidden)
    e.loss_sigma_ppm = _hypot(f.sigma(((S, ONE),) + dead) // _PPB, hidden)
    swing = e.cathode_capacity_ppm = max(1, f.x[Q] // _PPB)
    if f.mean(moving) < f.x[Q]:
        e.capacity_ppm, e.capacity_sigma_ppm = f.mean(moving) // _PPB, _hypot(f.sigma(moving) // _PPB, hidden)
    else:
        e.capacity_ppm, e.capacity_sigma_ppm = swing, f.sigma_of(Q)
    e.pulse_factor_permille, e.rest_factor_permille = f.x[PULSE] // 1000000, f.x[REST] // 1000000
    e.pulse_factor_sigma_permille, e.rest_factor_sigma_permille = f.sigma_of(PULSE) // 1000, f.sigma_of(REST) // 1000
    e.gain_ppm = f.x[GAIN] // _PPB
    e.limited_by, e.since_anchor, e.short_suspected = kept[LIMIT], kept[SINCE], kept[SHORT]
    e.pulse_trials, e.rest_trials, e.ce_cell_ppm = kept[PULSE_TRIALS], kept[REST_TRIALS], kept[CE_CELL]
    e.resistance_uohm, e.resistance_sigma_uohm = kept[RESISTANCE], kept[RESISTANCE_SIGMA]
    e.known = kept[KNOWN]
    if e.known == MEASURED and e.since_anchor > 20:
        e.known = INFERRED
    # life stage (Deng26): 1 loss hidden and steady, 2 loss grows, 3 the cathode fades too, 4 reservoir spent
    e.stage = 2 if f.x[ISO] > 5 * ONE // 4 else 1
    if swing < 93 * p.cathode_capacity_ppm // 100:
        e.stage = 3
    if e.limited_by == LIMIT_ANODE or (e.known and p.reservoir_ppm == 0):
        e.stage = 4

    # how long it lasts: the loss of an equivalent full cycle in this user's hands, and what is left
    isolated = bound = back = 0
    out = kept[OUT]
    if out >= _ENOUGH_PPM:
        isolated, bound, back = (
            kept[ISOLATED] * 1000000 // out,
            kept[BOUND] * 1000000 // out,
            kept[BACK] * 1000000 // out,
        )
    lost, sei = max(0, f.x[ISO]) * isolated // ONE, max(0, f.x[SEI]) * bound // ONE
    per_cycle = max(_PPB, sei + max(0, lost - back + back * f.x[STAY] // ONE))  # what is bound stays bound
    e.isolated_per_cycle_ppm, e.sei_per_cycle_ppm = lost // _PPB, sei // _PPB
    e.loss_per_cycle_ppm = per_cycle // _PPB
    e.ce_li_ppm = 1000000 - e.loss_per_cycle_ppm
    e.cycles_left = e.cycles_left_sigma = e.cycles_to_end = e.cycles_to_end_sigma = 0
    if isolated + bound:
        rates = isolated, bound, back, per_cycle, hidden * _PPB
        e.cycles_left, e.cycles_left_sigma = _cycles(f, moving + ((Q, -ONE),), 0, rates)
        end = p.cathode_capacity_ppm * _PPB // 1000 * _END_PERMILLE
        if e.capacity_ppm * _PPB > end:
            e.cycles_to_end, e.cycles_to_end_sigma = _cycles(f, moving, end, rates)
    e.cycles_permille = kept[CYCLES]
    e.normalized_life_permille = kept[CYCLES] * p.cathode_capacity_ppm // p.reservoir_ppm if p.reservoir_ppm else 0

    # charge that comes out now, energy, and what the voltage window allows
    usable = max(0, min(e.active_ppm, swing - e.cathode_ppm))
    whole = max(1, e.capacity_ppm)
    e.soc_ppm = min(1000000, usable * 1000000 // whole)
    e.soc_sigma_ppm = min(1000000, _hypot(e.cathode_sigma_ppm, e.capacity_sigma_ppm) * 1000000 // whole)
    e.soh_ppm = whole * 1000000 // p.cathode_capacity_ppm
    e.soh_sigma_ppm = e.capacity_sigma_ppm * 1000000 // p.cathode_capacity_ppm
    drop_uv = max(1, p.one_c_ua * (e.resistance_uohm or p.resistance_uohm) // 1000000)
    mean_uv = -4 * drop_uv // 5
    for k in range(1, 8, 2):
        mean_uv += table(p.ocv_content_ppm, p.ocv_uv, (e.cathode_ppm + usable * k // 8) * 1000000 // swing)
    of_all = p.nominal_capacity_uah * max(0, mean_uv) // 4000000000  # 4 V of the table in mean_uv
    e.energy_mwh = usable * of_all // 1000000
    e.energy_sigma_mwh = whole * e.soc_sigma_ppm // 1000000 * of_all // 1000000
    at, doubt = e.cathode_ppm * 1000000 // swing, e.cathode_sigma_ppm * 1000000 // swing
    now_uv, low_uv = table(p.ocv_content_ppm, p.ocv_uv, at), table(p.ocv_content_ppm, p.ocv_uv, at + doubt)
    unsure = (now_uv - low_uv) * 1000 // drop_uv
    e.discharge_limit_permille, e.discharge_limit_sigma_permille = _allowed(
        (now_uv - p.min_uv) * 1000 // drop_uv, unsure, kept, p.discharge_max_permille
    )
    e.charge_limit_permille, e.charge_limit_sigma_permille = _allowed(
        (p.max_uv - now_uv) * 1000 // drop_uv, unsure, kept, p.charge_max_permille
    )

    # how it will end (Moh25's three ends, and the spent reservoir of Deng26), and what to do to know more
    e.end_foreseen = END_ISOLATED if e.isolated_ppm > e.sei_ppm else END_SEI
    e.advice = ADVICE_NONE
    if e.cycles_left:
        e.end_foreseen = END_RESERVOIR
    if not e.known:
        e.end_foreseen = END_OPEN
        e.advice = ADVICE_FULL_DISCHARGE if e.cathode_sigma_ppm < 50000 else ADVICE_FULL_CHARGE
    elif e.active_sigma_ppm > 50000 and e.since_anchor > _OLD:
        e.advice = ADVICE_FULL_DISCHARGE
    if e.short_suspected:
        e.end_foreseen = END_SHORT
    for name in e.__dict__:  # what comes of big ints stays big on MicroPython (32 B each), however small it is
        _small[0] = max(-_MOST, min(_MOST, getattr(e, name)))
        setattr(e, name, _small[0])


def _cycles(f, store, end, rates):
    """Equivalent full cycles until `store` is down to `end` (ppb), and their sigma."""
    isolated, bound, back, per_cycle, hidden = rates
    n = min(max(0, f.mean(store) - end) // per_cycle, 100000)
    store += ((ISO, -n * isolated), (SEI, -n * bound), (STAY, -n * back))
    return n, 1 + _hypot(_hypot(f.sigma(store), hidden) // per_cycle, n // 8) if n else 0  # its use may change


def _allowed(rate, unsure, kept, most):
    """A rate that the voltage window allows, and its sigma: of the OCV (`unsure`) and of the resistance."""
    sigma = _hypot(unsure, rate * kept[RESISTANCE_SIGMA] // kept[RESISTANCE] if kept[RESISTANCE] else rate // 5)
    return _within(rate, most), (_within(rate + sigma, most) - _within(rate - sigma, most)) // 2


def hidden_doubt(inventory):
    """What the loss since the last anchor of the anode may be off by, beyond what the filter knows, ppb: a share of all
    that the laws of loss and return have turned over, and at most half way from nothing to all there is.
    """
    f, kept = inventory.filter, inventory.kept
    turned = f.x[S] + f.mean(inventory.dead()) + kept[UNSEEN] - kept[ANCHORED]
    spare = f.mean(inventory.moving()) - f.x[Q]
    return max(0, min(turned // 1000 * _HIDDEN_PERMILLE, (turned + max(0, spare)) // 2))


def sags(kept, profile, uv, rest_s):
    """A voltage `rest_s` into a rest, about once an hour: does it sag as no healthy cell's does (physics.md §6.5)?"""
    content, slope = content_ppm(profile, uv)
    gone_s = rest_s - kept[WATCHED_S]
    if gone_s < 0 or kept[WATCHED_S] == 0:
        kept[WATCHED], kept[WATCHED_S] = content, rest_s if rest_s >= _SETTLED_S else 0
        return False
    unsure = 3000 + 2 * profile.voltage_sigma_uv * 1000000 // slope
    return gone_s >= _WATCH_S and content - kept[WATCHED] > max(unsure, _LEAK_PPM_PER_H * gone_s // 3600)


def missing(kept, sigma_ppm):
    """At a full charge: charge that went in and did not come out since the last one, three times running far out of the
    doubt, is a soft short.
    """
    if kept[FULL_S]:
        far = max(3 * (sigma_ppm + kept[NET_DOUBT]), _LEAK_PPM_PER_H * kept[FULL_S] // 7200)  # half: no leak when empty
        kept[STRIKES] = kept[STRIKES] + 1 if kept[NET] > far else 0
        if kept[STRIKES] >= 3:
            kept[SHORT] = 1
    kept[FULL_S], kept[NET], kept[NET_DOUBT] = 1, 0, 0


def resistance(kept, uohm):
    """Mean of what was measured, and its scatter."""
    if uohm:
        if not kept[RESISTANCE]:
            kept[RESISTANCE], kept[RESISTANCE_SIGMA] = uohm, uohm // 5
        off = uohm - kept[RESISTANCE]
        kept[RESISTANCE] += off // 4
        kept[RESISTANCE_SIGMA] = max(1, root((3 * kept[RESISTANCE_SIGMA] * kept[RESISTANCE_SIGMA] + off * off) // 4))


def _hypot(a, b):
    return root(a * a + b * b)


def _within(value, high):
    return 0 if value < 0 else high if value > high else value
