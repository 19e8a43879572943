"""L5, Liu21 ED Fig 8: average CE of a Cu–Li cell that already holds isolated lithium, with a short fast step after each
plating.

Isolated lithium beforehand: five cycles of 3 mA cm-2 for 1 h plated, 0.5 stripped to 1 V. Then 5 mAh cm-2 reservoir at
0.5 mA cm-2, ten cycles of 1 mAh cm-2 at 0.5, final strip to 1 V. CE = (n Qc + Qs) / (n Qc + Qt).
"""

from host_sim.cell import Cell, half_cell
from host_sim.experiments.common import plate, strip

ELECTROLYTE = "liu21-carbonate"
RESERVOIR, CYCLED, CYCLES, SLOW, FAST = 5.0, 1.0, 10, 0.5, 3.0
MINUTES = {"L5a": 0.0, "L5b": 1.0, "L5c": 2.0}


def run(load):
    return {row: 100.0 * average_ce(prepared(load(ELECTROLYTE)), minutes) for row, minutes in MINUTES.items()}


def prepared(parameters):
    """The cell with isolated lithium, copper stripped."""
    cell = Cell(half_cell(parameters))
    for _ in range(5):
        plate(cell, 3.0, 3.0)
        strip(cell, SLOW)
    return cell


def average_ce(cell, minutes):
    plate(cell, SLOW, RESERVOIR)
    for _ in range(CYCLES):
        strip(cell, SLOW, CYCLED - activate(cell, minutes))
        plate(cell, SLOW, CYCLED)
    final = activate(cell, minutes) + strip(cell, SLOW)
    return (CYCLES * CYCLED + final) / (CYCLES * CYCLED + RESERVOIR)


def activate(cell, minutes):
    return strip(cell, FAST, FAST * minutes / 60.0) if minutes else 0.0
