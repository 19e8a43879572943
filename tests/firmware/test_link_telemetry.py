"""Telemetry: once a second and at news, as it is, within what a field holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.catalogue import TO_HOST
from hil.codec import MOST, Decoder
from tests.firmware.link_host import TELEMETRY
from tests.link_stub import Board, Controller


def names_of(board):
    return [message.name for message in Decoder().feed(board.drain())]


def test_telemetry_once_a_second_across_the_wrap():
    board = Board(Controller(3))
    board.bms.readings.now_ms = 2**30 - 5_000
    board.tick()
    board.drain()
    cells = []
    for _ in range(30):
        for _ in range(9):
            board.tick(100)
            assert names_of(board) == []
        board.tick(100)
        got = Decoder().feed(board.drain())
        assert tuple(message.name for message in got) == TELEMETRY
        cells.append(got[3]["cell_index"])
    assert cells == ([1, 2, 0] * 10)


def test_a_millisecond_before_the_second_nothing_is_sent():
    board = Board()
    board.tick(2000)
    board.drain()
    for ms, count in ((999, 0), (1, len(TELEMETRY)), (1000, len(TELEMETRY))):
        board.tick(ms)
        assert len(names_of(board)) == count


@pytest.mark.parametrize("change", ["state", "decision", "reason", "alarms"])
def test_news_is_sent_at_once(change):
    board = Board()
    board.tick()
    board.drain()
    board.tick(1)
    assert names_of(board) == []
    setattr(board.bms.outputs, change, 5)
    board.tick(1)
    (outputs,) = Decoder().feed(board.drain())
    assert outputs[change] == 5
    board.tick(1)
    assert names_of(board) == []


@given(st.data())
def test_what_is_sent_is_what_is(data):
    board = Board()
    message, source = data.draw(st.sampled_from([(6, board.bms.outputs), (8, board.bms.estimates[0])]))
    name, names, kinds = TO_HOST[16 + message]
    most = {"B": 255, "i": MOST, "?": 1}
    values = {
        n: data.draw(st.integers(-MOST if k == ord("i") else 0, most[chr(k)]))
        for n, k in zip(names, kinds, strict=True)
    }
    for field, value in values.items():
        setattr(source, field, value)
    board.tick(1000)
    (got,) = [m for m in Decoder().feed(board.drain()) if m.name == name]
    assert got.values == values


def test_the_ledger_is_sent():
    board = Board()
    ledger = board.bms.ledger
    for k, account in enumerate((ledger.charged, ledger.discharged, ledger.gaps)):
        account.cycles, account.ppm = 100 + k, 999_000 + k
    ledger.calibrate(-40, 250)
    board.bms.booked_ppm = -1_300_001
    board.tick(1000)
    (got,) = [m for m in Decoder().feed(board.drain()) if m.name == "ledger"]
    assert got.values == {
        "charged": 100_999_000, "discharged": 101_999_001, "gaps": 102_999_002,
        "offset_mcount": -40, "gain_ppm": 250, "corrections": 1, "under_way_ppm": 300_000,
    }  # fmt: skip


def test_numbers_too_large_are_sent_as_the_limit():
    board = Board()
    board.bms.outputs.state, board.bms.outputs.reason = 256, -1
    board.bms.outputs.pulse_count, board.bms.outputs.pulse_ms = 2**40, -(2**40)
    board.bms.readings.charge_restarts = -1
    board.bms.readings.cell_uv = [2**31]
    board.tick(1000)
    outputs, readings, _, _, _ = Decoder().feed(board.drain())
    assert [outputs[name] for name in ("state", "reason", "pulse_count", "pulse_ms")] == [255, 255, MOST, -MOST]
    assert (readings["charge_restarts"], readings["cell_uv"]) == (65535, [MOST])


def test_frames_of_the_board_are_numbered():
    board, decoder = Board(), Decoder()
    board.link._sequence = 0xFFF0
    got = []
    for _ in range(20):
        board.tick(1000)
        got += [message.sequence for message in decoder.feed(board.drain())]
    assert got == [k & 0xFFFF for k in range(0xFFF0, 0xFFF0 + 100)]
