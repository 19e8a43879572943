"""Stepping: steps from 0.1 s to 60 s give the same answer, events stand inside a step, a batch gives a cell's bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_sim.cell import EVENTS, WORLDS, Cell, CellBatch, Control, anode_free, load_parameters
from host_sim.cell.layout import STATE_ROW

HOUR = 3600.0


def run(cell, control, dt_s, longest_s=1e7):
    """Steps of dt_s until an event or longest_s; seconds passed and the event."""
    passed = 0.0
    while passed < longest_s - 1e-9:
        outcome = cell.advance(control, min(dt_s, longest_s - passed))
        passed += outcome.elapsed_s
        if outcome.event:
            return passed, outcome.event
    return passed, None


def aged_protocol(dt_s, parameters):
    """Two cycles with a pulse and a rest: capacity, and the voltage in the midst of a pulse and of a discharge."""
    cell = Cell(parameters)
    found = []
    for _ in range(2):
        run(cell, Control.voltage(4.2, i_max_a=0.8e-3, i_stop_a=0.268e-3), dt_s)
        run(cell, Control.rest(), dt_s, 1800.0)
        before = cell.total("stripped")
        run(cell, Control.current(-2.67e-3, v_min=3.0), dt_s, 120.0)
        found.append(cell.voltage_v)
        run(cell, Control.current(-1e-3, v_min=3.0), dt_s, HOUR)
        found.append(cell.voltage_v)
        run(cell, Control.current(-0.5e-3, v_min=3.0), dt_s)
        found.append(cell.total("stripped") - before)
        run(cell, Control.rest(), dt_s, 4 * HOUR)
    return np.array(found).reshape(2, 3)


@pytest.mark.parametrize("world", WORLDS)
def test_capacity_and_voltage_do_not_depend_on_the_step(world):
    parameters = load_parameters("liu21-carbonate", world)
    fine = aged_protocol(0.1 if world == "redealt" else 1.0, parameters)
    for dt_s in (60.0, 1e7):
        found = aged_protocol(dt_s, parameters)
        assert np.abs(found[:, 2] / fine[:, 2] - 1.0).max() < 5e-4
        assert np.abs(found[:, :2] - fine[:, :2]).max() < 1e-3


def test_error_falls_with_the_step():
    """Observed order of convergence of the capacity, printed: more than one."""
    parameters = load_parameters()
    exact = aged_protocol(0.5, parameters)[:, 2]
    coarse, fine = (np.abs(aged_protocol(dt_s, parameters)[:, 2] - exact).max() for dt_s in (60.0, 15.0))
    order = np.log(coarse / fine) / np.log(4.0)
    print(f"observed order {order:.2f}")
    assert order > 1.0


control = st.one_of(
    st.floats(-6.0, 3.0).map(lambda ma: Control.current(ma * 1e-3, v_min=3.0, v_max=4.2)),
    st.floats(3.0, 4.2).map(lambda v: Control.voltage(v, i_max_a=3e-3, i_stop_a=0.2e-3)),
    st.just(Control.rest()),
)


@settings(max_examples=15)
@given(steps=st.lists(st.tuples(control, st.sampled_from((1.0, 60.0, 5000.0))), min_size=1, max_size=12))
def test_a_cell_alone_and_in_a_batch_of_1000_has_the_same_bits(steps):
    parameters = load_parameters()
    other = parameters.replace(ohmic_ohm_cm2=20.0)
    batch = CellBatch([parameters if k % 3 else other for k in range(1000)], area_cm2=7.0)
    alone = [Cell(other, area_cm2=7.0), Cell(parameters, area_cm2=7.0)]
    for what, seconds in steps:
        elapsed, events = batch.advance(what, seconds)
        for k, cell in ((0, alone[0]), (1, alone[1]), (998, alone[1]), (999, alone[0])):
            if k < 2:
                outcome = cell.advance(what, seconds)
                assert (elapsed[k], EVENTS[events[k]]) == (outcome.elapsed_s, outcome.event)
            assert batch.state()[k].tobytes() == cell.state().tobytes()


def test_each_cell_of_a_batch_has_its_own_control_duration_and_ambient():
    parameters = load_parameters()
    batch = CellBatch(parameters, 3)
    controls = [Control.current(1e-3, v_max=4.2), Control.rest(), Control.voltage(4.0, i_max_a=2e-3)]
    elapsed, events = batch.advance(controls, np.array([100.0, 50.0, 1e5]), ambient_degc=np.array([10.0, 25.0, 40.0]))
    assert elapsed.tolist() == [100.0, 50.0, 1e5]
    assert events.tolist() == [0, 0, 0]
    assert np.argsort(batch.temperature_degc).tolist() == [0, 1, 2]


def test_an_event_is_located_inside_the_step_and_reported_again():
    cell = Cell(load_parameters())
    charge = Control.current(0.8e-3, v_max=4.2)
    outcome = cell.advance(charge, 1e6)
    assert outcome.event == "v_max"
    assert cell.voltage_v == pytest.approx(4.2, abs=1e-6)
    again = cell.advance(charge, 60.0)
    assert (again.elapsed_s, again.event) == (0.0, "v_max")


def test_a_hold_first_keeps_the_current_limit_then_the_voltage():
    cell = Cell(load_parameters())
    hold = Control.voltage(4.2, i_max_a=0.8e-3, i_stop_a=0.268e-3)
    passed = 0.0
    currents, voltages = [], []
    while True:
        outcome = cell.advance(hold, 60.0)
        passed += outcome.elapsed_s
        currents.append(cell.current_a)
        voltages.append(cell.voltage_v)
        if outcome.event:
            break
    assert outcome.event == "i_min"
    assert cell.current_a == pytest.approx(0.268e-3, rel=1e-4)
    assert max(currents) == pytest.approx(0.8e-3)
    assert max(voltages) < 4.2 + 1e-6


def test_power_is_current_times_voltage():
    cell = Cell(load_parameters())
    cell.advance(Control.current(0.8e-3, v_max=4.2), 2 * HOUR)
    cell.advance(Control.power(-5e-3, v_min=3.0), 1000.0)
    assert cell.current_a * cell.voltage_v == pytest.approx(-5e-3, rel=1e-8)


def test_power_that_the_cell_cannot_give_ends_at_the_voltage_limit():
    cell = Cell(load_parameters())
    cell.advance(Control.current(0.8e-3, v_max=4.2), 2 * HOUR)
    outcome = cell.advance(Control.power(-10.0, v_min=3.0), 10.0)
    assert (outcome.elapsed_s, outcome.event) == (0.0, "v_min")


@pytest.mark.parametrize("hold", (Control.voltage(2.8, i_max_a=5e-3), Control.power(-12.5e-3)))
def test_a_hold_that_empties_the_anode_ends_as_depleted(hold):
    """The current falls with the lithium it takes, so that shorter and shorter steps would go on for ever."""
    cell = Cell(load_parameters("anode-free"))
    cell.advance(Control.current(4e-3), 3600.0)
    outcome = cell.advance(hold, 400_000.0)
    assert outcome.event == "depleted"
    assert 1800.0 < outcome.elapsed_s < 4500.0
    assert cell.active_mah_cm2 < 0.02


def test_discharging_an_empty_anode_ends_as_depleted_where_no_voltage_limit_does():
    cell = Cell(anode_free(load_parameters().replace(first_cycle_loss=0.0)))
    cell.advance(Control.current(1e-3), HOUR)
    outcome = cell.advance(Control.current(-1e-3), 1e6)
    assert outcome.event == "depleted"
    again = cell.advance(Control.current(-1e-3), 60.0)
    assert (again.elapsed_s, again.event) == (0.0, "depleted")


def test_no_control_at_all_is_refused():
    with pytest.raises(AttributeError):
        Cell(load_parameters()).advance(None, 1.0)


def test_a_saved_state_goes_on_with_the_same_bits():
    one, two = Cell(load_parameters()), Cell(load_parameters())
    one.advance(Control.current(0.8e-3, v_max=4.2), 5000.0)
    two.restore(one.state())
    for cell in (one, two):
        cell.advance(Control.current(-2e-3, v_min=3.0), 777.0)
    assert one.state().tobytes() == two.state().tobytes()
    assert one.state().shape == (STATE_ROW,)
