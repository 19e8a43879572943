"""What a researcher's own slow cycle and pulses say of a cell: OCV, swing of the cathode, resistance, efficiency.

Everything works on a `History`. Charge is the cycler's counter where the files have one, else the trapezoid of the
current. Row numbers are kept, so that every figure can say which lines it is from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from host_sim.errors import InputError
from host_sim.history import History

SLOW_H = 10.0  # a slow half-cycle takes at least so long (C/10)
NEAR_V = 0.01  # an end that comes this near to the voltage window's has reached it
WHOLE_SHARE = 0.9  # the charge next to a slow discharge moves at least this share of it
STEP_S = 2.0  # a step of current that takes longer shows diffusion, not resistance (the firmware's own limit)
STEP_C = 0.05  # and the least step, of 1C
RUNAWAY_V = 0.2  # this near to the cut-off an emptying electrode looks like resistance
REST_S = 1800.0  # a voltage after so long without current is taken as rested
KNEE = 0.9  # of a slow discharge: beyond it the charge next to it has only begun
TOP_V = 0.003  # over so much at least the slope at full charge is taken
SETTLES = 0.01  # of a slow discharge: so soon (1/e) its polarisation has built up
KNOTS = 32  # points of the OCV table at most
KNOT_SHARE = 0.0007  # fewer, when straight lines between them miss the curve by less of the content than this
KNOT_SLOPE_V = 0.5  # where the curve is flatter than this over its whole content, volts count instead


@dataclass
class Half:
    """A half-cycle: rows first … last carried current in one direction; `hours` with current."""

    kind: int
    first: int
    last: int
    moved_ah: float
    hours: float
    end_v: float


@dataclass
class Ocv:
    """Rested voltage against cathode content (0 = full charge), from one slow cycle."""

    content: np.ndarray
    volts: np.ndarray
    swing_ah: float
    slow: tuple[Half, Half]  # discharge, charge
    measured_to: float  # content up to which it was measured


def net_ah(h: History) -> np.ndarray:
    """Charge passed since the first row (n,)."""
    if h.net_ah is not None:
        return h.net_ah
    step = 0.5 * (h.current_a[1:] + h.current_a[:-1]) * np.diff(h.time_s) / 3600.0
    return np.concatenate(([0.0], np.cumsum(step)))


def halves(h: History) -> list[Half]:
    """The half-cycles in order; rests, and turns that move less than 0.5 % of the largest, part none."""
    q, volts = net_ah(h), h.voltage_v.mean(axis=1)
    size = np.abs(h.current_a)
    sign = np.where(size > 1e-3 * size.max(), np.sign(h.current_a), 0.0).astype(int)
    flowing = np.flatnonzero(sign)
    if not flowing.size:
        return []
    turns = np.flatnonzero(np.diff(sign[flowing])) + 1
    runs = [[int(part[0]), int(part[-1])] for part in np.split(flowing, turns)]

    def moved(run: list[int]) -> float:
        return float(q[run[1]] - q[max(run[0] - 1, 0)])

    least = 0.005 * max(abs(moved(run)) for run in runs)
    kept: list[list[int]] = []
    for run in runs:
        if abs(moved(run)) < least:
            continue
        if kept and moved(kept[-1]) * moved(run) > 0.0:
            kept[-1][1] = run[1]
        else:
            kept.append(run)
    gone_h = np.diff(h.time_s, prepend=h.time_s[:1]) / 3600.0
    return [
        Half(
            1 if moved(run) > 0 else -1, run[0], run[1], abs(moved(run)),
            float(gone_h[run[0] : run[1] + 1][sign[run[0] : run[1] + 1] != 0].sum()), float(volts[run[1]]),
        )
        for run in kept
    ]  # fmt: skip


def slow_cycle(h: History, parts: list[Half], v_max: float, v_min: float) -> tuple[Half, Half]:
    """(discharge, charge) next to each other, both full and at most C/10. Raises InputError saying what is missing."""
    where = h.recordings[0].path
    if len(parts) < 2:
        last = h.place(len(h.time_s) - 1)
        raise InputError(
            f"{last}: here it ends, with {len(parts)} of two half-cycles; a profile needs a full slow charge and "
            "discharge"
        )
    best: tuple[float, Half, Half] | None = None
    why, slowest = f"{where}: holds no discharge", 0.0
    for k, part in enumerate(parts):
        if part.kind > 0:
            continue
        lacks, other = _next_to(parts, k, v_max, v_min)
        if other is not None and (best is None or part.hours + other.hours > best[0]):
            best = (part.hours + other.hours, part, other)
        elif lacks and part.hours > slowest:
            slowest, why = part.hours, f"{h.place(part.first)}: the discharge that begins here {lacks}"
    if best is None:
        raise InputError(f"{why}; a profile needs a full cycle at C/10 or slower")
    return best[1], best[2]


def _next_to(parts: list[Half], k: int, v_max: float, v_min: float) -> tuple[str, Half | None]:
    """What the discharge parts[k] lacks, or the slow charge next to it."""
    part, before = parts[k], parts[k - 1] if k else None
    if part.end_v < v_min - NEAR_V:
        return f"ends at {part.end_v:.3f} V, below the cut-off of {v_min:g} V (--min-v)", None
    high = max((side.end_v for side in (before, *parts[k + 1 : k + 2]) if side is not None), default=v_max)
    if high > v_max + NEAR_V:
        return f"has a charge next to it that ends at {high:.3f} V, above {v_max:g} V (--max-v)", None
    if part.hours < 0.98 * SLOW_H:
        return f"takes {part.hours:.3g} h, faster than C/10", None
    if part.end_v > v_min + NEAR_V:
        return f"ends at {part.end_v:.3f} V, not at the cut-off of {v_min:g} V (--min-v)", None
    if before is None or before.end_v < v_max - NEAR_V:
        top = "no charge comes before it" if before is None else f"the charge before it ends at {before.end_v:.3f} V"
        return f"is no full one: {top}, not at {v_max:g} V (--max-v)", None
    sides = [side for side in (before, parts[k + 1] if k + 1 < len(parts) else None) if side is not None]
    slow = [side for side in sides if side.hours >= 0.98 * SLOW_H and side.end_v >= v_max - NEAR_V]
    slow = [side for side in slow if side.moved_ah >= WHOLE_SHARE * part.moved_ah]
    if not slow:
        hours = ", ".join(f"{side.hours:.3g} h" for side in sides)
        return f"has no full charge at C/10 or slower next to it (those take {hours})", None
    return "", max(slow, key=lambda side: side.hours)


def ocv(h: History, discharge: Half, charge: Half, v_max: float, v_min: float) -> Ocv:
    """Rested voltage from both halves of a slow cycle: at one content, the currents' polarisations cancel.

    OCV = (V_c·I_d + V_d·I_c) / (I_c + I_d), exact where polarisation is ohmic. Rests after charge and discharge pin the
    two ends; from them the curve is drawn on straight to `v_max` and `v_min`.
    """
    q, volts, size = net_ah(h), h.voltage_v.mean(axis=1), np.abs(h.current_a)
    start = max(discharge.first - 1, 0)
    d = slice(discharge.first, discharge.last + 1)
    out = q[start] - q[d]  # charge taken out since full
    c = slice(charge.first, charge.last + 1)
    full_q = q[charge.last] if charge.last < discharge.first else q[discharge.last] + discharge.moved_ah
    left = full_q - q[c]
    order = np.argsort(left, kind="stable")
    high = min(float(out[-1]), float(left.max()))
    grid = np.linspace(0.0, high, 4001)
    v_d, i_d = np.interp(grid, out, volts[d]), np.interp(grid, out, size[d])
    v_c, i_c = np.interp(grid, left[order], volts[c][order]), np.interp(grid, left[order], size[c][order])
    rested = (v_c * i_d + v_d * i_c) / (i_d + i_c)
    top_v, end_v = rested_after(h, discharge.first - 1), rested_after(h, discharge.last)
    if top_v is not None and charge.last < discharge.first:
        rested += (top_v - rested[0]) * np.exp(-grid / (SETTLES * high))
    knee = grid > KNEE * high
    if end_v is not None and knee.any():
        # where a charge begins its polarisation has not settled: the discharge alone, its drop growing as voltage falls
        first = int(knee.argmax())
        share = (v_d[first] - v_d) / max(float(v_d[first] - v_d[-1]), 1e-6)
        drop = rested[first] - v_d[first] + share * (end_v - v_d[-1] - (rested[first] - v_d[first]))
        rested[knee] = (v_d + drop)[knee]
    rested = np.minimum.accumulate(rested)
    gap_v = max(v_max - float(rested[0]), 0.0)
    near = max(int(np.argmax(rested[0] - rested >= max(gap_v, TOP_V))), 3)
    full = gap_v / min(float(np.polyfit(grid[: near + 1], rested[: near + 1], 1)[0]), -1e-9)
    end_slope = (rested[-1] - rested[-40]) / (grid[-1] - grid[-40])
    empty = grid[-1] + (max(rested[-1] - v_min, 0.0) / -end_slope if end_slope < 0 else 0.0)
    swing = empty - full
    content = np.concatenate(([0.0], (grid - full) / swing, [1.0]))
    curve = np.concatenate(([max(v_max, rested[0])], rested, [min(v_min, rested[-1])]))
    return Ocv(content, curve, float(swing), (discharge, charge), 1.0)


def rested_after(h: History, row: int) -> float | None:
    """The voltage at the end of the rest of at least half an hour after (or at) `row`; None without one."""
    size = np.abs(h.current_a)
    idle = size <= 1e-3 * size.max()
    end = row + 1
    while end < len(size) and idle[end]:
        end += 1
    begin = row
    while begin > 0 and idle[begin]:
        begin -= 1
    if end - 1 <= begin or h.time_s[end - 1] - h.time_s[begin] < REST_S:
        return None
    return float(h.voltage_v[end - 1].mean())


def knots(curve: Ocv) -> tuple[list[int], list[int]]:
    """(content_ppm, uv) of a table of the measured curve."""
    return table_of(lambda at: _smooth(curve, at))


def table_of(volts_at: Callable[[np.ndarray], np.ndarray]) -> tuple[list[int], list[int]]:
    """(content_ppm, uv) of a curve: points are added where straight lines miss it most, a volt counting less where it
    is steep and so says little of the content; strictly falling."""
    fine = np.linspace(0.0, 1.0, 2001)
    volts = volts_at(fine)
    slope = np.abs(np.interp(fine + 0.005, fine, volts) - np.interp(fine - 0.005, fine, volts)) / 0.01
    weight = 1.0 / (KNOT_SLOPE_V + slope)
    at = [0, 100, 200, 1000, 1600, 1900, 2000]
    while len(at) < KNOTS:
        missed = weight * np.abs(np.interp(fine, fine[at], volts[at]) - volts)
        worst = int(missed.argmax())
        if missed[worst] < KNOT_SHARE:
            break
        at = sorted({*at, worst})
    ppm = [round(1e6 * float(fine[k])) for k in at]
    uv = [round(1e6 * float(volts[k])) for k in at]
    for k in range(1, len(uv)):
        uv[k] = min(uv[k], uv[k - 1] - 1)
    return ppm, uv


def _smooth(curve: Ocv, at: np.ndarray) -> np.ndarray:
    """Straight lines through the points near each place, over a width that narrows towards the knee."""
    out = np.interp(at, curve.content, curve.volts)
    for k, place in enumerate(at):
        width = min(0.006, 0.1 * (1.0 - place), 0.5 * place + 1e-9)
        near = slice(*np.searchsorted(curve.content, (place - width, place + width)))
        x, y = curve.content[near] - place, curve.volts[near]
        if len(x) >= 5 and width > 2e-4:
            mean = x.mean()
            slope = float(((x - mean) * y).sum() / max(((x - mean) ** 2).sum(), 1e-18))
            out[k] = float(y.mean() - slope * mean)
    return np.minimum.accumulate(out)


def steps(h: History, one_c_a: float, v_min: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, voltage before in V, ohm) of every step of current that shows resistance."""
    volts = h.voltage_v.mean(axis=1)
    step_a, step_v = np.diff(h.current_a), np.diff(volts)
    fast = (np.diff(h.time_s) <= STEP_S) & (np.abs(step_a) >= STEP_C * one_c_a)
    fast &= np.minimum(volts[1:], volts[:-1]) > v_min + RUNAWAY_V
    fast &= step_a * step_v > 0.0
    rows = np.flatnonzero(fast) + 1
    return rows, volts[rows - 1], step_v[rows - 1] / step_a[rows - 1]


def efficiencies(parts: list[Half], v_max: float, v_min: float) -> list[tuple[Half, float]]:
    """(discharge, out over in) of every discharge to the cut-off that follows a full charge from the cut-off."""
    found = []
    for before, charge, discharge in zip(parts, parts[1:], parts[2:], strict=False):
        ends = before.end_v <= v_min + NEAR_V and discharge.end_v <= v_min + NEAR_V
        if before.kind < 0 < charge.kind and discharge.kind < 0 and ends and charge.end_v >= v_max - NEAR_V:
            found.append((discharge, discharge.moved_ah / charge.moved_ah))
    return found
