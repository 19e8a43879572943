"""The one kernel: `advance` moves one cell's state row under one control, alone or in a batch.

Everything is scalar arithmetic on that cell's row, so a cell alone and the same cell in a batch give the same bits
(no fast-math, nothing summed across cells). What a sub-step does to lithium stands in lithium.py, the voltage in
voltage.py; what every sub-step runs through is inlined by force, a fifth faster. Units: mAh cm-2, mA cm-2, V, K, s.
"""

import math

from numba import njit

from host_sim.cell.layout import (
    CATHODE_EMPTY,
    CATHODE_FULL,
    CURRENT,
    DEPLETED,
    FULL,
    I_MIN,
    NONE,
    STATE_ROW,
    V_MAX,
    V_MIN,
    VOLTAGE,
    P,
    S,
)  # fmt: skip
from host_sim.cell.lithium import idle, isolated_share, plate, strip
from host_sim.cell.voltage import GAS, T_REF, conditions, open_circuit, relax, voltage_after

LEAST_S = 1e-6  # a sub-step shorter than this is an event
LEAST_HELD_S = 1e-3  # the same where voltage or power is held: the current falls with what it empties, without end


@njit(cache=True, forceinline=True)
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
    resist = math.exp(-p[P.transport_kj_mol] * warm)
    fresh = s[S.fresh]
    cathode = s[S.cathode]
    if j <= 0.0:
        s[S.above_s] = max(0.0, s[S.above_s] - seconds)  # a pause lets salt return
    if j > 0.0:
        plate(s, p, j, hours, warm)
    elif j < 0.0:
        strip(s, p, -j, hours, warm, math.exp(p[P.kinetic_kj_mol] * warm))
    elif s[S.onset] != 0.0:
        s[S.onset] *= math.exp(-seconds / p[P.onset_s])
    idle(s, p, 0.5 * (fresh + s[S.fresh]), 0.5 * (cathode + s[S.cathode]), hours, warm)
    if j != 0.0 or s[S.surface] != 0.0:
        s[S.surface] = relax(s[S.surface], -p[P.solid_offset_per_ma] * resist * j, seconds / p[P.solid_tau_s])
    if j != 0.0 or s[S.electrolyte_v] != 0.0:
        target = 1e-3 * p[P.electrolyte_ohm_cm2] * resist * j
        s[S.electrolyte_v] = relax(s[S.electrolyte_v], target, seconds / p[P.electrolyte_tau_s])
    s[S.temperature_k] = after_k


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


@njit(cache=True, forceinline=True)
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


@njit(cache=True, forceinline=True)
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
        if end != NONE and h < (LEAST_S if constant else LEAST_HELD_S):
            event = end
            break
        h = min(h, left)
        if not constant:
            h = min(h, 60.0)
            if control[0] == VOLTAGE:  # implicit midpoint: the current that holds the voltage half-way
                j, _ = demanded(s, p, ocv, cond, control, leak, 0.5 * h)
        for i in range(STATE_ROW):
            saved[i] = s[i]
        sub_step(s, p, ocv, j, v, h, ambient_k)
        f = past_event(s, p, ocv, control, j, leak, constant)
        if f >= 0.0:
            h = locate(s, p, ocv, control, j, v, leak, constant, h, f, ambient_k, saved)
        elapsed += h
    result[0] = elapsed
    result[1] = event


@njit(cache=True, forceinline=True)
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
def locate(s, p, ocv, control, j, v, leak, constant, h, f_high, ambient_k, saved):
    """Seconds until the first event inside a sub-step of h s from `saved` that ended f_high behind it: false position,
    bisection where that stalls. The state ends on the event's far side, so that asking again reports it at once."""
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
        f = attempt(s, p, ocv, control, j, v, leak, constant, t, ambient_k, saved)
        if f >= 0.0:
            high, f_high = t, f
            side = max(side, 0) + 1
        else:
            low, f_low = t, f
            side = min(side, 0) - 1
    attempt(s, p, ocv, control, j, v, leak, constant, high, ambient_k, saved)
    return high


@njit(cache=True)
def attempt(s, p, ocv, control, j, v, leak, constant, h, ambient_k, saved):
    """One sub-step of h s from `saved`; how far the state is then past the nearest event."""
    for i in range(STATE_ROW):
        s[i] = saved[i]
    sub_step(s, p, ocv, j, v, h, ambient_k)
    return past_event(s, p, ocv, control, j, leak, constant)
