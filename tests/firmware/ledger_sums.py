"""What the tests of the ledger share: its sums as whole count·us, a fresh one, a board without accumulator."""

from hypothesis import strategies as st
from relith.ledger import CYCLE_PPM, Ledger
from relith.readings import COUNT_MAX

from tests.firmware.rigging import Board, units

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


def without_accumulator(start_ms=0):
    board = Board(start_ms=start_ms)
    board.readings.charge_ok = 0
    return board
