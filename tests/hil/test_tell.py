"""`relith-hil tell`: every command of the catalogue from the command line, and what it refuses to send."""

import json
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import tell
from hil.catalogue import COMMANDS
from hil.codec import MOST, Client, LinkError, Refused
from host_sim.errors import InputError
from host_sim.profiles import load
from host_sim.sample_data import PROFILE
from tests.link_stub import Board, Controller, HostPort


def board():
    text = PROFILE.read_bytes()
    found = Board(Controller())
    found.bms.records[4] = text
    found.bms.profile.crc30 = zlib.crc32(text) & MOST
    found.bms.profile.link_key = load(PROFILE).link_key
    return found


def told(stub, command, *words):
    tell.carry_out(Client(HostPort(stub), timeout_s=0.3), "PORT", command, list(words))


@pytest.mark.parametrize("command", list(tell.MEANT))
def test_every_command_arrives_with_its_numbers(command):
    asked, stub = COMMANDS[command], board()
    numbers = [high for name, (_, high) in ((asked.a, asked.a_range), (asked.b, asked.b_range)) if name]
    told(stub, command, *map(str, numbers))
    assert stub.bms.commands == [(asked.code, *[*numbers, 0, 0][:2])]


def test_a_profile_is_uploaded(tmp_path):
    stub, path = board(), tmp_path / "mine.json"
    path.write_text(json.dumps(json.loads(PROFILE.read_text()) | {"name": "mine"}))
    told(stub, "profile", str(path))
    assert stub.bms.profiles == [path.read_bytes()]


def test_what_the_board_refuses_is_said():
    stub = board()
    stub.bms.says = 33
    with pytest.raises(Refused, match=r"the board refuses 'arm': the controller refuses it: days must be 1 to the"):
        told(stub, "arm", "366")


def test_a_profile_that_waits_for_a_restart_is_no_key():
    stub = board()
    stub.bms.records[4] = stub.bms.records[4] + b"\n"
    with pytest.raises(LinkError, match="keeps a profile that is not yet in force; restart it first"):
        told(stub, "clear_latch")
    assert stub.bms.commands == []


@pytest.mark.parametrize(
    ("zone", "minutes"), [("UTC0", (1320, 420)), ("CET-1", (1260, 360)), ("XST-5:30", (990, 90)), ("PST8", (360, 900))]
)
def test_quiet_hours_are_given_by_the_clock_on_the_wall(monkeypatch, zone, minutes):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    stub = board()
    told(stub, "quiet", "22:00", "7:00")
    assert stub.bms.commands == [(COMMANDS["quiet"].code, *minutes)]
    monkeypatch.undo()
    time.tzset()


def test_the_clock_is_set_to_now(monkeypatch):
    monkeypatch.setattr(tell.time, "time", lambda: 20_000 * 86_400 + 3_601.9)
    stub = board()
    told(stub, "set_clock", "now")
    assert stub.bms.commands == [(COMMANDS["set_clock"].code, 20_000, 3_601)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["explode"], "explode is no command; there are stop, resume, "),
        (["arm"], "arm takes days, 0 were given"),
        (["arm", "0"], "arm: days is '0', must be a whole number from 1 to 366"),
        (["arm", "soon"], "arm: days is 'soon', must be"),
        (["calendar", "60"], "calendar takes free_s and full_in_s, 1 were given"),
        (
            ["quiet", "22:00", "24:00"],
            "quiet: until_min is '24:00', must be a whole number from 0 to 1439, or a time as 22:00",
        ),
        (["set_clock", "soon"], "set_clock takes day and second, 1 were given"),
        (["stop", "1"], "stop takes no number, 1 were given"),
        (["profile"], "profile takes one FILE, 0 words were given"),
        (["commit_profile"], "commit_profile is no command"),
    ],
)
def test_bad_words_are_one_sentence_before_the_port_is_opened(words, sentence):
    with pytest.raises(InputError) as caught:
        tell.main(["/dev/none", *words])
    assert str(caught.value).startswith(f"relith-hil tell: {sentence}") and "\n" not in str(caught.value)


@given(st.sampled_from(list(tell.MEANT)), st.lists(st.text(max_size=5) | st.integers().map(str), max_size=3))
def test_no_word_is_a_traceback(command, words):
    try:
        numbers = tell.checked(command, words)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert [str(int(word)) for word in words] == list(map(str, numbers))


def test_help_tells_every_command(capsys):
    with pytest.raises(SystemExit):
        tell.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in [*tell.MEANT, "profile", "full_in_s"])
