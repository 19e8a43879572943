"""F1, F2, Fang19: whose share of the loss is isolated metal, whose SEI, against CE.

One cycle of 1 mAh cm-2 in Cu–Li cells of both electrolytes, over plating and stripping currents. F1 is the least share
of isolated metal among those with CE at or below 92 %, F2 the least share of SEI among those at or above 97.5 %.
"""

from host_sim.cell import Cell, half_cell
from host_sim.experiments.common import plate, strip

ELECTROLYTE = "any"
PAIRS = tuple(
    (j_plate, j_strip) for j_plate in (0.5, 0.8, 3.0, 4.0, 5.0) for j_strip in (0.5, 1.33, 3.0, 4.0, 5.0, 7.0)
)


def run(load):
    points = [point(load(electrolyte), *pair) for electrolyte in ("liu21-carbonate", "zhang25") for pair in PAIRS]
    return {
        "F1": min((isolated for ce, isolated in points if ce <= 0.92), default=0.0),
        "F2": min((1.0 - isolated for ce, isolated in points if ce >= 0.975), default=0.0),
    }


def point(parameters, j_plate, j_strip):
    """CE of one cycle and the isolated share of its loss."""
    cell = Cell(half_cell(parameters))
    plated = plate(cell, j_plate, 1.0)
    ce = strip(cell, j_strip) / plated
    return ce, cell.isolated_mah_cm2 / (cell.isolated_mah_cm2 + cell.sei_mah_cm2)
