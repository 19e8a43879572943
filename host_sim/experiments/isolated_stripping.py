"""L1 to L4, Liu21 Fig 4d, ED Fig 7: Cu–Li cell, isolated lithium made first, then 1 mAh cm-2 plated and stripped at J.

The ten pre-cycles 0–1 V at 0.1 mA cm-2 plate no lithium and are left out.
"""

from host_sim.cell import Cell, half_cell
from host_sim.experiments.common import fork, plate, strip

ELECTROLYTE = "liu21-carbonate"
RATES = {"a": 2.0, "b": 3.0, "d": 5.0, "f": 7.0}  # mA cm-2
PUBLISHED_ISOLATED = 0.33  # mAh cm-2, the denominator of Liu21's recovery


def run(load):
    clean = Cell(half_cell(load(ELECTROLYTE)))
    isolated, left = prepared(load(ELECTROLYTE))
    rows = {"L1": left}
    for letter, rate in RATES.items():
        for row, start in (("L2", isolated), ("L3", clean)):
            rows[row + letter] = 100.0 * strip_after(fork(start), rate)
        if letter != "b":
            rows["L4" + letter] = (rows["L2" + letter] - rows["L3" + letter]) / PUBLISHED_ISOLATED
    return rows


def prepared(parameters):
    """The cell with isolated lithium, copper stripped, and what was plated and not stripped, mAh cm-2."""
    cell = Cell(half_cell(parameters))
    plated = plate(cell, 5.0, 5.0)
    return cell, plated - strip(cell, 5.0)


def strip_after(cell, rate):
    """CE of 1 mAh cm-2 plated at 5 mA cm-2 and stripped at `rate`."""
    plated = plate(cell, 5.0, 1.0)
    return strip(cell, rate) / plated
