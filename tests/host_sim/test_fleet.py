import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_sim.cell import Cell, load_parameters
from host_sim.cycler import run
from host_sim.errors import InputError
from host_sim.fleet import draw, live

FAST = ("Charge at C/2 until 4.2 V", "Discharge at 1C until 3.0 V")
SLOW = ("Charge at 1C until 4.2 V", "Discharge at C/2 for 2 hours or until 3.0 V", "Rest for 1 hour")
SPREAD = {"reservoir_mah_cm2": "20 %", "stack_pressure_mpa": [0.3, 0.7]}


@settings(max_examples=10)
@given(st.integers(0, 99), st.integers(0, 2**40), st.integers(1, 3))
def test_one_cell_alone_and_in_a_fleet_is_the_same_to_the_last_bit(cell, seed, threads):
    parameters = draw(load_parameters(), SPREAD, seed, range(cell, cell + 5))
    lives = live(parameters, FAST, 6, area_cm2=10.0, threads=threads)
    alone = run(Cell(parameters[2], area_cm2=10.0), FAST, cycles=6)
    assert lives.counted[2].tobytes() == alone.counted.tobytes()
    assert lives.final[2].tobytes() == alone.state["cell"].tobytes()
    for name, values in alone.summary.items():
        assert lives.summary(2)[name].tobytes() == values.tobytes(), name


def test_a_cell_is_drawn_the_same_whoever_is_drawn_with_it():
    all_of_them = draw(load_parameters(), SPREAD, 7, range(100))
    assert draw(load_parameters(), SPREAD, 7, [42])[0] == all_of_them[42]
    values = np.array([one.value("reservoir_mah_cm2") for one in all_of_them])
    assert values.std() / values.mean() == pytest.approx(0.2, abs=0.05)
    pressure = np.array([one.value("stack_pressure_mpa") for one in all_of_them])
    assert 0.3 < pressure.min() < 0.32 and 0.68 < pressure.max() < 0.7
    assert draw(load_parameters(), SPREAD, 8, [42])[0] != all_of_them[42]
    assert draw(load_parameters(), {}, 8, [1, 2]) == [load_parameters()] * 2


def test_each_cell_its_own_protocol():
    parameters = [load_parameters()] * 4
    lives = live(parameters, {"protocols": [FAST, SLOW], "of_cell": [0, 1, 0, 1]}, 3)
    for cell, protocol in enumerate([FAST, SLOW, FAST, SLOW]):
        assert lives.counted[cell].tobytes() == live(parameters[:1], protocol, 3).counted[0].tobytes()


def test_a_life_ends_at_its_retention():
    lives = live(draw(load_parameters(), SPREAD, 1, range(6)), FAST, 300, termination="80% capacity")
    assert len(set(lives.lived)) > 1
    for cell in range(6):
        retention = lives.summary(cell)["Capacity retention [%]"]
        assert retention[-1] < 80 <= retention[-2]
        assert lives.cycles_to(0.8)[cell] == lives.lived[cell] == len(retention)
    assert np.isnan(lives.cycles_to(0.01)).all()


def test_one_that_cannot_go_on_says_so_and_the_others_live():
    charge_only = [FAST, ("Charge at 1C for 0.95 hours", "Discharge at 1C until 3.0 V")]
    parameters = draw(load_parameters(), {"cathode_capacity_mah_cm2": [2.5, 3.3]}, 3, range(8))
    lives = live(parameters, charge_only, 2)
    assert 0 < len(lives.problems) < 8
    for cell in range(8):
        assert lives.lived[cell] == (1 if cell in lives.problems else 2)
        assert len(lives.summary(cell)["Stage"]) == lives.lived[cell]
    assert "cathode is empty" in next(iter(lives.problems.values()))


@pytest.mark.parametrize(
    ("spread", "word"),
    [({"gap_sigmo": "10 %"}, "gap_sigmo"), ({"gap_sigma": "ten"}, "ten"), ({"gap_sigma": [2, 1]}, "gap_sigma"),
     ({"gap_sigma": [0.5, 99]}, "gap_sigma"), ({"gap_sigma": "400 %"}, "400")],
)  # fmt: skip
def test_a_wrong_spread_is_one_sentence(spread, word):
    with pytest.raises(InputError, match=word) as error:
        draw(load_parameters(), spread, 1, [0])
    assert "\n" not in str(error.value)
