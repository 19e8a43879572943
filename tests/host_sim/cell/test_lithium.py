"""Lithium: the four stores keep their sum, none is a remainder, none is ever negative."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from host_sim.cell import WORLDS, Cell, Control, half_cell, load_parameters
from host_sim.cell.kernel import advance
from host_sim.cell.layout import BARE, CURRENT, DEAD, GAPS, STATE_ROW, S

TOLERANCE = 1e-9  # relative, over 1000 cycles


def stores(cell):
    return (cell.cathode_mah_cm2, cell.active_mah_cm2, cell.isolated_mah_cm2, cell.sei_mah_cm2)


control = st.one_of(
    st.floats(-8.0, 8.0).map(lambda ma: Control.current(ma * 1e-3, v_min=2.5, v_max=4.5)),
    st.floats(2.5, 4.5).map(lambda v: Control.voltage(v, i_max_a=5e-3)),
    st.floats(-0.02, 0.02).map(lambda w: Control.power(w, v_min=2.5, v_max=4.5)),
    st.just(Control.rest()),
)
step = st.tuples(control, st.sampled_from((0.1, 1.0, 60.0, 700.0, 3600.0, 40_000.0)), st.floats(-20.0, 60.0))


@given(
    steps=st.lists(step, min_size=1, max_size=25),
    electrolyte=st.sampled_from(("liu21-carbonate", "zhang25", "anode-free")),
    world=st.sampled_from(tuple(WORLDS)),
    mediator=st.booleans(),
    short=st.booleans(),
)
def test_any_protocol_keeps_the_lithium_and_no_store_goes_negative(steps, electrolyte, world, mediator, short):
    parameters = load_parameters(electrolyte, world)
    if mediator:
        parameters = parameters.replace(mediator_return_per_h=0.01, mediator_discharge_per_h=0.001)
    cell = Cell(parameters)
    if short:
        cell.set_short(3000.0)
    before = sum(stores(cell))
    for what, seconds, ambient in steps:
        outcome = cell.advance(what, seconds, ambient_degc=ambient)
        assert 0.0 <= outcome.elapsed_s <= seconds
        assert min(stores(cell)) >= 0.0
        state = cell.state()
        assert np.all(np.isfinite(state))
        dead, bare = state[DEAD : DEAD + GAPS + 1], state[BARE : BARE + GAPS + 1]
        assert dead.min() >= 0.0 and bare.min() >= 0.0
        assert np.all(bare <= dead * (1.0 + 1e-9) + 1e-15)
        assert state[S.fresh] <= state[S.active] + 1e-9
    assert abs(sum(stores(cell)) - before) <= TOLERANCE * before


@njit
def live(s, p, ocv, dt, cycles, charge, discharge):
    """`cycles` cycles between 3.0 and 4.2 V in steps of dt s; returns the steps taken."""
    control = np.array([float(CURRENT), 0.0, 3.0, 4.2, np.inf, -1.0])
    saved = np.empty(STATE_ROW)
    result = np.zeros(2)
    steps = 0
    for _ in range(cycles):
        for current in (charge, -discharge):
            control[1] = current
            result[1] = 0.0
            while result[1] == 0.0:
                advance(s, p, ocv, control, dt, 298.15, saved, result)
                steps += 1
    return steps


@pytest.mark.parametrize("dt_s", (60.0, 1.0))
def test_lithium_closes_over_1000_cycles(dt_s):
    cell = Cell(load_parameters("zhang25"))
    before = sum(stores(cell))
    steps = live(cell._s, cell._row, cell._batch._ocv, dt_s, 1000, 2.0, 4.0)
    assert steps > 1000 * 3000.0 / dt_s  # it did live
    assert abs(sum(stores(cell)) - before) <= TOLERANCE * before
    assert abs(cell.lithium_mah_cm2 - before) <= TOLERANCE * before


POISONED = """
import host_sim.cell.lithium as lithium
from host_sim.cell import Cell, Control, half_cell, load_parameters
from host_sim.cell.layout import DEAD, GAPS, S
original = lithium.{name}
def poisoned({arguments}):
    original({arguments})
    {poison}
lithium.{name} = poisoned
cell = Cell(half_cell(load_parameters()))
before = cell.lithium_mah_cm2
for _ in range(2):
    cell.advance(Control.current(5e-3), 720.0)
    cell.advance(Control.current(-5e-3, v_min=-1.0), 1e4)
print(abs(cell.lithium_mah_cm2 - before) / before)
"""


@pytest.mark.parametrize(
    ("name", "arguments", "poison"),
    (
        ("move", "s, source, target, amount", "lithium.add(s, target, 1e-3 * amount)"),
        ("to_dead", "s, amount", "s[DEAD + GAPS] += 1e-3 * amount"),
        ("from_dead", "s, k, store, amount", "lithium.add(s, store, 1e-3 * amount)"),
        ("add", "s, store, amount", "pass"),
    ),
)
def test_a_poisoned_flux_breaks_the_sum(name, arguments, poison):
    """Nothing makes up for a flux that arrives a thousandth too large: no store is what the others leave."""
    script = POISONED.format(name=name, arguments=arguments, poison=poison)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"NUMBA_DISABLE_JIT": "1"}
    )
    relative = float(done.stdout)
    assert relative < TOLERANCE if poison == "pass" else relative > 10 * TOLERANCE


def test_a_half_cell_has_ample_lithium():
    cell = Cell(half_cell(load_parameters()))
    cell.advance(Control.current(1e-3), 10 * 3600.0)
    assert cell.active_mah_cm2 > 9.0
    assert abs(cell.voltage_v) < 0.2
