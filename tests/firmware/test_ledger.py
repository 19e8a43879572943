"""The ledger against exact fractions: nothing lost, nothing booked twice, whatever the samples do."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.ledger import BY_ACCUMULATOR, BY_GAP, BY_NOTHING, BY_SAMPLES, CYCLE_PPM, Account, Ledger
from relith.readings import COUNT_MAX, LIMB, TICKS_PERIOD_MS

from tests.firmware.ledger_sums import COUNTS, UNITS, fresh, net_us, total_us
from tests.firmware.rigging import Board, Small, at_power_up, units

# -- one account -------------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(
    "unit_us, us, told, kept",
    [(0, 0, 1, (0, 0)), (999, 999, 1, (0, 0)), (999, 998, 0, (36_000, 998)), (999, 0, 0, (36_000, 0)),
     (999, 1999, 1, (1, 0))],
)  # fmt: skip
def test_a_ppm_is_full_to_the_microsecond(unit_us, us, told, kept):
    account = Account(36_000, unit_us)
    account.ppm = CYCLE_PPM - 1
    assert account.add(36_000, 1, us) == told
    assert (account.ms, account.us) == kept
    assert (account.cycles, account.ppm) == ((1, 0) if told else (0, CYCLE_PPM - 1))


@pytest.mark.parametrize("unit", [(36_000, 999), (36_000, 1), (36_001, 500), (430_200, 7)])
def test_an_account_is_exact_from_every_remainder(unit):
    for us in range(1000):
        account = Account(*unit)
        account.us, account.ms = us, us % 7
        account.add(1 << 19, 65_535, 0)
        assert total_us(account, unit) == (1 << 19) * 65_535_000 + us % 7 * 1000 + us
        assert 0 <= account.us < 1000 and 0 <= account.ms * 1000 + account.us < unit[0] * 1000 + unit[1]


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


def test_what_was_booked_from_is_told_apart():
    assert len({BY_NOTHING, BY_ACCUMULATOR, BY_SAMPLES, BY_GAP}) == 4 and BY_NOTHING == 0


def test_the_smallest_charge_moves_its_own_way():
    for charge in (1, -1):
        ledger = fresh((36_000, 0))
        moved = [(ledger._book(charge), ledger.moved_ppm)[1] for _ in range(36)]
        assert moved == [0] * 35 + [charge]


def test_net_charge_is_cycles_and_what_is_over():
    ledger = fresh()
    ledger.charged.cycles, ledger.charged.ppm = 5, 7
    ledger.discharged.cycles, ledger.discharged.ppm = 2, 11
    assert ledger.net_ppm() == 3 * CYCLE_PPM - 4


def test_a_new_ledger_has_booked_nothing():
    one = units()
    at_power_up(Ledger(one), _unit_ms=one.ppm_count_ms, _idle=one.idle_count, _tolerance=one.one_c_count >> 8)
    at_power_up(Account(36_000, 7), _unit_ms=36_000, _unit_us=7)


# -- the accumulator, which is believed first --------------------------------------------------------------------------

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


@pytest.mark.parametrize("ms, most", [(999, 3 << 19), (1000, 4 << 19), (1999, 4 << 19), (60_000, 63 << 19)])
@pytest.mark.parametrize("sign", [1, -1])
def test_how_much_the_register_can_have_seen(ms, most, sign):
    """Full scale for the time that passed, and two seconds over."""
    for charge, booked in ((most - 1, BY_ACCUMULATOR), (most, BY_SAMPLES)):
        board, ledger = Board(), fresh()
        ledger.count(board.pass_(1000, 0), board.belief, False)
        board.run_ms = sign * charge * 1000
        ledger.count(board.pass_(ms, 0), board.belief, False)
        assert ledger.booked == booked


@pytest.mark.parametrize("jump", [1 << 22, -(1 << 22), 1 << 38])
def test_a_register_that_says_more_than_it_can_have_seen_is_not_booked(jump):
    board, ledger = Board(), fresh()
    for ms in (1300, 700):
        ledger.count(board.pass_(ms, 50_000), board.belief, False)
    board.run_ms += jump * 1000
    ledger.count(board.pass_(1000, 50_000), board.belief, False)
    assert ledger.booked == BY_SAMPLES and ledger.restarts == 1
    assert (ledger.disagree, ledger.doubt, ledger._window_ms) == (1, 1, 0)
    ledger.count(board.pass_(1000, 50_000), board.belief, False)
    assert net_us(ledger, (430_200, 0)) == 2700 * 50_000 * 1000


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


def test_ten_years_of_standby():
    """60 s ticks, 20 counts: no drift at all beyond what is still in the register."""
    board, ledger = Board(), fresh()
    ledger.count(board.pass_(0, -20), board.belief, False)
    minutes = 200_000  # the arithmetic repeats; ten years are 26 times this
    for _ in range(minutes):
        ledger.count(board.pass_(60_000, -20), board.belief, False)
    assert net_us(ledger, (430_200, 0)) == -20 * minutes * 60_000_000
    assert abs(board.run_ms // 1000) > LIMB


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


# -- each cell of a string ---------------------------------------------------------------------------------------------


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
        assert (account.ppm * one.ppm_count_ms + account.ms, account.us) == (exact[k], 0)


def test_a_new_ledger_has_all_that_it_counts_with():
    names = "moved_ppm gap_ppm booked restarts disagree doubt offset_mcount gain_ppm corrections under_way_ppm _begun "
    names += "_covered_ms _base _hi _lo _run _sample _count _sample_ms _lapsed _pair _window_ms _window_sum "
    names += "_window_charge _window_spread _zero_ms _zero_sum"
    ledger = Ledger(units())
    assert {name: getattr(ledger, name) for name in names.split()} == dict.fromkeys(names.split(), 0)
