"""Commands over the link: what is taken, in order and once, and what is refused, with its reason."""

import pytest
import relith.link as link_module
from hypothesis import example, given
from hypothesis import strategies as st
from relith import VERSION, catalogue

from hil.catalogue import REFUSAL, TO_BOARD
from hil.codec import MOST, encode, frame
from tests.firmware.link_host import COMMAND, Host, ask
from tests.firmware.rigging import at_power_up
from tests.link_stub import Board, Controller


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
    done = host.reply("command", ask("disarm"))
    assert (done["refusal"], done["reason"]) == (0, 0)
    assert host.board.bms.log == [(1, REFUSAL["CONTROLLER"], 9)], "what is done is no refusal"


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
    for name in ("stop", "disarm", "storage"):
        host.put("command", ask(name))
    host.board.arriving = [b"".join(host.board.arriving)]
    for count in range(1, 4):
        (done,) = host.replies()
        assert done["expected"] == count
        assert len(host.board.bms.commands) == count
    assert [code for code, _, _ in host.board.bms.commands] == [COMMAND[name] for name in ("stop", "disarm", "storage")]


def test_a_greeting_is_a_frame_as_well(host):
    host.put("hello", sequence=0)
    host.put("command", ask("stop"))
    host.board.arriving = [b"".join(host.board.arriving)]
    assert [message.name for message in host.replies()] == ["welcome"] and host.board.bms.commands == []
    assert [message.name for message in host.replies()] == ["done"] and len(host.board.bms.commands) == 1


def test_a_reason_is_of_its_own_frame(host):
    host.board.bms.says = 33
    assert host.reply("command", ask("stop"))["reason"] == 33
    done = host.reply("begin", {"size": 5, "crc30": 1})
    assert (done["refusal"], done["reason"], done["field"]) == (0, 0, 0)


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


# -- what is refused ---------------------------------------------------------------------------------------------------


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
@example(0x7FFF)
@example(0x8000)
@example(0x8001)
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


def test_a_damaged_frame_and_one_that_is_refused_are_told_apart(host):
    host.board.arriving = [b"\x05abc\0" + encode("command", ask("stop"), host.session ^ 1, 0)]
    assert [message["cause"] for message in host.replies()] == [REFUSAL["MALFORMED"], REFUSAL["SESSION"]]


def test_a_new_link_knows_nobody():
    link = link_module.Link(None)
    at_power_up(link, session=-1, _reply=-1)
    told = {name for names, _ in catalogue.TO_HOST[:5] for name in names}
    assert all(hasattr(link, name) for name in told)


def test_session_zero_is_a_session():
    """After 65 536 starts: begun once, not anew with every byte."""
    controller = Controller()
    controller.boots = 1 << 16
    host = Host(Board(controller))
    buffers = len(host.board.link._tx)
    assert host.session == 0 and host.reply("command", ask("stop"))["refusal"] == 0
    assert len(host.board.link._tx) == buffers == len(catalogue.TO_HOST)
