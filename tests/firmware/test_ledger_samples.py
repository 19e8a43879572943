"""The ledger from samples: trapezoids, gaps, and the change between accumulator and samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.ledger import BY_ACCUMULATOR, BY_GAP, BY_NOTHING, BY_SAMPLES, Account, Ledger
from relith.readings import COUNT_MAX, TICKS_PERIOD_MS

from tests.firmware.ledger_sums import COUNTS, UNITS, fresh, net_us, total_us, without_accumulator
from tests.firmware.rigging import Board, units


@given(UNITS, COUNTS, st.lists(st.integers(1, 60_000), min_size=1, max_size=20), st.integers(0, TICKS_PERIOD_MS - 1))
def test_a_constant_current_may_be_cut_anyhow(unit, count, cuts, start_ms):
    """The same charge is the same numbers, however it was cut into samples."""
    board, ledger = without_accumulator(start_ms), fresh(unit)
    ledger.count(board.pass_(0, count), board.belief, False)
    for ms in cuts:
        ledger.count(board.pass_(ms, count), board.belief, False)
        assert ledger.booked == BY_SAMPLES
    assert net_us(ledger, unit) == board.count_ms * 1000
    once = Account(*unit)
    left = sum(cuts)
    while left:
        step = min(left, 65_535)
        once.add(abs(count), step, 0)
        left -= step
    kept = ledger.charged if count >= 0 else ledger.discharged
    assert (kept.cycles, kept.ppm, kept.ms, kept.us) == (once.cycles, once.ppm, once.ms, once.us)


@given(UNITS, st.lists(st.tuples(st.integers(1, 65_535), COUNTS), min_size=2, max_size=20))
def test_samples_make_trapezoids(unit, samples):
    board, ledger = without_accumulator(), fresh(unit)
    expected, before, throughput = 0, None, 0
    for ms, count in samples:
        ledger.count(board.pass_(ms, count), board.belief, False)
        if before is not None:
            expected += (before + count) * ms * 500
            throughput += abs(before + count) * ms * 500
        before = count
    assert net_us(ledger, unit) == expected
    assert total_us(ledger.charged, unit) + total_us(ledger.discharged, unit) == throughput


def test_a_tick_that_books_nothing_moved_nothing():
    board, ledger = without_accumulator(), fresh()
    for count in (90_000, 90_000):
        ledger.count(board.pass_(20_000, count), board.belief, False)
    assert ledger.moved_ppm > 4000
    ledger.count(board.readings, board.belief, False)  # the same sample is new once more: no time has passed
    assert ledger.moved_ppm == 0
    ledger._gap(20_000, 90_000)
    assert ledger.gap_ppm > 4000
    ledger.count(board.pass_(1000, 0), board.belief, False)
    assert ledger.gap_ppm == 0


def test_repeated_and_missing_samples():
    board, ledger = without_accumulator(), fresh()
    ledger.count(board.pass_(1000, 90_000), board.belief, False)
    r = board.readings
    r.now_ms += 100  # the same sample again
    board.belief.update(r)
    ledger.count(r, board.belief, False)
    assert ledger.booked == BY_NOTHING and ledger.moved_ppm == 0
    ledger.count(board.pass_(1500, 90_000), board.belief, False)
    assert net_us(ledger, (430_200, 0)) == 90_000 * 1_500_000  # a sample that is repeated has not failed


@given(st.integers(1001, 10_000_000), st.integers(-COUNT_MAX, COUNT_MAX))
def test_a_gap_is_booked_as_a_gap(ms, count):
    """After failed readings nothing is booked but how much there may have been, and that covers the truth."""
    board, ledger = without_accumulator(), fresh()
    ledger.count(board.pass_(100, count), board.belief, False)
    board.readings.current_ok = 0
    ledger.count(board.pass_(ms - 1, count), board.belief, False)
    board.readings.current_ok = 1
    ledger.count(board.pass_(1, count), board.belief, False)
    assert ledger.booked == BY_GAP and net_us(ledger, (430_200, 0)) == 0
    assert total_us(ledger.gaps, (430_200, 0)) >= abs(count) * ms * 1000
    ledger.count(board.pass_(1000, count), board.belief, False)
    assert net_us(ledger, (430_200, 0)) == count * 1_000_000


def test_a_gap_after_the_accumulator_alone_is_of_its_rate():
    """No sample was ever taken, and the accumulator starts anew: what it counted before is what may have passed."""
    board, ledger = Board(), fresh()
    board.readings.current_ok = 0
    for _ in range(3):
        ledger.count(board.pass_(1000, 90_000), board.belief, False)
    board.readings.charge_restarts += 1
    ledger.count(board.pass_(600_000, 90_000), board.belief, False)
    assert ledger.booked == BY_GAP
    assert total_us(ledger.gaps, (430_200, 0)) == 600_000 * 90_000 * 1000


def test_a_tick_much_too_late_is_a_gap():
    board, ledger = without_accumulator(), fresh()
    ledger.count(board.pass_(100, 1000), board.belief, False)
    ledger.count(board.pass_(65_536, 1000), board.belief, False)
    assert ledger.booked == BY_GAP


def test_a_short_lapse_is_bridged():
    board, ledger = without_accumulator(), fresh()
    ledger.count(board.pass_(100, 1000), board.belief, False)
    board.readings.current_ok = 0
    ledger.count(board.pass_(400, 1000), board.belief, False)
    board.readings.current_ok = 1
    ledger.count(board.pass_(600, 1000), board.belief, False)
    assert ledger.booked == BY_SAMPLES and net_us(ledger, (430_200, 0)) == 1_000_000_000
    ledger.count(board.pass_(1500, 1000), board.belief, False)  # and forgotten
    assert ledger.booked == BY_SAMPLES and net_us(ledger, (430_200, 0)) == 2_500_000_000


@given(st.lists(st.tuples(st.integers(100, 900), st.booleans(), st.booleans()), min_size=3, max_size=40), COUNTS)
def test_changing_sources_never_books_twice(ticks, count):
    """Accumulator and samples come and go: what is booked, and what may be missing, add up to the truth."""
    board, ledger = Board(), fresh()
    r = board.readings
    ledger.count(board.pass_(0, count), board.belief, False)
    for ms, charge_ok, current_ok in [*ticks, (500, True, True), (500, True, True)]:
        r.charge_ok, r.current_ok = int(charge_ok), int(current_ok)
        ledger.count(board.pass_(ms, count), board.belief, False)
    missing = board.count_ms * 1000 - net_us(ledger, (430_200, 0))
    rounding = 1_000_000 * (len(ticks) + 2)  # a count·s at each change of source
    sign = 1 if count >= 0 else -1
    assert -rounding <= sign * missing <= total_us(ledger.gaps, (430_200, 0)) + rounding


@given(st.lists(st.tuples(st.integers(0, TICKS_PERIOD_MS - 1), st.sampled_from((0, 1)), COUNTS), max_size=20))
def test_any_clock_keeps_throughput_monotone(ticks):
    """Sample times that jump, repeat and go back: nothing falls, nothing raises."""
    board, ledger = Board(), fresh()
    before = (0, 0)
    for now_ms, charge_ok, count in ticks:
        r = board.pass_(1, count)
        r.now_ms = r.current_ms = now_ms
        r.charge_ok = charge_ok
        board.belief.update(r)
        ledger.count(r, board.belief, False)
        after = total_us(ledger.charged, (430_200, 0)), total_us(ledger.discharged, (430_200, 0))
        assert after[0] >= before[0] and after[1] >= before[1]
        before = after


@pytest.mark.parametrize(
    "twice, ms", [(0, 5), (7, 1001), (-7, 1001), (2 * COUNT_MAX, 65_535), (-2 * COUNT_MAX, 65_535), (1, 1), (-1, 1)]
)
def test_a_trapezoid_is_booked_to_the_microsecond(twice, ms):
    ledger = Ledger(units())
    ledger._book_samples(twice, ms)
    account = ledger.charged if twice >= 0 else ledger.discharged
    assert ledger.moved_ppm == ledger.net_ppm() == (account.ppm if twice >= 0 else -account.ppm)
    assert total_us(account, (430_200, 0)) == abs(twice) * ms * 500 and ledger.booked == BY_SAMPLES


def test_the_smallest_current_moves_its_own_way():
    """Half a count: the ppm that it fills up in the end is one out, or one in."""
    for twice in (1, -1):
        ledger = fresh((36_000, 0))
        moved = [(ledger._book_samples(twice, 65_535), ledger.moved_ppm)[1] for _ in range(2)]
        assert moved == [0, twice]


@pytest.mark.parametrize("ms", [1, 65_535, 65_536, 65_537, 200_000])
def test_a_gap_of_any_length(ms):
    ledger = Ledger(units())
    ledger._count = -500
    ledger._gap(ms, 450)
    assert total_us(ledger.gaps, (430_200, 0)) == 500 * ms * 1000
    assert ledger.gap_ppm == ledger.gaps.ppm and ledger.booked == BY_GAP
    ledger = Ledger(units())
    ledger._gap(ms, 0)
    assert total_us(ledger.gaps, (430_200, 0)) == 400 * ms * 1000  # what counts as no current


@pytest.mark.parametrize("ms, count", [(999, 70), (1000, 50_000), (1999, 99_950), (2000, 50_000), (-4000, -50_000)])
def test_a_gap_after_the_accumulator_alone_goes_by_its_mean(ms, count):
    """From a second on, in whole seconds; a sample is the better witness."""
    board, ledger = Board(), fresh()
    ledger.count(board.pass_(1000, 70), board.belief, False)
    board.readings.current_ok = 0
    ledger.count(board.pass_(abs(ms), 50_000 if ms > 0 else -50_000), board.belief, False)
    assert ledger.booked == BY_ACCUMULATOR and ledger._count == count
    board.readings.charge_ok = 0
    ledger.count(board.pass_(3000, 0), board.belief, False)
    board.readings.current_ok = 1
    ledger.count(board.pass_(1000, 0), board.belief, False)
    assert ledger.booked == BY_GAP
    assert total_us(ledger.gaps, (430_200, 0)) == max(abs(count), 400) * 4_000_000


@pytest.mark.parametrize("ms, booked", [(1 << 28, BY_GAP), ((1 << 29) - 1, BY_GAP), (1 << 29, BY_NOTHING)])
def test_how_long_a_gap_may_be(ms, booked):
    """Half the clock's period; what looks longer ran backwards."""
    board = Board()
    ledger = Ledger(units())
    ledger.count(board.pass_(100, 50), board.belief, False)
    r = board.pass_(ms, 50)
    r.charge_restarts += 1
    ledger._sample = 0
    ledger.count(r, board.belief, False)
    assert ledger.booked == booked
