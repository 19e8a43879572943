"""One row of signals: what the board says, the same for every rig; what is true is added where a rig knows it."""

from __future__ import annotations

import struct
from typing import Any

from hil import words
from hil.boards import Board
from hil.signals import MEASURED, SIGNALS, TRUTH

PPM = 1e-6
UNKNOWN_TRUTH: dict[str, Any] = {one.name: None for one in SIGNALS.values() if one.source in (TRUTH, MEASURED)}


def said(board: Board, outputs: Any, lsb_a: float, answers: list[str], age_s: float) -> dict[str, Any]:
    """What the board's outputs and telemetry say. `outputs`: anything with the fields of `Outputs`; `lsb_a`: amperes in
    a count; `answers` to commands, the last counts; `age_s` of what was last heard or told."""
    latest = board.latest()
    estimate = latest.get("estimate", {})

    def ppm(name: str) -> float | None:
        return estimate[name] * PPM if name in estimate else None

    return {
        "state": words.states_()[outputs.state] if board.powered else "off",
        "decision": words.decisions()[outputs.decision],
        "reason": words.reasons()[outputs.reason],
        "alarm": words.alarm_names(outputs.alarms),
        "charge_permitted": outputs.charge_enable,
        "discharge_permitted": outputs.discharge_enable,
        "pulse_ordered": outputs.pulse_count * lsb_a,
        "charge_limit": outputs.charge_limit_count * lsb_a,
        "discharge_limit": outputs.discharge_limit_count * lsb_a,
        "estimated_isolated": ppm("isolated_ppm"),
        "estimated_active": ppm("active_ppm"),
        "estimated_cathode": ppm("cathode_ppm"),
        "known": words.KNOWN[estimate["known"]] if "known" in estimate else None,
        "ce_cell": ppm("ce_cell_ppm"),
        "board": int(board.powered),
        "rig_build": latest.get("welcome", {}).get("rig"),
        "boots": board.boots,
        "link_refused": board.refused(),
        "answer": answers[-1].partition(":")[0] if answers else "none",
        "readings_age": age_s,
    }


def black_box(data: bytes, lsb_a: float) -> list[dict[str, Any]]:
    """A board's black box (firmware/relith/blackbox.py, `kept`) in words and units, oldest tick first."""
    rows = []
    for time_s, count, low_uv, high_uv, cdegc, told, alarm, granted in struct.iter_unpack("<8i", data):
        row = {
            "clock_s": time_s,
            "current": count * lsb_a,
            "lowest_cell_voltage": low_uv * PPM,
            "highest_cell_voltage": high_uv * PPM,
            "temperature": cdegc * 1e-2,
            "state": words.states_()[told >> 16],
            "decision": words.decisions()[told >> 8 & 0xFF],
            "reason": words.reasons()[told & 0xFF],
            "alarm": words.alarm_names(alarm),
            "charge_permitted": granted & 1,
            "discharge_permitted": granted >> 1 & 1,
            "pulse_ordered": (granted >> 2) * lsb_a,
        }
        rows.append(row)
    return rows
