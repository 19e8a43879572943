"""What is longer than a frame or instead of sensors: profiles, downloads, injected readings."""

import pytest
import relith.link as link_module
from cobs import cobs
from hypothesis import example, given
from hypothesis import strategies as st
from relith.readings import Readings

from hil.catalogue import REFUSAL, TO_BOARD
from hil.codec import MOST, Decoder, encode, frame
from tests.firmware.link_host import Host, ask, upload
from tests.link_stub import Board, Controller

# -- profile -----------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=700), st.integers(1, 128))
@example(b"1", 1)
def test_a_profile_arrives_whole(profile, chunk):
    host = Host(Board())
    upload(host, profile, chunk)
    assert host.board.bms.profiles == []
    assert host.dangerous("commit_profile")["refusal"] == 0
    assert host.board.bms.profiles == [profile]
    assert host.dangerous("commit_profile")["refusal"] == REFUSAL["ORDER"], "once"


@pytest.mark.parametrize("size", [1, 8192])
def test_the_shortest_and_the_longest_upload(host, size):
    assert host.reply("begin", {"size": size, "crc30": 0})["refusal"] == 0


def test_an_upload_that_is_begun_again_begins_anew(host):
    upload(host, b"one that is never committed")
    upload(host, b"two")
    assert host.dangerous("commit_profile")["refusal"] == 0 and host.board.bms.profiles == [b"two"]


def test_commit_needs_the_challenge(host):
    upload(host, b"profile")
    assert host.reply("command", ask("commit_profile"))["refusal"] == REFUSAL["CHALLENGE"]
    assert host.board.bms.profiles == []


def test_a_profile_the_controller_refuses(host):
    upload(host, b"profile")
    host.board.bms.says = 4
    done = host.dangerous("commit_profile")
    assert (done["refusal"], done["reason"]) == (REFUSAL["CONTROLLER"], 4)


def test_an_upload_out_of_order(host):
    chunk = {"offset": 0, "data": b"12345"}
    assert host.reply("chunk", chunk)["refusal"] == REFUSAL["ORDER"]
    assert host.dangerous("commit_profile")["refusal"] == REFUSAL["ORDER"]
    host.reply("begin", {"size": 8, "crc30": 0})
    assert host.reply("chunk", chunk | {"offset": 1})["refusal"] == REFUSAL["ORDER"]
    assert host.reply("chunk", chunk)["refusal"] == 0
    assert host.reply("chunk", chunk)["refusal"] == REFUSAL["ORDER"]
    assert host.reply("chunk", chunk | {"offset": 5})["refusal"] == REFUSAL["ORDER"], "longer than announced"
    assert host.dangerous("commit_profile")["refusal"] == REFUSAL["ORDER"], "not complete"
    assert host.reply("chunk", {"offset": 5, "data": b"678"})["refusal"] == 0
    assert host.dangerous("commit_profile")["refusal"] == REFUSAL["CHECKSUM"]
    assert host.board.bms.profiles == []


@pytest.mark.parametrize("size", [0, -1, 8193, MOST])
def test_an_upload_of_impossible_size(host, size):
    upload(host, b"before")
    done = host.reply("begin", {"size": size, "crc30": 0})
    assert (done["refusal"], done["field"]) == (REFUSAL["FIELD"], 1)
    assert host.dangerous("commit_profile")["refusal"] == REFUSAL["ORDER"], "what was begun before is gone"
    assert host.board.bms.profiles == []


def test_no_memory_for_an_upload(host, monkeypatch):
    def full(size):
        raise MemoryError

    monkeypatch.setattr(link_module, "bytearray", full, raising=False)
    assert host.reply("begin", {"size": 8192, "crc30": 0})["refusal"] == REFUSAL["MEMORY"]
    assert host.reply("chunk", {"offset": 0, "data": b"1"})["refusal"] == REFUSAL["ORDER"]


# -- downloads ---------------------------------------------------------------------------------------------------------


def test_a_download_comes_in_shares(host):
    record = host.board.bms.records[2]
    for offset in (0, 1, 63, 136, 137, 199):
        data = host.reply("read", {"area": 2, "offset": offset})
        assert (data.name, data["area"], data["offset"], data["total"]) == ("data", 2, offset, len(record))
        assert data["data"] == record[offset : offset + 64]
        assert host.board.link.data is None, "let go once it is sent"


@pytest.mark.parametrize("area, offset", [(2, 200), (2, -1), (2, MOST), (3, 0), (255, 0)])
def test_nothing_to_download(host, area, offset):
    assert host.reply("read", {"area": area, "offset": offset})["refusal"] == REFUSAL["NOTHING"]


# -- injected readings -------------------------------------------------------------------------------------------------

SMALL = st.integers(-MOST, MOST)


def readings_values(cells, thermistors):
    _, names, kinds = TO_BOARD["inject"]
    kind_of = {"i": SMALL, "H": st.integers(0, 0xFFFF), "?": st.integers(0, 1)}
    sizes = {"cell_uv": cells, "temp_cdegc": thermistors}
    return st.fixed_dictionaries({
        name: st.lists(SMALL, min_size=sizes[name], max_size=sizes[name]) if chr(kind) == "[" else kind_of[chr(kind)]
        for name, kind in zip(names, kinds, strict=True)
    })  # fmt: skip


@given(st.integers(1, 16).flatmap(lambda cells: readings_values(cells, 1)))
def test_injected_readings_arrive_as_sent(values):
    board = Board(Controller(len(values["cell_uv"])), rig=True)
    board.arriving = [encode("inject", values, 7, 0)]
    assert board.link.inject(board.bms) == 1
    got = {
        name: list(value) if hasattr(value, "__len__") else value for name, value in vars(board.bms.readings).items()
    }
    assert got == values
    board.link.send(board.bms)
    assert Decoder().feed(board.drain())[0].name == "outputs"
    assert board.link.inject(board.bms) == 0, "once"


@pytest.mark.safety(16)
def test_only_a_rig_build_takes_injected_readings(host):
    assert host.reply("inject", vars(Readings()))["refusal"] == REFUSAL["RIG"]


def test_a_rig_takes_commands_before_readings():
    board = Board(rig=True)
    board.arriving = [encode("command", ask("stop"), 7, 0) + encode("inject", board.bms.readings, 7, 1)
                      + encode("inject", board.bms.readings, 7, 2)]  # fmt: skip
    board.link.poll(board.bms)
    assert board.arriving, "a rig's tick does not read"
    assert [board.link.inject(board.bms) for _ in range(4)] == [0, 1, 1, 0]
    assert [message.name for message in Decoder().feed(board.drain())] == ["done"], "outputs answer readings"
    assert len(board.bms.commands) == 1
    assert board.link.rig == 1


@pytest.mark.parametrize(
    "change, field",
    [
        ({"now_ms": 2**30}, "now_ms"),
        ({"cell_uv": [1, 2]}, "cell_uv"),
        ({"cell_uv": []}, "cell_uv"),
        ({"temp_cdegc": [-(2**31)]}, "temp_cdegc"),
        ({"user_full_in_s": 2**31 - 1}, "user_full_in_s"),
    ],
)
def test_injected_readings_are_taken_whole_or_not_at_all(change, field):
    board = Board(rig=True)
    before = {name: getattr(board.bms.readings, name) for name in vars(board.bms.readings)}
    values = {name: value if hasattr(value, "__len__") else 1 for name, value in before.items()}
    board.arriving = [encode("inject", values | change, 7, 0)]
    assert board.link.inject(board.bms) == 0
    (done,) = Decoder().feed(board.drain())
    assert (done["refusal"], TO_BOARD["inject"][1][done["field"] - 1]) == (REFUSAL["FIELD"], field)
    assert vars(board.bms.readings) == before


def test_truncated_readings_are_refused():
    code = TO_BOARD["inject"][0]
    whole = encode("inject", Readings(), 7, 0)
    fields = cobs.decode(whole.strip(b"\0"))[5:-4]
    for length in [*range(len(fields)), len(fields) + 1]:
        board = Board(rig=True)
        board.arriving = [frame(code, 7, 0, (fields + b"\0")[:length])]
        assert board.link.inject(board.bms) == 0
        (done,) = Decoder().feed(board.drain())
        assert done["refusal"] == REFUSAL["FIELD"]
