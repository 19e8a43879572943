"""What a user asks beside the inventory: state of charge, energy, limits, how long it will last, how it will end,
what to do to know more.

Filled into the `Estimate` of `inventory.py` from its filter, once per half-cycle; every figure with its doubt.
"""

from relith import const
from relith.lossmodel import ocv_uv
from relith.udfilter import ONE, root

# Estimate.end_foreseen
END_OPEN, END_RESERVOIR, END_ISOLATED, END_SEI, END_SHORT = 0, 1, 2, 3, 4
# Estimate.advice: what would resolve the inventory
ADVICE_NONE, ADVICE_FULL_CHARGE, ADVICE_FULL_DISCHARGE = 0, 1, 2

_LEAK_PPM_PER_H = const(1000)  # C/1000: a soft short is suspected above
_SETTLED_S = const(7200)  # a rested voltage is watched from here on
_WATCH_S = const(14400)
_OLD = const(200)  # half-cycles without an anchor of the anode, after which one is advised
_END_PERMILLE = const(800)  # of the cathode's capacity as built: end of life


def cycles_until(inventory, margin, per_cycle, iso_ppb, sei_ppb, iso, sei):
    """(cycles, their sigma) until the sparse sum `margin` is used up at `per_cycle` (ppb), the loss factors' doubt
    included.
    """
    f = inventory.filter
    left = f.mean(margin)
    if left <= 0 or per_cycle <= 0:
        return 0, 0
    cycles = min(left // per_cycle, 100000)
    doubt = margin + ((iso, -cycles * iso_ppb), (sei, -cycles * sei_ppb))
    return cycles, f.sigma(doubt) // per_cycle


def capacity(e, profile):
    """Charge that comes out now, and what a user reckons from it."""
    out = max(0, min(e.active_ppm, e.cathode_capacity_ppm - e.cathode_ppm))
    whole = max(1, e.capacity_ppm)
    e.soc_ppm = min(1000000, out * 1000000 // whole)
    doubt = root(e.cathode_sigma_ppm * e.cathode_sigma_ppm + e.capacity_sigma_ppm * e.capacity_sigma_ppm)
    e.soc_sigma_ppm = min(1000000, doubt * 1000000 // whole)
    e.soh_ppm = whole * 1000000 // profile.cathode_capacity_ppm
    mean_uv = 0
    swing = max(1, e.cathode_capacity_ppm)
    for k in range(4):
        mean_uv += ocv_uv(profile, (e.cathode_ppm + out * (2 * k + 1) // 8) * 1000000 // swing)
    drop_uv = max(1, profile.one_c_ua * (e.resistance_uohm or profile.resistance_uohm) // 1000000)
    mean_uv = max(0, mean_uv // 4 - drop_uv // 5)
    e.energy_mwh = out * profile.nominal_capacity_uah // 1000000 * mean_uv // 1000000000
    e.energy_sigma_mwh = e.energy_mwh * e.soc_sigma_ppm // max(1, e.soc_ppm)
    now_uv = ocv_uv(profile, e.cathode_ppm * 1000000 // swing)
    e.discharge_limit_permille = max(
        0, min(profile.discharge_max_permille, (now_uv - profile.min_uv) * 1000 // drop_uv)
    )
    e.charge_limit_permille = max(0, min(profile.charge_max_permille, (profile.max_uv - now_uv) * 1000 // drop_uv))


def resistance(e, h):
    """Mean of what was measured, and its scatter."""
    if h is not None and h.resistance_uohm:
        if not e.resistance_sigma_uohm:
            e.resistance_uohm, e.resistance_sigma_uohm = h.resistance_uohm, h.resistance_uohm // 5
        off = h.resistance_uohm - e.resistance_uohm
        e.resistance_uohm += off // 4
        e.resistance_sigma_uohm = max(1, root((3 * e.resistance_sigma_uohm * e.resistance_sigma_uohm + off * off) // 4))


def foresee(e, profile):
    """How this cell will end (Moh25's three ends, and the spent reservoir of Deng26), and what to do to know more."""
    if e.short_suspected:
        e.end_foreseen = END_SHORT
    elif not e.known:
        e.end_foreseen = END_OPEN
    elif e.cycles_left > 0:
        e.end_foreseen = END_RESERVOIR
    else:
        e.end_foreseen = END_ISOLATED if e.isolated_ppm > e.sei_ppm else END_SEI
    e.advice = ADVICE_NONE
    if not e.known:
        e.advice = ADVICE_FULL_DISCHARGE if e.cathode_sigma_ppm < 50000 else ADVICE_FULL_CHARGE
    elif e.active_sigma_ppm > 50000 and e.since_anchor > _OLD:
        e.advice = ADVICE_FULL_DISCHARGE


class Watch:
    """Soft short (physics.md §6.5): a rested voltage that sags, and charge that never comes out."""

    def __init__(self):
        self.content = self.rest_s = self.strikes = self.sag = 0

    def rest(self, content_ppm, slope_uv, rest_s, sigma_uv):
        """A rested voltage as cathode content, `rest_s` into a rest; 1 when it sags as no healthy cell does."""
        if rest_s < self.rest_s or self.rest_s == 0:
            self.content, self.rest_s, self.sag = content_ppm, rest_s if rest_s >= _SETTLED_S else 0, 0
        elif rest_s >= self.rest_s + _WATCH_S:
            risen = content_ppm - self.content
            unsure = 3000 + 2 * sigma_uv * 1000000 // max(1, slope_uv)
            self.sag = 1 if risen > unsure and risen > _LEAK_PPM_PER_H * (rest_s - self.rest_s) // 3600 else 0
        return self.sag

    def cycle(self, missing_ppb, sigma_ppb, hours):
        """At a full charge: charge missing since the last one. Three times running far out of the doubt: 1."""
        if missing_ppb > 3 * sigma_ppb and missing_ppb > _LEAK_PPM_PER_H * 1000 * hours:
            self.strikes += 1
        else:
            self.strikes = 0
        return 1 if self.strikes >= 3 else 0


def fill(inventory, h, rates, states):
    """All of it. `rates`: (isolated, SEI, returned) expected per equivalent full cycle in ppb; `states`: the filter's
    (ISO, SEI, Q).
    """
    e, f, p = inventory.estimate, inventory.filter, inventory.profile
    iso, sei, q = states
    isolated, bound, returned = rates
    per_cycle = (max(0, f.x[iso]) * isolated + max(0, f.x[sei]) * bound) // ONE - returned
    e.loss_per_cycle_ppm = max(1, per_cycle // 1000)
    e.ce_li_ppm = 1000000 - e.loss_per_cycle_ppm
    spare = inventory.moving + ((q, -ONE),)
    e.cycles_left, e.cycles_left_sigma = cycles_until(inventory, spare, per_cycle, isolated, bound, iso, sei)
    f_end = p.cathode_capacity_ppm * _END_PERMILLE // 1000
    e.cycles_to_end = max(0, e.capacity_ppm - f_end) * 1000 // max(1, per_cycle) + e.cycles_left
    e.normalized_life_permille = e.cycles_permille * 1000 // max(1, p.reservoir_ppm * 1000 // p.cathode_capacity_ppm)
    resistance(e, h)
    capacity(e, p)
    foresee(e, p)
