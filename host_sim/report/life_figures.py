"""The pictures of a life test. Each takes the lives in order and returns a matplotlib figure.

Cycle columns are described in `host_sim.life.COLUMNS`; a life's `curves` hold voltage against charge of single cycles.
"""

from __future__ import annotations

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib.figure import Figure

# colour-blind safe (Okabe and Ito)
COLOURS = {"none": "#000000", "pulse": "#D55E00", "rest": "#0072B2", "both": "#CC79A7", "adaptive": "#009E73"}
STORES = (
    ("cathode", "cathode", "#9aa5b1"),
    ("active", "active metal", "#56B4E9"),
    ("isolated", "isolated metal", "#D55E00"),
    ("sei", "SEI", "#E9C46A"),
)


def fade(lives) -> Figure:
    """CE (zoomed) over delivered capacity, against cycle, one line per policy; pulses and rests as marks at the
    foot."""
    figure = Figure(figsize=(10.5, 7.5))
    ce, capacity, marks = figure.subplots(3, 1, sharex=True, height_ratios=(3, 4, 0.9))
    figure.subplots_adjust(left=0.09, right=0.95, bottom=0.07, top=0.98, hspace=0.07)
    shown = []
    for life in lives:
        rows, colour = life.rows, COLOURS[life.policy]
        cycle = np.array(rows["cycle"])
        ratio = 100.0 * np.array(rows["discharge_mah"]) / np.maximum(rows["charge_mah"], 1e-9)
        ce.plot(cycle, ratio, ".-", color=colour, lw=1, ms=3, label=life.policy)
        shown.append(ratio[1:])
        capacity.plot(cycle, rows["capacity_mah"], ".-", color=colour, lw=1.3, ms=3, label=life.policy)
        if life.results["cycles_to_80"] is not None:
            capacity.axvline(life.results["cycles_to_80"], color=colour, lw=0.8, ls=":")
    everything = np.concatenate(shown) if shown and any(len(s) for s in shown) else np.array([100.0])
    low, high = np.percentile(everything, (1, 99))
    margin = max(0.3, 0.1 * (high - low))
    ce.set_ylim(low - margin, high + margin)
    ce.axhline(100.0, color="#9aa5b1", lw=0.8)
    ce.set_ylabel("CE = Q_dis / Q_chg (%)\nof the cell, zoomed")
    initial = lives[0].results["initial_mah"] if lives else 1.0
    for share in (0.98, 0.80):
        capacity.axhline(share * initial, color="#9aa5b1", lw=0.8)
        capacity.annotate(
            f"{share:.0%}", (1.005, share * initial), xycoords=("axes fraction", "data"), fontsize=8, va="center"
        )
    capacity.set_ylim(bottom=0)
    capacity.set_ylabel("delivered capacity (mAh)")
    capacity.legend(frameon=False, ncols=len(lives))
    for k, life in enumerate(lives):
        _marks(marks, life, y=-k, size=14, colour=COLOURS[life.policy])
    marks.set_yticks([-k for k in range(len(lives))], [life.policy for life in lives], fontsize=8)
    marks.set_ylim(-len(lives) + 0.4, 0.6)
    marks.set_xlabel("cycle   (marks:  | pulse   ● discharged rest)")
    for axes in (ce, capacity):
        axes.grid(color="#eceff2")
    return figure


def voltage(lives) -> Figure:
    """Voltage against charge of the first, middle and last cycle, one panel per policy; charge solid, discharge
    dashed."""
    figure = Figure(figsize=(10.5, 3.1 * max(1, (len(lives) + 1) // 2)), layout="constrained")
    panels = np.atleast_1d(figure.subplots((len(lives) + 1) // 2, min(2, len(lives)), sharex=True, sharey=True)).ravel()
    for axes, life in zip(panels, lives, strict=False):
        for (cycle, parts), colour in zip(life.curves.items(), ("#56B4E9", "#0072B2", "#001f3f"), strict=False):
            for kind, style in (("charge", "-"), ("discharge", "--")):
                points = np.array(parts[kind])
                if len(points):
                    axes.plot(
                        points[:, 0],
                        points[:, 1],
                        style,
                        color=colour,
                        lw=1.2,
                        label=f"cycle {cycle}" if kind == "charge" else None,
                    )
        axes.set_title(life.policy, fontsize=10)
        axes.grid(color="#eceff2")
        axes.legend(frameon=False, fontsize=8)
    for axes in panels[len(lives) :]:
        axes.remove()
    figure.supxlabel("charge passed in the half-cycle (mAh)", fontsize=10)
    figure.supylabel("terminal voltage (V)", fontsize=10)
    return figure


def inventory(lives) -> Figure:
    """Lithium by store at each end of discharge: the truth on the left, the firmware's estimate on the right.

    The band is ± 1 sigma of the estimated loss (isolated metal and SEI together), about its lower edge in the stack;
    dashed beside it the truth of the same two edges.
    """
    n = max(1, len(lives))
    figure = Figure(figsize=(10.5, 2.5 * n + 0.9))
    panels = figure.subplots(n, 2, sharey=True, sharex=True, squeeze=False)
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.5 / (2.5 * n + 0.9), top=1 - 0.75 / (2.5 * n + 0.9))
    figure.subplots_adjust(hspace=0.28, wspace=0.04)
    for (left, right), life in zip(panels, lives, strict=True):
        cycle = np.array(life.rows["cycle"])
        rows = {name: np.array(values, dtype=float) for name, values in life.rows.items()}
        true, estimated = ([rows[f"{who}_{store}_mah"] for store, _, _ in STORES] for who in ("true", "estimated"))
        stack(left, cycle, true)
        stack(right, cycle, estimated)
        beside(right, cycle, estimated, rows["estimated_loss_sigma_mah"], true[2], true[3])
        for axes, who in ((left, "true (simulated cell)"), (right, "firmware's estimate")):
            axes.set_title(f"{life.policy}: {who}", fontsize=10)
            axes.margins(x=0)
            _marks(axes, life, y=0.05, size=9, colour="#ffffff", transform=axes.get_xaxis_transform())
        left.set_ylabel("lithium (mAh)")
    figure.legend(*panels[0, 1].get_legend_handles_labels(), loc="upper center", ncols=6, frameon=False, fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("cycle   (white marks at the foot:  | pulse   ● rest)")
    return figure


def stack(axes, x, layers) -> None:
    """The stores on top of each other, in the order of STORES."""
    axes.stackplot(x, layers, colors=[c for _, _, c in STORES], labels=[text for _, text, _ in STORES], lw=0)


def beside(axes, x, layers, loss_sigma, true_isolated, true_sei) -> None:
    """What belongs beside a stack that is an estimate: ± 1 sigma of the loss, and where truth is known (not all NaN)
    where the edges of the isolated lithium and of the SEI would be."""
    edge, total = layers[0] + layers[1], sum(layers)
    axes.fill_between(
        x, edge - loss_sigma, edge + loss_sigma, color="#000000", alpha=0.3, lw=0, label="± 1 σ of the loss"
    )
    if np.isfinite(true_sei).any():
        axes.plot(x, total - true_isolated - true_sei, "--", color="#000000", lw=1.2, label="truth (simulated cell)")
        axes.plot(x, total - true_sei, "--", color="#000000", lw=0.8)


def _marks(axes, life, y: float, size: float, colour: str, transform=None) -> None:
    """`|` at cycles with a pulse, a dot at those with a rest."""
    cycle = np.array(life.rows["cycle"])
    options = {} if transform is None else {"transform": transform}
    for name, marker, share in (("pulses", "|", 0.6), ("rest_h", "o", 0.25)):
        at = cycle[np.array(life.rows[name]) > 0]
        axes.plot(at, np.full(len(at), y), marker, color=colour, ms=size * share, **options)
