"""The bench's own measures, small: each can fail, and finds what it is there to find. Timings are for `make bench`."""

import pytest

from host_sim import bench_cell
from host_sim.bench import judged


def test_lithium_closes_and_a_flux_that_leaks_is_seen(monkeypatch):
    worst, cycles = bench_cell.closure(60.0, cycles=20)
    assert cycles == 20 and worst < 1e-12
    leaking = bench_cell.run

    def leak(cell, *arguments, **options):
        solution = leaking(cell, *arguments, **options)
        solution.counted[:, 7] += 1e-6  # isolated lithium from nowhere
        return solution

    monkeypatch.setattr(bench_cell, "run", leak)
    assert bench_cell.closure(60.0, cycles=20)[0] > 1e-9


def test_step_difference_and_order():
    capacity, volts = bench_cell.step_difference(cycles=1, fine_s=5.0)
    assert 0 < capacity < 0.05 and 0 < volts < 1
    order, errors = bench_cell.convergence_order()
    assert 0.8 < order < 3 and errors[0] > errors[1] > errors[2] > 0


def test_different_bits_are_counted(monkeypatch):
    assert bench_cell.different_bits(cells=6, alone=3, cycles=1) == 0
    alone = bench_cell.run
    monkeypatch.setattr(bench_cell, "run", lambda *a, **o: alone(*a, **o, step_s=59.0))
    assert bench_cell.different_bits(cells=6, alone=3, cycles=1) == 3


def test_a_batch_life_has_isolated_lithium_and_whole_steps():
    batch = bench_cell.BatchLife(cells=3)
    assert batch.lockstep_per_s() > 0 and batch.lives_per_s(cycles=2) > 0
    assert (batch.batch.isolated_mah_cm2 > 0).all()
    assert bench_cell.life_cycles_per_s(cycles=5) > 0


def test_rows_can_be_judged():
    row = bench_cell.row("memory", 250.0, "MB", "< 300", spread="one run")
    assert judged("cell", row)["ok"] is True
    assert judged("cell", row | {"value": 301.0})["ok"] is False


def test_voltage_beside_pybamm_and_that_other_kinetics_would_show():
    import host_sim.peers  # noqa: F401  before PyBaMM: switches its telemetry off

    pytest.importorskip("pybamm", reason="a peer of 0.6 GB that only `make bench` installs")
    from host_sim.peers import voltage

    assert voltage.rested_mv(points=5) < 0.1
    ours = voltage.our_parameters()
    (same,) = voltage.loaded((-0.1,), ours)
    assert same.worst_mv(0.2, 0.8) < 2
    curve = voltage.our_curve(ours.replace(i0_cathode_ma_cm2=1.0), 0.5, -0.000267, voltage.np.array([0.0, 600.0]))
    theirs = voltage.pybamm_curve(ours, 0.5, -0.000267, voltage.np.array([0.0, 600.0]))
    assert abs(curve[-1] - theirs[-1]) > 5e-4
