"""The figures of a life: when it ended, where it bent, and what does not count."""

import math

from hypothesis import given
from hypothesis import strategies as st

from host_sim.life import COLUMNS, first_lasting, knee, results

capacities = st.lists(st.floats(0, 300), max_size=60)


@given(capacities, st.floats(0, 300))
def test_from_the_lasting_cycle_on_all_are_below_and_the_one_before_is_not(values, limit):
    first = first_lasting(values, limit)
    if first is None:
        assert not values or values[-1] >= limit
    else:
        assert all(value < limit for value in values[first:])
        assert first == 0 or values[first - 1] >= limit


def test_a_dip_does_not_count():
    assert first_lasting([100, 79, 85, 78, 77], 80) == 3
    assert first_lasting([100, 79, 85], 80) is None


@given(st.integers(5, 40), st.integers(5, 40), st.floats(0.5, 5))
def test_the_knee_of_two_straight_lines_is_where_they_meet(flat, steep, slope):
    values = [100.0] * flat + [100.0 - slope * (k + 1) for k in range(steep)]
    assert knee(values) == flat - 1


def test_no_knee_in_a_straight_line_or_in_too_little():
    assert knee([5.0, 4.0, 3.0, 2.0, 1.0]) is None
    assert knee([1.0, 1.0]) is None


def rows(capacity, **columns):
    n = len(capacity)
    table = {name: [0.0] * n for name in COLUMNS}
    table["cycle"] = list(range(1, n + 1))
    return table | {"capacity_mah": capacity} | columns


def test_results_of_a_life():
    capacity = [100.0] * 10 + [97.0, 90.0, 79.0, 70.0]
    figures = results(rows(capacity, rest_h=[6.0, 0.0] * 7, pulses=[1] * 14), 100.0, "end of life")
    assert figures["cycles_to_80"] == 13 and figures["cycle_below_98"] == 11 and figures["cycle_of_knee"] == 10
    assert figures["rests"] == 7 and figures["rest_h"] == 42.0 and figures["pulses"] == 14
    assert figures["loss_error_percent"] is None and figures["known_share"] == 0.0  # nothing known, nothing judged


def test_an_unfinished_life_has_no_end():
    assert results(rows([100.0, 70.0]), 100.0, "cycle cap")["cycles_to_80"] is None
    assert results(rows([]), 100.0, "interrupted")["cycles"] == 0


def test_a_life_that_does_not_fade_has_no_knee():
    figures = results(rows([100.0, 99.9, 99.9, 99.6, 99.2, 98.9]), 100.0, "cycle cap")
    assert figures["cycle_below_98"] is None and figures["cycle_of_knee"] is None


def test_errors_are_judged_where_the_estimate_is_known():
    table = rows([100.0] * 4, known=[0, 1, 2, math.nan])
    table["estimated_isolated_mah"] = [math.nan, 13.0, 7.0, math.nan]
    table["true_isolated_mah"] = [10.0] * 4
    assert results(table, 100.0, "cycle cap")["isolated_error_percent"] == 3.0
