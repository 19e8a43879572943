"""Tables and frames of the link: one catalogue, the form of a frame against the references, whatever comes in."""

import random
import struct
import zlib

import pytest
import relith.link as link_module
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st
from relith import catalogue, frames
from relith.readings import Outputs, Readings

from hil.catalogue import COMMANDS, REFUSAL, REFUSALS, TO_BOARD, TO_HOST, fingerprint
from hil.codec import Decoder, encode, frame
from hil.fuzz import damaged
from tests.firmware.link_host import COMMAND, TELEMETRY, Host, ask
from tests.link_stub import Board, Controller

# -- one table, and everything agrees with it --------------------------------------------------------------------------


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
        "clear_latch", "arm", "calibrate", "commission", "reboot", "commit_profile", "extra", "resume", "consent",
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


@pytest.mark.parametrize("cells", [1, 5, 16])
def test_a_frame_is_twelve_bytes_and_its_fields(cells):
    """A zero, the first code of COBS, message, session, sequence; checksum, a zero."""
    board = Board(Controller(cells))
    board.tick()
    lists = {"cell_uv": cells, "temp_cdegc": 1, "counts": 6}
    sizes = {"B": 1, "H": 2, "i": 4, "A": 8, "*": 64}
    for buffer, (_, names, kinds) in zip(board.link._tx, TO_HOST.values(), strict=True):
        plain = [
            1 + 4 * lists[n] if k == "[" else sizes[k] for n, k in zip(names, kinds.decode(), strict=True) if k != "?"
        ]
        assert len(buffer) == 12 + sum(plain) + (kinds.count(b"?") + 7) // 8


def test_a_link_for_16_cells_sends_them_all():
    board = Board(Controller(16))
    board.tick(1000)
    readings = next(m for m in Decoder().feed(board.drain()) if m.name == "readings")
    assert len(readings["cell_uv"]) == 16


def test_fields_are_attributes_of_what_is_sent():
    board = Board()
    sources = (Readings(), Outputs(), board.bms.ledger, board.bms.estimates[0], board.bms.estimates[0])
    for (names, _), source in zip(catalogue.TO_HOST[5:], sources, strict=True):
        for name in names:
            getattr(source, name)
    assert set(vars(Readings())) == set(catalogue.READINGS), "every reading travels"
    assert set(vars(Outputs())) == set(catalogue.TO_HOST[6][0]), "every output travels"


# -- the form of a frame, against the reference implementations --------------------------------------------------------


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


# -- whatever comes in -------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("fails, counted", [("read", 5), ("write", 5 * len(TELEMETRY)), ("nothing", 0)])
def test_a_broken_stream_is_counted(fails, counted):
    class Broken(Board):
        def read(self):
            return self._or_fail("read")

        def write(self, data):
            self._or_fail("write")

        def _or_fail(self, what):
            if what == fails:
                raise OSError

    board = Broken()
    for _ in range(5):
        board.tick(1000)
    assert list(board.link.counts) == [counted, 0, 0, 0, 0, 0]


def test_nobody_listens():
    link, bms = link_module.Link(None), Controller()
    link.poll(bms)
    link.send(bms)
    assert link.session == -1


def test_nothing_is_read_while_a_reply_waits(host):
    """As after a tick that failed before it was sent: what arrives stays where it is."""
    for _ in range(2):
        host.put("hello")
        host.board.link.poll(host.board.bms)
    assert len(host.board.arriving) == 1


def test_a_tick_looks_at_no_byte_more(host):
    host.board.arriving.append(bytes([1]) * 600)
    looked = []
    for _ in range(3):
        host.board.tick()
        looked.append(host.board.link._at)
    assert looked == [256, 512, 600]


def test_a_tick_looks_at_256_bytes(host):
    noise = bytes([5] * 255 + [0])
    host.put("command", ask("stop"))
    host.board.arriving = [noise * 3 + host.board.arriving[0]]
    assert [message["cause"] for message in host.replies()] == [REFUSAL["MALFORMED"]]
    host.replies(2)
    assert host.board.bms.commands == []
    assert [message.name for message in host.replies()] == ["done"]


def test_empty_frames_between_two_are_nobodys(host):
    """What is left of a board's buffer is sent as zeros: empty frames."""
    host.put("command", ask("stop"))
    first = host.board.arriving.pop()
    host.put("command", ask("disarm"))
    host.board.arriving = [b"\0\0" + first + b"\0\0\0" + host.board.arriving.pop()]
    host.replies(3)
    assert [code for code, _, _ in host.board.bms.commands] == [COMMAND["stop"], COMMAND["disarm"]]
    assert not any(host.board.link.counts)


def test_the_longest_frame_is_looked_at_and_one_byte_more_is_not(host):
    sound = frame(99, host.session, 0, b"\x05" * (frames.LONGEST - 10)).strip(b"\0")
    assert len(sound) == frames.LONGEST
    host.board.arriving = [sound + b"\0"]
    assert [message["cause"] for message in host.replies()] == [REFUSAL["UNKNOWN"]]
    host.board.arriving = [sound + b"\x05\0"]
    assert [message["cause"] for message in host.replies(2)] == [REFUSAL["MALFORMED"]]


@pytest.mark.parametrize("length", [255, 256, 300, 1000])
def test_a_frame_that_is_too_long_is_refused_and_the_next_is_taken(host, length):
    host.board.arriving = [b"\x01" * length + b"\0"]
    host.replies(length // 256 + 2)
    assert list(host.board.link.counts) == [0, 1, 0, 0, 0, 0]
    assert host.reply("command", ask("stop"))["refusal"] == 0
