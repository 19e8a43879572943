"""Z1, Zhang25: slow charge with fast discharge against fast charge with slow discharge, same cell, same lithium.

CE is CE_Li: 1 − (lithium isolated or bound in SEI) / (lithium plated), over the life to 80 % (at most MOST cycles).
"""

from host_sim.cell import Cell
from host_sim.experiments.common import below, charge, discharge, lost

ELECTROLYTE = "zhang25"
V_MAX, V_MIN = 4.2, 3.0
MOST = 2000
PAIRS = {"slow/fast": (0.2, 1.0), "fast/slow": (1.0, 0.33)}  # C-rates: charge, discharge


def run(load):
    return rows(lives(load(ELECTROLYTE)))


def lives(parameters):
    """Each pair's life: (CE_Li, SEI's share of the loss, cycle at which capacity falls below 80 %)."""
    return [life(parameters, *pair) for pair in PAIRS.values()]


def rows(found):
    """The rows, from `lives`."""
    (ce_slow, _, slow), (ce_fast, _, fast) = found
    return {"Z1a": 100.0 * ce_slow, "Z1b": 100.0 * ce_fast, "Z1c": min(slow, MOST), "Z1d": min(fast, MOST)}


def life(parameters, charge_c, discharge_c):
    cell, one_c = Cell(parameters), parameters.value("one_c_ma_cm2")
    found = []
    while len(found) < MOST:
        charge(cell, charge_c * one_c, V_MAX, 0.1 * one_c)
        found.append(discharge(cell, discharge_c * one_c, V_MIN))
        if found[-1] < 0.8 * found[0]:
            break
    return 1.0 - lost(cell) / cell.total("plated"), cell.sei_mah_cm2 / lost(cell), below(found, 0.8)
