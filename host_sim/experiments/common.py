"""Words that the experiments share. Every cell here has 1 cm2, so that A stand for mA cm-2 and Ah for mAh cm-2."""

import numpy as np

from host_sim.cell import Cell, Control

MA = 1e-3  # A per mA cm-2 at 1 cm2
HOUR = 3600.0
LONG = 1e7  # s, longer than any half-cycle: an event ends it


def plate(cell, ma_cm2, mah_cm2):
    """Half cell: plate copper; returns the charge in mAh cm-2."""
    cell.advance(Control.current(ma_cm2 * MA), mah_cm2 / ma_cm2 * HOUR)
    return mah_cm2


def strip(cell, ma_cm2, mah_cm2=None, to_v=1.0):
    """Half cell: strip copper to `to_v` against lithium, at most `mah_cm2`; returns the charge in mAh cm-2."""
    seconds = LONG if mah_cm2 is None else mah_cm2 / ma_cm2 * HOUR
    return ma_cm2 * cell.advance(Control.current(-ma_cm2 * MA, v_min=-to_v), seconds).elapsed_s / HOUR


def charge(cell, ma_cm2, v_max, stop_ma_cm2):
    """Full cell: constant current, then constant voltage; returns the charge in mAh cm-2."""
    before = cell.total("plated")
    cell.advance(Control.voltage(v_max, i_max_a=ma_cm2 * MA, i_stop_a=stop_ma_cm2 * MA), LONG)
    return cell.total("plated") - before


def discharge(cell, ma_cm2, v_min, seconds=LONG):
    """Full cell: constant current to v_min or for `seconds`; returns the charge in mAh cm-2."""
    return ma_cm2 * cell.advance(Control.current(-ma_cm2 * MA, v_min=v_min), seconds).elapsed_s / HOUR


def lost(cell):
    """Isolated lithium and lithium in SEI, mAh cm-2."""
    return cell.isolated_mah_cm2 + cell.sei_mah_cm2


def below(capacity, share):
    """Cycle at which the capacity (n,), by cycle from 1, falls below `share` of the first for good; between cycles by
    interpolation, so that a fit can follow it. Infinite if it does not."""
    retention = np.asarray(capacity) / capacity[0]
    above = np.flatnonzero(retention >= share)[-1]
    if above + 1 == len(retention):
        return np.inf
    return above + 1 + (retention[above] - share) / (retention[above] - retention[above + 1])


def fork(cell):
    """A second cell in the same state."""
    twin = Cell(cell.parameters, cell.area_cm2)
    twin.restore(cell.state())
    return twin
