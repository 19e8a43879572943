"""ADS1115 driver and the single-cell front end on the register model."""

import pytest
from drivers.ads1115 import ADS1115, CELL
from drivers.single_cell import SingleCell
from drivers.thermistor import Thermistor
from hypothesis import given
from hypothesis import strategies as st

from hil.chips import ads1115 as chip
from hil.chips.bus import I2C, Bus


def wired():
    bus = Bus()
    model = bus.add(0x48, chip.ADS1115())
    driver = ADS1115(I2C(bus), bus.advance)
    driver.start()
    return bus, model, driver


def front():
    bus, model, adc = wired()
    model.inputs_v = [3.7, 0.0, 1.65, 3.3]  # cell, its other end, thermistor at 10 kohm, supply of the divider
    return bus, model, SingleCell(adc, Thermistor())


def test_reset_value_and_what_the_driver_writes():
    """SBAS444D §9.6.3: 8583h after reset."""
    model = chip.ADS1115()
    model.write(b"\x01")
    assert model.read(2) == b"\x85\x83"
    _, model, _ = wired()
    assert model.registers[1] == 0x01C3  # AIN0-AIN1, 6.144 V, single shot, 475 SPS, comparator off


@given(st.floats(0.0, 5.0))
def test_voltage_within_half_a_count(volts):
    _, model, driver = wired()
    model.inputs_v = [volts + 0.2, 0.2, 0.0, 0.0]
    assert driver.sample(CELL) == 1
    assert driver.microvolts() == pytest.approx(volts * 1e6, abs=187.5 / 2 + 1)


def test_single_cell_front_end():
    _, _, cell = front()
    assert cell.sample() == 1 and cell.temp_ok == 1
    assert cell.cell_uv == [3_699_937]  # 19733 counts of 187.5 uV
    assert cell.cdegc[0] == pytest.approx(2500, abs=25)


@pytest.mark.parametrize("node_v", [0.0, 3.3])
def test_broken_thermistor_is_no_temperature_but_the_voltage_stays(node_v):
    _, model, cell = front()
    model.inputs_v[2] = node_v
    assert cell.sample() == 1 and cell.temp_ok == 0


def test_unfinished_conversion_is_no_reading():
    _, _model, driver = wired()
    driver.sleep_ms = lambda milliseconds: None
    assert driver.sample(CELL) == 0


def test_restart_during_a_conversion_is_no_reading():
    bus, model, driver = wired()

    def brown_out(milliseconds):
        model.power_on_reset()
        bus.advance(milliseconds)

    driver.sleep_ms = brown_out
    model.inputs_v = [3.7, 0.0, 0.0, 0.0]
    assert driver.sample(CELL) == 0


@pytest.mark.parametrize("fault", ["stuck", "unpowered", "nack"])
def test_bus_faults_are_no_reading_and_pass(fault):
    bus, _, cell = front()
    bus.stuck = fault == "stuck"
    bus.unpowered = {0x48} if fault == "unpowered" else set()
    bus.nack_after = 1 if fault == "nack" else None
    assert cell.sample() == 0 and cell.temp_ok == 0
    bus.stuck, bus.unpowered = False, set()
    assert cell.sample() == 1


def test_absent_chip_is_refused_at_start():
    bus, _, driver = wired()
    bus.corrupt = 0xFF
    with pytest.raises(OSError):
        driver.start()
