"""L7, Liu21 Fig 3d, ED Fig 5b: overpotential at the end of a 20 um isolated filament, the law that drives the drift."""

from host_sim.cell.lithium import end_overpotential_mv

ELECTROLYTE = "liu21-carbonate"
CURRENTS = {"L7a": 0.3, "L7b": 3.0, "L7c": 4.5}  # mA cm-2


def run(load):
    return {row: end_overpotential_mv(current, 20.0) for row, current in CURRENTS.items()}
