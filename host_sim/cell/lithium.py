"""Where a lithium atom goes: plating, stripping, isolation, drift, reconnection, corrosion, rest.

Each flux is computed once, by a closed form over the sub-step, and taken from one store and given to another; no store
is a remainder. Units: mAh cm-2, mA cm-2, h, um.
"""

import math

from numba import njit

from host_sim.cell.layout import BARE, DEAD, FULL, GAP_EDGE, GAP_WEIGHT, GAPS, MOVED, P, S
from host_sim.cell.voltage import FARADAY, GAS, T_REF

UM_PER_MAH = 4.85  # lithium metal: 206 mAh cm-2 per mm


@njit(cache=True, forceinline=True)
def add(s, store, amount):
    """Give `amount` to one store; what rounding cuts off is carried to the next time (Kahan)."""
    y = amount - s[store + 3]
    t = s[store] + y
    s[store + 3] = (t - s[store]) - y
    s[store] = t


@njit(cache=True, forceinline=True)
def move(s, source, target, amount):
    """One flux between cathode, active and SEI: what one loses the other gains."""
    add(s, source, -amount)
    add(s, target, amount)


@njit(cache=True, forceinline=True)
def take_fresh(s, amount):
    s[S.fresh] = max(0.0, s[S.fresh] - amount)


@njit(cache=True, forceinline=True)
def to_dead(s, amount):
    """Active metal that loses contact; no plating has dealt it a gap yet."""
    add(s, S.active, -amount)
    s[DEAD + GAPS] += amount


@njit(cache=True, forceinline=True)
def from_dead(s, k, store, amount):
    """Isolated lithium of class k to the active metal, the SEI or the cathode."""
    s[DEAD + k] -= amount
    add(s, store, amount)


@njit(cache=True, forceinline=True)
def end_overpotential_mv(j, length_um):
    """End overpotential in mV of an isolated filament along the field at |j| in mA cm-2 (Liu21 Fig 3d, ED Fig 5b)."""
    return 2.63 * j * (1.0 + (j / 3.85) ** 3.73) * length_um / 20.0


@njit(cache=True, forceinline=True)
def drift_um_per_h(p, j, kinetic):
    """Mean speed of isolated filaments at stripping current j: Butler–Volmer end current beyond the dead band, limited
    by Li+ supply, along the field, averaged over orientation (4-point Gauss over the cosine)."""
    eta = end_overpotential_mv(j, p[P.filament_um])
    band = p[P.dead_band_mv] * p[P.filament_um] / 20.0
    if eta <= band:
        return 0.0
    least = band / eta  # cosine at which motion begins
    i0 = p[P.end_i0_ma_cm2] * kinetic
    total = 0.0
    for node, weight in (
        (0.06943184420297371, 0.17392742256872692),
        (0.33000947820757187, 0.32607257743127308),
        (0.66999052179242813, 0.32607257743127308),
        (0.93056815579702629, 0.17392742256872692),
    ):
        cosine = least + (1.0 - least) * node
        i_end = 2.0 * i0 * math.sinh(min((eta * cosine - band) * 1e-3 * FARADAY / (2.0 * GAS * T_REF), 30.0))
        total += weight * cosine * i_end / (1.0 + i_end / p[P.end_limit_ma_cm2])
    return UM_PER_MAH * (1.0 - least) * total


@njit(cache=True, forceinline=True)
def sand_time_s(p, j, limit):
    """Time in s after which salt at the anode is used up at j above the limiting current (Moh25 eqs 4 and 5, in which
    tau = pi/4 (J*/J)^2 L^2 / (4 D))."""
    return math.pi / 16.0 * (limit / j) ** 2 * (1e-4 * p[P.separator_um]) ** 2 / p[P.salt_diffusivity_cm2_s]


@njit(cache=True, forceinline=True)
def isolated_share(p, j, roughness, depth, warm):
    """Share isolated of the metal that leaves the deposit at stripping current j (physics: Moh25, Abd24, Zhang25)."""
    slow = p[P.isolation_slow] * math.exp(p[P.self_diffusion_kj_mol] * warm)
    if p[P.isolation_law] == 0.0:
        slow *= math.exp(-j / p[P.isolation_slow_ma_cm2])
        limit = p[P.isolation_fast_ma_cm2]
        fast = p[P.isolation_fast] * max(0.0, j - limit) / (5.0 - limit)
    else:
        slow /= 1.0 + j / p[P.isolation_slow_ma_cm2]
        fast = p[P.isolation_fast] * (j / 5.0) ** p[P.isolation_fast_exponent]
    shape = roughness * p[P.pressure_factor] * max(depth, 0.02) ** -p[P.depth_exponent]
    return min((p[P.isolation_base] + slow + fast) * shape, 0.9)


@njit(cache=True, forceinline=True)
def reconnect_by_drift(s, p, j, hours, kinetic):
    """Filaments move towards the anode while it is stripped; where the gap closes they are active again; part of what
    moves corrodes."""
    speed = drift_um_per_h(p, j, kinetic)
    tau = p[P.onset_s] / 3600.0
    start = s[S.onset]
    gone = math.exp(-hours / tau)
    if speed == 0.0:
        s[S.onset] = start * gone if start > 1e-12 else 0.0
        return
    s[S.onset] = 1.0 - (1.0 - start) * gone
    # integral of onset * exp(-stripped/early): each factor exponential in time, so exact
    rate = j / p[P.early_mah_cm2]
    standing = math.exp(-s[S.stripped] / p[P.early_mah_cm2])
    both = rate + 1.0 / tau
    way = speed * standing * (-math.expm1(-rate * hours) / rate + (1.0 - start) * math.expm1(-both * hours) / both)
    corroding = p[P.moving_corrosion] / p[P.filament_um]
    corroding *= (j / p[P.moving_corrosion_ma_cm2]) ** p[P.moving_corrosion_exponent]
    corroded = -math.expm1(-corroding * way)
    corroded_closing = -math.expm1(-0.5 * corroding * way)  # what closes its gap has gone half the way, on average
    for k in range(GAPS):
        near = p[GAP_EDGE + k]
        wide = p[GAP_EDGE + k + 1] - near
        before = min(max((s[MOVED + k] - near) / wide, 0.0), 1.0)
        s[MOVED + k] += way
        after = min(max((s[MOVED + k] - near) / wide, 0.0), 1.0)
        held = s[DEAD + k]
        if held <= 0.0:
            continue
        closed = held * ((after - before) / (1.0 - before)) if after < 1.0 else held
        lost = closed * corroded_closing
        left = held - closed
        from_dead(s, k, S.active, closed - lost)
        from_dead(s, k, S.sei, lost)
        lost_left = min(left * corroded, s[DEAD + k])
        from_dead(s, k, S.sei, lost_left)
        s[DEAD + k] = max(s[DEAD + k], 0.0)
        s[BARE + k] *= s[DEAD + k] / held
        s[S.fresh] += closed - lost
        s[S.total_reconnected] += closed - lost
        s[S.total_corroded] += lost + lost_left


@njit(cache=True, forceinline=True)
def strip(s, p, j, hours, warm, kinetic):
    """Discharge at internal current j > 0."""
    reconnect_by_drift(s, p, j, hours, kinetic)
    charge = j * hours
    share = isolated_share(p, j, s[S.roughness], s[S.deposit], warm)
    from_fresh = min(charge, s[S.fresh] * (1.0 - share))
    isolated = from_fresh * share / (1.0 - share)
    if from_fresh < charge:  # the foil beneath is compact
        share = isolated_share(p, j, 1.0, max(s[S.deposit], 1.0), warm)
        isolated += (charge - from_fresh) * share / (1.0 - share)
    isolated = min(isolated, max(s[S.active] - charge, 0.0))
    to_dead(s, isolated)
    move(s, S.active, S.cathode, charge)
    take_fresh(s, charge + isolated)
    s[S.stripped] += charge
    s[S.total_isolated] += isolated
    s[S.total_stripped] += charge


@njit(cache=True, forceinline=True)
def plate(s, p, j, hours, warm):
    """Charge at internal current j > 0: metal and SEI, and what fresh metal does to isolated lithium."""
    charge = j * hours
    above = max(0.0, j / p[P.compact_limit_ma_cm2] - 1.0) * p[P.compact_limit_ma_cm2]
    bound = charge * min(p[P.sei_share] * (1.0 + p[P.sei_per_ma] * above) * math.exp(p[P.sei_kj_mol] * warm), 0.5)
    metal = charge - bound
    move(s, S.cathode, S.sei, bound)
    move(s, S.cathode, S.active, metal)
    rough = min(1.0 + p[P.roughness_per_ma] * above, p[P.roughness_max]) * math.exp(-p[P.cold_kj_mol] * warm)
    limit = p[P.sand_ma_cm2]
    if p[P.salt_mah_cm2] > 0.0:
        limit *= max(s[S.salt] / p[P.salt_mah_cm2], 1e-3)
    if j > limit:
        s[S.above_s] += 3600.0 * hours
        if s[S.above_s] > sand_time_s(p, j, limit):
            rough *= j / limit
    else:
        s[S.above_s] = 0.0
    s[S.roughness] = (s[S.roughness] * s[S.fresh] + rough * metal) / (s[S.fresh] + metal)
    s[S.fresh] += metal
    s[S.deposit] = s[S.fresh]
    s[S.stripped] = max(0.0, s[S.stripped] - charge)
    s[S.onset] *= math.exp(-hours * 3600.0 / p[P.onset_s])
    s[S.bare_h] = 0.0
    s[S.total_plated] += charge
    s[S.total_sei] += bound
    if p[P.salt_mah_cm2] > 0.0:
        s[S.salt] = max(0.0, s[S.salt] - p[P.salt_share] * bound)
    # cathode: first-cycle loss and fade take empty sites only
    first = p[P.first_cycle_charge] * p[P.cathode_capacity_mah_cm2]
    begin = math.exp(-s[S.throughput] * p[P.cathode_capacity_mah_cm2] / first)
    lost = p[P.first_cycle_loss] * p[P.cathode_capacity_mah_cm2] * begin * -math.expm1(-charge / first)
    lost += p[P.cathode_fade] * charge
    s[S.sites] -= min(lost, max(s[S.sites] * (1.0 - 2.0 * FULL) - s[S.cathode], 0.0))
    s[S.throughput] += charge / p[P.cathode_capacity_mah_cm2]
    regap(s, p, charge)


@njit(cache=True, forceinline=True)
def regap(s, p, charge):
    """Fresh metal touches what rest has freed, gives new gaps, and undoes (part of) the way moved."""
    touched = -math.expm1(-p[P.touch_per_mah] * charge)
    dealt = -math.expm1(-p[P.deal_per_mah] * charge)
    redealt = -math.expm1(-p[P.redeal_per_mah] * charge)
    kept = math.exp(-p[P.forget_per_mah] * charge)
    pool = 0.0
    pool_bare = 0.0
    for k in range(GAPS + 1):
        free = min(s[BARE + k] * touched, s[DEAD + k])
        if free > 0.0:
            from_dead(s, k, S.active, free)
            s[BARE + k] -= free
            s[S.fresh] += free
            s[S.total_reconnected] += free
        share = dealt if k == GAPS else redealt
        if share > 0.0:
            part = s[DEAD + k] * share
            s[DEAD + k] -= part
            pool += part
            part = s[BARE + k] * share
            s[BARE + k] -= part
            pool_bare += part
    for k in range(GAPS):
        new = pool * p[GAP_WEIGHT + k]
        total = s[DEAD + k] + new
        if total > 0.0:
            s[MOVED + k] *= kept * (s[DEAD + k] / total)
        s[DEAD + k] = total
        s[BARE + k] += pool_bare * p[GAP_WEIGHT + k]


@njit(cache=True, forceinline=True)
def idle(s, p, fresh, cathode, hours, warm):
    """What time alone does: corrosion of the deposit (`fresh`, `cathode`: means over the sub-step), the mediator's
    self-discharge, ageing of isolated lithium."""
    if fresh > 0.0 and p[P.corrosion_per_h] > 0.0:
        charged = 1.0 + p[P.corrosion_charged] * (1.0 - cathode / s[S.sites])
        rate = p[P.corrosion_per_h] * math.exp(p[P.corrosion_kj_mol] * warm) * charged * s[S.roughness]
        if p[P.corrosion_exponent] == 1.0:
            lost = -fresh * math.expm1(-rate * hours)
        else:  # d fresh/dt = -rate * fresh**n, exact
            n = 1.0 - p[P.corrosion_exponent]
            lost = fresh - max(fresh**n - n * rate * hours, 0.0) ** (1.0 / n)
        lost = min(max(lost, 0.0), s[S.fresh], s[S.active])
        move(s, S.active, S.sei, lost)
        take_fresh(s, lost)
        s[S.total_corroded] += lost
    dead = 0.0
    for k in range(GAPS + 1):
        dead += s[DEAD + k]
    if dead > 0.0:
        age_dead(s, p, fresh, hours)
    if p[P.mediator_discharge_per_h] > 0.0:
        back = -s[S.active] * math.expm1(-p[P.mediator_discharge_per_h] * hours)
        back = min(back, max(s[S.sites] * (1.0 - FULL) - s[S.cathode], 0.0))
        move(s, S.active, S.cathode, back)
        take_fresh(s, back)


@njit(cache=True, forceinline=True)
def age_dead(s, p, fresh, hours):
    """Isolated lithium corrodes and is returned by a mediator; while the anode is stripped, all of it or (as far as
    `local_stripping` says) the plated metal only, its residual SEI dissolves (Zhang24)."""
    stripped = max(0.0, 1.0 - s[S.active] / p[P.stripped_mah_cm2])
    stripped = max(stripped, p[P.local_stripping] * max(0.0, 1.0 - fresh / p[P.stripped_mah_cm2]))
    freeing = 0.0
    if stripped > 0.0:
        later = s[S.bare_h] + stripped * hours
        n = p[P.barrier_exponent]
        freeing = -math.expm1((s[S.bare_h] / p[P.barrier_tau_h]) ** n - (later / p[P.barrier_tau_h]) ** n)
        s[S.bare_h] = later
    corroded = -math.expm1(-p[P.dead_corrosion_per_h] * hours)
    returned = -math.expm1(-p[P.mediator_return_per_h] * hours)
    for k in range(GAPS + 1):
        held = s[DEAD + k]
        if held <= 0.0:
            continue
        if corroded > 0.0:
            lost = held * corroded
            from_dead(s, k, S.sei, lost)
            s[S.total_corroded] += lost
        if returned > 0.0:
            back = min(s[DEAD + k] * returned, max(s[S.sites] * (1.0 - FULL) - s[S.cathode], 0.0))
            from_dead(s, k, S.cathode, back)
        s[BARE + k] *= s[DEAD + k] / held
        if freeing > 0.0:
            s[BARE + k] += max(0.0, p[P.barrier_share] * s[DEAD + k] - s[BARE + k]) * freeing
