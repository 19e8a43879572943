"""The host's end of the link: round trips, and a client that gets through a line that loses and damages frames."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import VERSION
from relith.readings import Readings

from hil import codec
from hil.catalogue import TO_BOARD, TO_HOST
from hil.codec import MOST, Client, Decoder, LinkError, Refused, pack_fields, unpack_fields
from host_sim.errors import InputError
from tests.link_stub import Board, Controller, HostPort

KINDS = {
    ord("B"): st.integers(0, 255),
    ord("H"): st.integers(0, 65535),
    ord("i"): st.integers(-MOST, MOST),
    ord("?"): st.integers(0, 1),
    ord("A"): st.integers(0, 10**12),
    ord("["): st.lists(st.integers(-MOST, MOST), max_size=16),
    ord("*"): st.binary(max_size=64),
}


MESSAGES = [(n, *entry[1:]) for n, entry in TO_BOARD.items()] + [*TO_HOST.values()]


def client(board=None, **options):
    board = board or Board()
    made = Client(HostPort(board), key=b"key", timeout_s=0.05, **options)
    made.hello()
    return made, board


# ---- frames
@given(st.data())
def test_every_message_comes_back_as_it_was(data):
    name, names, kinds = data.draw(
        st.sampled_from([(n, *entry[1:]) for n, entry in TO_BOARD.items()] + [*TO_HOST.values()])
    )
    values = {field: data.draw(KINDS[kind]) for field, kind in zip(names, kinds, strict=True)}
    packed = pack_fields(names, kinds, values)
    assert unpack_fields(names, kinds, packed) == values, name
    assert pack_fields(names, kinds, type("Source", (), values)) == packed


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=8), st.integers(0, 0xFFFF))
def test_a_frame_after_garbage_is_decoded(garbage, cuts, sequence):
    values = {"expected": 1, "nonce": 77}
    _, names, kinds = codec.TO_HOST[19]
    stream = garbage + codec.frame(19, 3, sequence, pack_fields(names, kinds, values))
    decoder, messages = Decoder(), []
    for cut in cuts:
        messages += decoder.feed(stream[:cut])
        stream = stream[cut:]
    messages += decoder.feed(stream)
    assert (messages[-1].session, messages[-1].sequence, messages[-1].values) == (3, sequence, values)


def test_noise_without_an_end_is_not_kept():
    decoder = Decoder()
    for _ in range(100):
        assert decoder.feed(b"\1" * 1000) == []
    assert len(decoder._held) <= codec.LONGEST + 1


@pytest.mark.parametrize("code, fields", [(19, b"\0" * 5), (19, b"\0" * 7), (99, b""), (21, b"\0" * 24)])
def test_a_frame_of_wrong_length_or_code_is_counted(code, fields):
    decoder = Decoder()
    assert decoder.feed(codec.frame(code, 0, 0, fields)) == []
    assert decoder.damaged == 1


@pytest.mark.parametrize("field, value", [("charge_restarts", 70000), ("now_ms", 2**31), ("cell_uv", [2**31])])
def test_a_value_that_does_not_fit_is_named(field, value):
    source = {**vars(Readings()), field: value}
    with pytest.raises(InputError, match=f"{field} is"):
        codec.encode("inject", source, 0, 0)


def test_too_long_a_frame_is_refused():
    with pytest.raises(InputError, match="254"):
        codec.encode("chunk", {"offset": 0, "data": bytes(250)}, 0, 0)


# ---- the client
def test_hello_opens_the_session():
    link, board = client()
    assert (link.session, link.sequence) == (7, 0)
    assert link.hello()["boots"] == 7
    assert board.link.counts.tolist() == [0] * 6


@pytest.mark.parametrize("attribute, value", [("catalogue", 1), ("version", VERSION + 1)])
def test_another_firmware_is_recognised(attribute, value):
    board = Board()
    setattr(board.link, attribute, value)
    with pytest.raises(LinkError, match="the board runs firmware"):
        client(board)


def test_commands_dangerous_or_not():
    link, board = client()
    link.command("stop")
    link.command("arm", 30)
    link.command("calendar", 3600, -1)
    code = {name: command.code for name, command in codec.COMMANDS.items()}
    assert board.bms.commands == [(code["stop"], 0, 0), (code["arm"], 30, 0), (code["calendar"], 3600, -1)]


@pytest.mark.parametrize(
    "command, sentence",
    [
        (("arm", 500), "the board refuses 'arm': days is 500, allowed 1 to 366"),
        (("set_clock", 1, -1), "the board refuses 'set_clock': second is -1, allowed 0 to 86399"),
        (("stop", 1), "the board refuses 'stop': a is 1, allowed 0 to 0"),
    ],
)
def test_a_refusal_names_field_value_and_range(command, sentence):
    link, board = client()
    with pytest.raises(Refused) as caught:
        link.command(*command)
    assert str(caught.value) == sentence
    assert board.bms.commands == []
    link.command("stop")


def test_what_there_is_not():
    link, _ = client()
    with pytest.raises(InputError, match="no command 'fly'"):
        link.command("fly")
    with pytest.raises(InputError, match="no area 'attic'"):
        link.download("attic")


def test_the_controllers_reason_is_told():
    link, board = client()
    board.bms.says = 1
    with pytest.raises(Refused) as caught:
        link.command("resume")
    assert (caught.value.refusal, caught.value.reason) == ("CONTROLLER", 1)
    assert str(caught.value).endswith(codec.REASONS[1])


def test_a_wrong_key_is_told():
    link, board = client()
    link.key = b"wrong"
    with pytest.raises(Refused, match="the answer to the challenge is wrong"):
        link.command("arm", 30)
    assert board.bms.commands == []


@pytest.mark.parametrize("size", [1, 127, 128, 129, 5000, 8192])
def test_profiles_up(size):
    link, board = client()
    profile = random.Random(size).randbytes(size)
    link.upload_profile(profile)
    assert board.bms.profiles == [profile]


def test_a_refused_profile_tells_its_sentence():
    link, board = client()
    board.bms.says = 1
    with pytest.raises(Refused) as caught:
        link.upload_profile(b"{}")
    assert str(caught.value) == "field min_uv is too low"
    link.key = b"wrong"
    with pytest.raises(Refused, match="answer"):
        link.upload_profile(b"{}")
    with pytest.raises(Refused, match=r"a field is missing or out of its range \(size\)"):
        link.upload_profile(bytes(9000))


def test_records_down():
    link, board = client()
    assert link.download("black_box") == board.bms.records[2]
    assert link.download("log") == b""
    board.bms.records[3] = b"x"
    assert link.download("log") == b"x"


def test_a_record_that_shrinks_meanwhile():
    link, board = client()
    whole = board.bms.records[2]
    lengths = iter((200, 200, 10))
    board.bms.record = lambda area: whole[: next(lengths)]
    with pytest.raises(Refused, match="nothing to download"):
        link.download("black_box")


def test_lockstep():
    link, board = client(Board(Controller(3), rig=True))
    readings = Readings(3, 1)
    for k in range(100):
        readings.now_ms += 100
        readings.cell_uv[2] = -k
        board.bms.outputs.pulse_count = k
        assert link.step(readings)["pulse_count"] == k
        assert (board.bms.readings.now_ms, board.bms.readings.cell_uv[2]) == (readings.now_ms, -k)
        if k % 10 == 0:
            link.command("calendar", k, -1)
    assert len(board.bms.commands) == 10
    assert link.lost == 0
    assert set(link.latest) == {"welcome", "outputs", "readings", "ledger", "estimate", "outlook", "done"}


def test_lockstep_needs_a_rig():
    link, _ = client()
    with pytest.raises(Refused, match="no rig build"):
        link.step(Readings())


def test_messages_are_shown_as_they_come():
    seen = []
    link, _ = client(on_message=lambda message: seen.append(message.name))
    link.command("stop")
    assert seen == ["outputs", "welcome", "done"] or seen == ["welcome", "outputs", "done"]


# ---- a bad line
class BadLine(HostPort):
    """Loses, damages and repeats frames in both directions, `badness` of 100 of them; seeded."""

    def __init__(self, board, seed, badness):
        super().__init__(board)
        self.random, self.badness = random.Random(seed), badness

    def spoil(self, data):
        if not data or self.random.randrange(100) >= self.badness:
            return data
        kind = self.random.randrange(4)
        if kind == 0:
            return b""
        if kind == 1:
            return data + data
        out = bytearray(data)
        if kind == 2:
            out[self.random.randrange(len(out))] ^= 1 << self.random.randrange(8)
        else:
            del out[self.random.randrange(len(out)) :]
        return bytes(out)

    def write(self, data):
        super().write(self.spoil(data))

    def read(self):
        return self.spoil(super().read())


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_line_delivers_each_command_once(seed):
    board = Board()
    link = Client(BadLine(board, seed, 25), key=b"key", timeout_s=0.004, tries=40)
    link.hello()
    for k in range(60):
        link.command("calendar", k, -1)
        if k % 5 == 0:
            link.command("arm", k + 1)
    link.upload_profile(b"profile" * 100)
    assert link.download("black_box") == board.bms.records[2]
    calendar, arm = (codec.COMMANDS[name].code for name in ("calendar", "arm"))
    assert [a for code, a, _ in board.bms.commands if code == calendar] == list(range(60))
    assert [a for code, a, _ in board.bms.commands if code == arm] == list(range(1, 61, 5))
    assert board.bms.profiles == [b"profile" * 100]
    assert link.lost > 0 or link.decoder.damaged > 0


def test_a_refusal_whose_reply_was_lost():
    """The reply to a refused command is lost; the copy's refusal brings the result."""
    link, board = client()
    board.bms.says = 1
    write, dropped = board.write, []

    def lossy(data):
        if not dropped and data[2] == 17:  # done
            dropped.append(bytes(data))
        else:
            write(data)

    board.write = lossy
    with pytest.raises(Refused, match=codec.REASONS[1]):
        link.command("resume")
    assert dropped and len(board.bms.commands) == 1


@pytest.mark.parametrize("name", ["command", "challenge"])
def test_a_client_that_lost_count_finds_the_number(name):
    link, board = client()
    link.command("stop")
    link.sequence = 100
    link.command(*(("arm", 3) if name == "challenge" else ("stop",)))
    assert len(board.bms.commands) == 2


def test_a_message_the_board_does_not_know(monkeypatch):
    link, _ = client()
    monkeypatch.setitem(codec.TO_BOARD, "fly", (200, (), b""))
    with pytest.raises(Refused, match="does not know"):
        link._exchange("fly", {}, "done")


def test_a_restart_in_the_middle_is_told():
    link, board = client()
    link.command("stop")
    after = Board()
    after.bms.boots = 8
    link.port.board = after
    with pytest.raises(LinkError, match="restarted"):
        link.command("stop")
    link.hello()
    link.command("stop")
    assert len(board.bms.commands) == len(after.bms.commands) == 1


class DeadPort:
    def __init__(self, error=False):
        self.error = error

    def read(self):
        return b""

    def write(self, data):
        if self.error:
            raise OSError("gone")


def test_no_answer():
    with pytest.raises(LinkError, match=r"does not answer 'hello' within 0\.01 s, 3 times"):
        Client(DeadPort(), timeout_s=0.01).hello()


def test_a_pulled_cable():
    with pytest.raises(LinkError, match="is the cable in"):
        Client(DeadPort(error=True)).hello()
    port = DeadPort()
    port.read = lambda: port.write(b"") or (_ for _ in ()).throw(OSError("gone"))
    with pytest.raises(LinkError, match="is the cable in"):
        Client(port).hello()
