"""Telemetry on a CAN bus: the DBC is current, and gives back what the link carried."""

import random

import can
import cantools
import pytest

from hil import candbc
from hil.codec import MOST, Client
from host_sim.errors import InputError
from tests.link_stub import Board, Controller, HostPort


@pytest.fixture(scope="module")
def base():
    return cantools.database.load_string(candbc.dbc(), "dbc")


def busy_board(cells=3):
    rng = random.Random(4)
    board = Board(Controller(cells))
    for source in (board.bms.readings, board.bms.outputs, *board.bms.estimates):
        for name, value in vars(source).items():
            if hasattr(value, "__len__"):
                for k in range(len(value)):
                    value[k] = rng.randint(-MOST, MOST)
            elif name != "cell_index":
                setattr(source, name, rng.randint(0, 1) if name.endswith(("_ok", "_switch")) else rng.randint(0, 200))
    board.bms.estimates[0].isolated_ppm = -MOST
    return board


def test_the_dbc_is_current():
    assert candbc.main(["--check"]) == 0
    assert candbc.dbc().isascii()


def test_a_stale_dbc_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(candbc, "ROOT", tmp_path)
    monkeypatch.setattr(candbc, "DBC", tmp_path / "relith.dbc")
    with pytest.raises(InputError, match="not current"):
        candbc.main(["--check"])
    assert candbc.main([]) == candbc.main(["--check"]) == 0


def test_what_the_link_carried_comes_back_from_the_bus(base):
    board = busy_board()
    client = Client(HostPort(board))
    seen = set()
    for _ in range(40):
        for message in client.pump():
            got: dict = {}
            for frame_id, data in candbc.frames(message, base):
                assert len(data) <= 8
                values = base.decode_message(frame_id, data)
                for name, value in values.items():
                    if isinstance(message.values.get(name), list):
                        got.setdefault(name, {})[values["cell_index" if name == "cell_uv" else "temp_index"]] = value
                    elif name in message.values:
                        got[name] = value
            if got:
                seen.add(message.name)
                expected = message.values
                assert got == {n: dict(enumerate(v)) if isinstance(v, list) else v for n, v in expected.items()}
    assert seen == set(candbc.TELEMETRY)


def test_the_bridge(base):
    with (
        can.Bus(interface="virtual", channel="relith") as out,
        can.Bus(interface="virtual", channel="relith") as heard,
    ):
        candbc.bridge(Client(HostPort(busy_board())), out, messages=6)
        frames = []
        while frame := heard.recv(0):
            frames.append(frame)
    names = {base.get_message_by_frame_id(frame.arbitration_id).name for frame in frames}
    assert names == {message.name for message in base.messages}
    assert not any(frame.is_extended_id for frame in frames)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["/dev/nothing", "--interface", "virtual"], "PORT /dev/nothing: cannot be opened at 460800 baud"),
        (["/dev/nothing", "--interface", "carrier"], "--interface carrier"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence):
    with pytest.raises(InputError) as caught:
        candbc.main(arguments)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
