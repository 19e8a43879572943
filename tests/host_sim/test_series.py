"""Series strings: one current, voltages added, everybody stops at the first event."""

import itertools

import numpy as np
import pytest

from host_sim.cell import Cell, Control, load_parameters
from host_sim.series import Series

P = load_parameters()


def cells(*scales):
    names = ("cathode_capacity_mah_cm2", "reservoir_mah_cm2")
    return [Cell(P.replace(**{name: P.value(name) * scale for name in names}), 100.0) for scale in scales]


def test_one_cell_is_a_string_of_one():
    alone, string = Cell(P, 100.0), Series(cells(1.0))
    for control, seconds in ((Control.current(0.08, v_max=4.2), 3600.0), (Control.current(-0.0268, v_min=3.0), 1800.0)):
        assert string.advance(control, seconds) == alone.advance(control, seconds)
    assert np.array_equal(string.cells[0].state(), alone.state())
    assert string.voltage_v == alone.voltage_v


def test_all_cells_live_the_same_time():
    """The small cell is full first; the others are taken back to that moment."""
    string, alone = Series(cells(1.0, 0.8, 1.0)), cells(0.8)[0]
    outcome = string.advance(Control.current(0.08, v_max=3 * 4.2), 6 * 3600.0)
    reference = alone.advance(Control.current(0.08, v_max=4.2), 6 * 3600.0)
    assert outcome == reference and outcome.event == "v_max"
    big = cells(1.0)[0]
    big.advance(Control.current(0.08), outcome.elapsed_s)
    assert string.cells[0].cathode_mah_cm2 == pytest.approx(big.cathode_mah_cm2, rel=1e-9)


def test_a_held_string_voltage_is_held():
    string = Series(cells(1.0, 0.95))
    string.advance(Control.current(0.08, v_max=8.3), 6 * 3600.0)
    control = Control.voltage(8.3, i_max_a=0.08, i_stop_a=0.02)
    currents = []
    for _ in range(600):
        outcome = string.advance(control, 60.0)
        currents.append(string.current_a)
        if outcome.event:
            break
    assert outcome.event == "i_min" and currents[-1] <= 0.02
    assert string.voltage_v == pytest.approx(8.3, abs=2e-3)
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(currents))
