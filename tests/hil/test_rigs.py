"""Rig files refused in one sentence; the bench in real time without hardware; every bad instrument ends the run."""

import copy
import re
import signal
import tomllib
from pathlib import Path

import pytest

from hil import live, report, rigs, runner, scenario
from hil.instruments import loopback
from host_sim.errors import InputError

BENCH = tomllib.loads((rigs.FOLDER / "bench-loopback.toml").read_text())
SHORT = "bench_charge_and_stop"


def parse(data):
    return rigs.parse(data, Path("r.toml"))


def short(seconds=6.0):
    one = scenario.load(scenario.find(SHORT))
    return one if seconds == 6.0 else type(one)(**{**vars(one), "duration_s": seconds})


@pytest.mark.parametrize("path", sorted(rigs.FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_rig_file_that_comes_with_the_rig_is_sound(path):
    assert rigs.load(path).what


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(board="toaster"), r"r.toml: board is 'toaster' \(allowed: host, virtual, usb\)"),
        (lambda d: d.pop("board"), "r.toml: board is missing"),
        (lambda d: d.update(colour=1), "r.toml: colour is not a field of a rig file"),
        (lambda d: d.update(time="lockstep"), "a bench cell goes in real time"),
        (lambda d: d.update(board="usb"), "port is missing"),
        (lambda d: d.update(board="usb", port="/dev/x", baud=9), "baud is 9"),
        (lambda d: d.pop("limits"), "limits is missing"),
        (lambda d: d["limits"].update(voltage="4.3 A"), r"limits.voltage: '4.3 A' has an unknown unit 'A'"),
        (lambda d: d["limits"].update(power="3 W"), "limits.power is not a field"),
        (lambda d: d["limits"].update(lowest_voltage="2.5 V"), "limits.lowest_voltage is not a field"),
        (lambda d: d.update(cell="real"), "limits.lowest_voltage is missing"),
        (lambda d: d["instruments"].pop("emulator"), "instruments.emulator is missing"),
        (lambda d: d["instruments"].update(toaster={}), "instruments.toaster is not a role"),
        (lambda d: d["instruments"]["emulator"].update(dialect="rigol-dp800"), "emulator.dialect is 'rigol-dp800'"),
        (lambda d: d["instruments"]["emulator"].update(speed=1), "instruments.emulator.speed is not a field"),
        (lambda d: d["instruments"]["emulator"].pop("address"), "instruments.emulator.address is missing"),
        (lambda d: d["instruments"]["sink"].update(channel="one"), "must be a whole number"),
        (lambda d: d["instruments"]["sink"].update(deadline="200"), "unknown unit ''"),
    ],
)
def test_bad_rig_files_are_one_sentence(change, sentence):
    data = copy.deepcopy(BENCH)
    change(data)
    with pytest.raises(InputError, match=sentence) as caught:
        parse(data)
    assert "\n" not in str(caught.value) and "r.toml" in str(caught.value)


def test_what_a_rig_cannot_do_is_said_not_skipped(tmp_path):
    one = scenario.load(scenario.find("row_hot_hard"))
    result = runner.run(one, parse(copy.deepcopy(BENCH)))
    assert result.state == runner.CANNOT
    assert result.reason == "needs sensors that can be made to fail"
    report.write(tmp_path / "out", [result])
    assert "needs sensors that can be made to fail" in (tmp_path / "out/junit.xml").read_text()
    assert "needs sensors that can be made to fail" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("rig", "name", "reason"),
    [
        ("usb", "power_cut_in_pulse", "needs control of the board's power"),
        ("bench", "garbage_on_link", "needs a wire that can be cut and disturbed, a way to do 'frame_garbage'"),
        ("bench", "string_of_four", "needs time faster than the wall's, an emulator for every cell of the string"),
        ("bench-loopback", "row_charge_window", "needs a thermal chamber"),
        ("bench", "rig_build", "needs a build that takes injected readings"),
        ("watch", "stop_in_pulse", "needs time faster than the wall's, a board that wakes up with a given journal"),
    ],
)
def test_each_rig_says_what_it_lacks(rig, name, reason):
    assert rigs.load(rigs.find(rig)).cannot(scenario.load(scenario.find(name))).startswith(reason)


@pytest.mark.parametrize("path", sorted(rigs.FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_rig_can_run_something(path):
    assert [one for one in scenario.every() if not rigs.load(path).cannot(scenario.load(one))]


def test_nothing_listens_at_an_instrument_address():
    data = copy.deepcopy(BENCH)
    data["instruments"]["sink"]["address"] = "TCPIP::127.0.0.1::9::SOCKET"
    with pytest.raises(InputError, match="cannot be opened"):
        runner.run(short(), parse(data))


def bench_run(monkeypatch, one, misbehave=None, role="emulator", at_tick=8, **more):
    """A run on the loopback bench; `misbehave(unit)` is called in the middle. Returns result and instruments."""
    units = {}
    original = live.instrument_of

    def spied(entry, node, stack):
        driver = original(entry, node, stack)
        units[entry.role] = node.instruments[-1]
        return driver

    monkeypatch.setattr(live, "instrument_of", spied)
    if misbehave:
        period = live.OnBench.period

        def with_trouble(self, now_s):
            if len(self.trace) == at_tick:
                driver = self.bench[role]  # only now: a busy machine is not what is tested here
                driver.deadline_s, driver._resource.timeout = 0.15, 500
                misbehave(units[role])
            return period(self, now_s)

        monkeypatch.setattr(live.OnBench, "period", with_trouble)
    data = copy.deepcopy(BENCH)
    data["late"] = "30 s"
    data["instruments"] |= {role: {"address": "loopback", "dialect": dialect} for role, dialect in more.items()}
    for entry in data["instruments"].values():
        entry["deadline"] = "2 s"
    return runner.run(one, parse(data)), units


def slow(unit):
    unit.misbehaviour, unit.delay_s = loopback.SLOW, 0.3


def silent(unit):
    unit.misbehaviour = loopback.SILENT


def lying(unit):
    unit.misbehaviour = loopback.LYING


def disconnecting(unit):
    unit.misbehaviour = loopback.DISCONNECTING


def test_bench_closes_the_loop(monkeypatch):
    one = type(short())(**{**vars(short()), "weather_degc": 31.0})
    result, units = bench_run(monkeypatch, one, chamber="generic-chamber")
    assert units["chamber"].values["temperature"] == 31.0
    by_text = {verdict.text: verdict for verdict in result.verdicts}
    assert by_text["eventually current above 70 mA"].ok
    assert by_text["eventually charge_permitted is off"].ok
    assert "closed loop" in by_text
    assert len(result.timing.lateness_s) == len(result.trace)
    assert not any(units[role].output_on() for role in ("emulator", "source", "sink"))
    assert [answer.split(":")[0] for answer in result.answers[:3]] == ["emulator", "source", "sink"]


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        (silent, "emulator: no reply to '.*' within 0.5 s"),
        (slow, "emulator: '.*' took 0.3.. s, allowed 0.15 s"),
        (lying, "emulator: voltage was set to .* but reads back"),
        (disconnecting, "emulator: connection lost at"),
    ],
)
def test_bad_instrument_fails_the_run_with_the_reason_and_everything_off(monkeypatch, misbehave, reason):
    result, units = bench_run(monkeypatch, short(4.0), misbehave)
    assert result.state == runner.FAILED
    assert re.search(reason, result.reason), result.reason
    assert not any(unit.output_on() for unit in units.values())


@pytest.mark.parametrize("number", live.ENDINGS)
def test_a_rig_that_is_told_to_end_switches_off_first(monkeypatch, number):
    before, seen = signal.getsignal(number), []

    def told(unit):
        seen.extend(unit.node.instruments)
        assert any(one.output_on() for one in seen)
        signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        bench_run(monkeypatch, short(4.0), told)
    assert len(seen) == 3 and not any(one.output_on() for one in seen)
    assert signal.getsignal(number) == before


def test_a_chamber_that_does_not_come_to_temperature(monkeypatch):
    monkeypatch.setattr(live, "CHAMBER_S", 0.0)
    monkeypatch.setattr(live.Bench, "__getitem__", lambda self, role: Stuck(self.instruments[role]))
    cold = type(short())(**{**vars(short()), "weather_degc": -8.0})
    result, units = bench_run(monkeypatch, cold, chamber="generic-chamber")
    assert result.state == runner.FAILED
    assert result.reason == "chamber: is at 25.0 degC after 0 s, not -8 degC"
    assert not units["emulator"].output_on()


class Stuck:
    """An instrument whose thermometer never moves."""

    def __init__(self, unit):
        self.unit = unit

    def __getattr__(self, name):
        return getattr(self.unit, name)

    def measure_temperature_degc(self):
        return 25.0


def test_a_simulated_cell_beyond_the_limits_is_not_given_to_the_board(monkeypatch):
    one = short(3.0)
    data = copy.deepcopy(BENCH)
    data["limits"]["voltage"] = "3.5 V"
    result = runner.run(one, parse(data))
    assert result.state == runner.FAILED
    assert "outside 0 … 3.5 V" in result.reason


@pytest.mark.parametrize(
    ("limits", "silent_s", "reason"),
    [
        ({"source": "0.05 A"}, 3.0, "emergency stop: current is 0.080 A, allowed -1 … 0.05 A"),
        ({"voltage": "3.7 V"}, 3.0, "emergency stop: a cell is at 3.800 V, allowed 2.5 … 3.7 V"),
        ({"lowest_voltage": "3.9 V"}, 3.0, "emergency stop: a cell is at 3.800 V, allowed 3.9 … 4.3 V"),
        ({"temperature": "20 degC"}, 3.0, "emergency stop: the hottest sensor is at 25."),
        ({}, -1.0, "board: has said nothing for"),
    ],
)
def test_real_cell_rig_only_watches_and_stops(monkeypatch, limits, silent_s, reason):
    """The board on a loopback cell; a limit is passed, or it falls silent, and everything is switched off."""
    monkeypatch.setattr(live, "SILENT_S", silent_s)
    data = copy.deepcopy(BENCH)
    data["cell"] = "real"
    data["limits"].update({"source": "1 A", "lowest_voltage": "2.5 V", "temperature": "50 degC"} | limits)
    data["instruments"] = {"relay": {"address": "loopback", "dialect": "generic-relay"}}
    seen = {}

    class Cell(loopback.Node):
        def __init__(self):
            super().__init__()
            seen["node"] = self

        def settle(self):
            return (3.8, 0.08) if self.contact_closed else (3.8, 0.0)

    monkeypatch.setattr(loopback, "Node", Cell)
    one = scenario.load(scenario.find(SHORT))
    one = type(one)(**{**vars(one), "needs": frozenset(), "happenings": ()})
    result = runner.run(one, parse(data))
    assert result.state == runner.FAILED
    assert reason in result.reason
    assert "; relay opened, board told to stop (done)" in result.reason
    assert not seen["node"].contact_closed


def test_a_reading_that_stays_away_stops_a_real_cell(monkeypatch):
    """The board goes on talking; what it last read is no longer true."""
    monkeypatch.setattr(live, "SILENT_S", 1.0)
    watch = object.__new__(live.OnCell)
    watch.rig, watch.limits, watch._read_s = rigs.load(rigs.find("watch")), rigs.load(rigs.find("watch")).limits, {}
    told = {"cell_ok": 1, "current_ok": 1, "temp_ok": 1}
    assert watch._wrong(told, [3.8], 0.0, 25.0, 5.0) == ""
    assert watch._wrong(told | {"temp_ok": 0}, [3.8], 0.0, 99.0, 5.9) == ""
    assert (
        watch._wrong(told | {"temp_ok": 0}, [3.8], 0.0, 25.0, 6.1) == "the board has not read the temperature for 1 s"
    )
