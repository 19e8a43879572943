"""L6, Liu21 Fig 4e, ED Fig 9: NMC532 full cell with 20 um lithium, without and with 2 min at 1C after each charge."""

from host_sim.cell import Cell, Control
from host_sim.experiments.common import HOUR, below, charge, discharge

ELECTROLYTE = "liu21-carbonate"
ONE_C = 2.67  # mA cm-2
CHARGE, DISCHARGE, STOP = 0.8, 0.268, 0.268  # mA cm-2
V_MAX, V_MIN = 4.2, 3.0
PULSE_S = 120.0


def run(load):
    plain = capacities(load(ELECTROLYTE))
    activated = capacities(load(ELECTROLYTE), pulse_s=PULSE_S)
    return {
        "L6a": below(plain, 0.98),
        "L6b": below(activated, 0.98),
        "L6c": below(activated, 0.8) / below(plain, 0.8),
        "L6d": 100.0 * ONE_C * PULSE_S / 3600.0 / plain[0],
    }


def capacities(parameters, pulse_s=0.0, rest_h=0.0, rate=DISCHARGE, most=300):
    """Discharge capacity in mAh cm-2 of every cycle until 80 % of the first (the pulse counts: it is delivered).

    pulse_s: at 1C after each charge. rest_h: discharged, after each cycle. rate: of the discharge, mA cm-2.
    """
    cell = Cell(parameters)
    found = []
    while len(found) < most:
        charge(cell, CHARGE, V_MAX, STOP)
        early = discharge(cell, ONE_C, V_MIN, pulse_s) if pulse_s else 0.0
        found.append(early + discharge(cell, rate, V_MIN))
        if found[-1] < 0.8 * found[0]:
            break
        if rest_h:
            cell.advance(Control.rest(), rest_h * HOUR)
    return found
