"""The equations of one cell, written once: `advance` moves one cell's state row under one control.

Everything is scalar arithmetic on that cell's row, so a cell alone and the same cell in a batch give the same bits
(no fast-math, nothing summed across cells). Each flux of lithium is computed once, by a closed form over the sub-step,
and taken from one store and given to another; no store is a remainder. Units: mAh cm-2, mA cm-2, V, K, s, um.
"""

import math

from numba import njit, prange

from host_sim.cell.layout import (
    BARE,
    CATHODE_EMPTY,
    CATHODE_FULL,
    CURRENT,
    DEAD,
    DEPLETED,
    GAP_EDGE,
    GAP_WEIGHT,
    GAPS,
    I_MIN,
    MOVED,
    NONE,
    STATE_ROW,
    V_MAX,
    V_MIN,
    VOLTAGE,
    P,
    S,
)

GAS = 8.314462618  # J mol-1 K-1
FARADAY = 96485.33212  # C mol-1
T_REF = 298.15  # K
UM_PER_MAH = 4.85  # lithium metal: 206 mAh cm-2 per mm
LEAST_S = 1e-6  # a sub-step shorter than this is an event
FULL = 1e-9  # cathode: least share of empty, and of full, sites


@njit(cache=True)
def add(s, store, amount):
    """Give `amount` to one store; what rounding cuts off is carried to the next time (Kahan)."""
    y = amount - s[store + 3]
    t = s[store] + y
    s[store + 3] = (t - s[store]) - y
    s[store] = t


@njit(cache=True)
def move(s, source, target, amount):
    """One flux between cathode, active and SEI: what one loses the other gains."""
    add(s, source, -amount)
    add(s, target, amount)


@njit(cache=True)
def take_fresh(s, amount):
    s[S.fresh] = max(0.0, s[S.fresh] - amount)


@njit(cache=True)
def to_dead(s, amount):
    """Active metal that loses contact; no plating has dealt it a gap yet."""
    add(s, S.active, -amount)
    s[DEAD + GAPS] += amount


@njit(cache=True)
def from_dead(s, k, store, amount):
    """Isolated lithium of class k to the active metal, the SEI or the cathode."""
    s[DEAD + k] -= amount
    add(s, store, amount)


# -- voltage -----------------------------------------------------------------------------------------------------
@njit(cache=True)
def open_circuit(ocv, x):
    """Cathode OCV in V, linear between the table's uniform points; x outside 0…1 is its end."""
    u = min(max(x, 0.0), 1.0) * (ocv.size - 1)
    i = min(int(u), ocv.size - 2)
    return ocv[i] + (u - i) * (ocv[i + 1] - ocv[i])


@njit(cache=True)
def conditions(s, p):
    """What the voltage needs beside the current: thermal voltage V, kinetic, resistive factor, resistance ohm cm2."""
    kelvin = s[S.temperature_k]
    warm = (1.0 / T_REF - 1.0 / kelvin) * 1000.0 / GAS
    kinetic = math.exp(p[P.kinetic_kj_mol] * warm)
    resistive = math.exp(-p[P.transport_kj_mol] * warm)
    dead = s[S.sei]
    for k in range(GAPS + 1):
        dead += s[DEAD + k]
    ohm = resistive * (p[P.ohmic_ohm_cm2] + p[P.dead_layer_ohm_cm2_per_mah] * dead)
    if p[P.salt_mah_cm2] > 0.0:
        ohm *= p[P.salt_mah_cm2] / max(s[S.salt], 1e-6 * p[P.salt_mah_cm2])
    return 2.0 * GAS * kelvin / FARADAY, kinetic, resistive, ohm


@njit(cache=True)
def voltage_after(s, p, ocv, cond, j, seconds):
    """Terminal voltage in V under internal current j, held for `seconds` from state s (0: at once), and slope dV/dj.

    cond: from `conditions`. Surface OCV + ohmic + Butler–Volmer of both electrodes + concentration overpotential.
    """
    thermal_v, kinetic, resistive, ohm = cond
    cathode = s[S.cathode]
    active = s[S.active]
    surface = s[S.surface]
    electrolyte = s[S.electrolyte_v]
    slope = 1e-3 * ohm
    moved = 0.0
    if seconds > 0.0:
        moved = seconds / 3600.0
        cathode -= j * moved
        active += j * moved
        grown = 1.0 - math.exp(-seconds / p[P.solid_tau_s])
        offset = -p[P.solid_offset_per_ma] * resistive
        surface += (offset * j - surface) * grown
        moved = moved / s[S.sites] - offset * grown
        grown = 1.0 - math.exp(-seconds / p[P.electrolyte_tau_s])
        offset = 1e-3 * p[P.electrolyte_ohm_cm2] * resistive
        electrolyte += (offset * j - electrolyte) * grown
        slope += offset * grown
    filling = min(max(cathode / s[S.sites] + surface, FULL), 1.0 - FULL)
    u = filling * (ocv.size - 1)
    i = min(int(u), ocv.size - 2)
    rise = ocv[i + 1] - ocv[i]
    slope -= rise * (ocv.size - 1) * moved
    i0 = 2.0 * p[P.i0_anode_ma_cm2] * kinetic
    if j < 0.0:
        i0 *= max(1.0 + j / max(p[P.anode_supply_per_h] * active, 1e-30), 1e-30)
    anode = thermal_v * math.asinh(j / i0)
    slope += thermal_v / math.sqrt(j * j + i0 * i0)
    i0 = 4.0 * p[P.i0_cathode_ma_cm2] * kinetic * math.sqrt(filling * (1.0 - filling))
    charge_transfer = thermal_v * math.asinh(j / i0)
    slope += thermal_v / math.sqrt(j * j + i0 * i0)
    rest = ocv[i] + (u - i) * rise - 1e-3 * p[P.voltage_decay_mv] * s[S.throughput]
    return rest + 1e-3 * ohm * j + anode + charge_transfer + electrolyte, slope


@njit(cache=True)
def relax(value, target, dt_over_tau):
    """First-order approach to a constant target, exact."""
    return target + (value - target) * math.exp(-dt_over_tau)


# -- lithium -----------------------------------------------------------------------------------------------------
@njit(cache=True)
def end_overpotential_mv(j, length_um):
    """End overpotential in mV of an isolated filament along the field at |j| in mA cm-2 (Liu21 Fig 3d, ED Fig 5b)."""
    return 2.63 * j * (1.0 + (j / 3.85) ** 3.73) * length_um / 20.0


@njit(cache=True)
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


@njit(cache=True)
def sand_time_s(p, j, limit):
    """Time in s after which salt at the anode is used up at j above the limiting current (Moh25 eqs 4 and 5, in which
    tau = pi/4 (J*/J)^2 L^2 / (4 D))."""
    return math.pi / 16.0 * (limit / j) ** 2 * (1e-4 * p[P.separator_um]) ** 2 / p[P.salt_diffusivity_cm2_s]


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
def sub_step(s, p, ocv, j, v, seconds, ambient_k):
    """Advance every equation by `seconds` at constant internal current j (positive charges). v: voltage at start."""
    hours = seconds / 3600.0
    kelvin = s[S.temperature_k]
    heat_w = 0.0
    if j != 0.0:
        over_v = v - open_circuit(ocv, s[S.cathode] / s[S.sites])
        heat_w = 1e-3 * j * (over_v + 1e-3 * kelvin * p[P.entropic_mv_k])
    if p[P.heat_transfer_w_k_cm2] > 0.0:
        tau = p[P.heat_capacity_j_k_cm2] / p[P.heat_transfer_w_k_cm2]
        target = ambient_k + heat_w / p[P.heat_transfer_w_k_cm2]
        after_k = relax(kelvin, target, seconds / tau) if target != kelvin else kelvin
    else:
        after_k = kelvin + heat_w * seconds / p[P.heat_capacity_j_k_cm2]
    warm = (1.0 / T_REF - 2.0 / (kelvin + after_k)) * 1000.0 / GAS
    kinetic = math.exp(p[P.kinetic_kj_mol] * warm)
    resist = math.exp(-p[P.transport_kj_mol] * warm)
    fresh = s[S.fresh]
    cathode = s[S.cathode]
    if j <= 0.0:
        s[S.above_s] = max(0.0, s[S.above_s] - seconds)  # a pause lets salt return
    if j > 0.0:
        plate(s, p, j, hours, warm)
    elif j < 0.0:
        strip(s, p, -j, hours, warm, kinetic)
    elif s[S.onset] != 0.0:
        s[S.onset] *= math.exp(-seconds / p[P.onset_s])
    idle(s, p, 0.5 * (fresh + s[S.fresh]), 0.5 * (cathode + s[S.cathode]), hours, warm)
    if j != 0.0 or s[S.surface] != 0.0:
        s[S.surface] = relax(s[S.surface], -p[P.solid_offset_per_ma] * resist * j, seconds / p[P.solid_tau_s])
    if j != 0.0 or s[S.electrolyte_v] != 0.0:
        target = 1e-3 * p[P.electrolyte_ohm_cm2] * resist * j
        s[S.electrolyte_v] = relax(s[S.electrolyte_v], target, seconds / p[P.electrolyte_tau_s])
    s[S.temperature_k] = after_k


# -- control -----------------------------------------------------------------------------------------------------
@njit(cache=True)
def most_discharge(s, p, i_max, seconds):
    """Strongest discharge current (negative) that the active lithium can supply for `seconds`, within i_max."""
    supply = 0.999999 * p[P.anode_supply_per_h] * s[S.active]
    return -min(i_max, supply / (1.0 + p[P.anode_supply_per_h] * seconds / 3600.0))


@njit(cache=True)
def current_for_voltage(s, p, ocv, cond, value, i_max, seconds):
    """Internal current in mA cm-2 under which the terminals are at `value` V after `seconds`: Newton in a bracket.
    At most i_max either way and not beyond the lithium supply."""
    low = most_discharge(s, p, i_max, seconds)
    high = min(i_max, 0.5 * s[S.cathode] * 3600.0 / max(seconds, 1e-3))
    j = min(max(s[S.current], low), high)
    for _ in range(100):
        v, slope = voltage_after(s, p, ocv, cond, j, seconds)
        error = v - value
        if abs(error) < 1e-10:
            break
        if error < 0.0:
            low = j
        else:
            high = j
        if high - low < 1e-13 * (1.0 + abs(j)):
            break
        j -= error / slope
        if j <= low or j >= high:
            edge = low if j <= low else high
            if abs(edge) == i_max:  # first look at the limit itself
                v, slope = voltage_after(s, p, ocv, cond, edge, seconds)
                if (v - value) * edge <= 0.0:
                    return edge
            j = 0.5 * (low + high)
    return j


@njit(cache=True)
def current_for_power(s, p, ocv, cond, power_mw, i_max):
    """Internal current in mA cm-2 at which current times voltage is `power_mw` mW cm-2 (positive charges); that of
    greatest power when the cell cannot give so much."""
    v, slope = voltage_after(s, p, ocv, cond, 0.0, 0.0)
    low = most_discharge(s, p, i_max, 0.0)
    j = min(max(power_mw / max(v, 1e-3), low), i_max)
    for _ in range(50):
        v, slope = voltage_after(s, p, ocv, cond, j, 0.0)
        rise = v + j * slope  # d(power)/dj
        if rise <= 0.0:  # beyond the greatest power
            j *= 0.7
            continue
        change = (j * v - power_mw) / rise
        j = min(max(j - change, low), i_max)
        if abs(change) < 1e-10:
            break
    return j


@njit(cache=True)
def longest_sub_step(s, p, j):
    """Seconds for which one sub-step at j is accurate, and how it ends if a store gives out first (event code)."""
    if j == 0.0:
        return p[P.sub_step_s], NONE
    longest = min(p[P.sub_step_s], 3600.0 * p[P.sub_step_mah_cm2] / abs(j))
    if j < 0.0:
        supply = (s[S.active] + j / p[P.anode_supply_per_h]) * 3600.0 / -j
        if 0.1 * supply <= longest:  # at most 0.9 is isolated; look closer only near the end
            supply *= 1.0 - isolated_share(p, -j, max(s[S.roughness], 1.0), s[S.deposit], 0.0)
        room = (s[S.sites] * (1.0 - 2.0 * FULL) - s[S.cathode]) * 3600.0 / -j
        if supply <= min(longest, room):
            return supply, DEPLETED
        if room <= longest:
            return room, CATHODE_FULL
    else:
        room = (s[S.cathode] - 2.0 * FULL * s[S.sites]) * 3600.0 / j
        if room <= longest:
            return room, CATHODE_EMPTY
    return longest, NONE


@njit(cache=True)
def demanded(s, p, ocv, cond, control, leak, seconds):
    """Internal current that the control asks for, and whether it is held back by i_max (constant current meanwhile)."""
    if control[0] == CURRENT:
        return control[1] - leak, True
    i_max = control[4] + abs(leak)
    if control[0] == VOLTAGE:
        j = current_for_voltage(s, p, ocv, cond, control[1], i_max, seconds)
    else:
        j = current_for_power(s, p, ocv, cond, control[1], i_max)
    return j, abs(j) >= i_max


@njit(cache=True)
def past_event(s, p, ocv, control, j, leak, constant):
    """How far the state is past the nearest event, in V or mA cm-2 (positive: behind it); sets current and voltage."""
    cond = conditions(s, p)
    if not constant:
        j, _ = demanded(s, p, ocv, cond, control, leak, 0.0)
    v, _ = voltage_after(s, p, ocv, cond, j, 0.0)
    s[S.current] = j + leak
    s[S.voltage] = v
    if control[0] == VOLTAGE:
        if not constant:
            return control[5] - abs(s[S.current])
        return v - control[1] if j > 0.0 else control[1] - v
    past = -1.0
    if s[S.current] <= 0.0:
        past = control[2] - v
    if s[S.current] >= 0.0:
        past = max(past, v - control[3])
    return past


@njit(cache=True)
def advance(s, p, ocv, control, duration, ambient_k, saved, result):
    """Move one cell for `duration` s at most; stops at an event, located inside the step.

    s: state row, changed in place. p: parameter row. ocv: table in V. control: kind, value (mA cm-2, V or mW cm-2),
    v_min, v_max, i_max, i_stop (mA cm-2). saved: scratch row. result: elapsed s, event code; both written.
    """
    elapsed = 0.0
    event = NONE
    while True:
        leak = 1e3 * p[P.short_s_cm2] * s[S.voltage]
        if control[0] == CURRENT and control[1] == s[S.current]:  # as before: the voltage is known
            cond = (0.0, 0.0, 0.0, 0.0)
            j, constant, v = control[1] - leak, True, s[S.voltage]
        else:
            cond = conditions(s, p)
            j, constant = demanded(s, p, ocv, cond, control, leak, 0.0)
            v, _ = voltage_after(s, p, ocv, cond, j, 0.0)
            s[S.current] = j + leak
            s[S.voltage] = v
        event = reached(v, s[S.current], control)
        left = duration - elapsed
        if event != NONE or left <= 0.0:
            break
        h, end = longest_sub_step(s, p, j)
        if h < LEAST_S and end != NONE:
            event = end
            break
        h = min(h, left)
        if not constant:
            h = min(h, 60.0)
            if control[0] == VOLTAGE:  # implicit midpoint: the current that holds the voltage half-way
                j, _ = demanded(s, p, ocv, cond, control, leak, 0.5 * h)
        for i in range(STATE_ROW):
            saved[i] = s[i]
        elapsed += attempt(s, p, ocv, control, j, v, leak, constant, h, ambient_k, saved)
    result[0] = elapsed
    result[1] = event


@njit(cache=True)
def reached(v, current, control):
    """Event that holds at this terminal voltage and current."""
    if control[0] == VOLTAGE:
        return I_MIN if abs(current) <= control[5] else NONE
    if current <= 0.0 and v <= control[2]:
        return V_MIN
    if current >= 0.0 and v >= control[3]:
        return V_MAX
    return NONE


@njit(cache=True)
def attempt(s, p, ocv, control, j, v, leak, constant, h, ambient_k, saved):
    """One sub-step of h s, cut at the first event inside it (false position, bisection where that stalls); returns the
    seconds that passed. The state ends on the far side of the event, so that asking again reports it at once."""
    sub_step(s, p, ocv, j, v, h, ambient_k)
    f_high = past_event(s, p, ocv, control, j, leak, constant)
    if f_high < 0.0:
        return h
    low = 0.0
    high = h
    f_low = past_event(saved, p, ocv, control, j, leak, constant)
    side = 0
    for _ in range(60):
        if high - low < 1e-9 * h or f_high < 1e-9:
            break
        t = low - f_low * (high - low) / (f_high - f_low) if f_low < 0.0 else 0.5 * (low + high)
        if not low < t < high or abs(side) > 1:
            t = 0.5 * (low + high)
            side = 0
        for i in range(STATE_ROW):
            s[i] = saved[i]
        sub_step(s, p, ocv, j, v, t, ambient_k)
        f = past_event(s, p, ocv, control, j, leak, constant)
        if f >= 0.0:
            high, f_high = t, f
            side = max(side, 0) + 1
        else:
            low, f_low = t, f
            side = min(side, 0) - 1
    for i in range(STATE_ROW):
        s[i] = saved[i]
    sub_step(s, p, ocv, j, v, high, ambient_k)
    past_event(s, p, ocv, control, j, leak, constant)
    return high


@njit(cache=True, parallel=True)
def advance_batch(s, p, ocv, control, duration, ambient_k, saved, result):
    """`advance` for every cell: s (n, STATE_ROW), p (n, PARAMETER_ROW), control (n, 6), duration and ambient_k (n,)."""
    for i in prange(s.shape[0]):
        advance(s[i], p[i], ocv, control[i], duration[i], ambient_k[i], saved[i], result[i])
