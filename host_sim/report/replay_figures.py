"""The pictures of a replay: efficiency and capacity, voltage and dQ/dV, where the lithium is, and what is foreseen.

Each takes the player's rows of one cell and returns a matplotlib figure.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from host_sim.report.life_figures import STORES, beside, stack

INK, GRID = "#001f3f", "#eceff2"
CURVES = ("#56B4E9", "#0072B2", "#001f3f")


def column(rows: list[dict], name: str) -> np.ndarray:
    """One column (n,); NaN where it is not known."""
    return np.array([math.nan if row.get(name) is None else row[name] for row in rows], dtype=float)


def cycles(rows: list[dict]) -> np.ndarray:
    """Cycle numbers (n,): the file's where each is there once, else 1 … n."""
    numbers = column(rows, "cycle")
    return numbers if len(np.unique(numbers)) == len(numbers) else np.arange(1.0, len(rows) + 1)


def fade(rows: list[dict]) -> Figure:
    """CE (zoomed) over delivered and estimated capacity, against cycle; pulses and rests as marks at the foot."""
    x = cycles(rows)
    figure = Figure(figsize=(10.5, 7.0))
    ce, capacity, marks = figure.subplots(3, 1, sharex=True, height_ratios=(3, 4, 0.5))
    figure.subplots_adjust(left=0.09, right=0.95, bottom=0.08, top=0.98, hspace=0.07)
    charge, discharge = column(rows, "charge_mah"), column(rows, "discharge_mah")
    ratio = 100.0 * discharge / np.where(charge > 0.0, charge, math.nan)
    lithium = 100.0 * column(rows, "ce_li")
    ce.plot(x, ratio, ".-", color=INK, lw=1, ms=3, label="this cycle")
    ce.plot(x, lithium, "-", color="#D55E00", lw=1.2, label="of the lithium, estimated")
    shown = [part[np.isfinite(part)] for part in (ratio[1:], lithium)]  # the first charge fills what formation takes
    if any(map(len, shown)):
        ends = np.array([np.percentile(part, (2, 98)) for part in shown if len(part)])
        low, high = ends[:, 0].min(), ends[:, 1].max()
        margin = max(0.3, 0.1 * (high - low))
        ce.set_ylim(low - margin, high + margin)
    ce.axhline(100.0, color="#9aa5b1", lw=0.8)
    ce.set_ylabel("CE = Q_dis / Q_chg (%)\nof the cell, zoomed")
    ce.legend(frameon=False, fontsize=9)
    estimate, sigma = column(rows, "capacity_mah"), column(rows, "capacity_sigma_mah")
    capacity.fill_between(x, estimate - sigma, estimate + sigma, color="#56B4E9", alpha=0.35, lw=0, label="± 1 σ")
    capacity.plot(x, estimate, "-", color="#0072B2", lw=1.2, label="of a full discharge, estimated")
    capacity.plot(x, discharge, ".-", color=INK, lw=1, ms=3, label="delivered")
    capacity.set_ylim(bottom=0)
    capacity.set_ylabel("capacity (mAh)")
    capacity.legend(frameon=False, fontsize=9, ncols=3)
    for name, marker in (("pulse_mah", "|"), ("rest_after_h", "o")):
        at = x[column(rows, name) > (0.0 if name == "pulse_mah" else 4.0)]
        marks.plot(at, np.zeros(len(at)), marker, color=INK, ms=9 if marker == "|" else 4)
    marks.set_yticks([])
    marks.set_xlabel("cycle   (marks:  | pulse   ● discharged rest of more than 4 h)")
    for axes in (ce, capacity):
        axes.grid(color=GRID)
    return figure


def voltage(curves: dict[int, dict[str, list[tuple[float, float]]]]) -> Figure:
    """Left voltage against charge, right dQ/dV, of the first, middle and last cycle; charge solid, discharge dashed."""
    numbers = sorted(curves)
    keep = sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]}) if numbers else []
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, colour in zip(keep, CURVES, strict=False):
        for kind, style in (("charge", "-"), ("discharge", "--")):
            points = np.array(curves[number].get(kind, []))
            if len(points) < 2:
                continue
            label = f"no. {number}" if kind == "charge" or not curves[number].get("charge") else None
            left.plot(points[:, 0], points[:, 1], style, color=colour, lw=1.2, label=label)
            volts, slope = incremental(points)
            right.plot(volts, slope if kind == "charge" else -slope, style, color=colour, lw=1.0)
    left.set_xlabel("charge passed in the half-cycle (mAh)")
    left.set_ylabel("terminal voltage (V)")
    right.set_xlabel("terminal voltage (V)")
    right.set_ylabel("dQ/dV (mAh/V); discharge below")
    if keep:
        left.legend(frameon=False, fontsize=8, loc="lower center")
    for axes in (left, right):
        axes.grid(color=GRID)
    return figure


def incremental(points: np.ndarray, step_v: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """(volts, dQ/dV in mAh/V) of a half-cycle's (mAh, V) points, over steps of `step_v`; held voltages are left out."""
    volts, mah = points[:, 1], points[:, 0]
    order = np.argsort(volts, kind="stable")
    low, high = float(volts.min()), float(volts.max())
    if high - low < 3 * step_v:
        return np.empty(0), np.empty(0)
    edges = np.arange(low, high, step_v)
    charge = np.interp(edges, volts[order], mah[order])
    return 0.5 * (edges[1:] + edges[:-1]), np.abs(np.diff(charge)) / step_v


def inventory(rows: list[dict]) -> Figure:
    """Lithium by store at each end of discharge as estimated, ± 1 σ of the loss; a simulated cell's truth dashed."""
    x = cycles(rows)
    figure = Figure(figsize=(10.5, 4.6))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.11, top=0.88)
    layers = [column(rows, f"{store}_mah") for store, _, _ in STORES]
    stack(axes, x, layers)
    beside(
        axes, x, layers, column(rows, "loss_sigma_mah"), column(rows, "true_isolated_mah"), column(rows, "true_sei_mah")
    )
    axes.margins(x=0)
    axes.set_xlabel("cycle")
    axes.set_ylabel("lithium (mAh)")
    figure.legend(*axes.get_legend_handles_labels(), loc="upper center", ncols=6, frameon=False, fontsize=9)
    return figure


def outlook(rows: list[dict]) -> Figure:
    """State of health, and the cycles until the reservoir is spent with ± 1 σ, as foreseen at each cycle."""
    x = cycles(rows)
    figure = Figure(figsize=(10.5, 4.6))
    health, left = figure.subplots(2, 1, sharex=True)
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.12, top=0.97, hspace=0.1)
    health.plot(x, 100.0 * column(rows, "soh"), ".-", color="#009E73", lw=1.2, ms=3)
    health.set_ylabel("SOH (%)")
    cycles_left, sigma = column(rows, "cycles_left"), column(rows, "cycles_left_sigma")
    low = np.maximum(cycles_left - sigma, 0.0)
    left.fill_between(x, low, cycles_left + sigma, color="#56B4E9", alpha=0.4, lw=0, label="± 1 σ")
    left.plot(x, cycles_left, ".-", color="#0072B2", lw=1.2, ms=3, label="until the reservoir is spent")
    left.plot(x, column(rows, "cycles_to_80"), "-", color=INK, lw=1.0, label="until 80 % of the profile's capacity")
    finite = np.concatenate((cycles_left, column(rows, "cycles_to_80")))
    if np.isfinite(finite).any():
        left.set_ylim(0, max(10.0, 1.3 * float(np.nanpercentile(finite, 90))))
    left.set_ylabel("cycles left")
    left.set_xlabel("cycle")
    left.legend(frameon=False, fontsize=9)
    for axes in (health, left):
        axes.grid(color=GRID)
    return figure
