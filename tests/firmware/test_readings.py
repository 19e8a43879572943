"""Which readings are believed, and what is made of those that are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.readings import COUNT_MAX, STALE_MS, TICKS_PERIOD_MS, Belief, Outputs, Readings


def good(cells=1, thermistors=1, now_ms=10_000):
    r = Readings(cells, thermistors)
    r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = now_ms
    r.current_ok = r.cell_ok = r.temp_ok = 1
    for k in range(cells):
        r.cell_uv[k] = 3_700_000
    return r


def believed(r, belief=None):
    belief = belief or Belief()
    belief.update(r)
    return belief


@pytest.mark.parametrize(
    "part, time, ok",
    [("current", "current_ms", "current_ok"), ("voltage", "cell_ms", "cell_ok"), ("temp", "temp_ms", "temp_ok")],
)
@given(now_ms=st.integers(0, TICKS_PERIOD_MS - 1), age_ms=st.integers(-10_000, 2000))
def test_age_across_the_wrap(part, time, ok, now_ms, age_ms):
    """Old is not believed, nor what is said to be sampled in the future."""
    r = good(now_ms=now_ms)
    setattr(r, time, (now_ms - age_ms) % TICKS_PERIOD_MS)
    assert bool(getattr(believed(r), f"{part}_good")) == (0 <= age_ms <= STALE_MS)
    setattr(r, ok, 0)
    assert not getattr(believed(r), f"{part}_good")


@pytest.mark.parametrize(
    "uv, fine", [(299_999, False), (300_000, True), (5_600_000, True), (5_600_001, False), (0, False), (-5, False)]
)
@pytest.mark.parametrize("cell", [0, 1, 2])
def test_voltage_range_of_every_cell(uv, fine, cell):
    r = good(cells=3)
    r.cell_uv[cell] = uv
    assert bool(believed(r).voltage_good) == fine


@pytest.mark.parametrize("cdegc, fine", [(-4501, False), (-4500, True), (12_500, True), (12_501, False)])
@pytest.mark.parametrize("sensor", [0, 1])
def test_temperature_range_of_every_sensor(cdegc, fine, sensor):
    r = good(thermistors=2)
    r.temp_cdegc[sensor] = cdegc
    assert bool(believed(r).temp_good) == fine


@pytest.mark.parametrize(
    "count, fine", [(COUNT_MAX, True), (-COUNT_MAX, True), (COUNT_MAX + 1, False), (-COUNT_MAX - 1, False)]
)
def test_a_saturated_current_is_not_believed(count, fine):
    r = good()
    r.current_count = count
    assert bool(believed(r).current_good) == fine


@given(
    st.lists(st.integers(300_000, 5_600_000), min_size=1, max_size=16),
    st.lists(st.integers(-4500, 12_500), min_size=1, max_size=4),
)
def test_extremes_of_the_string(cells, temps):
    r = good(len(cells), len(temps))
    for k, uv in enumerate(cells):
        r.cell_uv[k] = uv
    for k, cdegc in enumerate(temps):
        r.temp_cdegc[k] = cdegc
    b = believed(r)
    assert (b.min_uv, b.max_uv, b.sum_uv) == (min(cells), max(cells), sum(cells))
    assert (b.min_cdegc, b.max_cdegc) == (min(temps), max(temps))


def test_what_is_not_believed_is_not_used():
    r = good()
    r.current_count, r.temp_cdegc[0] = 500, 2000
    b = believed(r)
    r.now_ms += 10_000
    r.current_count, r.cell_uv[0], r.temp_cdegc[0] = 900, 1_000_000, 3000
    believed(r, b)
    assert (b.count, b.min_uv, b.max_uv, b.min_cdegc, b.max_cdegc) == (500, 3_700_000, 3_700_000, 2000, 2000)
    assert not (b.current_good or b.voltage_good or b.temp_good or b.current_new or b.voltage_new)


def test_a_repeated_sample_is_not_new():
    r = good()
    b = believed(r)
    assert b.current_new and b.voltage_new
    r.now_ms += 100
    believed(r, b)
    assert b.current_good and b.voltage_good and not b.current_new and not b.voltage_new
    r.current_ms = r.cell_ms = r.now_ms
    believed(r, b)
    assert b.current_new and b.voltage_new


def test_off_is_everything_that_conducts():
    o = Outputs()
    before = dict(vars(o))
    for name in before:
        setattr(o, name, 7)
    o.off()
    kept = {"next_tick_ms", "state", "decision", "reason", "alarms", "journal_due"}
    assert {name for name, value in vars(o).items() if value} == kept
