"""One cell's life under the firmware, from new to 80 % of its initial capacity, and what is worth keeping of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

END_SHARE, FADE_SHARE = 0.80, 0.98
CONFIRM = 6  # so many cycles in a row below the end of life, or it was only a dip that a rest still mends
STALL_S = 10 * 86_400.0  # no cycle within this long: the firmware no longer lets the cell be used
STORES = ("cathode", "active", "isolated", "sei")

# what a row (one cycle, seen at its end of discharge) holds; charge in mAh of the whole cell
COLUMNS = (
    "cycle",
    "end_h",
    "charge_mah",
    "discharge_mah",  # all that came out, a pulse included
    "capacity_mah",  # from full to the cut-off: discharge_mah in a laboratory, else a check on a copy of the cell
    "pulses",
    "pulse_mah",
    "pulse_h",
    "rest_h",
    "recovered_mah",  # true lithium reconnected since the row before
    *(f"true_{store}_mah" for store in STORES),  # cathode counted from its content at the last full charge
    *(f"estimated_{store}_mah" for store in STORES),
    *(f"estimated_{store}_sigma_mah" for store in STORES),
    "estimated_loss_sigma_mah",  # of isolated and SEI together
    "known",  # 0 unknown, 1 inferred, 2 measured at an anchor
    "stage",
)


@dataclass(frozen=True)
class Setup:
    """What a life is made of. `profile` is a checked profile's path; areas in cm², current densities in mA cm⁻²."""

    profile: str
    area_cm2: float = 100.0
    seed: int = 0
    cap: int = 1000
    world: str = "redealt"
    electrolyte: str = "liu21-carbonate"
    use: str = "lab"
    temperature_degc: float = 25.0
    charge_ma_cm2: float = 0.8
    discharge_ma_cm2: float = 0.268
    hold_stop_ma_cm2: float = 0.268


@dataclass
class Life:
    """One policy's life: rows by column, curves of three cycles, BDF columns, results."""

    policy: str
    rows: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    curves: dict[int, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    bdf: dict[str, list[float]] = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    ended: str = "running"  # "end of life", "cycle cap", "interrupted", or what stopped it


def first_lasting(values: list[float], limit: float) -> int | None:
    """Index of the first value from which on all are below `limit`; None when the last one is not."""
    first = None
    for k in range(len(values) - 1, -1, -1):
        if values[k] >= limit:
            break
        first = k
    return first


def knee(values: list[float]) -> int | None:
    """Index of the knee: farthest above the chord from first to last value (Kneedle, Satopaa 2011); None: too short."""
    n = len(values)
    if n < 5:
        return None
    slope = (values[-1] - values[0]) / (n - 1)
    above = [value - (values[0] + slope * k) for k, value in enumerate(values)]
    best = max(range(n), key=above.__getitem__)
    return best if above[best] > 0.0 else None


def results(rows: dict[str, list[float]], nominal_mah: float, ended: str) -> dict:
    """The figures of one life. Charges in mAh, times in h, errors in % of nominal capacity (rms over the cycles)."""
    capacity = rows["capacity_mah"]
    initial = capacity[0] if capacity else 0.0
    end = first_lasting(capacity, END_SHARE * initial)
    fade = first_lasting(capacity, FADE_SHARE * initial)
    bend = knee(capacity[: (end + 1) if end is not None else len(capacity)]) if fade is not None else None
    number = [int(cycle) for cycle in rows["cycle"]]

    def rms(pairs) -> float | None:
        errors = [(a - b) ** 2 for a, b in pairs]
        return 100.0 * math.sqrt(sum(errors) / len(errors)) / nominal_mah if errors else None

    known = [k for k, value in enumerate(rows["known"]) if value > 0]
    loss = [
        (
            rows["estimated_isolated_mah"][k] + rows["estimated_sei_mah"][k],
            rows["true_isolated_mah"][k] + rows["true_sei_mah"][k],
        )
        for k in known
    ]
    return {
        "ended": ended,
        "cycles": len(capacity),
        "cycles_to_80": number[end] if end is not None and ended == "end of life" else None,
        "cycle_below_98": number[fade] if fade is not None else None,
        "cycle_of_knee": number[bend] if bend is not None else None,
        "initial_mah": initial,
        "hours": rows["end_h"][-1] if capacity else 0.0,
        "recovered_mah": sum(rows["recovered_mah"]),
        "pulses": int(sum(rows["pulses"])),
        "pulse_mah": sum(rows["pulse_mah"]),
        "pulse_h": sum(rows["pulse_h"]),
        "rests": sum(hours > 0 for hours in rows["rest_h"]),
        "rest_h": sum(rows["rest_h"]),
        "loss_error_percent": rms(loss),
        "isolated_error_percent": rms((rows["estimated_isolated_mah"][k], rows["true_isolated_mah"][k]) for k in known),
        "active_error_percent": rms((rows["estimated_active_mah"][k], rows["true_active_mah"][k]) for k in known),
        "known_share": len(known) / len(capacity) if capacity else 0.0,
    }
