"""Does a profile fit the simulated cell that it is to run on? Tried on a cell of its own: slowly full, slowly empty."""

from __future__ import annotations

import numpy as np

from host_sim.cell import Cell, Control

RATE_C = 0.05
POINTS = 100
CAPACITY_SHARE = 0.15  # the shipped profile is within 1.1 % of its cell
OCV_V = 0.05  # and within 0.02 V between a twentieth and nine tenths of its discharge
BETWEEN = (0.05, 0.90)


def misfit(profile, parameters, area_cm2: float) -> list[str]:
    """What of the profile is another cell's, a sentence each: capacity, open-circuit voltage. 25 °C, a new cell."""
    cell = Cell(parameters, area_cm2, 25.0)
    one_c_a, nominal_mah = profile.one_c_ua * 1e-6, profile.nominal_capacity_uah * 1e-3
    v_min, v_max = profile.min_uv * 1e-6, profile.max_uv * 1e-6
    step_s = 3600.0 * nominal_mah * 1e-3 / (RATE_C * one_c_a * POINTS)
    for _ in range(20 * POINTS):
        if cell.advance(Control.current(RATE_C * one_c_a, v_max=v_max), step_s).event is not None:
            break
    full_mah_cm2 = cell.cathode_mah_cm2
    moved_mah, volts = [0.0], [cell.voltage_v]
    for _ in range(20 * POINTS):
        ended = cell.advance(Control.current(-RATE_C * one_c_a, v_min=v_min), step_s).event is not None
        moved_mah.append((cell.cathode_mah_cm2 - full_mah_cm2) * area_cm2)
        volts.append(cell.voltage_v)
        if ended:
            break
    delivered_mah = moved_mah[-1]
    found = []
    if abs(delivered_mah - nominal_mah) > CAPACITY_SHARE * nominal_mah:
        found.append(
            f"the profile is of a cell of {nominal_mah:.4g} mAh, the simulated one delivers {delivered_mah:.4g} mAh "
            f"between {v_min:g} and {v_max:g} V"
        )
    share = np.array(moved_mah) / max(delivered_mah, 1e-9)
    content = np.array(profile.ocv_content_ppm, dtype=float)
    apart = np.array(volts) - np.interp(share, content / content[-1], np.array(profile.ocv_uv) * 1e-6)
    inside = (share > BETWEEN[0]) & (share < BETWEEN[1])
    if inside.any() and np.abs(apart[inside]).max() > OCV_V:
        k = int(np.abs(np.where(inside, apart, 0.0)).argmax())
        found.append(
            f"the profile's open-circuit voltage is of another cathode: {volts[k] - apart[k]:.2f} V where the "
            f"simulated cell is at {volts[k]:.2f} V, {share[k]:.0%} discharged"
        )
    return found
