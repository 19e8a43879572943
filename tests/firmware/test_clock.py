"""Elapsed time across the wrap, and a count of powered seconds that only grows."""

import random

from hypothesis import given
from hypothesis import strategies as st
from relith.clock import Clock, elapsed
from relith.readings import TICKS_PERIOD_MS

HALF = TICKS_PERIOD_MS >> 1


@given(st.integers(0, TICKS_PERIOD_MS - 1), st.lists(st.integers(1, HALF - 1), max_size=30))
def test_time_adds_up_over_any_wrap(start_ms, steps):
    clock, now = Clock(), start_ms
    clock.tick(now)
    assert clock.elapsed_ms == 0 and clock.still == 0
    for step in steps:
        now = (now + step) % TICKS_PERIOD_MS
        clock.tick(now)
        assert clock.elapsed_ms == step and clock.still == 0
    assert clock.seconds == sum(steps) // 1000


@given(st.integers(0, TICKS_PERIOD_MS - 1), st.integers(HALF, TICKS_PERIOD_MS))
def test_a_clock_that_stands_or_runs_back(start_ms, back):
    """Counts no time; goes on from where the counter is then. To run back weighs as much as to stand five times."""
    clock = Clock()
    clock.tick(start_ms)
    weight = 5 if back < TICKS_PERIOD_MS else 1
    for times in range(1, 4):
        clock.tick((start_ms + times * back) % TICKS_PERIOD_MS)
        assert clock.elapsed_ms == 0 and clock.still == times * weight and clock.seconds == 0
    for times in range(1, 20):
        clock.tick((start_ms + 3 * back + times * 5000) % TICKS_PERIOD_MS)
        assert clock.elapsed_ms == 5000 and clock.still == max(0, 3 * weight - times)
    assert clock.seconds == 95


def test_a_clock_that_jumps_about_is_noticed():
    """Anything a broken counter may give: half of the ticks run backwards, and it adds up."""
    rng, clock = random.Random(7), Clock()
    for _ in range(25):
        clock.tick(rng.randrange(TICKS_PERIOD_MS))
        if clock.still > 20:
            break
    assert clock.still > 20


@given(st.integers(0, TICKS_PERIOD_MS - 1), st.integers(0, TICKS_PERIOD_MS - 1))
def test_elapsed_is_within_one_period(now, then):
    assert (then + elapsed(now, then)) % TICKS_PERIOD_MS == now and 0 <= elapsed(now, then) < TICKS_PERIOD_MS
