"""The parameter table: complete, within range, refused in one sentence."""

import math

import pytest

from host_sim.cell import SETS, WORLDS, Cell, CellBatch, Control, load_parameters
from host_sim.cell.table import ROWS
from host_sim.errors import InputError
from host_sim.fit import FREE, REST


@pytest.mark.parametrize("electrolyte", SETS)
@pytest.mark.parametrize("world", WORLDS)
def test_every_set_is_complete_within_range_and_sourced(electrolyte, world):
    parameters = load_parameters(electrolyte, world)
    for name in parameters:
        parameter = parameters[name]
        assert parameter.low <= parameter.value <= parameter.high, name
        assert parameter.unit and parameter.source, name
    assert math.isfinite(parameters.row().sum())


def test_what_changed_a_value_is_said():
    parameters = load_parameters("liu21-carbonate", "static")
    assert parameters["redeal_per_mah"].changed_by == "world static"
    assert parameters["sei_share"].changed_by == "fit"
    assert parameters["ohmic_ohm_cm2"].changed_by == ""
    assert parameters.replace(ohmic_ohm_cm2=3.0)["ohmic_ohm_cm2"].changed_by == "caller"


def test_every_parameter_is_listed_once_and_its_default_in_range():
    names = [row[0] for row in ROWS]
    assert len(names) == len(set(names))
    for name, value, unit, low, high, source in ROWS:
        assert low <= value <= high and unit and source, name


def test_the_fit_searches_inside_the_table():
    table = {row[0]: row for row in ROWS}
    for ranges in (*FREE.values(), REST):
        for name, (low, high) in ranges.items():
            assert table[name][3] <= low < high <= table[name][4], name


@pytest.mark.parametrize(
    ("changes", "says"),
    (
        ({"gap_sigma": float("nan")}, "gap_sigma is nan"),
        ({"gap_sigma": 99.0}, "allowed is 0.4 to 1.6 ln"),
        ({"gap_sigma": "wide"}, "gap_sigma is 'wide'"),
        ({"no_such": 1.0}, "'no_such' is unknown"),
        ({"cathode": "LCO"}, "'LCO' is unknown"),
        ({"accuracy": float("nan")}, "accuracy is nan"),
        ({"accuracy": 0.0}, "accuracy is 0.0, allowed is 0.0001 to 4"),
    ),
)
def test_a_wrong_value_is_one_sentence(changes, says):
    with pytest.raises(InputError) as caught:
        load_parameters().replace(**changes)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    (
        lambda: load_parameters("water"),
        lambda: load_parameters(world="ours"),
        lambda: Cell(load_parameters(), area_cm2=0.0),
        lambda: Cell(load_parameters(), temperature_degc=float("nan")),
        lambda: Cell(load_parameters()).advance(Control.current(float("nan")), 1.0),
        lambda: Cell(load_parameters()).advance(Control.rest(), float("nan")),
        lambda: Cell(load_parameters()).restore([1.0, 2.0]),
        lambda: Cell(load_parameters()).set_short(0.0),
        lambda: CellBatch([load_parameters(), load_parameters("zhang25")]),
        lambda: CellBatch(load_parameters(), 3).advance(Control.rest(), [1.0, float("nan"), 1.0]),
    ),
)
def test_wrong_use_is_one_sentence(wrong):
    with pytest.raises(InputError) as caught:
        wrong()
    assert "\n" not in str(caught.value)
