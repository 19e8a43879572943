"""report.html of a replay: what was played, the result, the pictures with their numbers beside them."""

from __future__ import annotations

import csv
from pathlib import Path

from host_sim.player import Player
from host_sim.report import replay_figures
from host_sim.report.page import Page, doubted

HEADER = ("cell", "cycle", "known", "active mAh", "isolated mAh", "SEI mAh", "SOH %", "CE of the lithium %", "stage",
          "ended by", "cycles left", "end foreseen", "advice")  # fmt: skip


def write(folder: Path, player: Player, notes: list[str], about: dict) -> None:
    """report.html and voltage.csv into `folder`, which holds inventory.csv already."""
    profile, results = player.profile, about["results"]
    page = Page("Relith: recorded data through the firmware")
    files = ", ".join(entry["name"] for entry in about["files"])
    page.text(
        f"{files}: {results['hours']:,.1f} h, {results['cycles']} cycles, {results['charged_mah']:.5g} mAh charged, "
        f"{results['discharged_mah']:.5g} mAh discharged (from {results['charge_from']}). Profile "
        f"{about['profile']['name']}: {profile.name}, {player.nominal_mah:g} mAh. The firmware that runs on a board "
        "read this recording as it would have read its sensors; nothing here is fitted to the whole of it afterwards.",
        "note",
    )
    for note in notes:
        page.text(note + ".", "warning" if "would have raised" in note or "gaps" in note else "")
    cells = len(player.bms.estimates)
    if player.rows:
        page.table(HEADER, [_told(row) for row in player.rows[-cells:]])
        page.text("At the end of the last discharge. Every cycle is in inventory.csv; ± is one standard deviation.")
    for cell in range(cells):
        rows = player.rows[cell::cells]
        if not rows:
            break
        of = f" of cell {cell + 1}" if cells > 1 else ""
        page.heading(f"Coulombic efficiency and capacity{of}")
        page.figure(
            replay_figures.fade(rows),
            "Above: discharged over charged per cycle, and what the firmware believes of the lithium itself, which a "
            "reservoir hides from the cell's own efficiency. Middle: charge delivered, and what a full discharge would "
            "deliver. Below: pulses and long rests in the discharged state, as the recording shows them.",
            "inventory.csv",
        )
        if cell == 0 and player.curves:
            page.heading("Voltage against capacity, and dQ/dV")
            _write_voltage(folder / "voltage.csv", player)
            page.figure(
                replay_figures.voltage(player.curves),
                "First, middle and last cycle; charge solid, discharge dashed.",
                "voltage.csv",
            )
        page.heading(f"Where the lithium is{of}")
        page.figure(
            replay_figures.inventory(rows),
            "As the firmware believes at each end of discharge, cathode counted from its content at full charge. The "
            "band is ± 1 σ of the loss (isolated metal and SEI), about its lower edge in the stack; it narrows where a "
            "discharge ends at the anode and the loss can be measured. Dashed, where the file holds a simulated cell's "
            "own stores: the truth of both edges, of the isolated metal and of the SEI.",
            "inventory.csv",
        )
        page.heading(f"What is foreseen{of}")
        page.figure(
            replay_figures.outlook(rows),
            "Cycles left, as foreseen at each cycle. 0: the reservoir is spent, or there never was one.",
            "inventory.csv",
        )
    page.heading("What this is not")
    page.text(
        "An estimate from current, voltage and temperature, with the priors of the profile named above. Its error bars "
        "hold for a cell of that profile; `relith-sim profile` makes one from a slow cycle and pulses of your own cell."
    )
    (folder / "report.html").write_text(page.html(), encoding="utf-8")


def _told(row: dict) -> list[object]:
    def pair(name: str) -> str:
        value = row[f"{name}_mah"]
        return "–" if value is None else doubted(value, row[f"{name}_sigma_mah"])

    def percent(name: str) -> str:
        return "–" if row[name] is None else f"{100.0 * row[name]:.2f}"

    left = "–" if row["cycles_left"] is None else f"{row['cycles_left']} ± {row['cycles_left_sigma']}"
    return [row["cell"], row["cycle"], row["known"], pair("active"), pair("isolated"), pair("sei"), percent("soh"),
            percent("ce_li"), row["stage"] or "–", row["limited_by"] or "–", left, row["end_foreseen"] or "–",
            row["advice"] or "–"]  # fmt: skip


def _write_voltage(path: Path, player: Player) -> None:
    numbers = sorted(player.curves)
    keep = sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]})
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("number", "half_cycle", "charge_mah", "voltage_v"))
        for number in keep:
            for kind, points in player.curves[number].items():
                for mah, volts in points:
                    writer.writerow((number, kind, f"{mah:.7g}", f"{volts:.7g}"))
