"""The simulated cell: one set of equations for one cell in lockstep and for thousands in a batch."""

from host_sim.cell.cell import Cell, CellBatch, Control, Outcome, anode_free, full_cell, half_cell
from host_sim.cell.layout import EVENTS
from host_sim.cell.parameters import Parameter, Parameters, load_parameters
from host_sim.cell.table import SETS, WORLDS

__all__ = [
    "EVENTS",
    "SETS",
    "WORLDS",
    "Cell",
    "CellBatch",
    "Control",
    "Outcome",
    "Parameter",
    "Parameters",
    "anode_free",
    "full_cell",
    "half_cell",
    "load_parameters",
]
