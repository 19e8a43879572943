"""The sensor model: nothing lost between ticks, errors as stated, wrap and roll-over as on the chip, every fault
verb."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.readings import LIMB, TICKS_PERIOD_MS, Readings

from host_sim.sensors import CURRENT_MAX, VERBS, SensorModel, SensorSpec

LSB_NA = 1000
LSB_A = LSB_NA * 1e-9
steps = st.lists(st.tuples(st.floats(0.001, 60.0), st.floats(-0.4, 0.4)), min_size=1, max_size=40)


def register(readings):
    return readings.charge_hi * LIMB + readings.charge_lo


def model(spec=None, **options):
    sensors = SensorModel(LSB_NA, spec=SensorSpec.ideal() if spec is None else spec, **options)
    sensors.sample(0.0, 0.0, 0.0, [3.5], [25.0])
    return sensors


def filled(sensors):
    readings = Readings(sensors.cells, sensors.thermistors)
    sensors.fill(readings)
    return readings


@given(steps)
def test_accumulator_holds_the_whole_charge_to_one_count(intervals):
    sensors = model()
    for elapsed_s, current_a in intervals:
        sensors.sample(elapsed_s, current_a * elapsed_s, current_a, [3.5], [25.0])
    true = sum(elapsed_s * current_a for elapsed_s, current_a in intervals) / LSB_A
    assert -1e-3 <= true - register(filled(sensors)) <= 1.0 + 1e-3  # floor, and float rounding


@given(steps, st.floats(-3, 3), st.floats(-500, 500))
def test_offset_and_gain_are_those_of_current_and_accumulator_alike(intervals, offset, gain_ppm):
    sensors = model(replace(SensorSpec.ideal(), current_offset_count=offset, current_gain_ppm=gain_ppm))
    expected = 0.0
    for elapsed_s, current_a in intervals:
        sensors.sample(elapsed_s, current_a * elapsed_s, current_a, [3.5], [25.0])
        seen = current_a / LSB_A * (1 + gain_ppm * 1e-6) + offset
        expected += seen * elapsed_s
        assert abs(filled(sensors).current_count - seen) <= 0.5 + 1e-6
    assert abs(register(filled(sensors)) - expected) <= 1.001


@given(steps)
def test_cutting_an_interval_changes_nothing(intervals):
    """One sample of 60 s or sixty of 1 s: the accumulator ends the same, to float rounding of the residue."""
    whole, cut = model(), model()
    for elapsed_s, current_a in intervals:
        whole.sample(elapsed_s, current_a * elapsed_s, current_a, [3.5], [25.0])
        for _ in range(8):
            cut.sample(elapsed_s / 8, current_a * elapsed_s / 8, current_a, [3.5], [25.0])
    assert abs(whole.accumulator - cut.accumulator) <= 1
    assert math.isclose(whole.time_ms, cut.time_ms, rel_tol=1e-12)


@given(st.integers(-(2**39), 2**39 - 1))
def test_forty_bits_as_two_limbs(value):
    sensors = model()
    sensors.accumulator = value
    sensors.sample(1.0, 0.0, 0.0, [3.5], [25.0])
    readings = filled(sensors)
    assert register(readings) == value
    assert -LIMB // 2 <= readings.charge_hi < LIMB // 2 and 0 <= readings.charge_lo < LIMB


def test_accumulator_rolls_over_as_the_chip_does():
    sensors = model()
    sensors.accumulator = 2**39 - 1
    sensors.sample(1.0, LSB_A, LSB_A, [3.5], [25.0])
    assert register(filled(sensors)) == -(2**39)


@pytest.mark.parametrize("start_ms", [0, TICKS_PERIOD_MS - 2])
def test_ticks_wrap(start_ms):
    sensors = model(replace(SensorSpec.ideal(), sample_delay_ms=3), start_ms=start_ms)
    sensors.sample(0.004, 0.0, 0.0, [3.5], [25.0])
    readings = filled(sensors)
    assert readings.now_ms == (start_ms + 4) % TICKS_PERIOD_MS
    assert (readings.now_ms - readings.current_ms) % TICKS_PERIOD_MS == 3


def test_a_sample_is_as_old_as_it_says():
    """Just after a change of current, a delayed sample still shows the current before."""
    sensors = model(replace(SensorSpec.ideal(), sample_delay_ms=5))
    sensors.sample(1.0, 0.1, 0.1, [3.6], [25.0])
    sensors.sample(0.002, -0.0004, -0.2, [3.4], [25.0])
    readings = filled(sensors)
    assert readings.current_count == 100_000 and abs(readings.cell_uv[0] - 3_600_000) < 200


def test_current_saturates():
    sensors = model()
    sensors.sample(1.0, 10.0, 10.0, [3.5], [25.0])
    assert filled(sensors).current_count == CURRENT_MAX


def test_same_seed_same_readings_and_another_seed_another_board():
    def trace(seed):
        sensors = SensorModel(LSB_NA, seed=seed)
        out = []
        for k in range(50):
            sensors.sample(1.0, 0.05, 0.05, [3.5 + 0.001 * k], [25.0])
            r = filled(sensors)
            out.append((r.now_ms, r.current_count, r.cell_uv[0], r.temp_cdegc[0], register(r)))
        return out

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)


def test_noise_has_the_stated_size():
    sensors = model(replace(SensorSpec.ideal(), current_noise_count=4.0, cell_noise_uv=500.0), seed=1)
    counts, volts = [], []
    for _ in range(4000):
        sensors.sample(1.0, 0.0, 0.0, [3.5], [25.0])
        r = filled(sensors)
        counts.append(r.current_count)
        volts.append(r.cell_uv[0])
    spread = (sum(c * c for c in counts) / len(counts)) ** 0.5
    mean = sum(volts) / len(volts)
    assert 3.8 < spread < 4.2
    assert 470 < (sum((v - mean) ** 2 for v in volts) / len(volts)) ** 0.5 < 530


@pytest.mark.parametrize("component", ["current", "charge", "cell0", "temperature", "clock"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_and_heals(component, verb):
    magnitude = {"wrong": 0.2, "slow": 5.0, "delayed": 2000, "intermittent": 1.0}.get(verb, 0.0)
    if (component, verb) == ("clock", "slow"):
        magnitude = 0.5

    def look(sensors):
        r = filled(sensors)
        return {
            "current": (r.current_count, r.current_ok, (r.now_ms - r.current_ms) % TICKS_PERIOD_MS),
            "charge": (register(r), r.charge_ok),
            "cell0": (r.cell_uv[0], r.cell_ok, (r.now_ms - r.cell_ms) % TICKS_PERIOD_MS),
            "temperature": (r.temp_cdegc[0], r.temp_ok, (r.now_ms - r.temp_ms) % TICKS_PERIOD_MS),
            "clock": (r.now_ms,),
        }[component]

    def moved(sensors, times):
        for k in range(times):
            t = 1.0 + 0.01 * k
            sensors.sample(1.0, 0.1 * t, 0.1 * t, [3.0 + 0.01 * t], [20.0 + t])
        return sensors

    healthy, faulty = moved(model(), 5), moved(model(), 5)
    faulty.fault(component, verb, magnitude)
    look(faulty)  # the fault takes hold of the value of this tick
    moved(healthy, 7), moved(faulty, 7)
    assert (look(faulty) == look(healthy)) == (verb == "ok")
    faulty.fault(component, "ok")
    moved(healthy, 1), moved(faulty, 1)
    assert look(faulty) == look(healthy)


def test_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="verb one of"):
        model().fault("current", "explode")
    with pytest.raises(ValueError, match="component must be one of"):
        model().fault("cell7", "off")
