"""Isolated lithium: what makes it, what moves it, what frees it."""

import numpy as np
import pytest

from host_sim.cell import Cell, Control, half_cell, load_parameters
from host_sim.cell.layout import P
from host_sim.cell.lithium import drift_um_per_h, end_overpotential_mv, sand_time_s
from host_sim.cell.parameters import gap_classes

HOUR = 3600.0


def isolating(parameters=None, j_plate=5.0, j_strip=5.0, charge=2.0, degc=25.0):
    """Half cell after one plating and stripping."""
    cell = Cell(half_cell(parameters or load_parameters()), temperature_degc=degc)
    cell.advance(Control.current(j_plate * 1e-3), charge / j_plate * HOUR)
    cell.advance(Control.current(-j_strip * 1e-3, v_min=-1.0), 1e7)
    return cell


def reconnected(cell, j_strip, seconds=1e7):
    cell.advance(Control.current(1e-3), HOUR)
    before = cell.total("reconnected")
    cell.advance(Control.current(-j_strip * 1e-3, v_min=-1.0), seconds)
    return cell.total("reconnected") - before


def test_isolation_happens_on_stripping_only():
    cell = Cell(half_cell(load_parameters()))
    cell.advance(Control.current(5e-3), HOUR)
    assert cell.isolated_mah_cm2 == 0.0
    cell.advance(Control.current(-1e-3), HOUR)
    assert cell.isolated_mah_cm2 > 0.0


def test_fast_plating_and_cold_isolate_more():
    assert isolating(j_plate=4.0).isolated_mah_cm2 > isolating(j_plate=0.8).isolated_mah_cm2
    assert isolating(degc=0.0).isolated_mah_cm2 > isolating(degc=25.0).isolated_mah_cm2


def test_slow_stripping_isolates_more_up_to_the_kinetic_limit():
    slow, best, fast = (isolating(j_strip=j).isolated_mah_cm2 for j in (0.2, 2.0, 7.0))
    assert best < slow and best < fast


def test_deeper_deposits_lose_less_per_charge():
    shallow, deep = isolating(charge=1.0), isolating(charge=5.0)
    assert deep.isolated_mah_cm2 / 5.0 < shallow.isolated_mah_cm2


def test_pressure_has_an_optimum():
    low, best, high = (
        isolating(load_parameters().replace(stack_pressure_mpa=p)).isolated_mah_cm2 for p in (0.1, 0.5, 1.0)
    )
    assert best < low and best < high


def test_nothing_drifts_within_the_dead_band_and_faster_beyond():
    row = load_parameters().row()
    speeds = [drift_um_per_h(row, j, 1.0) for j in (0.1, 0.268, 1.0, 2.0, 3.0, 5.0)]
    assert speeds[:2] == [0.0, 0.0]
    assert np.all(np.diff(speeds[1:]) > 0.0)
    assert row[P.dead_band_mv] >= 1.0


def test_drift_is_the_mean_over_all_orientations():
    """The four nodes against fine quadrature over the cosine between filament and field: below 3 %."""
    p = load_parameters().row()
    thermal_mv = 2.0 * 8.314462618 * 298.15 / 96485.33212 * 1e3
    for j in (1.0, 2.67, 5.0):
        along = end_overpotential_mv(j, p[P.filament_um])
        cosine = (np.arange(20_000) + 0.5) / 20_000
        driving = np.maximum(along * cosine - p[P.dead_band_mv] * p[P.filament_um] / 20.0, 0.0)
        i_end = 2.0 * p[P.end_i0_ma_cm2] * np.sinh(np.minimum(driving / thermal_mv, 30.0))
        mean = np.mean(cosine * i_end / (1.0 + i_end / p[P.end_limit_ma_cm2]))
        assert drift_um_per_h(p, j, 1.0) == pytest.approx(4.85 * mean, rel=0.03)


def test_warmth_isolates_more_at_low_overpotential_and_less_by_its_compact_deposit():
    def isolated(degc, **changes):
        changed = load_parameters().replace(sei_kj_mol=0.0, corrosion_per_h=0.0, **changes)
        return isolating(changed, j_plate=0.5, j_strip=0.1, degc=degc).isolated_mah_cm2

    assert isolated(45.0, cold_kj_mol=0.0) > 1.01 * isolated(25.0, cold_kj_mol=0.0)
    assert isolated(45.0, self_diffusion_kj_mol=0.0) < 0.9 * isolated(25.0, self_diffusion_kj_mol=0.0)


def test_displacement_per_charge_grows_with_current_because_of_the_dead_band():
    """Without the band a slow strip moves isolated lithium nearly as far per charge, and a pulse would do little."""

    def gain(band_mv):
        row = load_parameters().replace(dead_band_mv=band_mv, end_limit_ma_cm2=300.0).row()
        return drift_um_per_h(row, 2.67, 1.0) / 2.67 / (drift_um_per_h(row, 1.0, 1.0) / 1.0)

    assert gain(0.0) < 1.6
    assert gain(2.0) > 2.0


def test_end_overpotential_grows_with_length_and_current():
    assert end_overpotential_mv(3.0, 40.0) == pytest.approx(2 * end_overpotential_mv(3.0, 20.0))
    assert end_overpotential_mv(4.5, 20.0) > 1.5 * end_overpotential_mv(3.0, 20.0)


@pytest.mark.parametrize("world", ("redealt", "static", "accumulating", "other"))
def test_a_fast_strip_after_plating_reconnects_and_a_slow_one_does_not(world):
    start = isolating(load_parameters("liu21-carbonate", world))
    fast, slow = Cell(start.parameters), Cell(start.parameters)
    fast.restore(start.state())
    slow.restore(start.state())
    assert reconnected(fast, 3.0) > 0.02
    assert reconnected(slow, 0.2) < 1e-3


def test_charging_reconnects_nothing_by_drift():
    cell = isolating()
    before = cell.isolated_mah_cm2
    cell.advance(Control.current(5e-3), HOUR)
    assert cell.isolated_mah_cm2 == pytest.approx(before, rel=1e-3)  # it corrodes a little


def test_two_minutes_are_worth_more_than_twice_one():
    gains = []
    for seconds in (60.0, 120.0):
        cell = isolating()
        gains.append(reconnected(cell, 3.0, seconds))
    assert gains[1] > 2.5 * gains[0]


def test_what_moves_corrodes():
    start = isolating(load_parameters().replace(moving_corrosion=10.0))
    before = start.total("corroded")
    start.advance(Control.current(1e-3), HOUR)
    start.advance(Control.current(-6e-3, v_min=-1.0), 1e7)
    assert start.total("corroded") - before > 0.005


def discharged(parameters):
    cell = Cell(parameters)
    for _ in range(15):
        cell.advance(Control.voltage(4.2, i_max_a=0.8e-3, i_stop_a=0.4e-3), 1e7)
        cell.advance(Control.current(-0.8e-3, v_min=3.0), 1e7)
    return cell


def test_rest_discharged_frees_isolated_lithium_and_the_next_plating_reconnects_it():
    cell = discharged(load_parameters("anode-free"))
    held = cell.isolated_mah_cm2
    freed = []
    for _ in range(3):
        cell.advance(Control.rest(), 2 * HOUR)
        freed.append(cell.freed_mah_cm2)
    assert 0.0 < freed[0] < freed[1] < freed[2] < 0.31 * held
    assert freed[1] - freed[0] < freed[0]  # an hour begins it, several do most
    assert cell.isolated_mah_cm2 == pytest.approx(held, rel=1e-3)  # freed, not yet touched
    cell.advance(Control.current(0.8e-3), HOUR)
    assert cell.isolated_mah_cm2 < held - 0.9 * freed[2]


def test_rest_charged_corrodes_the_deposit_more_so_when_warm():
    def lost(degc, hours):
        cell = discharged(load_parameters("anode-free"))
        cell.advance(Control.current(0.8e-3), 3 * HOUR)
        before = cell.sei_mah_cm2
        cell.advance(Control.rest(), hours * HOUR, ambient_degc=degc)
        return cell.sei_mah_cm2 - before

    assert 0.0 < lost(25.0, 3) < lost(25.0, 6) < lost(45.0, 6)


def test_local_stripping_counts_while_a_reservoir_remains_as_far_as_the_parameter_says():
    def freed(share):
        cell = discharged(load_parameters("liu21-carbonate").replace(local_stripping=share))
        assert cell.active_mah_cm2 > 1.0
        cell.advance(Control.rest(), 6 * HOUR)
        return cell.freed_mah_cm2

    assert freed(0.0) == 0.0
    assert 0.0 < freed(0.5) < freed(1.0)


def test_worlds_differ_in_what_a_plating_does_to_gaps():
    """After many equal pulses the static world has emptied its near classes, the redealt one has filled them again."""

    def late_share(world):
        parameters = load_parameters("liu21-carbonate", "redealt").replace(
            redeal_per_mah={"redealt": 6.0, "static": 0.0}[world]
        )
        cell = isolating(parameters, charge=5.0)
        return [reconnected(cell, 3.0, 300.0) / cell.isolated_mah_cm2 for _ in range(8)][-1]

    assert late_share("static") < 0.7 * late_share("redealt")


def test_gap_classes_hold_the_whole_distribution_and_are_log_spaced():
    edges, weights = gap_classes(1.0, 0.9, 0.2)
    assert len(weights) >= 8
    assert weights.sum() == pytest.approx(1.0)
    assert np.allclose(np.diff(np.log(edges)), np.log(edges[1] / edges[0]))
    assert edges[0] == 0.2


def test_sands_time_and_limiting_current_follow_moh25():
    row = load_parameters().replace(salt_diffusivity_cm2_s=3e-8, separator_um=200.0).row()
    limit = row[P.sand_ma_cm2]
    # eq 4: 2 e C0 D / ((1 - t) L); eq 5: pi D (e C0 / (2 J (1 - t)))**2
    c0, d, length, t = 1e-3, 3e-8, 200e-4, 0.4  # mol cm-3, cm2 s-1, cm
    charge = 96485.33212 * 1e3 * c0  # mC cm-3
    assert limit == pytest.approx(2.0 * charge * d / ((1.0 - t) * length))
    j = 3.0
    assert sand_time_s(row, j, limit) == pytest.approx(np.pi * d * (charge / (2.0 * j * (1.0 - t))) ** 2)
    slow = isolating(load_parameters().replace(salt_diffusivity_cm2_s=3e-8, separator_um=200.0), charge=1.0)
    assert slow.isolated_mah_cm2 > 1.5 * isolating(charge=1.0).isolated_mah_cm2
