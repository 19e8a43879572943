"""The same scenario here and on MicroPython; reports that hold what they should; recordings that replay bit for bit."""

import gzip
import html
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hil import cli, judge, recording, replay, report, rigs, runner, scenario
from hil.trace import NUMBERS, WORDS, Trace
from host_sim.errors import InputError

HOST, VIRTUAL = rigs.load(rigs.find("host")), rigs.load(rigs.find("virtual"))


def one(name):
    return scenario.load(scenario.find(name))


@pytest.mark.parametrize("name", ["power_cut_in_pulse", "row_deadline", "brown_outs", "arm_over_link"])
def test_same_decisions_at_the_same_ticks_and_equal_journal_bytes(name):
    here, there = runner.run(one(name), HOST), runner.run(one(name), VIRTUAL)
    assert list(here.trace.time_s) == list(there.trace.time_s)
    for column in WORDS:
        assert here.trace.words[column] == there.trace.words[column], column
    for column in NUMBERS:
        np.testing.assert_array_equal(here.trace.column(column), there.trace.column(column), column)
    assert here.slots and here.slots == there.slots
    assert here.answers == there.answers


def test_a_recording_of_the_virtual_rig_replays_bit_for_bit(tmp_path):
    path = tmp_path / "run.rec.gz"
    assert recording.main(["power_cut_in_pulse", str(path), "--rig", "virtual"]) == 0
    result = replay.replay(path)
    assert result.difference == ""
    assert result.ticks > 300


def test_a_changed_recording_is_noticed_at_its_tick(tmp_path):
    path = tmp_path / "run.rec.gz"
    recording.main(["bench_charge_and_stop", str(path), "--rig", "host"])
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    tick = json.loads(lines[20])
    tick[2][recording.OUTPUTS.index("charge_enable")] ^= 1
    lines[20] = json.dumps(tick)
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert re.search(r"charge_enable was \d on the rig and is \d here", replay.replay(path).difference)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[: len(data) // 2], "not a whole recording after line"),
        (lambda data: b"hello", "not a whole recording"),
        (lambda data: gzip.compress(b"{}\n"), "format None is not 1"),
        (lambda data: gzip.compress(b"nonsense\n"), "line 1 is not part"),
        (lambda data: gzip.compress(gzip.decompress(data) + b'["dance"]\n'), "line .* is not part of a recording"),
        (lambda data: gzip.compress(gzip.decompress(data).replace(b'["tick"', b'5, ["tick"', 1)), "line . is not part"),
        (lambda data: gzip.compress(gzip.decompress(data).replace(b'["stop"]', b"5")), "line .* is not part"),
        (lambda data: data[:2000] + b"\xff" * 50 + data[2050:], "not a whole recording after line|line . is not part"),
        (lambda data: b"time,voltage\n", "not a whole recording .*; a cycler's data is for relith-sim replay"),
    ],
)
def test_a_damaged_recording_is_one_sentence(tmp_path, damage, sentence):
    path = tmp_path / "run.rec.gz"
    recording.main(["bench_charge_and_stop", str(path), "--rig", "host"])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=sentence) as caught:
        replay.replay(path)
    assert "\n" not in str(caught.value)


def test_report_of_a_pass_and_a_failure(tmp_path):
    good = runner.run(one("bench_charge_and_stop"), HOST)
    bad = one("bench_charge_and_stop")
    wrong = type(bad.expectations[0])(**{**vars(bad.expectations[0]), "before_s": 1e-3})
    bad = type(bad)(**{**vars(bad), "name": "impatient", "expectations": (wrong,)})
    failed = runner.run(bad, HOST)
    assert good.state == runner.PASSED and failed.state == runner.FAILED
    report.write(tmp_path / "hil", [good, failed])
    folder = tmp_path / "hil"
    suite = ElementTree.parse(folder / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    page = html.unescape((folder / "report.html").read_text())
    assert not re.search(r"(src|href)=.http|url\(http|@import|<script", page)  # needs no network
    assert "NOT MET" in page and "<= 1 ms" in page and "Versions and hashes" in page
    box = json.loads((folder / "impatient.blackbox.json").read_text())
    assert box["ticks"] and "state" in box["ticks"][0]
    assert (folder / "relith-hil__impatient__20250101_001.bdf.csv").read_text().startswith("Test Time / s,Voltage / V")


def test_a_board_that_latched_tells_its_last_ticks(tmp_path):
    result = runner.run(one("row_hot_hard"), HOST)
    result.state, result.reason = runner.FAILED, "as if"
    report.write(tmp_path / "out", [result])
    told = json.loads((tmp_path / "out/row_hot_hard.blackbox.json").read_text())["board"]
    assert len(told) == 16 and told[0]["state"] == "charge" and told[0]["current"] == pytest.approx(0.08, abs=0.01)
    assert "heating" in told[-1]["alarm"] and told[-1]["temperature"] > 60  # and in the next tick it latched


def test_command_line(tmp_path, capsys, monkeypatch):
    out = tmp_path / "hil"
    assert cli.dispatch(["run", "bench_charge_and_stop", "--rig", "host", "--out", str(out)]) == 0
    assert "relith.hil: rig=host passed=1 failed=0 cannot=0" in capsys.readouterr().out
    assert (out / "report.html").is_file()
    for argv, sentence in (
        (["dance"], "no command 'dance'"),
        (["run", "nothing"], "no such scenario"),
        (["run", "quiet_day", "--rig", "nowhere"], "no such rig file"),
        (["run", "--jobs", "0"], "--jobs is 0"),
    ):
        monkeypatch.setattr("sys.argv", ["relith-hil", *argv])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["run", "quiet_day", "--out", "{there}"], "allowed is a new folder, an empty one, or that of an earlier run"),
        (
            ["run", "quiet_day", "--out", "{there}/mine.txt"],
            "allowed is a new folder, an empty one, or that of an earlier run",
        ),
        (["soak", "quiet_day", "--out", "{there}/mine.txt/x"], "cannot be written to; name a folder that can"),
        (["record", "quiet_day", "{there}"], "cannot be written"),
        (["record", "quiet_day", "{there}/no/run.rec.gz"], "cannot be written"),
        (["calibrate", "--rig", "bench-loopback", "--out", "{there}"], "which is a folder"),
        (["calibrate", "--rig", "bench-loopback", "--out", "{there}/mine.txt/c.json"], "which cannot be made"),
        (["replay", "{there}/no"], "no such recording"),
    ],
)
def test_what_cannot_be_written_or_is_somebody_elses_is_refused_before_the_run(tmp_path, argv, sentence):
    (tmp_path / "mine.txt").write_text("years of work")
    with pytest.raises(InputError, match=sentence) as caught:
        cli.dispatch([part.format(there=tmp_path) for part in argv])
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def trace_of(times, **columns):
    trace = Trace()
    for k, time_s in enumerate(times):
        row = dict.fromkeys([*NUMBERS, *WORDS])
        row |= {name: values[k] for name, values in columns.items()}
        trace.append(time_s, row)
    return trace


def expectation(**fields):
    data = {
        "title": "t",
        "profile": "liu21_nmc532",
        "run": {"for": "1 min"},
        "event": [{"name": "e", "at": "1 s", "do": "mark"}],
        "expect": [fields],
    }
    return scenario.parse(data, scenario.FOLDER / "x.toml").expectations[0]


def test_judging():
    times, currents = [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 0.0]
    trace = trace_of(times, current=currents, state=["idle", "charge", "charge", "idle"])
    trace.moments["e"] = 1.0
    assert judge.judge(expectation(within="current from 0 A to 1 A"), trace).ok
    broken = judge.judge(expectation(within="current from 0 A to 0.5 A"), trace)
    assert not broken.ok and broken.at_s == 1.0
    assert judge.judge(expectation(eventually="state is charge", before="1 s"), trace).ok
    assert not judge.judge(expectation(eventually="state is charge", before="900 ms"), trace).ok
    assert judge.judge(expectation(never="state is charge", after="e + 2 s"), trace).ok
    assert judge.judge(expectation(never="current above 1 A"), trace).measured == "at most 1 A"
    # what happens at a moment precedes that moment's tick: the tick is after it, and outside a window that it ends
    assert judge.judge(expectation(never="state is charge", until="e"), trace).ok
    assert not judge.judge(expectation(never="state is charge", after="e"), trace).ok


def test_nothing_seen_is_a_failure_not_a_pass():
    trace = trace_of([0.0, 1.0], current=[None, None], state=["idle", "idle"])
    assert not judge.judge(expectation(within="current from 0 A to 1 A"), trace).ok
    assert not judge.judge(expectation(never="current above 1 A"), trace).ok
    assert judge.judge(expectation(never="state is charge", after="e"), trace).measured == "'e' never happened"
    assert not judge.judge(expectation(never="state is charge", after="50 s"), trace).ok


@pytest.mark.parametrize(("late", "state"), [("0.0001 ms", runner.FAILED), ("30 s", runner.PASSED)])
def test_real_time_reports_its_jitter_and_fails_a_run_that_missed_deadlines(late, state):
    rig = rigs.parse({"board": "host", "time": "real", "late": late}, Path("r.toml"))
    short = {**vars(one("bench_charge_and_stop")), "duration_s": 0.5, "expectations": ()}
    result = runner.run(scenario.Scenario(**short), rig)
    verdict = result.verdicts[0]
    assert verdict.text == "deadlines of the rig" and f"of {len(result.trace)} missed" in verdict.measured
    assert result.state == state and "lateness median" in result.timing.line()
    assert state == runner.PASSED or result.reason.startswith(f"deadlines of the rig: {verdict.measured}")


def test_lateness_is_counted():
    verdict = runner.lateness([0.0, 0.01, 0.2], 0.05)
    assert not verdict.ok and verdict.measured == "200 ms, 1 of 3 missed"
    assert runner.lateness([0.0, 0.01], 0.05).ok
