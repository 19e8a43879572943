"""Scenario files: read whole, refused whole with file and field; every one that comes with the rig is sound."""

import copy
import tomllib
from pathlib import Path

import pytest

from hil import scenario
from hil.condition import parse_condition, parse_span
from hil.units import quantity, show
from host_sim.errors import InputError

GOOD = """
title = "t"
profile = "liu21_nmc532"
[run]
for = "10 min"
[[event]]
name = "halt"
at = "1 min"
do = "stop"
[[fault]]
name = "hot"
when = "state is pulse"
after = "200 ms"
component = "temperature"
verb = "wrong"
by = "20 %"
[[expect]]
never = "pulse_ordered above 0 A"
after = "hot + 200 ms"
[[expect]]
eventually = "alarm is hot_hard"
before = "1 s"
after = "halt"
[[expect]]
within = "lowest_cell_voltage from 2.9 V to 4300 mV"
"""


def good():
    return tomllib.loads(GOOD)


def read(data):
    return scenario.parse(data, Path("x.toml"))


def test_a_good_one_is_read():
    one = read(good())
    assert one.duration_s == 600.0
    assert [h.name for h in one.happenings] == ["halt", "hot"]
    assert one.happenings[1].moment.delay_s == pytest.approx(0.2)
    assert one.expectations[0].after == ("hot", pytest.approx(0.2))
    assert one.expectations[2].condition.high == pytest.approx(4.3)
    assert one.needs == {"sensors", "past"}


def test_what_it_needs_of_a_rig():
    data = good()
    data["expect"][0]["never"] = "pulse_current above 0 A"
    assert read(data).needs == {"sensors", "past", "truth"}  # voltage is read everywhere, what the sink truly draws not
    data["run"]["for"] = "10 h"
    data["expect"][0]["never"] = "rig_build is off"
    assert read(data).needs == {"sensors", "past", "fast", "injection"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.pop("title"), "x.toml: title is missing"),
        (lambda d: d.update(colour="red"), "x.toml: colour is not a field"),
        (lambda d: d["run"].update(speed=3), "x.toml: run.speed is not a field"),
        (lambda d: d["run"].update({"for": 600}), "run.for: 600 needs its unit"),
        (lambda d: d["run"].update({"for": "10 minutes"}), "unknown unit 'minutes'"),
        (lambda d: d["run"].update({"for": "ten min"}), "does not begin with a number"),
        (lambda d: d["run"].update({"for": "-1 s"}), "allowed: more than 0"),
        (lambda d: d["run"].update({"for": "nan s"}), "does not begin with a number"),
        (lambda d: d["fault"][0].update(component="magnet"), r"fault\[1\].component is 'magnet' \(allowed: current"),
        (lambda d: d["fault"][0].update(component="cell1"), "component is 'cell1'"),
        (lambda d: d["fault"][0].update(verb="explode"), r"verb is 'explode' \(allowed: off, stuck"),
        (lambda d: d["fault"][0].pop("by"), r"fault\[1\].by is missing"),
        (lambda d: d["fault"][0].update(by="20 V"), "unknown unit 'V'"),
        (lambda d: d["fault"][0].update(at="1 s"), "needs either 'at'"),
        (lambda d: d["fault"][0].update(when="state is asleep"), r"'asleep' is not a state \(allowed: boot"),
        (lambda d: d["fault"][0].update(when="mood is good"), "'mood' is not a signal"),
        (lambda d: d["event"][0].update(do="dance"), r"event\[1\].do is 'dance'"),
        (lambda d: d["event"][0].update(name="hot"), "two things are called 'hot'"),
        (lambda d: d["expect"][0].update(after="cold"), r"expect\[1\].after is 'cold'"),
        (lambda d: d["expect"][0].update(before="1 s"), "before goes with eventually only"),
        (lambda d: d["expect"][0].update(within="current from 0 A to 1 A"), "exactly one of within"),
        (lambda d: d["expect"][2].update(within="current from 2 A to 1 A"), "lower limit above"),
        (lambda d: d["expect"][2].update(within="state from 2 A to 1 A"), "is a word"),
        (lambda d: d["expect"][1].update(eventually="current is 3 A"), "does not go with current"),
        (lambda d: d.pop("expect"), "must expect something"),
        (lambda d: d.update(profile="nobody"), "profile 'nobody' is not a readable profile"),
        (lambda d: d.update(profile_changes={"cooldown_ms": 3}), "x.toml: profile liu21_nmc532: cooldown_ms"),
        (
            lambda d: d.update(profile_changes={"hard_max_uv": 9000000}),
            "must be a whole number from 2000000 to 4700000",
        ),
        (lambda d: d.update(cell={"charge": "120 %"}), "allowed: 0 % … 100 %"),
        (lambda d: d.update(use={"kind": "kite"}), "use.kind is 'kite'"),
        (lambda d: d.update(event=3), "x.toml: event is 3, it must be a list"),
    ],
)
def test_bad_ones_are_one_sentence_with_file_and_field(change, sentence):
    data = copy.deepcopy(good())
    change(data)
    with pytest.raises(InputError, match=sentence) as caught:
        read(data)
    assert "\n" not in str(caught.value)
    assert "x.toml" in str(caught.value)


def test_not_toml_and_not_there():
    with pytest.raises(InputError, match="no such scenario"):
        scenario.find("nothing")
    with pytest.raises(InputError, match="cannot be read"):
        scenario.load("nothing.toml")


def test_conditions():
    one = parse_condition("state is pulse and pulse_ordered above 100 mA", "f")
    assert [clause.signal.name for clause in one.clauses] == ["state", "pulse_ordered"]
    assert one.clauses[1].value == pytest.approx(0.1)
    assert one.holds({"state": "pulse", "pulse_ordered": 0.2})
    assert not one.holds({"state": "pulse", "pulse_ordered": None})
    row = parse_condition("alarm is none", "f")
    assert row.holds({"alarm": ()}) and not row.holds({"alarm": ("heating",)})
    wordy = parse_condition("reason is what is isolated is kept for later: it is taken as it is needed", "f")
    assert len(wordy.clauses) == 1
    assert parse_span("temperature from -10 degC to 45 degC", "f").low == -10.0


def test_units():
    assert quantity("200 ms", "time", "f") == pytest.approx(0.2)
    assert quantity("50 %", "share", "f") == 0.5
    assert show(0.2, "time") == "200 ms"
    assert show(90.0, "time") == "1.5 min"
    assert show(0.5, "share") == "50 %"


@pytest.mark.parametrize("path", scenario.every(), ids=lambda path: path.stem)
def test_every_scenario_that_comes_with_the_rig_is_sound(path):
    one = scenario.load(path)
    assert one.title and one.shows and one.expectations
