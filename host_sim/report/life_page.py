"""report.html of a life test: the table, the pictures with their numbers beside them, and how to read them."""

from __future__ import annotations

import csv
from pathlib import Path

from host_sim.report import life_figures
from host_sim.report.page import Page

HEADER = (
    "policy",
    "cycles to 80 %",
    "below 98 % at",
    "knee at",
    "recovered mAh",
    "pulses",
    "capacity spent mAh",
    "rests",
    "time spent h",
    "loss error %",
    "isolated error %",
)


def table(lives) -> tuple[tuple[str, ...], list[list[object]]]:
    """Header and rows: one row per policy, `–` where there is no figure."""
    rows = []
    for life in lives:
        r = life.results
        reached = r["cycles_to_80"] if r["cycles_to_80"] is not None else f">{r['cycles']}"
        rows.append([
            life.policy, reached, _or_dash(r["cycle_below_98"]), _or_dash(r["cycle_of_knee"]),
            f"{r['recovered_mah']:.1f}",
            r["pulses"], f"{r['pulse_mah']:.1f}", r["rests"], f"{r['rest_h'] + r['pulse_h']:.1f}",
            _percent(r["loss_error_percent"]), _percent(r["isolated_error_percent"]),
        ])  # fmt: skip
    return HEADER, rows


def write(folder: Path, lives, setup, partial: bool, warnings: list[str]) -> None:
    """report.html and the CSV of each picture into `folder`."""
    lived = [life for life in lives if life.rows["cycle"]]
    page = Page("Relith: a lithium-metal cell's life under the firmware" + (", PARTIAL" if partial else ""))
    if partial:
        page.text(
            "This report is partial: the run was interrupted, and each life is shown as far as it had come.", "warning"
        )
    for warning in warnings:
        page.text(f"The profile does not fit the cell: {warning}.", "warning")
    page.text(
        f"Simulated cell {setup.electrolyte} in world {setup.world}, {setup.area_cm2:g} cm², use {setup.use}, "
        f"{setup.temperature_degc:g} °C; charge {setup.charge_ma_cm2:g} mA/cm² to the profile's end-of-charge "
        "voltage and hold to "
        f"{setup.hold_stop_ma_cm2:g} mA/cm², discharge {setup.discharge_ma_cm2:g} mA/cm² to its cut-off; profile "
        f"{Path(setup.profile).name}, seed {setup.seed}. The firmware sees the cell only through a sensor model "
        "with noise, "
        "offset, gain error and quantisation.",
        "note",
    )
    page.table(*table(lives))
    page.text(
        "Cycles to 80 %: first cycle from which on the delivered capacity stays below 80 % of the first one; "
        "“>N” means that N cycles were "
        "lived and it did not. Knee: the cycle farthest above the chord of the capacity curve. Recovered: "
        "isolated lithium that came "
        "back into contact, in the simulated cell, by whatever cause. Capacity spent: charge that went into the "
        "pulse sink. Time spent: pulses and "
        "rests. Errors: root mean square over the cycles of the firmware's estimate less the truth, in % of "
        "nominal capacity; loss is "
        "isolated lithium and SEI together."
    )
    for life in lives:
        if life.ended not in ("end of life", "cycle cap", "interrupted"):
            page.text(f"{life.policy} ended early: {life.ended}.", "warning")
    if lived:
        page.heading("Coulombic efficiency and capacity")
        _write_fade(folder / "fade.csv", lived)
        page.figure(
            life_figures.fade(lived),
            "Above: CE of the cell, discharged over charged per cycle; recovered lithium lifts it, above 100 % "
            "at times. While metal is "
            "left in reserve the loss does not show here. Middle: delivered capacity; dotted lines mark each "
            "life's end. Below: when the "
            "firmware pulsed or rested the cell.",
            "fade.csv",
        )
        page.heading("Voltage against capacity")
        _write_voltage(folder / "voltage.csv", lived)
        page.figure(
            life_figures.voltage(lived),
            "First, middle and last cycle of each life; charge solid, discharge dashed. A pulse shows as the dip "
            "at the start of a discharge.",
            "voltage.csv",
        )
        page.heading("Where the lithium is: the truth, and what the firmware believes")
        _write_inventory(folder / "inventory.csv", lived)
        page.figure(
            life_figures.inventory(lived),
            "Lithium by store at each end of discharge, cathode counted from its content at full charge. Left "
            "the simulated cell, right the "
            "firmware's estimate at the same moment; the band is ± 1 σ of the loss it states, the dashed "
            "lines are the truth of the lower edge of the isolated metal and of the SEI. The band narrows when the end "
            "of a discharge is limited by the anode, because the loss can then be measured.",
            "inventory.csv",
        )
    page.heading("What this is not")
    page.text(
        "Every figure here is simulated. The published data leave several laws of the cell open, so a longer "
        "life in this report is a claim about the firmware's logic in the stated world, not about a cell on a bench. "
        "One cell and one seed have no interval: make bench SECTION=scheduler lives many, in every world, and prints "
        "theirs."
    )
    (folder / "report.html").write_text(page.html(), encoding="utf-8")


def picture(path: Path, lives) -> None:
    """The first picture as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    life_figures.fade([life for life in lives if life.rows["cycle"]]).savefig(path, dpi=110)


def _or_dash(value) -> object:
    return "–" if value is None else value


def _percent(value) -> str:
    return "–" if value is None else f"{value:.2f}"


def _write_fade(path: Path, lives) -> None:
    rows = []
    for life in lives:
        columns = (
            life.rows[name] for name in ("cycle", "charge_mah", "discharge_mah", "capacity_mah", "pulses", "rest_h")
        )
        for cycle, charge, discharge, capacity, pulses, rest_h in zip(*columns, strict=True):
            ce = 100.0 * discharge / charge if charge else float("nan")
            rows.append((life.policy, cycle, ce, capacity, pulses, rest_h))
    _write(path, ("policy", "cycle", "ce_percent", "capacity_mah", "pulses", "rest_h"), rows)


def _write_voltage(path: Path, lives) -> None:
    rows = [
        (life.policy, cycle, kind, charge, volts)
        for life in lives
        for cycle, parts in life.curves.items()
        for kind, points in parts.items()
        for charge, volts in points
    ]
    _write(path, ("policy", "cycle", "half_cycle", "charge_mah", "voltage_v"), rows)


def _write_inventory(path: Path, lives) -> None:
    names = [name for name in lives[0].rows if name.startswith(("true_", "estimated_"))]
    rows = [
        (life.policy, *values)
        for life in lives
        for values in zip(*(life.rows[name] for name in ("cycle", *names)), strict=True)
    ]
    _write(path, ("policy", "cycle", *names), rows)


def _write(path: Path, header, rows) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([f"{value:.7g}" if isinstance(value, float) else value for value in row])
