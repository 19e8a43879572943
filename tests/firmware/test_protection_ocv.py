"""OCV against ledger to the last ppm: each cell by itself, each doubt by itself."""

import pytest
from relith import protection
from relith.lossmodel import content_ppm
from relith.protection import Protection

from host_sim.tables import TABLE
from tests.firmware.rigging import profile
from tests.firmware.test_ocv_ledger import half_cycle

QUANTITY = next(row.quantity for row in TABLE if row.id == "ocv_ledger")
SURE = {"gain_sigma_ppm": 0, "offset_sigma_ppm_per_h": 0, "cathode_sigma_ppm": 0, "voltage_sigma_uv": 1}
HIGH, LOW = 3_950_000, 3_650_000  # rested voltages
FULL = 1_000_000  # ppm of nominal in a swing of the cathode


def watched_by(p):
    watched = Protection(p)
    watched._values[QUANTITY] = 7
    return watched


def between(p, capacity_ppm=FULL):
    """(charge that the cathode takes from HIGH to LOW, three sigma of both voltages), ppm of nominal."""
    (high, steep), (low, flat) = content_ppm(p, HIGH), content_ppm(p, LOW)
    return (low - high) * capacity_ppm // 1_000_000, sum(3_000_000 * p.voltage_sigma_uv // s for s in (steep, flat))


def off_after(p, *halves, capacity_ppm=FULL):
    watched = watched_by(p)
    for one in halves:
        watched.compare(0, one, capacity_ppm)
    assert watched._values[QUANTITY] == watched._off_ppm[0]
    return watched._off_ppm[0]


def before(one, uv):
    one.ocv_before_uv = uv
    return one


def test_each_cell_by_itself():
    p = profile(cell_count=3, **SURE)
    right, unsure = between(p)
    watched = watched_by(p)
    for k in (2, 0, 1):
        watched.compare(k, half_cycle(1, 5, HIGH), FULL)
        assert watched._values[QUANTITY] == 0
    for k in (1, 2, 0):
        watched.compare(k, half_cycle(-1, right + 100_000 * (3 - k)), FULL)
    expected = [0, 0, 0]
    for k in (2, 0, 1):
        watched.compare(k, half_cycle(-1, 0, LOW), FULL)
        expected[k] = 100_000 * (3 - k) - unsure
        assert list(watched._off_ppm) == expected and watched._values[QUANTITY] == max(expected)
    for k in (2, 0, 1):  # and back: nothing is kept of the way there
        watched.compare(k, half_cycle(1, right, HIGH), FULL)
        expected[k] = 0
        assert list(watched._off_ppm) == expected and watched._values[QUANTITY] == max(expected)


def test_after_another_cell_no_voltage_is_known():
    p = profile(cell_count=3, **SURE)
    watched = watched_by(p)
    for k in range(3):
        watched.compare(k, half_cycle(1, 300_000, HIGH), FULL)
        watched.compare(k, half_cycle(1, 300_000, HIGH), FULL)
    assert watched._values[QUANTITY] > 0
    watched.renew()
    assert watched._values[QUANTITY] == 0
    for k in range(3):
        watched.compare(k, half_cycle(-1, 0, LOW), FULL)
    assert list(watched._off_ppm) == [0, 0, 0] and watched._values[QUANTITY] == 0
    for k in range(3):
        watched.compare(k, half_cycle(1, 0, HIGH), FULL)
    right, unsure = between(p)
    assert list(watched._off_ppm) == [right - unsure] * 3


def test_the_rest_before_counts_where_none_is_known():
    p = profile(**SURE)
    right, unsure = between(p)
    assert off_after(p, before(half_cycle(-1, right + 90_000, LOW), HIGH)) == 90_000 - unsure
    unrested = half_cycle(-1, 300_000, gap_ppm=50_000)  # before any voltage was known: nothing of it counts
    assert off_after(p, unrested, before(half_cycle(-1, right + 90_000, LOW), HIGH)) == 90_000 - unsure
    known = half_cycle(1, 5, HIGH)
    assert off_after(p, known, before(half_cycle(-1, right + 90_000, LOW), LOW)) == 90_000 - unsure


def test_a_full_cell_is_known_as_well():
    """Nothing in the cathode is a content, not none."""
    p = profile(**SURE)
    full_uv = p.ocv_uv[0]
    (full, _), (low, flat) = content_ppm(p, full_uv), content_ppm(p, LOW)
    assert full == 0
    steep = content_ppm(p, full_uv)[1]
    unsure = 3_000_000 // steep + 3_000_000 // flat
    for over_uv in (0, 20_000):  # overcharged counts as full
        wrong = before(half_cycle(-1, low + 90_000, LOW), LOW)
        assert off_after(p, half_cycle(1, 5, full_uv + over_uv), wrong) == 90_000 - unsure


@pytest.mark.parametrize("kind, voltages", [(-1, (HIGH, LOW)), (1, (LOW, HIGH))])
def test_three_sigma_of_each_doubt(kind, voltages):
    def off(charge_ppm=0, gap_ppm=0, hours=0, rested_h=0, capacity_ppm=FULL, **changes):
        p = profile(**SURE | changes)
        first = half_cycle(-kind, 5, voltages[0])
        last = half_cycle(kind, charge_ppm, voltages[1], gap_ppm, hours)
        last.rest_after_s = 3600 * rested_h
        right, unsure = between(p, capacity_ppm)
        return abs(right - charge_ppm) - unsure - off_after(p, first, last, capacity_ppm=capacity_ppm)

    assert off() == 0
    assert off(gap_ppm=1234) == 1234
    assert off(hours=60, rested_h=40, offset_sigma_ppm_per_h=100) == 30_000
    assert off(charge_ppm=4 * 333_333, gain_sigma_ppm=100_000) == 400_000
    (high, _), (low, _) = content_ppm(profile(), HIGH), content_ppm(profile(), LOW)
    capacity_ppm = -(-4 * 333_333 * 1_000_000 // (low - high))
    assert abs(off(capacity_ppm=capacity_ppm, cathode_sigma_ppm=100_000) - 400_000) <= (kind > 0)  # rounded down
    assert off(voltage_sigma_uv=5000) == 0  # as `between` says


def test_doubts_add_up_until_a_voltage_is_known():
    p = profile(**SURE)
    right, unsure = between(p)
    parts = [half_cycle(-1, 200_000, gap_ppm=1000), half_cycle(1, 50_000, gap_ppm=2000)]
    last = half_cycle(-1, right + 50_000 - 200_000 + 90_000, LOW, gap_ppm=4000)
    begun = half_cycle(1, 5, HIGH)
    assert off_after(p, begun, *parts, last) == 90_000 - 7000 - unsure
    again = half_cycle(1, right + 90_000, HIGH)  # only the doubt of the voltages is left of it
    assert off_after(p, begun, *parts, last, again) == 90_000 - unsure


def test_never_below_nothing_nor_above_what_fits():
    p = profile(**SURE)
    right, _ = between(p)
    begun = half_cycle(1, 5, HIGH)
    assert off_after(p, begun, half_cycle(-1, right, LOW, gap_ppm=500_000)) == 0
    assert off_after(p, begun, *[half_cycle(-1, 1 << 28)] * 4, half_cycle(-1, 1 << 28, LOW)) <= 1 << 29
    assert off_after(p, begun, *[half_cycle(1, 1 << 28)] * 4, half_cycle(1, 1 << 28, LOW)) <= 1 << 29


def test_three_sigma_of_a_rested_voltage(monkeypatch):
    """To the last ppm: 1 mV where the content changes by as much as the slope says."""
    monkeypatch.setattr(protection, "content_ppm", lambda p, uv: (-5, 100))
    p = profile(voltage_sigma_uv=1000)
    assert protection._rested(p, HIGH) == (0, 30_000_000)
