"""P1, Abd24: isolated lithium of one Cu–Li cycle against stack pressure, 0.1 to 1 MPa; position of the minimum."""

import numpy as np

from host_sim.cell import Cell, half_cell
from host_sim.experiments.common import plate, strip

ELECTROLYTE = "liu21-carbonate"
PRESSURES = np.round(np.arange(0.1, 1.001, 0.05), 2)  # MPa


def run(load):
    return {"P1": float(PRESSURES[int(np.argmin([isolated(load(ELECTROLYTE), p) for p in PRESSURES]))])}


def isolated(parameters, pressure_mpa):
    """mAh cm-2 isolated by 1 mAh cm-2 plated at 1 mA cm-2 and stripped at 0.5."""
    cell = Cell(half_cell(parameters.replace(stack_pressure_mpa=pressure_mpa)))
    plate(cell, 1.0, 1.0)
    strip(cell, 0.5)
    return cell.isolated_mah_cm2
