"""F1, F2, Fang19: whose share of the loss is isolated metal, whose SEI, against CE.

Points: one cycle of 1 mAh cm-2 in fresh Cu–Li cells of Liu21's electrolyte over plating and stripping currents, Liu21's
own cycles in cells that hold isolated lithium, and Zhang25's two lives. F1 is the least share of isolated metal among
those with CE at or below 92 %, F2 the least share of SEI among those at or above 97.5 % (and below 100 %: else there is
no loss to share). Zero where no point has such a CE.
"""

from host_sim.cell import Cell, half_cell
from host_sim.experiments import average_efficiency, isolated_stripping, rate_pair
from host_sim.experiments.common import fork, plate, strip

ELECTROLYTE = "any"
PAIRS = tuple(
    (j_plate, j_strip) for j_plate in (0.5, 0.8, 3.0, 4.0, 5.0) for j_strip in (0.5, 1.33, 3.0, 4.0, 5.0, 7.0)
)


def run(load):
    lives = rate_pair.lives(load(rate_pair.ELECTROLYTE))
    points = liu21_points(load(isolated_stripping.ELECTROLYTE)) + zhang25_points(lives)
    return {"F1": isolated_share(points), "F2": sei_share(points)}


def isolated_share(points):
    """F1 of [(CE, isolated share of the loss)]."""
    return min((isolated for ce, isolated in points if ce <= 0.92), default=0.0)


def sei_share(points):
    """F2 of [(CE, isolated share of the loss)]."""
    return min((1.0 - isolated for ce, isolated in points if 0.975 <= ce < 1.0), default=0.0)


def zhang25_points(lives):
    """From `rate_pair.lives`."""
    return [(ce, 1.0 - sei) for ce, sei, _ in lives]


def liu21_points(parameters):
    fresh = Cell(half_cell(parameters))
    points = [point(fresh, lambda cell, pair=pair: one_cycle(cell, *pair)) for pair in PAIRS]
    aged, _ = isolated_stripping.prepared(parameters)
    for rate in isolated_stripping.RATES.values():
        points.append(point(aged, lambda cell, rate=rate: isolated_stripping.strip_after(cell, rate)))
    aged = average_efficiency.prepared(parameters)
    for minutes in average_efficiency.MINUTES.values():
        points.append(point(aged, lambda cell, minutes=minutes: average_efficiency.average_ce(cell, minutes)))
    return points


def point(start, cycle):
    """CE of `cycle(cell)` run from a state, and the isolated share of what it lost."""
    cell = fork(start)
    ce = cycle(cell)
    isolated = cell.isolated_mah_cm2 - start.isolated_mah_cm2
    return ce, isolated / (isolated + cell.sei_mah_cm2 - start.sei_mah_cm2)


def one_cycle(cell, j_plate, j_strip):
    plated = plate(cell, j_plate, 1.0)
    return strip(cell, j_strip) / plated
