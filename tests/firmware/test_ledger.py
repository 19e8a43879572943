"""The ledger against exact fractions: nothing lost, nothing booked twice, whatever the samples do."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.ledger import BY_ACCUMULATOR, BY_GAP, BY_NOTHING, BY_SAMPLES, CYCLE_PPM, Account, Ledger
from relith.readings import COUNT_MAX, LIMB, TICKS_PERIOD_MS

from tests.firmware.rigging import Board, Small, at_power_up, units

COUNTS = st.integers(-COUNT_MAX, COUNT_MAX)
UNITS = st.builds(lambda ms, us: (ms, us), st.integers(36_000, 3_999_999), st.integers(0, 999))


def total_us(account, unit):
    """What an account holds, count·us."""
    ppm = account.cycles * CYCLE_PPM + account.ppm
    return ppm * (unit[0] * 1000 + unit[1]) + account.ms * 1000 + account.us


def net_us(ledger, unit):
    return total_us(ledger.charged, unit) - total_us(ledger.discharged, unit)


def fresh(unit=(430_200, 0)):
    return Ledger(units(*unit))


# -- one account ------------------------------------------------------------------------------------------------------

BOOKINGS = st.lists(
    st.tuples(st.integers(0, 1 << 19), st.integers(0, 65_535), st.integers(0, (1 << 26) - 1)), max_size=30
)


@given(UNITS, BOOKINGS)
def test_an_account_is_exact(unit, bookings):
    account = Account(*unit)
    gained = sum(account.add(*booking) for booking in bookings)
    assert total_us(account, unit) == sum(count * ms * 1000 + us for count, ms, us in bookings)
    assert gained == account.cycles * CYCLE_PPM + account.ppm
    assert 0 <= account.ppm < CYCLE_PPM and 0 <= account.us < 1000
    whole = Fraction(total_us(account, unit), unit[0] * 1000 + unit[1])
    assert gained == whole.numerator // whole.denominator  # canonical: the same charge is the same numbers


@given(UNITS, BOOKINGS)
def test_an_account_stays_in_small_ints(unit, bookings):
    account = Account(Small(unit[0]), Small(unit[1]))
    for booking in bookings:
        account.add(*(Small(number) for number in booking))


@given(UNITS, BOOKINGS)
def test_an_account_never_falls(unit, bookings):
    account = Account(*unit)
    before = 0
    for booking in bookings:
        assert account.add(*booking) >= 0
        assert total_us(account, unit) >= before
        before = total_us(account, unit)


# -- the accumulator, which is believed first ----------------------------------------------------------------------

STRETCHES = st.lists(st.tuples(st.integers(1, 65_000), COUNTS), min_size=1, max_size=30)


@given(UNITS, STRETCHES, st.integers(0, TICKS_PERIOD_MS - 1), st.integers(-(1 << 39), (1 << 39) - 1))
def test_the_accumulator_is_booked_exactly(unit, stretches, start_ms, held):
    """Over the wrap of ticks_ms and the roll-over of 40 bits; a remainder below 1 count·s is still in the register."""
    board, ledger = Board(start_ms=start_ms), fresh(unit)
    board.run_ms = held * 1000
    ledger.count(board.pass_(0, 0), board.belief, False)
    moved = 0
    for ms, count in stretches:
        ledger.count(board.pass_(ms, count), board.belief, False)
        assert ledger.booked == BY_ACCUMULATOR
        moved += ledger.moved_ppm
    assert net_us(ledger, unit) == (board.run_ms // 1000 - held) * 1_000_000
    assert abs(net_us(ledger, unit) - board.count_ms * 1000) <= 1_000_000
    assert moved == ledger.net_ppm()
    assert (ledger.restarts == 0 and total_us(ledger.gaps, unit) == 0) or ledger.disagree


@given(st.integers(0, (1 << 39) - 1), st.sampled_from((1, -1)))
def test_a_long_sleep(charge, sign):
    """Whatever the register can hold, as long as the time was long enough for it."""
    ledger, board = fresh(), Board()
    ledger.count(board.pass_(0, 0), board.belief, False)
    board.run_ms += sign * charge * 1000
    r = board.pass_(charge * 1000 // COUNT_MAX % (TICKS_PERIOD_MS >> 1), 0)
    ledger.count(r, board.belief, False)
    if charge * 1000 // COUNT_MAX < TICKS_PERIOD_MS >> 1:
        assert net_us(ledger, (430_200, 0)) == sign * charge * 1_000_000


@given(st.lists(st.tuples(st.integers(1, 60_000), COUNTS), min_size=1, max_size=10), st.integers(0, 9))
def test_an_accumulator_that_restarts_loses_nothing(stretches, when):
    """The interval of the restart is booked from samples, the others from the register."""
    board, ledger = Board(), fresh()
    r = board.pass_(0, stretches[0][1])
    ledger.count(r, board.belief, False)
    before, expected = stretches[0][1], 0
    for k, (ms, count) in enumerate(stretches):
        if k == when:
            board.run_ms = 0
            r.charge_restarts += 1
        held = board.run_ms // 1000
        ledger.count(board.pass_(ms, count), board.belief, False)
        if k == when:
            assert ledger.booked == BY_SAMPLES
            expected += (before + count) * ms * 500
        else:
            assert ledger.booked == BY_ACCUMULATOR
            expected += (board.run_ms // 1000 - held) * 1_000_000
        before = count
    assert net_us(ledger, (430_200, 0)) == expected
    assert ledger.restarts == (1 if when < len(stretches) else 0)


def test_a_restart_without_a_sample_is_a_gap():
    board, ledger = Board(), fresh()
    for _ in range(3):
        r = board.pass_(1000, -100_000)
        ledger.count(r, board.belief, False)
    booked = ledger.net_ppm()
    r.current_ok = 0
    r.charge_restarts += 1
    board.run_ms = 0
    ledger.count(board.pass_(5000, -100_000), board.belief, False)
    assert ledger.booked == BY_GAP and ledger.net_ppm() == booked
    assert total_us(ledger.gaps, (430_200, 0)) == 5000 * 100_000 * 1000
    assert ledger.gap_ppm == 5000 * 100_000 // 430_200


@pytest.mark.parametrize("jump", [1 << 22, -(1 << 22), 1 << 38])
def test_a_register_that_says_more_than_it_can_have_seen_is_not_booked(jump):
    board, ledger = Board(), fresh()
    for _ in range(2):
        ledger.count(board.pass_(1000, 50_000), board.belief, False)
    board.run_ms += jump * 1000
    ledger.count(board.pass_(1000, 50_000), board.belief, False)
    assert ledger.booked == BY_SAMPLES and ledger.restarts == 1
    assert (ledger.disagree, ledger.doubt, ledger._window_ms) == (1, 1, 0)
    ledger.count(board.pass_(1000, 50_000), board.belief, False)
    assert net_us(ledger, (430_200, 0)) == 3 * 50_000 * 1_000_000


# -- samples alone -------------------------------------------------------------------------------------------------


def without_accumulator(start_ms=0):
    board = Board(start_ms=start_ms)
    board.readings.charge_ok = 0
    return board


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


def test_repeated_and_missing_samples():
    board, ledger = without_accumulator(), fresh()
    ledger.count(board.pass_(1000, 90_000), board.belief, False)
    r = board.readings
    r.now_ms += 100  # the same sample again
    board.belief.update(r)
    ledger.count(r, board.belief, False)
    assert ledger.booked == BY_NOTHING and ledger.moved_ppm == 0
    ledger.count(board.pass_(1000, 90_000), board.belief, False)
    assert net_us(ledger, (430_200, 0)) == 90_000 * 1_000_000


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


# -- cross-check, offset and gain ------------------------------------------------------------------------------------


def test_accumulator_and_samples_that_disagree_are_noticed():
    board, ledger = Board(), fresh()
    for _ in range(30):
        ledger.count(board.pass_(100, -50_000), board.belief, False)
    assert not ledger.disagree
    held = board.run_ms
    for _ in range(25):
        board.run_ms = held  # stuck
        ledger.count(board.pass_(100, -50_000), board.belief, False)
    assert ledger.disagree and ledger.doubt
    assert total_us(ledger.gaps, (430_200, 0)) > 0
    for _ in range(25):
        ledger.count(board.pass_(100, -50_000), board.belief, False)
    assert not ledger.disagree and not ledger.doubt


def test_a_long_interval_that_disagrees_asks_for_short_ones():
    board, ledger = Board(), fresh()
    for _ in range(3):
        ledger.count(board.pass_(60_000, -50_000), board.belief, False)
    assert not ledger.doubt
    board.run_ms += 60_000 * 20_000  # a load that varied between two samples
    ledger.count(board.pass_(60_000, -50_000), board.belief, False)
    assert ledger.doubt and not ledger.disagree
    for _ in range(3):
        ledger.count(board.pass_(1000, -50_000), board.belief, False)
    assert not ledger.doubt


@given(st.integers(-300, 300), st.integers(1, 60))
def test_offset_is_measured_while_nothing_can_flow(offset, step_s):
    board, ledger = Board(), fresh()
    ledger.count(board.pass_(1000, offset), board.belief, False)
    for _ in range(3600 // step_s + 2):
        ledger.count(board.pass_(step_s * 1000, offset), board.belief, True)
    assert ledger.corrections == 1 and abs(ledger.offset_mcount - offset * 1000) <= 1
    raw = ledger.net_ppm()
    hours = 100
    moved = offset * hours * 3_600_000 // 430_200
    assert abs(ledger.corrected_ppm(moved, hours * 3600)) <= 2
    assert ledger.net_ppm() == raw  # the raw ledger is not rewritten


def test_offset_is_not_taken_from_a_leak_or_with_switches_closed():
    for offset, switches_open in ((1000, True), (100, False)):
        board, ledger = Board(), fresh()
        for _ in range(200):
            ledger.count(board.pass_(60_000, offset), board.belief, switches_open)
        assert ledger.corrections == 0 and ledger.offset_mcount == 0


def test_gain_is_taken_out_of_what_is_read():
    ledger = fresh()
    ledger.calibrate(0, -1000)
    assert ledger.corrected_ppm(1_000_000, 0) == 999_000
    assert ledger.corrected_ppm(-1_000_000, 0) == -999_000


def test_a_tick_of_the_ledger_stays_in_small_ints():
    """Full scale, longest tick, smallest and largest unit; register and samples."""
    for unit in ((36_000, 999), (3_999_999, 999)):
        for charge_ok in (0, 1):
            ledger = Ledger(units(Small(unit[0]), Small(unit[1]), Small(400), Small(133_500)))
            board = Board()
            r = board.readings
            r.charge_ok = charge_ok
            for ms in (100, 900, 1000, 2000, 60_000, 60_000, 65_000):
                for count in (COUNT_MAX, COUNT_MAX, -COUNT_MAX):
                    board.pass_(ms, count)
                    for name in ("now_ms", "current_ms", "charge_hi", "charge_lo", "current_count"):
                        setattr(r, name, Small(getattr(r, name)))
                    board.belief.update(r)
                    ledger.count(r, board.belief, True)


def test_ten_years_of_standby():
    """60 s ticks, 20 counts: no drift at all beyond what is still in the register."""
    board, ledger = Board(), fresh()
    ledger.count(board.pass_(0, -20), board.belief, False)
    minutes = 200_000  # the arithmetic repeats; ten years are 26 times this
    for _ in range(minutes):
        ledger.count(board.pass_(60_000, -20), board.belief, False)
    assert net_us(ledger, (430_200, 0)) == -20 * minutes * 60_000_000
    assert abs(board.run_ms // 1000) > LIMB


def test_a_new_ledger_has_booked_nothing():
    one = units()
    at_power_up(Ledger(one), _unit_ms=one.ppm_count_ms, _idle=one.idle_count, _tolerance=one.one_c_count >> 8)
    at_power_up(Account(36_000, 7), _unit_ms=36_000, _unit_us=7)


def test_a_bleed_is_booked_to_its_cell_and_to_no_other():
    one = units()
    one.cell_count = 3
    ledger = Ledger(one)
    exact = [0, 0, 0]
    for ms, mask in ((60_000, 0b101), (65_536, 0b010), (10**6, 0b010), (100, 0), (1, 0b111)):
        cell_uv = (4_000_000, 4_100_999, 4_200_000)
        ledger.bleed(cell_uv, mask, 1000, ms)
        for k in range(3):
            exact[k] += (mask >> k & 1) * (cell_uv[k] // 1000) * min(ms, 65_535)
            assert ledger.bled_ppm[k] == 0 or mask >> k & 1
    for k, account in enumerate(ledger.bled):
        assert account.ppm * one.ppm_count_ms + account.ms == exact[k]


def test_what_was_booked_from_is_told_apart():
    assert len({BY_NOTHING, BY_ACCUMULATOR, BY_SAMPLES, BY_GAP}) == 4 and BY_NOTHING == 0


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


# mean of samples and of accumulator, and how far samples lie apart -> disagree after it, from 0 and from 1
WINDOWS = [
    (0, 537, 0, 0, 0), (0, 538, 0, 1, 1), (32_000, 33_554, 0, 0, 0), (32_000, 33_600, 0, 1, 1), (0, -537, 0, 0, 0),
    (0, -538, 0, 1, 1), (0, 0, 521, 0, 0), (0, 0, 522, 0, 1), (16_000, 16_000, 1521, 0, 0),
    (16_000, 16_000, 1522, 0, 1), (0, 641, 100, 0, 0), (0, 642, 100, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("samples, accumulator, spread, from_0, from_1", WINDOWS)
def test_accumulator_against_samples_to_the_count(samples, accumulator, spread, from_0, from_1):
    for before, after in ((0, from_0), (1, from_1)):
        ledger = Ledger(units())
        ledger.disagree = before
        half = spread // 2
        ledger._compare(accumulator, 1000, samples - half, samples - half + spread)
        assert (ledger.disagree, ledger.doubt, ledger._window_ms) == (after, after, 0)
        booked = abs(accumulator - samples) * 1000 if from_0 else 0
        assert total_us(ledger.gaps, (430_200, 0)) == booked * 1000
        assert ledger.gap_ppm == ledger.gaps.ppm


def test_a_window_of_comparison():
    """From one to two seconds; what would make it longer begins it anew, what is longer by itself is only doubted."""
    ledger = Ledger(units())
    ledger._compare(1, 999, 100, 130)
    state = ("_window_ms", "_window_sum", "_window_charge", "_window_spread")
    assert [getattr(ledger, name) for name in state] == [999, 115 * 999, 1, 30]
    ledger._compare(2, 1002, 0, 0)  # 2001: anew, and complete at once
    assert [getattr(ledger, name) for name in state] == [0, 0, 2, 0]
    ledger._compare(1, 999, 100, 130)
    ledger._compare(2, 1001, 50, 60)
    assert [getattr(ledger, name) for name in state] == [0, 115 * 999 + 55 * 1001, 3, 30]
    ledger.doubt = 0
    ledger._compare(5000, 2000, 2500, 2500)
    assert ledger._window_charge == 5000 and ledger.doubt == 0
    ledger._compare(1, 500, 0, 0)
    ledger._compare(5000, 2001, 2500, 2500)
    assert ledger._window_ms == 0 and ledger.doubt == 0
    for apart, doubt in ((521 + 156, 0), (521 + 158, 1), (-521 - 156, 0), (-521 - 160, 1)):
        ledger._compare((2500 - apart) * 4, 4000, 2500, 2500)
        assert ledger.doubt == doubt, apart


def test_a_pair_needs_both():
    board = Board()
    ledger = Ledger(units())
    ledger.count(board.pass_(100, 50), board.belief, False)
    assert ledger._pair
    for field in ("charge_ok", "current_ok"):
        r = board.pass_(100, 50)
        setattr(r, field, 0)
        board.belief.update(r)
        ledger.count(r, board.belief, False)
        assert not ledger._pair
        setattr(r, field, 1)


@pytest.mark.parametrize(
    "charge", [0, 1, (1 << 19) - 1, 1 << 19, (1 << 25) - 1, 1 << 25, 3 << 25, (5 << 25) + (1 << 19) + 77]
)
def test_any_size_of_charge_is_booked_whole(charge):
    for sign in (1, -1):
        ledger = Ledger(units())
        ledger._book(sign * charge)
        account, other = ledger.charged, ledger.discharged
        if sign < 0 and charge:
            account, other = other, account
        assert total_us(account, (430_200, 0)) == charge * 10**6 and total_us(other, (430_200, 0)) == 0
        ppm = account.cycles * CYCLE_PPM + account.ppm
        assert ledger.moved_ppm == (ppm if sign > 0 or not charge else -ppm) and ledger.booked == BY_ACCUMULATOR


@pytest.mark.parametrize("twice, ms", [(0, 5), (7, 1001), (-7, 1001), (2 * COUNT_MAX, 65_535), (-1, 1)])
def test_a_trapezoid_is_booked_to_the_microsecond(twice, ms):
    ledger = Ledger(units())
    ledger._book_samples(twice, ms)
    account = ledger.charged if twice >= 0 else ledger.discharged
    assert total_us(account, (430_200, 0)) == abs(twice) * ms * 500 and ledger.booked == BY_SAMPLES


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


@pytest.mark.parametrize(
    "sum_, ms, before, corrections, after, again",
    [(3600, 3_600_000, 0, 0, 1000, 1), (3600, 3_599_999, 0, 0, 0, 0), (-3600, 3_600_000, 0, 0, -1000, 1),
     (3600, 3_600_000, 500, 1, 625, 2), (400 * 3600, 3_600_000, 7, 1, 7, 1), (399 * 3600, 3_600_000, 0, 0, 399_000, 1),
     (1_439_280, 3_600_000, 0, 0, 399_800, 1)],
)  # fmt: skip
def test_the_offset_after_an_hour(sum_, ms, before, corrections, after, again):
    """1/1000 count; a quarter of what is new; not what would be a leak."""
    ledger = Ledger(units())
    ledger.offset_mcount, ledger.corrections, ledger.gain_ppm = before, corrections, 11
    ledger._zero(sum_, ms, True)
    assert (ledger.offset_mcount, ledger.corrections, ledger.gain_ppm) == (after, again, 11)
    assert (ledger._zero_ms, ledger._zero_sum) == ((0, 0) if ms == 3_600_000 else (ms, sum_))
    ledger._zero(5, 6, False)
    assert (ledger._zero_ms, ledger._zero_sum) == (0, 0)


@pytest.mark.parametrize("apart, booked", [(500_000, 500_000), (600_000, 1 << 19)])
def test_a_wild_accumulator_is_booked_as_far_as_the_monitor_can_see(apart, booked):
    ledger = Ledger(units())
    ledger._compare(apart, 1000, 0, 0)
    assert total_us(ledger.gaps, (430_200, 0)) == booked * 10**6
