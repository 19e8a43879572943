"""INA228 driver on the register model: the data sheet's example, restart, roll-over, alerts, and every bus fault."""

import contextlib
import math

import pytest
from drivers.ina228 import INA228, shunt_cal
from hypothesis import given
from hypothesis import strategies as st

from hil.chips import ina228 as chip
from hil.chips.bus import I2C, Bus

LSB_NA, SHUNT_UOHM = 19073, 16200  # data sheet §8.2: 10 A over 2**19 counts, 16.2 mohm


def wired(lsb_na=LSB_NA, shunt_uohm=SHUNT_UOHM, low_range=0):
    bus = Bus()
    model = bus.add(0x40, chip.INA228(shunt_uohm / 1e6))
    return bus, model, INA228(I2C(bus), lsb_na, shunt_uohm, low_range=low_range)


def limbs(driver):
    return (driver.charge_hi << 20) + driver.charge_lo


def test_data_sheet_example_to_the_last_digit():
    """§8.2.2.5: 6 A through 16.2 mohm at 48 V for an hour."""
    bus, model, driver = wired()
    driver.start()
    model.current_a, model.bus_v = 6.0, 48.0
    assert driver.cal == 4050
    bus.advance(3_600_000)
    assert driver.sample() == 1
    assert model.vshunt == 311040  # 97.2 mV
    assert model.vbus == 245760  # 48 V
    assert driver.bus_uv == 48_000_000
    assert driver.current_count == 314572  # 6 A
    assert limbs(driver) == 1132462080  # 21 600 C
    assert model.energy == 1061683200  # 1 036 800 J


@pytest.mark.parametrize("low_range", [0, 1])
@pytest.mark.parametrize("current_a", [-2.5, -1e-3, 0.0, 1e-3, 2.5])
def test_current_and_charge_carry_their_sign(current_a, low_range):
    lsb_na, shunt_uohm = 5000, 10_000
    bus, model, driver = wired(lsb_na, shunt_uohm, low_range)
    driver.start()
    model.current_a = current_a
    bus.advance(1000)
    assert driver.sample() == 1
    counts = current_a * 1e9 / lsb_na
    step = (78.125 if low_range else 312.5) / shunt_uohm * 1e6 / lsb_na
    assert driver.current_count == pytest.approx(counts, abs=step / 2 + 1 + abs(counts) * 0.5 / driver.cal)
    assert limbs(driver) == pytest.approx(driver.current_count, abs=2)


@given(st.integers(-(1 << 39), (1 << 39) - 1))
def test_forty_bits_come_through_two_limbs(value):
    _, model, driver = wired()
    driver.start()
    model.charge = value
    assert driver.sample() == 1
    assert limbs(driver) == value
    assert 0 <= driver.charge_lo < 1 << 20
    assert -(1 << 19) <= driver.charge_hi < 1 << 19


def test_roll_over_is_counted_once_and_the_difference_survives_it():
    bus, model, driver = wired()
    driver.start()
    model.charge = (1 << 39) - 1000
    model.current_a = 6.0
    driver.sample()
    before = limbs(driver)
    bus.advance(10)
    assert driver.sample() == 1 and driver.rollovers == 1
    assert limbs(driver) < 0
    assert (limbs(driver) - before) % (1 << 40) == 3145  # 314572.8 counts * 10 ms
    driver.sample()
    assert driver.rollovers == 1  # reading CHARGE cleared the flag, DIAG_ALRT was read first


def test_restart_is_seen_counted_and_set_up_again():
    bus, model, driver = wired()
    driver.start(discharge_limit_count=100_000)
    model.current_a = 1.0
    bus.advance(5000)
    driver.sample()
    assert limbs(driver) > 0 and driver.restarts == 0
    model.power_on_reset()  # brown-out
    assert driver.sample() == 1
    assert driver.restarts == 1 and limbs(driver) == 0
    assert model.registers[chip.SHUNT_CAL] == 4050 and model.registers[chip.SUVL] == driver.under_limit & 0xFFFF
    bus.advance(1000)
    driver.sample()
    assert driver.restarts == 1 and driver.current_count == pytest.approx(52429, abs=8)


def test_a_chip_that_was_missing_at_the_start_is_taken_up_with_its_limits():
    """Safety rule 2: what pulls ALERT must not depend on who was there first."""
    bus, model, driver = wired()
    bus.unpowered = {0x40}
    with pytest.raises(OSError):
        driver.start(charge_limit_count=100_000, discharge_limit_count=200_000)
    bus.unpowered = set()
    assert driver.sample() == 1
    assert model.registers[chip.SOVL] == 6179  # 1.9073 A through 16.2 mohm in steps of 5 uV
    assert model.registers[chip.SUVL] == 0x10000 - 12359


def test_a_calibration_equal_to_the_reset_value_is_passed_by():
    assert shunt_cal(15625, 20000, 0) == 4097  # exactly 4096 would hide every restart


@pytest.mark.parametrize(("lsb_na", "shunt_uohm"), [(1, 1), (20_000_000, 16200)])
def test_profile_that_does_not_fit_the_shunt_is_refused(lsb_na, shunt_uohm):
    with pytest.raises(
        ValueError, match=f"current_lsb_na {lsb_na} does not fit this board's shunt of {shunt_uohm} uohm"
    ):
        shunt_cal(lsb_na, shunt_uohm, 0)


@pytest.mark.parametrize(("amperes", "over", "under"), [(4.0, 0, 0), (5.2, 1, 0), (-2.0, 0, 0), (-3.2, 0, 1)])
def test_limits_pull_alert_and_stay_known(amperes, over, under):
    bus, model, driver = wired()
    driver.start(charge_limit_count=5_000_000_000 // LSB_NA, discharge_limit_count=3_000_000_000 // LSB_NA)
    model.current_a = amperes
    bus.advance(50)
    assert model.alert is bool(over or under)
    model.current_a = 0.0
    bus.advance(50)
    assert model.alert is bool(over or under)  # latched until DIAG_ALRT is read
    driver.sample()
    driver.sample()
    assert (driver.over, driver.under) == (over, under)
    driver.clear_trip()
    driver.sample()
    assert (driver.over, driver.under) == (0, 0)


def test_limit_beyond_the_shunt_range_is_refused():
    _, _, driver = wired()
    with pytest.raises(ValueError, match="current limit"):
        driver.start(charge_limit_count=600_000)


def test_another_chip_at_the_address_is_refused():
    _, model, driver = wired()
    model.registers[0x3F] = 0x2380  # INA238
    with pytest.raises(OSError):
        driver.start()


def test_damaged_trim_memory_is_reported():
    _, model, driver = wired()
    driver.start()
    assert driver.sample() == 1 and driver.broken == 0
    model.registers[chip.DIAG_ALRT] &= ~1  # MEMSTAT
    assert driver.sample() == 1 and driver.broken == 1


@pytest.mark.parametrize("fault", ["stuck", "unpowered"])
def test_silent_bus_keeps_the_last_values_and_says_so(fault):
    bus, model, driver = wired()
    driver.start()
    model.current_a = 1.0
    bus.advance(1000)
    driver.sample()
    seen = driver.current_count, limbs(driver), driver.bus_uv
    bus.stuck = fault == "stuck"
    bus.unpowered = {0x40} if fault == "unpowered" else set()
    model.current_a = 2.0
    bus.advance(1000)
    assert driver.sample() == 0
    assert (driver.current_count, limbs(driver), driver.bus_uv) == seen
    bus.stuck, bus.unpowered = False, set()
    assert driver.sample() == 1 and driver.restarts == 0


@pytest.mark.parametrize("answered", range(5))
def test_a_bus_that_fails_half_way_changes_no_figure_and_loses_no_trip(answered, monkeypatch):
    bus, model, driver = wired()
    driver.start(discharge_limit_count=100_000)
    driver.sample()
    model.current_a, model.bus_v = -3.0, 4.0
    bus.advance(1000)
    transfer, last = bus.transfer, bus.transfers + answered
    monkeypatch.setattr(bus, "unpowered", {0x40} if not answered else set())

    def cut(address, out, count):
        data = transfer(address, out, count)
        bus.unpowered = {0x40} if bus.transfers >= last else set()
        return data

    monkeypatch.setattr(bus, "transfer", cut)
    assert driver.sample() == 0
    assert (driver.current_count, limbs(driver), driver.bus_uv, driver.rollovers) == (0, 0, 0, 0)
    monkeypatch.undo()
    bus.unpowered = set()
    assert driver.sample() == 1 and driver.under == 1 and limbs(driver) < 0


@pytest.mark.parametrize("taken", [1, 2])
def test_nack_while_setting_up_leaves_the_chip_marked_as_restarted(taken):
    bus, model, driver = wired()
    driver.start()
    model.power_on_reset()
    bus.nack_after = taken
    assert driver.sample() == 0
    assert model.registers[chip.SHUNT_CAL] == 0x1000
    assert driver.sample() == 1
    assert model.registers[chip.SHUNT_CAL] == driver.cal and driver.restarts >= 1


@pytest.mark.safety(2)
@pytest.mark.parametrize("silent", range(1, 9))
def test_limits_of_before_a_restart_are_not_kept(silent):
    """The controller restarts, the chip does not; it is silent from any transfer of the set-up on, for a moment."""
    bus, model, driver = wired()
    driver.start(charge_limit_count=200_000, discharge_limit_count=200_000)
    later = INA228(I2C(bus), LSB_NA, SHUNT_UOHM)
    bus.silent_after = bus.transfers + silent
    with contextlib.suppress(OSError):
        later.start(charge_limit_count=100_000, discharge_limit_count=100_000)
    assert bus.transfers > bus.silent_after and later.sample() == 0
    bus.silent_after = math.inf
    bus.advance(1000)
    assert later.sample() == 1
    half = driver.over_limit // 2
    assert model.registers[chip.SOVL] in (half, half + 1) and later.over_limit == model.registers[chip.SOVL]
    assert model.registers[chip.SUVL] == later.under_limit & 0xFFFF
