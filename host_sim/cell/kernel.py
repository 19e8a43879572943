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
    POWER,
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
def voltage_after(s, p, ocv, j, seconds):
    """Terminal voltage in V under internal current j, held for `seconds` from state s (0: at once)."""
    kelvin = s[S.temperature_k]
    warm = (1.0 / T_REF - 1.0 / kelvin) * 1000.0 / GAS
    resist = math.exp(-p[P.transport_kj_mol] * warm)
    kinetic = math.exp(p[P.kinetic_kj_mol] * warm)
    cathode = s[S.cathode]
    active = s[S.active]
    surface = s[S.surface]
    electrolyte = s[S.electrolyte_v]
    if seconds > 0.0:
        cathode -= j * seconds / 3600.0
        active += j * seconds / 3600.0
        surface = relax(surface, -p[P.solid_offset_per_ma] * resist * j, seconds / p[P.solid_tau_s])
        electrolyte = relax(electrolyte, 1e-3 * p[P.electrolyte_ohm_cm2] * resist * j, seconds / p[P.electrolyte_tau_s])
    if p[P.salt_mah_cm2] > 0.0:
        resist *= p[P.salt_mah_cm2] / max(s[S.salt], 1e-6 * p[P.salt_mah_cm2])
    dead = s[S.sei]
    for k in range(GAPS + 1):
        dead += s[DEAD + k]
    filling = min(max(cathode / s[S.sites] + surface, FULL), 1.0 - FULL)
    supply = 1.0
    if j < 0.0:
        supply = max(1.0 + j / max(p[P.anode_supply_per_h] * active, 1e-30), 1e-30)
    thermal_v = 2.0 * GAS * kelvin / FARADAY
    anode = thermal_v * math.asinh(j / (2.0 * p[P.i0_anode_ma_cm2] * kinetic * supply))
    i0 = 4.0 * p[P.i0_cathode_ma_cm2] * kinetic * math.sqrt(filling * (1.0 - filling))
    rest = open_circuit(ocv, filling) - 1e-3 * p[P.voltage_decay_mv] * s[S.throughput]
    ohmic = 1e-3 * j * resist * (p[P.ohmic_ohm_cm2] + p[P.dead_layer_ohm_cm2_per_mah] * dead)
    return rest + ohmic + anode + thermal_v * math.asinh(j / i0) + electrolyte


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
def isolated_share(p, j, roughness, depth, warm):
    """Share isolated of the metal that leaves the deposit at stripping current j (physics: Moh25, Abd24, Zhang25)."""
    slow = p[P.isolation_slow] * math.exp(p[P.self_diffusion_kj_mol] * warm)
    if p[P.isolation_law] == 0.0:
        slow *= math.exp(-j / p[P.isolation_slow_ma_cm2])
        fast = p[P.isolation_fast] * (j / 5.0) ** p[P.isolation_fast_exponent]
    else:
        slow /= 1.0 + j / p[P.isolation_slow_ma_cm2]
        fast = p[P.isolation_fast] * max(0.0, j - p[P.isolation_ramp_ma_cm2]) / (5.0 - p[P.isolation_ramp_ma_cm2])
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
        lost = closed * corroded
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
    add(s, S.active, -isolated)
    s[DEAD + GAPS] += isolated
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
    if j > p[P.sand_ma_cm2]:
        rough *= j / p[P.sand_ma_cm2]
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
def idle(s, p, hours, warm):
    """What time alone does: corrosion, dissolving of residual SEI, the mediator."""
    if s[S.fresh] > 0.0 and p[P.corrosion_per_h] > 0.0:
        charged = 1.0 + p[P.corrosion_charged] * (1.0 - s[S.cathode] / s[S.sites])
        rate = p[P.corrosion_per_h] * math.exp(p[P.corrosion_kj_mol] * warm) * charged
        if p[P.corrosion_exponent] == 1.0:
            lost = -s[S.fresh] * math.expm1(-rate * hours)
        else:  # d fresh/dt = -rate * fresh**n, exact
            n = 1.0 - p[P.corrosion_exponent]
            lost = s[S.fresh] - max(s[S.fresh] ** n - n * rate * hours, 0.0) ** (1.0 / n)
        lost = min(max(lost, 0.0), s[S.active])
        move(s, S.active, S.sei, lost)
        take_fresh(s, lost)
        s[S.total_corroded] += lost
    bare_anode = max(0.0, 1.0 - s[S.active] / p[P.stripped_mah_cm2])
    if s[S.deposit] > 0.0:
        bare_anode = max(bare_anode, p[P.local_stripping] * max(0.0, 1.0 - s[S.fresh] / s[S.deposit]))
    freeing = 0.0
    if bare_anode > 0.0:
        later = s[S.bare_h] + bare_anode * hours
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
    if p[P.mediator_discharge_per_h] > 0.0:
        back = -s[S.active] * math.expm1(-p[P.mediator_discharge_per_h] * hours)
        back = min(back, max(s[S.sites] * (1.0 - FULL) - s[S.cathode], 0.0))
        move(s, S.active, S.cathode, back)
        take_fresh(s, back)


@njit(cache=True)
def sub_step(s, p, ocv, j, seconds, ambient_k):
    """Advance every equation by `seconds` at constant internal current j (positive charges)."""
    hours = seconds / 3600.0
    kelvin = s[S.temperature_k]
    over_v = voltage_after(s, p, ocv, j, 0.0) - open_circuit(ocv, s[S.cathode] / s[S.sites])
    heat_w = 1e-3 * (j * over_v + 1e-3 * j * kelvin * p[P.entropic_mv_k]) if j != 0.0 else 0.0
    if p[P.heat_transfer_w_k_cm2] > 0.0:
        tau = p[P.heat_capacity_j_k_cm2] / p[P.heat_transfer_w_k_cm2]
        target = ambient_k + heat_w / p[P.heat_transfer_w_k_cm2]
        after_k = relax(kelvin, target, seconds / tau) if target != kelvin else kelvin
    else:
        after_k = kelvin + heat_w * seconds / p[P.heat_capacity_j_k_cm2]
    warm = (1.0 / T_REF - 2.0 / (kelvin + after_k)) * 1000.0 / GAS
    kinetic = math.exp(p[P.kinetic_kj_mol] * warm)
    resist = math.exp(-p[P.transport_kj_mol] * warm)
    if j > 0.0:
        plate(s, p, j, hours, warm)
    elif j < 0.0:
        strip(s, p, -j, hours, warm, kinetic)
    elif s[S.onset] != 0.0:
        s[S.onset] *= math.exp(-seconds / p[P.onset_s])
    idle(s, p, hours, warm)
    if j != 0.0 or s[S.surface] != 0.0:
        s[S.surface] = relax(s[S.surface], -p[P.solid_offset_per_ma] * resist * j, seconds / p[P.solid_tau_s])
    if j != 0.0 or s[S.electrolyte_v] != 0.0:
        target = 1e-3 * p[P.electrolyte_ohm_cm2] * resist * j
        s[S.electrolyte_v] = relax(s[S.electrolyte_v], target, seconds / p[P.electrolyte_tau_s])
    s[S.temperature_k] = after_k


# -- control -----------------------------------------------------------------------------------------------------
@njit(cache=True)
def demand(s, p, ocv, kind, j, seconds):
    """What the control holds: terminal voltage (V), or power (mW cm-2), that j gives after `seconds`."""
    v = voltage_after(s, p, ocv, j, seconds)
    return v if kind == VOLTAGE else j * v


@njit(cache=True)
def solve_current(s, p, ocv, kind, value, i_max, seconds):
    """Internal current in mA cm-2 with which `demand` meets `value` after `seconds`; at most i_max either way, and not
    beyond the lithium supply. Demand grows with j (for power: on the side of low current)."""
    low = -min(
        i_max, 0.999999 * p[P.anode_supply_per_h] * s[S.active] / (1.0 + p[P.anode_supply_per_h] * seconds / 3600.0)
    )
    high = min(i_max, 0.5 * s[S.cathode] * 3600.0 / max(seconds, 1e-3))
    if kind == POWER:
        low, high = (0.0, high) if value > 0.0 else (low, 0.0)
    f_low = demand(s, p, ocv, kind, low, seconds) - value
    f_high = demand(s, p, ocv, kind, high, seconds) - value
    if f_low >= 0.0:
        return low
    if f_high <= 0.0:
        return high
    # begin from where it was: a narrow bracket most of the time
    for _ in range(60):
        j = (low * f_high - high * f_low) / (f_high - f_low)
        if not low < j < high:
            j = 0.5 * (low + high)
        f = demand(s, p, ocv, kind, j, seconds) - value
        if abs(f) < 1e-10 or high - low < 1e-12:
            return j
        if f < 0.0:
            low, f_low = j, f
            f_high *= 0.5
        else:
            high, f_high = j, f
            f_low *= 0.5
        if f_low == 0.0 or f_high == 0.0:
            return j
    return j


@njit(cache=True)
def longest_sub_step(s, p, j):
    """Seconds for which one sub-step at j is accurate, and how it ends if a store gives out first (event code)."""
    if j == 0.0:
        return p[P.sub_step_s], NONE
    longest = min(p[P.sub_step_s], 3600.0 * p[P.sub_step_mah_cm2] / abs(j))
    if j < 0.0:
        share = isolated_share(p, -j, max(s[S.roughness], 1.0), s[S.deposit], 0.0)
        supply = (s[S.active] + j / p[P.anode_supply_per_h]) * (1.0 - share) * 3600.0 / -j
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
def crossed(v, j, v_min, v_max):
    if j <= 0.0 and v <= v_min:
        return V_MIN
    if j >= 0.0 and v >= v_max:
        return V_MAX
    return NONE


@njit(cache=True)
def advance(s, p, ocv, control, duration, ambient_k, saved, result):
    """Move one cell for `duration` s at most; stops at an event, located inside the step.

    s: state row, changed in place. p: parameter row. ocv: table in V. control: kind, value (mA cm-2, V or mW cm-2),
    v_min, v_max, i_max, i_stop (mA cm-2). saved: scratch row. result: elapsed s, event code; both written.
    """
    kind = int(control[0])
    v_min = control[2]
    v_max = control[3]
    elapsed = 0.0
    event = NONE
    while event == NONE:
        leak = 1e3 * p[P.short_s_cm2] * s[S.voltage]
        if kind == CURRENT:
            j = control[1] - leak
            limited = False
        else:
            j = solve_current(s, p, ocv, kind, control[1], control[4] + abs(leak), 0.0)
            limited = abs(j) >= control[4] + abs(leak)
        v = voltage_after(s, p, ocv, j, 0.0)
        s[S.current] = j + leak
        s[S.voltage] = v
        # events at once
        event = crossed(v, s[S.current], v_min, v_max)
        if event != NONE:
            break
        if kind == VOLTAGE and abs(j + leak) <= control[5]:
            event = I_MIN
            break
        left = duration - elapsed
        if left <= 0.0:
            break
        h, end = longest_sub_step(s, p, j)
        if h < LEAST_S and end != NONE:
            event = end
            break
        h = min(h, left)
        if kind != CURRENT and not limited:
            h = min(h, 60.0)
            j = solve_current(s, p, ocv, kind, control[1], control[4] + abs(leak), 0.5 * h)
        for i in range(STATE_ROW):
            saved[i] = s[i]
        elapsed += attempt(s, p, ocv, control, kind, j, leak, limited, h, ambient_k, saved)
    result[0] = elapsed
    result[1] = event


@njit(cache=True)
def past_event(s, p, ocv, control, kind, j, leak, limited):
    """How far the state is past the nearest event in V (or mA cm-2): positive means an event lies behind."""
    if kind == VOLTAGE and not limited:
        return control[5] - abs(solve_current(s, p, ocv, kind, control[1], control[4] + abs(leak), 0.0) + leak)
    v = voltage_after(s, p, ocv, j, 0.0)
    past = -1.0
    if j + leak <= 0.0:
        past = control[2] - v
    if j + leak >= 0.0:
        past = max(past, v - control[3])
    if limited and kind == VOLTAGE:
        past = max(past, v - control[1] if j > 0.0 else control[1] - v)
    return past


@njit(cache=True)
def attempt(s, p, ocv, control, kind, j, leak, limited, h, ambient_k, saved):
    """One sub-step of h s, cut at the first event inside it; returns the seconds that passed."""
    sub_step(s, p, ocv, j, h, ambient_k)
    f_high = past_event(s, p, ocv, control, kind, j, leak, limited)
    if f_high < 0.0:
        return h
    low = 0.0
    high = h
    f_low = past_event(saved, p, ocv, control, kind, j, leak, limited)
    side = 0
    for _ in range(60):
        if high - low < 1e-9 * h or f_high < 1e-9:
            break
        t = low - f_low * (high - low) / (f_high - f_low) if f_low < 0.0 else 0.5 * (low + high)
        if not low < t < high or side > 2 or side < -2:
            t = 0.5 * (low + high)
            side = 0
        for i in range(STATE_ROW):
            s[i] = saved[i]
        sub_step(s, p, ocv, j, t, ambient_k)
        f = past_event(s, p, ocv, control, kind, j, leak, limited)
        if f >= 0.0:
            high, f_high = t, f
            side = max(side, 0) + 1
        else:
            low, f_low = t, f
            side = min(side, 0) - 1
    for i in range(STATE_ROW):
        s[i] = saved[i]
    sub_step(s, p, ocv, j, high, ambient_k)
    return high


@njit(cache=True, parallel=True)
def advance_batch(s, p, ocv, control, duration, ambient_k, saved, result):
    """`advance` for every cell: s (n, STATE_ROW), p (n, PARAMETER_ROW), control (n, 6), duration and ambient_k (n,)."""
    for i in prange(s.shape[0]):
        advance(s[i], p[i], ocv, control[i], duration[i], ambient_k[i], saved[i], result[i])
