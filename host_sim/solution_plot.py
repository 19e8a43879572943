"""The plots people expect of a life: efficiency, capacity, inventory, curves, dQ/dV."""

from pathlib import Path

import numpy as np

STORE_COLOURS = {"Active": "#4c78a8", "Isolated": "#e45756", "SEI": "#9d755d"}


def plot(solution, path=None):
    """Figure of six panels; with a path it is written there and closed."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(15, 8.5), layout="constrained")
    summary = solution.summary
    cycle = summary["Cycle number"]
    _efficiency(axes[0, 0], cycle, summary)
    _capacity(axes[0, 1], cycle, summary)
    _inventory(axes[0, 2], cycle, summary)
    _curves(axes[1, 0], axes[1, 1], solution)
    _voltage(axes[1, 2], solution)
    about = solution.about
    figure.suptitle(
        f"{about['parameter_set']} · world {about['world']} · {about['area_cm2']:g} cm² · relith {about['version']}"
        + (f" · {about['stopped']}" if about.get("stopped") else ""),
        fontsize=10,
        wrap=True,
    )
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
        plt.close(figure)
    return figure


def _line_style(cycle):
    return "." if len(cycle) < 3 else "-"


def _efficiency(axis, cycle, summary):
    shown = []
    for name, colour in (("CE_cell [%]", "#4c78a8"), ("CE_Li [%]", "#e45756")):
        axis.plot(cycle, summary[name], _line_style(cycle), color=colour, label=name.removesuffix(" [%]"))
        shown.append(summary[name][1:] if len(cycle) > 2 else summary[name])  # the first cycle would set the scale
    shown = np.concatenate(shown)
    shown = shown[np.isfinite(shown)]
    if shown.size:
        low, high = np.percentile(shown, [2, 98])
        margin = max(0.1, 0.2 * (high - low))
        axis.set_ylim(low - margin, high + margin)
    for name, mark, colour in (("Activation pulses", "^", "#54a24b"), ("Discharged rest [h]", "v", "#b279a2")):
        marked = cycle[summary[name] > 0]
        if marked.size:
            y = np.full(marked.size, 0.02 if mark == "^" else 0.06)
            label = name.split(" [")[0].lower()
            axis.plot(marked, y, mark, color=colour, ms=3, transform=axis.get_xaxis_transform(), label=label)
    axis.set(xlabel="Cycle", ylabel="Efficiency [%]", title="Coulombic efficiency (zoomed)")
    axis.legend(fontsize=8)


def _capacity(axis, cycle, summary):
    axis.plot(cycle, summary["Discharge capacity [mAh.cm-2]"], _line_style(cycle), color="#4c78a8")
    axis.set(xlabel="Cycle", ylabel="Discharge capacity [mAh cm$^{-2}$]", title="Capacity, and the stage of life")
    axis.set_ylim(0, 1.1 * max(summary["Discharge capacity [mAh.cm-2]"].max(initial=0.0), 1e-3))
    right = axis.twinx()
    right.plot(cycle, summary["Capacity retention [%]"], ":", color="#f58518")
    right.set_ylabel("Retention [%]", color="#f58518")
    right.set_ylim(0, 1.1 * np.nanmax([100.0, *summary["Capacity retention [%]"]]))
    for stage in np.unique(summary["Stage"]):
        first = cycle[summary["Stage"] == stage][0]
        axis.axvline(first, color="0.8", lw=0.8)
        axis.text(first, 0.03, f" {stage}", transform=axis.get_xaxis_transform(), color="0.4", fontsize=8)


def _inventory(axis, cycle, summary):
    stores = [summary[f"{store} lithium [mAh.cm-2]"] for store in STORE_COLOURS]
    axis.stackplot(cycle, *stores, labels=STORE_COLOURS, colors=STORE_COLOURS.values(), alpha=0.85)
    if len(cycle) == 1:
        axis.bar(cycle, np.sum(stores, axis=0), width=0.5, color="0.8", zorder=0)
    axis.set(xlabel="Cycle", ylabel="Lithium [mAh cm$^{-2}$]", title="Anode's lithium at the end of each cycle")
    axis.legend(fontsize=8, loc="upper left")


def _curves(voltage_axis, slope_axis, solution):
    kept = list(solution.recorded.blocks)
    area_cm2 = solution.about["area_cm2"]
    colours = ("#4c78a8", "#f58518", "#e45756")
    shown = dict.fromkeys((kept[0], kept[len(kept) // 2], kept[-1])) if kept else {}
    for colour, number in zip(colours, shown, strict=False):
        rows = solution.cycle(number)
        for sign, name, style in ((1, "Charge capacity [A.h]", "--"), (-1, "Discharge capacity [A.h]", "-")):
            moving = np.sign(rows["Current [A]"]) == sign
            if not moving.any():
                continue
            capacity = rows[name][moving] * 1e3 / area_cm2
            capacity = capacity - capacity[0]
            voltage = rows["Voltage [V]"][moving]
            voltage_axis.plot(capacity, voltage, style, color=colour, label=f"cycle {number}" if sign < 0 else None)
            steps = rows["Step number"][moving]
            main = steps == max(np.unique(steps), key=lambda step, q=capacity, at=steps: np.ptp(q[at == step]))
            slope_axis.plot(*_slope(capacity[main], voltage[main], sign), style, color=colour)
    voltage_axis.set(xlabel="Capacity [mAh cm$^{-2}$]", ylabel="Voltage [V]", title="Charge (dashed) and discharge")
    if voltage_axis.get_legend_handles_labels()[0]:
        voltage_axis.legend(fontsize=8)
    slope_axis.set(xlabel="Voltage [V]", ylabel="|dQ/dV| [mAh cm$^{-2}$ V$^{-1}$]", title="dQ/dV")


def _slope(capacity, voltage, sign, bin_v=0.01):
    """(voltage, |dQ/dV|) of one step, from the charge passed in each voltage bin: needs no smoothing; no hold in it."""
    if sign > 0 and len(voltage):
        moving = voltage < voltage.max() - 1e-3
        capacity, voltage = capacity[moving], voltage[moving]
    if len(voltage) < 3 or np.ptp(voltage) < 3 * bin_v:
        return [], []
    edges = np.arange(voltage.min(), voltage.max(), bin_v)
    monotone = np.maximum.accumulate(voltage) if sign > 0 else -np.maximum.accumulate(-voltage)
    order = slice(None) if sign > 0 else slice(None, None, -1)
    at_edge = np.interp(edges, monotone[order], capacity[order])
    return (edges[1:] + edges[:-1]) / 2, np.abs(np.diff(at_edge)) / bin_v


def _voltage(axis, solution):
    kept = list(solution.recorded.blocks)[:3]
    for number in kept:
        rows = solution.cycle(number)
        axis.plot(rows["Time [s]"] / 3600, rows["Voltage [V]"], color="#4c78a8", lw=1)
    axis.set(xlabel="Time [h]", ylabel="Voltage [V]", title="The first recorded cycles in time")
