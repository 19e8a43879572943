"""Terminal voltage of one cell: surface OCV, ohmic, Butler–Volmer of both electrodes, concentration. V, mA cm-2."""

import math

from numba import njit

from host_sim.cell.layout import DEAD, FULL, GAPS, P, S

GAS = 8.314462618  # J mol-1 K-1
FARADAY = 96485.33212  # C mol-1
T_REF = 298.15  # K


@njit(cache=True, forceinline=True)
def open_circuit(ocv, x):
    """Cathode OCV in V, linear between the table's uniform points; x outside 0…1 is its end."""
    u = (min(x, 1.0) if x > 0.0 else 0.0) * (ocv.size - 1)  # so written, NaN stays inside the table
    i = min(int(u), ocv.size - 2)
    return ocv[i] + (u - i) * (ocv[i + 1] - ocv[i])


@njit(cache=True, forceinline=True)
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


@njit(cache=True, forceinline=True)
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
    filling = cathode / s[S.sites] + surface
    filling = min(filling, 1.0 - FULL) if filling > FULL else FULL
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


@njit(cache=True, forceinline=True)
def relax(value, target, dt_over_tau):
    """First-order approach to a constant target, exact."""
    return target + (value - target) * math.exp(-dt_over_tau)
