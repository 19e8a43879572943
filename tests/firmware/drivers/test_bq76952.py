"""BQ76952 driver on the register model, which is first checked against the examples of TI's own notes."""

import math

import pytest
from drivers.bq76952 import BQ76952

from hil.chips import bq76952 as chip
from hil.chips.bus import I2C, Bus


def wired(cells=16):
    bus = Bus()
    model = bus.add(0x08, chip.BQ76952(cells))
    driver = BQ76952(I2C(bus), bus.advance, cells, 2_500_000, 4_350_000)
    return bus, model, driver


def started(cells=16):
    bus, model, driver = wired(cells)
    driver.start()
    return bus, model, driver


def test_model_against_the_published_examples():
    """SLUAA11B §1.2: 0E74h is 3700 mV; §2.1: device 7695h. SLUUBY2B §3.3: checksum 44h for 9180h = 307Ah."""
    model = chip.BQ76952(16)
    model.cells_v[0] = 3.7
    model.write(b"\x14")
    assert model.read(2) == b"\x74\x0e"
    model.write(b"\x3e\x01\x00")
    model.write(b"\x40")
    assert model.read(2) == b"\x95\x76"
    assert chip._checksum(0x9180, b"\x7a\x30") == 0x44


@pytest.mark.parametrize("cells", [3, 4, 10, 16])
def test_string_is_read_in_order_whatever_its_length(cells):
    _, model, driver = started(cells)
    wanted = [3_400_000 + 10_000 * k for k in range(cells)]
    for k, uv in enumerate(wanted):
        model.cells_v[15 if k == cells - 1 else k] = uv / 1e6
    model.ts_degc = [31.4, -12.3]
    assert driver.sample() == 1
    assert driver.cell_uv == wanted
    assert driver.stack_uv == pytest.approx(sum(wanted), abs=5000)
    assert driver.cdegc == pytest.approx([3140, -1230], abs=5)
    assert driver.temp_ok == 1 and driver.tripped == 0


def test_configuration_that_start_leaves():
    _, model, _ = started(4)
    assert model.memory[chip.VCELL_MODE] == 0x8007  # three from below, and the topmost input
    assert model.memory[chip.CUV_THRESHOLD] == 49 and model.memory[chip.COV_THRESHOLD] == 86  # 2.479 V, 4.352 V
    assert model.memory[chip.ENABLED_PROTECTIONS_A] & 0x0C == 0x0C
    assert not model.status & (chip.POR | chip.CFGUPDATE)
    assert model.fet_enabled and model.fets_on


@pytest.mark.parametrize("volts", [4.5, 2.0])
def test_its_own_protection_opens_without_firmware(volts):
    bus, model, driver = started(4)
    model.cells_v[1] = volts
    bus.advance(1000)
    assert not model.fets_on
    assert driver.sample() == 1 and driver.tripped == 1


def test_brown_out_is_seen_and_set_up_again():
    _bus, model, driver = started(4)
    model.power_on_reset()
    assert driver.sample() == 0 and driver.restarts == 1
    assert driver.sample() == 1 and driver.restarts == 1
    assert model.memory[chip.VCELL_MODE] == 0x8007 and model.fets_on


def test_balancing_goes_to_the_right_inputs_and_is_renewed():
    bus, model, driver = started(4)
    assert driver.balance(0b1001, 0) == 1
    assert model.balancing == 0x8001
    model.balancing = 0  # timed out
    driver.balance(0b1001, 4000)
    assert model.balancing == 0
    driver.balance(0b1001, 6000)
    assert model.balancing == 0x8001
    before = bus.transfers
    driver.balance(0, 6100)
    driver.balance(0, 6200)
    assert model.balancing == 0 and bus.transfers == before + 2


@pytest.mark.parametrize("fault", ["stuck", "unpowered"])
def test_silent_bus(fault):
    bus, model, driver = started(4)
    driver.sample()
    seen = list(driver.cell_uv)
    model.cells_v[0] = 4.0
    bus.stuck = fault == "stuck"
    bus.unpowered = {0x08} if fault == "unpowered" else set()
    assert driver.sample() == 0 and driver.temp_ok == 0
    assert driver.cell_uv == seen
    assert driver.balance(1, 0) == 0


@pytest.mark.parametrize("byte", range(1, 5))
def test_nack_inside_the_set_up_is_an_error_not_a_half_configuration(byte):
    bus, model, driver = wired(4)
    bus.nack_after = byte
    if byte < 3:
        with pytest.raises(OSError):
            driver.start()
    else:  # refused inside a data memory write: the read-back sees it
        with pytest.raises(OSError):
            driver.start()
        assert model.memory[chip.VCELL_MODE] == 0
    driver.start()
    assert model.memory[chip.VCELL_MODE] == 0x8007


def test_another_device_number_is_refused():
    bus, _model, driver = wired(4)
    bus.corrupt = 0x01
    with pytest.raises(OSError):
        driver.start()


def test_strings_it_cannot_take_are_refused():
    with pytest.raises(ValueError, match="3 to 16 cells, not 2"):
        BQ76952(I2C(Bus()), None, 2, 2_500_000, 4_350_000)


@pytest.mark.safety(2)
@pytest.mark.parametrize("silent", range(1, 12))
def test_thresholds_of_before_a_restart_are_not_kept(silent):
    """The controller restarts with another profile, the chip does not; it is silent from any transfer of the set-up
    on, for a moment."""
    bus, model, _ = started(4)
    later = BQ76952(I2C(bus), bus.advance, 4, 2_800_000, 4_200_000)
    bus.silent_after = bus.transfers + silent
    with pytest.raises(OSError):
        later.start()
    assert later.sample() == 0
    bus.silent_after = math.inf
    assert later.sample() == 0  # it is told anew; its first conversions come later
    assert later.sample() == 1
    assert model.memory[chip.CUV_THRESHOLD] == later.cuv and model.memory[chip.COV_THRESHOLD] == later.cov
    assert not model.status & chip.CFGUPDATE and model.fets_on
