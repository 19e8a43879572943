"""Terminal voltage, heat, and what stands still."""

import numpy as np
import pytest

from host_sim.cell import Cell, Control, anode_free, full_cell, half_cell, load_parameters
from host_sim.cell import cathode as cathodes

HOUR = 3600.0


@pytest.mark.parametrize("cathode", ("NMC532", "NMC811", "LFP", "Li-rich"))
def test_zero_current_at_equilibrium_is_a_fixed_point(cathode):
    cell = Cell(load_parameters().replace(cathode=cathode))
    cell.advance(Control.rest(), 1.0)
    before = cell.state()
    for seconds in (0.1, 60.0, 30 * 24 * HOUR):
        cell.advance(Control.rest(), seconds)
    assert cell.state().tobytes() == before.tobytes()


@pytest.mark.parametrize("cathode", ("NMC532", "NMC811", "LFP", "Li-rich"))
def test_ocv_falls_with_filling_and_the_rested_cell_shows_it(cathode):
    filling = np.linspace(0.0, 1.0, 500)
    assert np.all(np.diff(cathodes.ocv(cathode, filling)) < 0.0)
    cell = Cell(load_parameters().replace(cathode=cathode, voltage_decay_mv=0.0))
    cell.advance(Control.current(0.8e-3), 1.5 * HOUR)
    cell.advance(Control.rest(), 10 * HOUR)
    assert cell.voltage_v == pytest.approx(cell.ocv_v, abs=1e-4)
    assert cell.ocv_v == pytest.approx(
        cathodes.ocv(cathode, cell.cathode_mah_cm2 / cell.cathode_sites_mah_cm2), abs=1e-9
    )


def test_an_ocv_function_can_be_handed_over():
    cathodes.register("straight", lambda x: 4.0 - x)
    cell = Cell(load_parameters().replace(cathode="straight"))
    assert cell.voltage_v == pytest.approx(4.0 - 0.998)


def test_polarisation_grows_with_current_and_in_the_cold():
    def over_v(current_ma, degc):
        cell = Cell(load_parameters(), temperature_degc=degc)
        cell.advance(Control.current(0.8e-3), 1.5 * HOUR)
        cell.advance(Control.rest(), 10 * HOUR)
        cell.advance(Control.current(-current_ma * 1e-3), 30.0)
        return cell.ocv_v - cell.voltage_v

    assert 0.0 < over_v(0.3, 25.0) < over_v(1.0, 25.0) < over_v(1.0, 5.0) < over_v(1.0, -15.0)


def test_anode_polarisation_runs_away_as_the_metal_runs_out():
    """An anode-limited discharge leaves seconds of lithium, and the rested voltage then shows room in the cathode."""
    cell = Cell(anode_free(load_parameters().replace(first_cycle_loss=0.0)))
    cell.advance(Control.voltage(4.2, i_max_a=0.8e-3, i_stop_a=0.2e-3), 1e7)
    for _ in range(3):
        assert cell.advance(Control.current(-1e-3, v_min=3.0), 1e7).event == "v_min"
        left = cell.active_mah_cm2
        cell.advance(Control.voltage(4.2, i_max_a=0.8e-3, i_stop_a=0.2e-3), 1e7)
    assert 0.0 < left < 0.01
    cell.advance(Control.current(-1e-3, v_min=3.0), 1e7)
    cell.advance(Control.rest(), 3 * HOUR)
    assert cell.voltage_v > 3.4


def test_dead_layer_and_salt_loss_raise_the_resistance():
    def resistance(parameters, cycles):
        cell = Cell(parameters)
        for _ in range(cycles):
            cell.advance(Control.voltage(4.2, i_max_a=0.8e-3, i_stop_a=0.268e-3), 1e7)
            cell.advance(Control.current(-0.268e-3, v_min=3.0), 1e7)
        cell.advance(Control.current(0.8e-3), HOUR)
        cell.advance(Control.rest(), 10 * HOUR)
        rested = cell.voltage_v
        cell.advance(Control.current(-1e-3), 0.01)
        return (rested - cell.voltage_v) / 1e-3

    parameters = load_parameters()
    new, aged = resistance(parameters, 1), resistance(parameters, 25)
    assert 2.0 < aged - new < 100.0  # ohm cm2
    assert resistance(parameters.replace(salt_mah_cm2=0.3), 25) > aged + 2.0


def test_heat_warms_the_cell_and_leaves_it():
    cell = Cell(load_parameters())
    cell.advance(Control.current(2.67e-3), 1200.0)
    warm = cell.temperature_degc
    assert 25.2 < warm < 60.0
    cell.advance(Control.rest(), 5 * HOUR)
    assert cell.temperature_degc == pytest.approx(25.0, abs=1e-3)


def test_a_soft_short_sags_at_rest_and_takes_charge_that_never_comes_out():
    def rested(ohm_cm2):
        cell = Cell(load_parameters())
        cell.advance(Control.current(0.8e-3, v_max=4.2), 1e7)
        cell.set_short(ohm_cm2)
        before = cell.cathode_mah_cm2
        cell.advance(Control.rest(), 48 * HOUR)
        return cell.voltage_v, cell.cathode_mah_cm2 - before

    sound, shorted = rested(float("inf")), rested(200_000.0)
    assert shorted[0] < sound[0] - 0.03
    assert sound[1] == pytest.approx(0.0, abs=1e-12)
    assert shorted[1] == pytest.approx(48 * 0.5 * (sound[0] + shorted[0]) / 200.0, rel=0.02)  # mAh = V h / kohm


def test_a_mediator_returns_isolated_lithium_and_discharges_the_cell():
    cell = Cell(half_cell(load_parameters()).replace(mediator_return_per_h=0.05))
    for _ in range(3):
        cell.advance(Control.current(3e-3), HOUR)
        cell.advance(Control.current(-3e-3, v_min=-1.0), 1e7)
    before = cell.isolated_mah_cm2
    cell.advance(Control.rest(), 10 * HOUR)
    assert cell.isolated_mah_cm2 < 0.7 * before
    cell = Cell(load_parameters().replace(mediator_discharge_per_h=0.01))
    cell.advance(Control.current(0.8e-3), 2 * HOUR)
    before = cell.cathode_mah_cm2
    cell.advance(Control.rest(), 10 * HOUR)
    assert cell.cathode_mah_cm2 > before + 0.05


def test_a_cathode_loses_empty_sites_over_the_first_charge_and_then_by_fade():
    def sites_lost(fade, mah, **changes):
        cell = Cell(load_parameters().replace(cathode_fade=fade, heat_transfer_w_k_cm2=1.0, **changes))
        built, lithium = cell.cathode_sites_mah_cm2, cell.lithium_mah_cm2
        cell.advance(Control.current(0.5e-3), mah / 0.5 * HOUR)
        assert cell.lithium_mah_cm2 == pytest.approx(lithium, rel=1e-12)  # sites go, lithium stays
        return (built - cell.cathode_sites_mah_cm2) / built

    gone = 0.1 * -np.expm1(-1.5 / (0.2 * 3.003))
    assert sites_lost(0.0, 1.5, first_cycle_loss=0.1, first_cycle_charge=0.2) == pytest.approx(gone, rel=1e-9)
    assert sites_lost(2e-3, 1.5, first_cycle_loss=0.0) == pytest.approx(2e-3 * 1.5 / 3.003, rel=1e-9)


def test_voltage_decay_lowers_a_lithium_rich_oxide():
    def ocv_after(decay_mv):
        cell = Cell(load_parameters("zhang25").replace(cathode="Li-rich", voltage_decay_mv=decay_mv))
        for _ in range(20):
            cell.advance(Control.voltage(4.5, i_max_a=2e-3, i_stop_a=0.5e-3), 1e7)
            cell.advance(Control.current(-2e-3, v_min=2.5), 1e7)
        return cell.ocv_v

    assert ocv_after(1.5) < ocv_after(0.0) - 0.01


def test_a_lithium_rich_cathode_brings_its_voltage_decay_and_another_takes_it_away():
    rich = load_parameters().replace(cathode="Li-rich")
    assert rich.value("voltage_decay_mv") > 0.0
    assert rich.replace(cathode="LFP").value("voltage_decay_mv") == 0.0
    assert rich.replace(voltage_decay_mv=3.0).value("voltage_decay_mv") == 3.0


def test_cell_types_differ_in_their_lithium():
    parameters = load_parameters()
    assert Cell(anode_free(parameters)).active_mah_cm2 == 0.0
    assert Cell(full_cell(parameters, 1.5)).active_mah_cm2 == pytest.approx(
        1.5 * Cell(parameters).cathode_sites_mah_cm2
    )
    assert Cell(parameters).active_mah_cm2 == pytest.approx(4.12)  # 20 um
    assert Cell(half_cell(parameters)).voltage_v == 0.0


def test_area_scales_current_only():
    small, large = Cell(load_parameters()), Cell(load_parameters(), area_cm2=100.0)
    small.advance(Control.current(0.8e-3), HOUR)
    large.advance(Control.current(0.08), HOUR)
    assert np.allclose(small.state(), large.state(), rtol=1e-12)
    assert large.current_a == pytest.approx(100.0 * small.current_a)
