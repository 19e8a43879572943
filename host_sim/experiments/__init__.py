"""The published experiments, one file each: `run(load) -> {row id: value}`, with `load(electrolyte) -> Parameters`.

No experiment has a parameter of its own; `targets.csv` beside this file holds what was published.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from host_sim.experiments import (
    anode_free_decay,
    average_efficiency,
    filament,
    full_cell_activation,
    isolated_stripping,
    loss_split,
    pressure,
    rate_pair,
    reservoir_spent,
    rest,
)

EXPERIMENTS = (
    isolated_stripping,
    average_efficiency,
    full_cell_activation,
    filament,
    rate_pair,
    rest,
    loss_split,
    reservoir_spent,
    anode_free_decay,
    pressure,
)


@dataclass(frozen=True)
class Target:
    """One published figure. `op`: "within" target ± tolerance, "gt" or "lt" target."""

    id: str
    cell: str
    experiment: str
    quantity: str
    unit: str
    op: str
    target: float
    tolerance: float | None
    source: str

    def ok(self, value):
        """Does the value meet the figure? NaN never does."""
        if self.op == "within":
            return abs(value - self.target) <= self.tolerance
        return value > self.target if self.op == "gt" else value < self.target

    def shown(self, value):
        """As reported: a count of cycles is the first whole cycle past the crossing."""
        return float(math.ceil(value)) if self.unit == "cycles" and math.isfinite(value) else value


def targets():
    """All rows of targets.csv, by id in the file's order."""
    with open(Path(__file__).with_name("targets.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["target"] = float(row["target"])
        row["tolerance"] = float(row["tolerance"]) if row["tolerance"] else None
    return {row["id"]: Target(**row) for row in rows}
