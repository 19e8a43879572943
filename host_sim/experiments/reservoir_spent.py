"""D1, Deng26: while a reservoir refills the cathode CE_cell is CE_cathode; once it is spent it steps down to CE_Li.

Liu21's full cell without activation: mean CE over ten cycles well before, and over five after the cell has begun to end
its discharges for want of lithium. Value: the step of CE_cell over (CE_cathode − CE_Li).
"""

import numpy as np

from host_sim.cell import Cell
from host_sim.experiments.common import charge, discharge, lost
from host_sim.experiments.full_cell_activation import CHARGE, DISCHARGE, ELECTROLYTE, STOP, V_MAX, V_MIN

SPENT = 0.02  # mAh cm-2 of active lithium at the end of discharge


def run(load):
    cell = Cell(load(ELECTROLYTE))
    rows = []  # CE_cell, CE_Li, active lithium left
    after = 0
    while after < 8 and len(rows) < 300:
        before = lost(cell)
        into = charge(cell, CHARGE, V_MAX, STOP)
        out = discharge(cell, DISCHARGE, V_MIN)
        rows.append((out / into, 1.0 - (lost(cell) - before) / into, cell.active_mah_cm2))
        after += cell.active_mah_cm2 < SPENT
    ce_cell, ce_li, left = np.array(rows).T
    spent = int(np.argmax(left < SPENT))
    early = slice(max(1, spent - 15), max(2, spent - 5))
    late = slice(spent + 2, spent + 7)
    step = ce_cell[early].mean() - ce_cell[late].mean()
    return {"D1": step / (ce_cell[early].mean() - ce_li[late].mean())}
