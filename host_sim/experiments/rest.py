"""Z2, Zhang24: an aged anode-free cell waits 6 h, discharged or charged (the rest parameters are assumed).

Z2a: CE of the cycle that follows the discharged rest. Z2b: CE of a cycle with the rest after its charge, over the CE of
the same cycle without.
"""

from host_sim.cell import Cell, Control
from host_sim.experiments.common import HOUR, charge, discharge, fork

ELECTROLYTE = "anode-free"
RATE, STOP, V_MAX, V_MIN = 0.8, 0.4, 4.2, 3.0  # C/5, C/10; assumed
AGED = 0.8  # share of the first capacity
REST_S = 6.0 * HOUR


def run(load):
    cell = Cell(load(ELECTROLYTE))
    first = now = cycle(cell)[1]
    for _ in range(300):
        now = cycle(cell)[1]
        if now < AGED * first:
            break
    unrested = ratio(cycle(fork(cell)))
    charged = ratio(cycle(fork(cell), charged_rest_s=REST_S))
    cell.advance(Control.rest(), REST_S)
    return {"Z2a": 100.0 * ratio(cycle(cell)), "Z2b": charged / unrested}


def cycle(cell, charged_rest_s=0.0):
    """One cycle; charge and discharge in mAh cm-2."""
    into = charge(cell, RATE, V_MAX, STOP)
    cell.advance(Control.rest(), charged_rest_s)
    return into, discharge(cell, RATE, V_MIN)


def ratio(charges):
    return charges[1] / charges[0]
