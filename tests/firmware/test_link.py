"""The board's end of the link: what it takes, what it refuses, what it sends, and that nothing else gets through."""

import random
import struct
import zlib

import pytest
import relith.link as link_module
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st
from relith import VERSION, catalogue, frames
from relith.readings import Outputs, Readings

from hil.catalogue import COMMANDS, REFUSAL, REFUSALS, TO_BOARD, TO_HOST, fingerprint
from hil.codec import MOST, Decoder, answer, encode, frame
from hil.fuzz import damaged
from tests.firmware.rigging import at_power_up
from tests.link_stub import Board, Controller

COMMAND = {name: command.code for name, command in COMMANDS.items()}
SMALL = st.integers(-MOST, MOST)
KEY = b"key"


def ask(name, a=0, b=0):
    return {"command": COMMAND[name], "a": a, "b": b}


TELEMETRY = ("outputs", "readings", "ledger", "estimate")


class Host:
    """Sends numbered frames to a board and decodes what comes back. `replies` leaves telemetry out."""

    def __init__(self, board):
        self.board, self.decoder, self.sequence = board, Decoder(), board.link.expected
        board.tick()
        self.session = board.link.session
        board.drain()

    def put(self, name, fields=(), sequence=None, session=None):
        board = self.board
        at = self.sequence if sequence is None else sequence
        board.arriving.append(encode(name, dict(fields), self.session if session is None else session, at))
        if sequence is None and session is None:
            self.sequence = self.sequence + 1 & 0xFFFF

    def replies(self, ticks=1):
        for _ in range(ticks):
            self.board.tick()
        got = self.decoder.feed(self.board.drain())
        assert self.decoder.damaged == 0
        return [message for message in got if message.name not in TELEMETRY]

    def reply(self, name, fields=(), **where):
        self.put(name, fields, **where)
        (message,) = self.replies()
        return message

    def dangerous(self, name, a=0, b=0, key=KEY):
        nonce = self.reply("challenge")["nonce"]
        right = answer(key, nonce, COMMAND[name], a, b)
        return self.reply("answer", ask(name, a, b) | {"answer": right})


@pytest.fixture
def host():
    return Host(Board())


# ---- one table, and everything agrees with it
def test_constants_are_places_in_the_tables():
    places = {name: code for name, (code, _, _) in TO_BOARD.items()}
    assert [
        link_module.__dict__[f"_{name}"] for name in ("HELLO", "ASK", "ANSWERED", "BEGIN", "CHUNK", "READ", "INJECT")
    ] == [places[name] for name in ("hello", "challenge", "answer", "begin", "chunk", "read", "inject")]
    for code, (name, *_) in TO_HOST.items():
        assert link_module.__dict__[f"_{name.upper()}"] == code - 16
    assert COMMAND["commit_profile"] == link_module._COMMIT
    for code, (name, _) in enumerate(REFUSALS):
        assert link_module.__dict__[f"_{name}"] == code


def test_fingerprint_is_current():
    assert fingerprint() == catalogue.CRC16, f"catalogue.CRC16 must now be 0x{fingerprint():04X}"


def test_the_dangerous_commands():
    assert {name for name, command in COMMANDS.items() if command.dangerous} == {
        "clear_latch", "arm", "calibrate", "commission", "reboot", "commit_profile",
    }  # fmt: skip


MESSAGES = [(n, *entry[1:]) for n, entry in TO_BOARD.items()] + [*TO_HOST.values()]


@pytest.mark.parametrize("name, names, kinds", MESSAGES)
def test_every_message_fits_a_frame_for_16_cells(name, names, kinds):
    assert len(names) == len(kinds) == len(set(names)), name
    assert b"?" not in kinds.rstrip(b"?"), "bits stand last"
    sizes = {"B": 1, "H": 2, "i": 4, "A": 8, "?": 1 / 8, "*": 64}
    lists = {"cell_uv": 16, "temp_cdegc": 8, "counts": 6}
    fields = sum(1 + 4 * lists[n] if k == ord("[") else sizes[chr(k)] for n, k in zip(names, kinds, strict=True))
    assert 1 + 5 + fields + 4 <= frames.LONGEST


def test_a_link_for_16_cells_sends_them_all():
    board = Board(Controller(16))
    board.tick(1000)
    readings = next(m for m in Decoder().feed(board.drain()) if m.name == "readings")
    assert len(readings["cell_uv"]) == 16


def test_fields_are_attributes_of_what_is_sent():
    board = Board()
    sources = (Readings(), Outputs(), board.bms.ledger, board.bms.estimates[0])
    for (names, _), source in zip(catalogue.TO_HOST[5:], sources, strict=True):
        for name in names:
            getattr(source, name)
    assert set(vars(Readings())) == set(catalogue.READINGS), "every reading travels"
    assert set(vars(Outputs())) == set(catalogue.TO_HOST[6][0]), "every output travels"


# ---- the form of a frame, against the reference implementations
@given(st.binary(min_size=5, max_size=249))
def test_closing_a_frame_is_cobs_and_crc32(fields):
    buffer = bytearray(7 + len(fields) + 4 + 3)
    code, session, sequence = fields[0], 0xABCD, fields[1]
    buffer[7 : 7 + len(fields)] = fields
    frames.close(buffer, code, session, sequence, 7 + len(fields))
    body = struct.pack("<BHH", code, session, sequence) + fields
    if len(body) + 5 <= frames.LONGEST:
        expected = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little"))
        assert bytes(buffer) == b"\0" + expected + b"\0" * (len(buffer) - 1 - len(expected))


@given(st.binary(max_size=frames.LONGEST), st.booleans())
def test_sound_is_what_the_reference_says(body, whole):
    if whole:
        body = body[: frames.LONGEST - 5]
        body += zlib.crc32(body).to_bytes(4, "little")
    encoded = cobs.encode(body)
    buffer = bytearray(encoded) + bytearray(4)
    sound = (
        len(body) >= 9 and len(encoded) <= frames.LONGEST and zlib.crc32(body[:-4]).to_bytes(4, "little") == body[-4:]
    )
    assert frames.is_sound(buffer, len(encoded)) == sound
    if sound:
        assert bytes(buffer[1 : len(encoded)]) == body


# ---- commands
@given(st.integers(0, 31536000), st.integers(-1, 31536000))
def test_numbers_arrive_as_sent(a, b):
    host = Host(Board())
    assert host.reply("command", ask("calendar", a, b))["refusal"] == 0
    assert host.board.bms.commands == [(COMMAND["calendar"], a, b)]


def test_done_says_what_the_controller_says(host):
    host.board.bms.says = 9
    done = host.reply("command", ask("stop"))
    assert (done["refusal"], done["reason"], done["message"], done["expected"]) == (REFUSAL["CONTROLLER"], 9, 1, 1)
    host.board.bms.says = 0
    done = host.reply("command", ask("resume"))
    assert (done["refusal"], done["reason"]) == (0, 0)


@pytest.mark.safety(15)
@pytest.mark.parametrize(
    "fields, field",
    [
        (ask("stop") | {"command": len(catalogue.COMMANDS)}, 1),
        (ask("stop") | {"command": 255}, 1),
        (ask("storage", 2), 2),
        (ask("storage", -1), 2),
        (ask("set_clock", 0, 86400), 3),
        (ask("set_clock", 0, -1), 3),
        (ask("stop", 0, 2**30), 3),
        (ask("stop", -(2**31), 0), 2),
    ],
)
def test_a_value_out_of_range_is_named(host, fields, field):
    done = host.reply("command", fields)
    assert (done["refusal"], done["field"]) == (REFUSAL["FIELD"], field)
    assert host.board.bms.commands == []


@pytest.mark.parametrize("name", [name for name in TO_BOARD if name not in ("hello", "inject")])
def test_wrong_length_is_refused(host, name):
    code, _, kinds = TO_BOARD[name]
    whole = sum({"B": 1, "i": 4, "*": 0}[chr(kind)] for kind in kinds)
    for length in {*range(whole), *([] if b"*" in kinds else [whole + 1])}:
        host.board.arriving.append(frame(code, host.session, host.sequence, bytes(length)))
        host.sequence += 1
        (done,) = host.replies()
        assert (done.name, done["refusal"]) == ("done", REFUSAL["FIELD"])
        assert 1 <= done["field"] <= len(kinds) + 1
    assert host.board.bms.commands == []


def test_one_frame_a_tick_in_order(host):
    for name in ("stop", "resume", "disarm"):
        host.put("command", ask(name))
    host.board.arriving = [b"".join(host.board.arriving)]
    for count in range(1, 4):
        (done,) = host.replies()
        assert done["expected"] == count
        assert len(host.board.bms.commands) == count
    assert [code for code, _, _ in host.board.bms.commands] == [COMMAND[name] for name in ("stop", "resume", "disarm")]


def test_a_tick_looks_at_256_bytes(host):
    noise = bytes([5] * 255 + [0])
    host.put("command", ask("stop"))
    host.board.arriving = [noise * 3 + host.board.arriving[0]]
    assert [message["cause"] for message in host.replies()] == [REFUSAL["MALFORMED"]]
    host.replies(2)
    assert host.board.bms.commands == []
    assert [message.name for message in host.replies()] == ["done"]


# ---- what is refused
def test_a_duplicate_is_refused_and_carries_the_result(host):
    host.board.bms.says = 3
    host.put("command", ask("stop"))
    first = host.board.arriving[0]
    host.replies()
    host.board.bms.says = 0
    assert host.board.bms.log == [(1, REFUSAL["CONTROLLER"], 3)]
    for _ in range(3):
        host.board.arriving.append(first)
    for count in range(1, 4):
        (refused,) = host.replies()
        assert (refused.name, refused["cause"], refused["expected"]) == ("refused", REFUSAL["REPLAYED"], 1)
        assert (refused["message"], refused["refusal"], refused["reason"]) == (1, REFUSAL["CONTROLLER"], 3)
        assert refused["counts"][REFUSAL["REPLAYED"]] == count
    assert len(host.board.bms.commands) == 1
    assert host.board.bms.log[1:] == 3 * [(1, REFUSAL["REPLAYED"], 0)]


@given(st.integers(1, 0xFFFF))
def test_only_the_next_number_is_taken(ahead):
    host = Host(Board())
    refused = host.reply("command", ask("stop"), sequence=ahead)
    cause = "MISPLACED" if ahead <= 0x8000 else "REPLAYED"
    assert (refused["cause"], refused["expected"]) == (REFUSAL[cause], 0)
    assert host.board.link.counts[REFUSAL[cause]] == 1
    assert host.board.bms.commands == []


def test_numbers_wrap(host):
    host.board.link.expected = host.sequence = 0xFFFF
    assert host.reply("command", ask("stop"))["expected"] == 0
    assert host.sequence == 0
    assert host.reply("command", ask("stop"))["expected"] == 1


@given(st.integers(0, 0xFFFF).filter(lambda session: session != 7))
def test_another_session_is_refused(session):
    host = Host(Board())
    assert host.reply("command", ask("stop"), session=session)["cause"] == REFUSAL["SESSION"]
    assert host.board.bms.commands == []


@given(st.integers(len(catalogue.TO_BOARD), 255), st.binary(max_size=40))
def test_an_unknown_message_is_refused(code, fields):
    host = Host(Board())
    host.board.arriving.append(frame(code, host.session, host.sequence, fields))
    (refused,) = host.replies()
    assert (refused["cause"], refused["expected"]) == (REFUSAL["UNKNOWN"], 0)


def test_hello_is_always_heard(host):
    host.put("command", ask("stop"))
    host.replies()
    welcome = host.reply("hello", sequence=999, session=55)
    assert welcome.session == 7
    assert welcome.values == {
        "catalogue": catalogue.CRC16,
        "version": VERSION,
        "profile_crc30": 12345,
        "current_lsb_na": 1000,
        "nominal_capacity_uah": 2_000_000,
        "boots": 7,
        "cells": 1,
        "expected": 1,
        "rig": 0,
    }


# ---- whatever comes in
@given(st.binary(max_size=700), st.integers(1, 300))
def test_a_frame_after_garbage_is_received(garbage, cut):
    host = Host(Board())
    host.put("command", ask("stop"))
    stream = garbage + host.board.arriving.pop()
    host.board.arriving = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    host.replies(len(host.board.arriving) + 4)
    assert host.board.bms.commands == [(COMMAND["stop"], 0, 0)]


@pytest.mark.parametrize("seed", range(3))
def test_noise_changes_nothing(seed):
    """1e5 bytes of random, mutated, truncated, replayed frames: no exception, no command, the outputs as they were."""
    rng = random.Random(seed)
    host = Host(Board())
    before = dict(vars(host.board.bms.outputs))
    fresh = [encode("command", ask("stop"), 7, 0), encode("answer", ask("arm", 9) | {"answer": 5}, 7, 0),
             encode("inject", Readings(), 7, 0), encode("chunk", {"offset": 0, "data": bytes(90)}, 7, 0)]  # fmt: skip
    fed = 0
    while fed < 100_000:
        if rng.randrange(4):
            data = damaged(rng, rng.choice(fresh))
        else:  # sound, but replayed or out of place
            data = encode("command", ask("stop"), rng.choice((6, 7)), rng.randrange(1, 0x10000))
        host.board.arriving.append(data)
        fed += len(data)
        host.board.tick(rng.randrange(60_000))
        host.board.drain()
    while host.board.arriving:
        host.board.tick()
    assert host.board.bms.commands == host.board.bms.profiles == []
    assert vars(host.board.bms.outputs) == before
    assert sum(host.board.link.counts[1:]) > 500
    host.board.arriving.append(b"\0")
    host.board.tick()
    host.board.drain()
    assert host.reply("command", ask("stop"))["refusal"] == 0


def test_a_broken_stream_is_counted():
    class Broken(Board):
        def read(self):
            raise OSError

        def write(self, data):
            raise OSError

    board = Broken()
    for _ in range(5):
        board.tick()
    assert board.link.counts[0] >= 5


def test_nobody_listens():
    link, bms = link_module.Link(None), Controller()
    link.poll(bms)
    link.send(bms)
    assert link.session == -1


def test_a_controller_that_raises_is_heard_once(host):
    def broken(code, a, b):
        host.board.bms.commands.append(code)
        raise RuntimeError

    host.board.bms.command = broken
    host.put("command", ask("stop"))
    with pytest.raises(RuntimeError):
        host.board.tick()
    (done,) = host.replies()
    assert done["refusal"] == REFUSAL["CONTROLLER"]
    assert len(host.board.bms.commands) == 1


def test_nothing_is_read_while_a_reply_waits(host):
    """As after a tick that failed before it was sent: what arrives stays where it is."""
    for _ in range(2):
        host.put("hello")
        host.board.link.poll(host.board.bms)
    assert len(host.board.arriving) == 1


# ---- dangerous commands
DANGEROUS = [("clear_latch", 0), ("arm", 30), ("calibrate", 5), ("commission", 0), ("reboot", 0)]


@pytest.mark.safety(4)
@pytest.mark.parametrize("name, a", DANGEROUS)
def test_a_dangerous_command_answers_a_challenge(host, name, a):
    assert host.reply("command", ask(name, a))["refusal"] == REFUSAL["CHALLENGE"]
    assert host.board.bms.commands == []
    assert host.dangerous(name, a)["refusal"] == 0
    assert host.board.bms.commands == [(COMMAND[name], a, 0)]


@pytest.mark.parametrize("name, a", DANGEROUS)
def test_a_wrong_answer_is_refused(host, name, a):
    assert host.dangerous(name, a, key=b"other")["refusal"] == REFUSAL["ANSWER"]
    nonce = host.reply("challenge")["nonce"]
    other = ask(name, a) | {"answer": answer(KEY, nonce, COMMAND["disarm"], a, 0)}
    assert host.reply("answer", other)["refusal"] == REFUSAL["ANSWER"]
    right = ask(name, a) | {"answer": answer(KEY, nonce, COMMAND[name], a, 0)}
    assert host.reply("answer", right)["refusal"] == REFUSAL["ANSWER"], "one nonce, one answer"
    assert host.board.bms.commands == []


def test_an_answer_that_is_not_the_next_frame_is_late(host):
    nonce = host.reply("challenge")["nonce"]
    host.reply("command", ask("disarm"))
    right = ask("arm", 1) | {"answer": answer(KEY, nonce, COMMAND["arm"], 1, 0)}
    assert host.reply("answer", right)["refusal"] == REFUSAL["ANSWER"]
    assert host.board.bms.commands == [(COMMAND["disarm"], 0, 0)]


def test_a_controller_that_raises_closes_the_challenge(host):
    def broken(code, a, b):
        raise RuntimeError

    works, host.board.bms.command = host.board.bms.command, broken
    nonce = host.reply("challenge")["nonce"]
    right = ask("arm", 1) | {"answer": answer(KEY, nonce, COMMAND["arm"], 1, 0)}
    host.put("answer", right)
    with pytest.raises(RuntimeError):
        host.board.tick()
    host.replies(2)
    host.board.bms.command = works
    assert host.reply("answer", right)["refusal"] == REFUSAL["ANSWER"]
    assert host.board.bms.commands == []


@pytest.mark.safety(4)
def test_a_session_that_comes_back_brings_other_nonces(host):
    """The journal was lost, so that boots count anew: the answer recorded then is wrong now."""
    recorded = host.reply("challenge")["nonce"]
    again = Board()
    again.bms.readings.now_ms = 5_000
    assert Host(again).session == host.session
    assert Host(again).reply("challenge")["nonce"] != recorded


def test_nonces_differ(host):
    nonces = [host.reply("challenge")["nonce"] for _ in range(100)]
    assert len(set(nonces)) == 100
    after = Board()
    after.bms.boots = 8
    assert Host(after).reply("challenge")["nonce"] not in nonces


@pytest.mark.safety(4)
@pytest.mark.parametrize("boots", [7, 0])
def test_a_recorded_session_replayed_after_a_restart_does_nothing(boots):
    """Everything one session sent, arming and profile included, played again to the restarted board."""
    first = Board()
    first.bms.boots = boots
    first.bms.readings.now_ms = 12_000
    host = Host(first)
    recorded = []
    read = first.read

    def tap():
        data = read()
        recorded.append(data or b"")
        return data

    first.read = tap
    host.dangerous("arm", 30)
    profile = b"{}"
    host.reply("begin", {"size": 2, "crc30": zlib.crc32(profile) & MOST})
    host.reply("chunk", {"offset": 0, "data": profile})
    host.dangerous("commit_profile")
    host.reply("command", ask("stop"))
    assert len(first.bms.commands) == 2 and first.bms.profiles == [profile]

    second = Board()
    second.bms.boots = boots and boots + 1
    second.bms.readings.now_ms = 15_000
    second.arriving = [data for data in recorded if data]
    for _ in range(50):
        second.tick()
    assert second.bms.commands == second.bms.profiles == []
    assert second.link.counts[REFUSAL["SESSION"]] == 7


# ---- profile
def upload(host, profile, chunk=100):
    host.reply("begin", {"size": len(profile), "crc30": zlib.crc32(profile) & MOST})
    for at in range(0, len(profile), chunk):
        done = host.reply("chunk", {"offset": at, "data": profile[at : at + chunk]})
        assert done["refusal"] == 0


@given(st.binary(min_size=1, max_size=700), st.integers(1, 128))
def test_a_profile_arrives_whole(profile, chunk):
    host = Host(Board())
    upload(host, profile, chunk)
    assert host.board.bms.profiles == []
    assert host.dangerous("commit_profile")["refusal"] == 0
    assert host.board.bms.profiles == [profile]
    assert host.dangerous("commit_profile")["refusal"] == REFUSAL["ORDER"], "once"


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


def test_no_memory_for_an_upload(host, monkeypatch):
    def full(size):
        raise MemoryError

    monkeypatch.setattr(link_module, "bytearray", full, raising=False)
    assert host.reply("begin", {"size": 8192, "crc30": 0})["refusal"] == REFUSAL["MEMORY"]
    assert host.reply("chunk", {"offset": 0, "data": b"1"})["refusal"] == REFUSAL["ORDER"]


# ---- downloads
def test_a_download_comes_in_shares(host):
    record = host.board.bms.records[2]
    for offset in (0, 1, 63, 136, 137, 199):
        data = host.reply("read", {"area": 2, "offset": offset})
        assert (data.name, data["area"], data["offset"], data["total"]) == ("data", 2, offset, len(record))
        assert data["data"] == record[offset : offset + 64]


@pytest.mark.parametrize("area, offset", [(2, 200), (2, -1), (2, MOST), (3, 0), (255, 0)])
def test_nothing_to_download(host, area, offset):
    assert host.reply("read", {"area": area, "offset": offset})["refusal"] == REFUSAL["NOTHING"]


# ---- injected readings
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


# ---- telemetry
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
    board.tick(1000)
    (got,) = [m for m in Decoder().feed(board.drain()) if m.name == "ledger"]
    assert got.values == {
        "charged": 100_999_000, "discharged": 101_999_001, "gaps": 102_999_002,
        "offset_mcount": -40, "gain_ppm": 250, "corrections": 1,
    }  # fmt: skip


def test_numbers_too_large_are_sent_as_the_limit():
    board = Board()
    board.bms.outputs.state, board.bms.outputs.reason = 256, -1
    board.bms.outputs.pulse_count, board.bms.outputs.pulse_ms = 2**40, -(2**40)
    board.bms.readings.charge_restarts = -1
    board.bms.readings.cell_uv = [2**31]
    board.tick(1000)
    outputs, readings, _, _ = Decoder().feed(board.drain())
    assert [outputs[name] for name in ("state", "reason", "pulse_count", "pulse_ms")] == [255, 255, MOST, -MOST]
    assert (readings["charge_restarts"], readings["cell_uv"]) == (65535, [MOST])


def test_frames_of_the_board_are_numbered():
    board, decoder = Board(), Decoder()
    board.link._sequence = 0xFFF0
    got = []
    for _ in range(20):
        board.tick(1000)
        got += [message.sequence for message in decoder.feed(board.drain())]
    assert got == [k & 0xFFFF for k in range(0xFFF0, 0xFFF0 + 80)]


def test_empty_frames_between_two_are_nobodys(host):
    """What is left of a board's buffer is sent as zeros: empty frames."""
    host.put("command", ask("stop"))
    first = host.board.arriving.pop()
    host.put("command", ask("resume"))
    host.board.arriving = [b"\0\0" + first + b"\0\0\0" + host.board.arriving.pop()]
    host.replies(3)
    assert [code for code, _, _ in host.board.bms.commands] == [COMMAND["stop"], COMMAND["resume"]]
    assert not any(host.board.link.counts)


def test_a_new_link_knows_nobody():
    link = link_module.Link(None)
    at_power_up(link, session=-1, _reply=-1)
    told = {name for names, _ in catalogue.TO_HOST[:5] for name in names}
    assert all(hasattr(link, name) for name in told)


def test_a_nonce_is_clock_and_counter(host):
    for asked in (1, 2, 3):
        nonce = host.reply("challenge")["nonce"]
        assert nonce == ((host.board.bms.readings.now_ms ^ host.session) & 0xFFFF) << 14 | asked
    host.board.link._asked = 0x3FFF
    assert host.reply("challenge")["nonce"] & 0x3FFF == 0


@pytest.mark.parametrize(
    "data, cause",
    [(b"\x05abc\0", 1), (encode("command", ask("stop"), 6, 0), 3), (encode("command", ask("stop"), 7, 0xFFFF), 4),
     (encode("command", ask("stop"), 7, 5), 5), (frame(99, 7, 0, b""), 2)],
)  # fmt: skip
def test_each_frame_not_taken_is_counted_under_its_cause(host, data, cause):
    for count in (1, 2):
        host.board.arriving.append(data)
        host.board.tick()
        assert list(host.board.link.counts) == [count if k == cause else 0 for k in range(6)]
        message = {1: 0, 2: 99}.get(cause, 1)  # a damaged one has no name
        assert host.board.bms.log[-1] == (message, cause, 0) and len(host.board.bms.log) == count
    host.board.link.counts[cause] = MOST
    host.board.arriving.append(data)
    host.board.tick()
    assert host.board.link.counts[cause] == 0  # wraps


@pytest.mark.parametrize("length", [255, 256, 300, 1000])
def test_a_frame_that_is_too_long_is_refused_and_the_next_is_taken(host, length):
    host.board.arriving = [b"\x01" * length + b"\0"]
    host.replies(length // 256 + 2)
    assert list(host.board.link.counts) == [0, 1, 0, 0, 0, 0]
    assert host.reply("command", ask("stop"))["refusal"] == 0


def test_a_reason_is_of_its_own_frame(host):
    host.board.bms.says = 33
    assert host.reply("command", ask("stop"))["reason"] == 33
    done = host.reply("begin", {"size": 5, "crc30": 1})
    assert (done["refusal"], done["reason"], done["field"]) == (0, 0, 0)


def test_session_zero_is_a_session():
    """After 65 536 starts: begun once, not anew with every byte."""
    controller = Controller()
    controller.boots = 1 << 16
    host = Host(Board(controller))
    buffers = len(host.board.link._tx)
    assert host.session == 0 and host.reply("command", ask("stop"))["refusal"] == 0
    assert len(host.board.link._tx) == buffers == len(catalogue.TO_HOST)
