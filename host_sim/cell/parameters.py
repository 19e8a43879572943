"""Parameters of a cell: values out of the one table, with unit, source and range, checked."""

import json
import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from host_sim.cell import cathode as cathodes
from host_sim.cell.layout import GAP_EDGE, GAP_WEIGHT, GAPS, LARGEST_GAP_UM, NAMES, PARAMETER_ROW, P
from host_sim.cell.table import ROWS, SETS, WORLDS
from host_sim.cell.voltage import FARADAY
from host_sim.errors import InputError

FITTED = Path(__file__).with_name("fitted.json")
SUB_STEP = 0.03  # of the cathode's sites: longest sub-step by charge
_ROW: dict[str, Any] = {row[0]: row for row in ROWS}


@dataclass(frozen=True)
class Parameter:
    """One row of the table. `changed_by`: the electrolyte set, world or caller that gave this value, or ''."""

    name: str
    value: float
    unit: str
    low: float
    high: float
    source: str
    changed_by: str = ""


@dataclass(frozen=True)
class Parameters:
    """All numbers of one cell. `parameters["gap_sigma"]` is a `Parameter`; `.value(name)` its number."""

    electrolyte: str
    world: str
    cathode: str
    values: dict[str, float]
    changed_by: dict[str, str] = field(default_factory=dict)
    accuracy: float = 1.0  # sub-step length, relative to the default

    def __getitem__(self, name: str) -> Parameter:
        _, _, unit, low, high, source = _known(name)
        return Parameter(name, self.values[name], unit, low, high, source, self.changed_by.get(name, ""))

    def __iter__(self):
        return iter(NAMES)

    def value(self, name: str) -> float:
        """The number alone, in the table's unit."""
        return self.values[_known(name)[0]]

    def replace(self, cathode: str | None = None, accuracy: float | None = None, by: str = "caller", **values):
        """A copy with other values (name=value) or another cathode, which brings its voltage decay. Raises InputError
        for an unknown name, NaN, or a value (or accuracy, 0.0001 … 4) out of range."""
        if accuracy is not None:
            _within("accuracy", accuracy, 1e-4, 4.0, "times the usual sub-step")
        if cathode is not None:
            cathodes.table(cathode)
            values = {"voltage_decay_mv": cathodes.VOLTAGE_DECAY_MV.get(cathode, 0.0), **values}
        for name, value in values.items():
            _check(name, value)
        return Parameters(
            self.electrolyte,
            self.world,
            cathode or self.cathode,
            {**self.values, **{name: float(value) for name, value in values.items()}},
            {**self.changed_by, **dict.fromkeys(values, by)},
            self.accuracy if accuracy is None else accuracy,
        )

    def row(self) -> np.ndarray:
        """The kernel's parameter row (PARAMETER_ROW,), with what is derived from the values."""
        row = np.zeros(PARAMETER_ROW)
        row[: len(NAMES)] = [self.values[name] for name in NAMES]
        v = self.values
        ratio = math.log(v["stack_pressure_mpa"] / v["pressure_optimum_mpa"])
        row[P.pressure_factor] = 1.0 + v["pressure_curvature"] * ratio**2
        drift = (1.0 - v["cation_transference"]) * v["separator_um"] * 1e-4
        row[P.sand_ma_cm2] = 2.0 * FARADAY * v["salt_molar"] * v["salt_diffusivity_cm2_s"] / drift  # Moh25 eq 4
        row[P.sub_step_mah_cm2] = SUB_STEP * self.accuracy * min(v["cathode_capacity_mah_cm2"], 4.0)
        row[P.sub_step_s] = 900.0 * self.accuracy
        edges, weights = gap_classes(v["gap_median_um"], v["gap_sigma"], v["gap_min_um"])
        row[GAP_EDGE : GAP_EDGE + GAPS + 1] = edges
        row[GAP_WEIGHT : GAP_WEIGHT + GAPS] = weights
        return row


def gap_classes(median_um, sigma, least_um):
    """Log-spaced class edges (GAPS + 1,) in um and the share (GAPS,) of a log-normal gap distribution in each; what
    lies outside is counted to the first and last class."""
    edges = np.geomspace(least_um, LARGEST_GAP_UM, GAPS + 1)
    below = np.array([0.5 * math.erfc(-math.log(edge / median_um) / (sigma * math.sqrt(2.0))) for edge in edges])
    below[0], below[-1] = 0.0, 1.0
    return edges, np.diff(below)


def _known(name):
    if name not in _ROW:
        raise InputError(f"parameters: {name!r} is unknown; the names stand in host_sim/cell/table.py")
    return _ROW[name]


def _check(name, value):
    _, _, unit, low, high, _ = _known(name)
    _within(name, value, low, high, unit)


def _within(name, value, low, high, unit):
    if not isinstance(value, (int, float, np.floating, np.integer)) or not low <= value <= high:
        raise InputError(f"parameters: {name} is {value!r}, allowed is {low:g} to {high:g} {unit}")


@cache
def _fitted():
    return json.loads(FITTED.read_text()) if FITTED.exists() else {}


@cache
def load_parameters(electrolyte="liu21-carbonate", world="redealt") -> Parameters:
    """Parameter set of one electrolyte in one world: the table, then the set, the world, and what was fitted.

    Raises InputError for an unknown electrolyte or world.
    """
    if electrolyte not in SETS:
        raise InputError(f"parameters: electrolyte {electrolyte!r} is unknown; known are {', '.join(SETS)}")
    if world not in WORLDS:
        raise InputError(f"parameters: world {world!r} is unknown; known are {', '.join(WORLDS)}")
    made: dict[str, Any] = SETS[electrolyte]
    start = Parameters(electrolyte, world, made["cathode"], {row[0]: float(row[1]) for row in ROWS})
    parameters = start.replace(by=electrolyte, **made["values"])
    parameters = parameters.replace(by=f"world {world}", **WORLDS[world])
    return parameters.replace(by="fit", **_fitted().get(world, {}).get(electrolyte, {}))
