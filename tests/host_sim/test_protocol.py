import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.errors import InputError
from host_sim.protocol import cycles_of, parse, repeat


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Charge at 0.3C until 4.2 V", {"direction": 1, "quantity": "c_rate", "value": 0.3, "until_v": 4.2}),
        ("Hold at 4.2 V until 0.1C", {"quantity": "voltage_v", "value": 4.2, "until_current": ("c_rate", 0.1)}),
        ("Hold at 4200 mV until 50mA", {"value": 4.2, "until_current": ("current_a", 0.05)}),
        ("Hold at 3V until C/50", {"value": 3.0, "until_current": ("c_rate", 0.02)}),
        ("Hold at 4.2 V for 1 hour or until C/20", {"duration_s": 3600.0, "until_current": ("c_rate", 0.05)}),
        ("Discharge at 3 mA/cm2 for 2 minutes", {"direction": -1, "quantity": "areal_ma_cm2", "duration_s": 120.0}),
        ("discharge at 3 mA cm-2 for 2 min", {"quantity": "areal_ma_cm2", "value": 3.0, "duration_s": 120.0}),
        ("Discharge at 30 A/m2 for 2 min", {"quantity": "areal_ma_cm2", "value": 3.0}),
        ("Discharge at C/3 for 2 hours or until 2.5 V", {"value": 1 / 3, "duration_s": 7200.0, "until_v": 2.5}),
        ("Discharge at 1 C until 2.5V or for 45 minutes", {"value": 1.0, "duration_s": 2700.0, "until_v": 2.5}),
        ("Discharge at 1 C until 2.5V or 45 minutes", {"duration_s": 2700.0, "until_v": 2.5}),
        ("Charge at 200 mW until 4.1 V", {"quantity": "power_w", "value": 0.2}),
        ("Rest for 6 hours", {"direction": 0, "quantity": "rest", "duration_s": 21600.0}),
        ("Rest for 6 hours at 45 degC", {"duration_s": 21600.0, "temperature_degc": 45.0}),
        ("Discharge at 1C at -10 °C until 3 V", {"temperature_degc": -10.0, "until_v": 3.0}),
        ("Rest for 6 hours at 45oC", {"temperature_degc": 45.0}),
        ("Plate at 0.5 mA/cm2 until 1 mAh/cm2", {"direction": 1, "until_charge": ("areal_mah_cm2", 1.0)}),
        ("Strip at 5 mA/cm2 until 1 V", {"direction": -1, "until_v": 1.0}),
    ],
)
def test_reads_what_pybamm_users_write(text, expected):
    step = parse(text)
    for name, value in expected.items():
        assert getattr(step, name) == (pytest.approx(value) if isinstance(value, float) else value), name


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Chrage at 1C until 4.2 V", "Chrage"),
        ("Charge with 1C until 4.2 V", "with"),
        ("Charge at 1 furlong until 4.2 V", "furlong"),
        ("Charge at until 4.2 V", "''"),
        ("Rest quietly for 6 hours", "quietly"),
        ("Hold at 0.5C until 0.1C", "0.5c"),
        ("Rest until 4.2 V", "4.2 v"),
        ("Rest for 4.2 V", "4.2 v"),
        ("Charge at 1C until 2 hours", "2 hours"),
        ("Charge at 1C until 4.2 V until 4.3 V", "4.3 v"),
        ("Charge at 1C until", "until"),
        ("Charge at 1C", "no end"),
        ("Charge at 0C until 4.2 V", "zero"),
        ("Charge at C/0 until 4.2 V", "zero"),
        ("Charge at -1C until 4.2 V", "-1c"),
        ("Rest for 1e300 hours", "too long, allowed is up to 8760 hours"),
        ("", "''"),
    ],
)
def test_an_unknown_word_is_named_in_one_sentence(text, word):
    with pytest.raises(InputError) as error:
        parse(text)
    assert word in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_a_step_or_an_input_error(text):
    try:
        step = parse(text)
    except InputError:
        return
    assert step.value >= 0


@given(st.floats(0.001, 99), st.sampled_from(["C", "A", "mA", "mA/cm2", "W"]), st.floats(1, 5))
def test_numbers_come_through_unchanged(value, unit, volts):
    step = parse(f"Charge at {value!r} {unit} until {volts!r} V")
    assert step.value == pytest.approx(value * (1e-3 if unit == "mA" else 1.0))
    assert step.until_v == volts


def test_a_tuple_is_a_cycle_and_so_is_a_flat_list():
    pair = ("Charge at 0.3C until 4.2 V", "Discharge at 1C until 3 V")
    assert len(cycles_of(pair)) == 1
    assert cycles_of(list(pair)) == cycles_of(pair)
    assert [len(cycle) for cycle in cycles_of(["Rest for 1 hour", pair, *repeat(pair, 2)])] == [1, 2, 2, 2]
    for wrong in ([], None, 5, [("Rest for 1 hour", 3)]):
        with pytest.raises(InputError):
            cycles_of(wrong)
    with pytest.raises(InputError):
        repeat(pair, 0)


def test_current_of_a_step_in_ampere():
    assert parse("Charge at 0.5C until 4 V").current_a(100.0, 2.67) == pytest.approx(0.1335)
    assert parse("Charge at 3 mA/cm2 until 4 V").current_a(100.0, 2.67) == pytest.approx(0.3)
    assert parse("Charge at 3 mA until 4 V").current_a(100.0, 2.67) == pytest.approx(0.003)
