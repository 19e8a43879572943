"""The ledger's doubts: accumulator against samples; and the offset and gain that it measures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.ledger import Ledger

from tests.firmware.ledger_sums import fresh, total_us
from tests.firmware.rigging import Board, units

# -- accumulator against samples ---------------------------------------------------------------------------------------


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


def test_without_a_new_sample_nothing_is_compared():
    board, ledger = Board(), fresh()
    for _ in range(3):
        ledger.count(board.pass_(300, 50), board.belief, False)
    window = ledger._window_ms, ledger._window_sum, ledger._window_charge
    assert window[0] == 600
    r = board.pass_(300, 50)
    r.current_ok = 0
    board.belief.update(r)
    ledger.count(r, board.belief, False)
    assert (ledger._window_ms, ledger._window_sum, ledger._window_charge) == window
    r.charge_ok = 0  # and after a tick without either they begin anew
    ledger.count(board.pass_(100, 50), board.belief, False)
    r.charge_ok = r.current_ok = 1
    ledger.count(board.pass_(100, 50), board.belief, False)
    assert (ledger._window_ms, ledger._window_sum, ledger._window_charge) == window


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


@pytest.mark.parametrize("apart, booked", [(500_000, 500_000), (600_000, 1 << 19)])
def test_a_wild_accumulator_is_booked_as_far_as_the_monitor_can_see(apart, booked):
    ledger = Ledger(units())
    ledger._compare(apart, 1000, 0, 0)
    assert total_us(ledger.gaps, (430_200, 0)) == booked * 10**6


# -- offset and gain ---------------------------------------------------------------------------------------------------


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


def test_gain_is_taken_out_of_what_is_read():
    ledger = fresh()
    ledger.calibrate(0, -1000)
    assert ledger.corrected_ppm(1_000_000, 0) == 999_000
    assert ledger.corrected_ppm(-1_000_000, 0) == -999_000


def test_over_a_long_tick_a_doubt_begins_above_the_tolerance():
    """2000 counts in the accumulator, none in the samples."""
    ledger = fresh()
    for tolerance, doubt in ((2000, 0), (1999, 1)):
        ledger._tolerance = tolerance
        ledger._compare(2_000_000, 1_000_000, 0, 0)
        assert ledger.doubt == doubt
