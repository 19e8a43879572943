"""Switches, pulse sink and the independent cut-off: hardware bounds a pulse whatever the firmware says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.readings import Outputs, Readings

from host_sim.cell import Control
from host_sim.plant import MARGIN_S, MARGIN_SHARE, Plant

LSB_A = 1e-6


def outputs(charge=0, discharge=0, pulse=0, ms=0):
    out = Outputs()
    out.charge_enable, out.discharge_enable, out.pulse_count, out.pulse_ms = charge, discharge, pulse, ms
    return out


def plant(cut_off_s=130.0, cut_off_a=0.3):
    return Plant(LSB_A, cut_off_s, cut_off_a)


controls = st.one_of(
    st.floats(-1, 1).map(Control.current), st.floats(3, 4.2).map(Control.voltage), st.floats(-1, 1).map(Control.power)
)


@given(controls)
def test_nothing_flows_through_open_switches(wish):
    p = plant()
    p.apply(outputs(), 0.0)
    control, _ = p.control(wish)
    assert control == Control.rest() or (wish.value == 0.0 and control == wish)


@given(controls, st.booleans(), st.booleans())
def test_a_direction_needs_its_own_switch(wish, charge, discharge):
    p = plant()
    p.apply(outputs(charge=charge, discharge=discharge), 0.0)
    control, own = p.control(wish)
    charging = wish.kind == Control.voltage(4.0).kind or wish.value > 0.0
    allowed = charge if charging else discharge or wish.value == 0.0
    assert (control is wish) == bool(allowed) == own


@pytest.mark.safety(2, 3)
@given(st.integers(1, 300_000), st.integers(1, 200_000))
def test_a_pulse_only_ever_discharges_and_ends_in_time(count, ms):
    p = plant()
    p.apply(outputs(pulse=count, ms=ms), 10.0)
    control, own = p.control(Control.current(0.2))
    assert control.value == pytest.approx(-count * LSB_A) and not own
    left_s = p.longest_s(10.0)
    assert left_s <= min(ms * 1e-3 * (1 + MARGIN_SHARE) + MARGIN_S, 130.0) + 1e-9
    p.elapse(10.0 + left_s)  # still commanded: the one-shot ends it, and says so
    assert p.pulse_a == 0.0 and p.tripped
    readings = Readings()
    p.feedback(readings)
    assert readings.hardware_trip == 1 and readings.pulse_switch == 0


@pytest.mark.safety(2)
def test_holding_the_line_does_not_restart_the_one_shot():
    p = plant()
    for k in range(20):
        p.apply(outputs(pulse=100_000, ms=5_000), 1.0 * k)
    assert p.pulse_a == 0.0 and p.tripped
    p.apply(outputs(), 20.0)
    p.apply(outputs(pulse=100_000, ms=5_000), 21.0)  # a new edge is a new pulse
    assert p.pulse_a == pytest.approx(0.1) and not p.tripped


def test_a_pulse_that_ends_in_time_does_not_trip():
    p = plant()
    p.apply(outputs(pulse=100_000, ms=5_000), 0.0)
    p.apply(outputs(), 4.9)
    p.elapse(6.0)
    assert p.pulse_a == 0.0 and not p.tripped and p.longest_s(6.0) == math.inf


@pytest.mark.safety(2)
def test_too_much_current_trips_at_once():
    p = plant(cut_off_a=0.3)
    p.fault("pulse_sink", "wrong", 1.0)
    p.apply(outputs(pulse=267_000, ms=1000), 0.0)
    assert p.pulse_a == 0.0 and p.tripped


def test_a_load_draws_beside_the_sink():
    p = plant()
    p.apply(outputs(discharge=1, pulse=100_000, ms=1000), 0.0)
    assert p.control(Control.current(-0.05))[0].value == pytest.approx(-0.15)


@pytest.mark.parametrize("verb", ["off", "stuck"])
def test_a_faulty_switch_says_what_it_does(verb):
    p = plant()
    p.apply(outputs(charge=1), 0.0)
    p.fault("charge_switch", verb)
    p.apply(outputs(charge=verb == "off"), 1.0)
    readings = Readings()
    p.feedback(readings)
    assert readings.charge_switch == (verb == "stuck")


@pytest.mark.safety(2)
def test_a_stuck_sink_is_ended_by_the_cut_off():
    p = plant(cut_off_s=10.0)
    p.apply(outputs(pulse=100_000, ms=10_000), 0.0)
    p.fault("pulse_sink", "stuck")
    p.apply(outputs(), 5.0)
    assert p.pulse_a == pytest.approx(0.1)
    p.elapse(10.0)
    assert p.pulse_a == 0.0


def test_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="component must be one of"):
        plant().fault("resistor", "off")
