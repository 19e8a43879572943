"""Dangerous commands: only by the answer to a challenge of now; nothing recorded works again."""

import zlib

import pytest

from hil.catalogue import REFUSAL
from hil.codec import MOST, answer
from tests.firmware.link_host import COMMAND, KEY, Host, ask
from tests.link_stub import Board

DANGEROUS = [("clear_latch", 0), ("arm", 30), ("calibrate", 5), ("commission", 0), ("reboot", 0), ("resume", 0),
             ("consent", 1), ("consent", -1)]  # fmt: skip


@pytest.mark.safety(4)
@pytest.mark.parametrize("name, a", DANGEROUS)
def test_a_dangerous_command_answers_a_challenge(host, name, a):
    assert host.reply("command", ask(name, a))["refusal"] == REFUSAL["CHALLENGE"]
    assert host.board.bms.commands == []
    assert host.dangerous(name, a)["refusal"] == 0
    assert host.board.bms.commands == [(COMMAND[name], a, 0)]


@pytest.mark.safety(4)
def test_a_refusal_needs_no_challenge_and_may_have_one(host):
    assert host.reply("command", ask("consent", 0))["refusal"] == 0
    assert host.dangerous("consent", 0)["refusal"] == 0
    assert host.board.bms.commands == [(COMMAND["consent"], 0, 0)] * 2


@pytest.mark.safety(4)
def test_no_nonce_before_the_start_is_in_the_journal(host):
    """Or the session could come back, and with it the nonce."""
    host.board.bms.unrecorded = 58
    done = host.reply("challenge")
    assert (done.name, done["refusal"], done["reason"]) == ("done", REFUSAL["CONTROLLER"], 58)
    right = ask("arm", 1) | {"answer": answer(KEY, host.board.link.nonce, COMMAND["arm"], 1, 0)}
    assert host.reply("answer", right)["refusal"] == REFUSAL["ANSWER"]
    assert host.board.bms.commands == []
    host.board.bms.unrecorded = 0
    assert host.dangerous("arm", 1)["refusal"] == 0


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


def test_a_nonce_is_clock_and_counter(host):
    for asked in (1, 2, 3):
        nonce = host.reply("challenge")["nonce"]
        assert nonce == ((host.board.bms.readings.now_ms ^ host.session) & 0xFFFF) << 14 | asked
    host.board.link._asked = 0x3FFF
    assert host.reply("challenge")["nonce"] & 0x3FFF == 0


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
