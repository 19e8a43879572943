"""The fuzzers find nothing in the link, find what is planted there, and go on where they were interrupted."""

import json
import random

import pytest
from relith import frames, link

from hil import bench_link, fuzz
from hil.codec import encode


def test_the_guided_loop_finds_nothing_and_gets_far():
    guided = fuzz.Guided(1)
    start = len(guided.pairs)
    guided.search(15_000)
    assert len(guided.pairs) > start
    assert guided.frames > 100 and len(guided.corpus) > len(fuzz.SEEDS) // 2


def test_the_guided_loop_is_the_same_every_time():
    first, second = fuzz.Guided(3), fuzz.Guided(3)
    first.search(3000)
    second.search(3000)
    assert first.corpus == second.corpus and first.pairs == second.pairs


def unchecked_ranges(monkeypatch):
    wide = tuple((row[0], -(2**30), 2**30, -(2**30), 2**30) for row in link.COMMANDS)
    monkeypatch.setattr(link, "COMMANDS", wide)


def no_challenge(monkeypatch):
    monkeypatch.setattr(link, "COMMANDS", tuple((0, *row[1:]) for row in link.COMMANDS))


def one_nonce(monkeypatch):
    original = link.Link._act

    def act(self, bms, message):
        refusal = original(self, bms, message)
        if message == 2:
            self.nonce = 77
        return refusal

    monkeypatch.setattr(link.Link, "_act", act)


def damaged_frames(monkeypatch):
    original = frames.close

    def close(buffer, code, session, sequence, at):
        original(buffer, code, session, sequence, at)
        if code == 17:
            buffer[5] ^= 1

    monkeypatch.setattr(link, "close", close)


@pytest.mark.parametrize("bug", [unchecked_ranges, no_challenge, one_nonce, damaged_frames])
def test_a_planted_bug_is_found(monkeypatch, bug):
    bug(monkeypatch)
    with pytest.raises(fuzz.Violation):
        fuzz.Guided(1).search(200_000)


def test_damaged_frames_are_never_whole():
    draw = random.Random(1)
    whole = encode("command", {"command": 0, "a": 0, "b": 0}, 7, 3)
    for _ in range(2000):
        assert whole.strip(b"\0") not in fuzz.damaged(draw, whole).split(b"\0")


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_link, "STATE", tmp_path / "build/state.json")
    monkeypatch.setattr(bench_link, "CHUNK", 2000)
    monkeypatch.setattr(bench_link, "PARTS", {"random": 6000, "damaged": 6000, "guided": 4000})


def test_the_campaign_finds_nothing(small):
    state = bench_link.run(bench_link.load())
    assert state["exceptions"] == []
    sums = state["sums"]
    assert sums["damaged changed"] == sums["damaged unasked"] == sums["random changed"] == sums["random unasked"] == 0
    assert sums["damaged heard"] == sums["damaged asked"] > 0
    assert sums["damaged refused"] > 100


def test_an_interrupted_campaign_goes_on(small, monkeypatch):
    whole = bench_link.run(bench_link.load())
    bench_link.STATE.unlink()
    original, done = bench_link.campaign, []

    def interrupted(part, index):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(index)
        return original(part, index)

    monkeypatch.setattr(bench_link, "campaign", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench_link.run(bench_link.load())
    assert sum(json.loads(bench_link.STATE.read_text())["chunks"].values()) == 4
    monkeypatch.setattr(bench_link, "campaign", original)
    assert bench_link.run(bench_link.load()) == whole
    monkeypatch.setattr(bench_link, "fingerprint", lambda: "other sources")
    assert bench_link.load()["sums"] == {}
    bench_link.STATE.write_text("{")
    assert bench_link.load()["sums"] == {}


def test_the_campaign_finds_what_is_planted(small, monkeypatch):
    def without_crc(buffer, n):
        at = 0
        while at < n:
            code = buffer[at]
            buffer[at] = 0
            at += code
        return at == n >= 10

    monkeypatch.setattr(link, "is_sound", without_crc)
    monkeypatch.setattr(bench_link, "PARTS", {"damaged": 20_000})  # a damaged frame is rarely a command that can be
    sums = bench_link.run(bench_link.load())["sums"]
    assert sums["damaged unasked"] > 0 and sums["damaged changed"] > 0


def test_every_row_of_the_section_is_measured(small, monkeypatch):
    from host_sim.bench import judged

    monkeypatch.setattr(bench_link, "HEAP_NOISE", 3000)
    rate, lockstep = [], bench_link.lockstep
    monkeypatch.setattr(bench_link, "lockstep", lambda: rate.append(lockstep(30)) or (300.0, 1.0, 2.0))
    rows = {row["name"]: row for row in (judged("link", row) for row in bench_link.rows())}
    assert [name for name, row in rows.items() if row["ok"] is False] == [
        "noise into the link",
        "sound frames after noise",
    ]
    assert min(rate[0]) > 0
    assert all(row["value"] > 0 for name, row in rows.items() if row["target"] is None)
