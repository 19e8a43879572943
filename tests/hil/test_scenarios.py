"""The scenarios themselves: what they cover, and the quick ones on the virtual rig (all of them: `make hil`)."""

import pytest

from hil import rigs, runner, scenario
from host_sim import safety_page, tables

ALL = [scenario.load(path) for path in scenario.every()]
QUICK = [one for one in ALL if one.quick]
VIRTUAL = rigs.load(rigs.find("virtual"))
RULES = range(1, len(safety_page.RULES) + 1)
TICK_S = 0.1
LATER = {  # rows whose response time runs from later than the cause, and why
    "sensor_stuck": "three per cent of the capacity must pass first",
    "soft_short": "a day's sag or a cycle's missing charge must be seen first",
    "ocv_ledger": "seen when the current begins that ends the second rest",
    "calibration": "seen at the next tick, and a resting board ticks once a minute",
}


def shown(what):
    return [one for one in ALL if what in one.shows]


def test_there_are_at_least_forty():
    assert len(ALL) >= 40


@pytest.mark.safety(13)
@pytest.mark.parametrize("row", tables.TABLE, ids=lambda row: row[0])
def test_every_diagnostic_row_is_shown_within_its_response_time(row):
    """A scenario that says so expects the row's alarm, within its response time from the cause and one tick."""
    name, response_s = row[0], row[8] * 1e-3
    windows = [
        expectation.before_s
        for one in shown(f"row {name}")
        for expectation in one.expectations
        if expectation.kind == "eventually" and expectation.text == f"alarm is {name}"
    ]
    assert windows, f"no scenario expects 'alarm is {name}'"
    assert name in LATER or min(windows) <= response_s + TICK_S + 1e-9


@pytest.mark.parametrize("rule", RULES)
def test_every_safety_rule_is_shown(rule):
    assert shown(f"safety {rule}")


@pytest.mark.parametrize(
    "what",
    ["protocol liu21", "protocol zhang24", "full life", "power cut in a pulse", "deadline against rest", "bad profile",
     "cable pulled"],
)  # fmt: skip
def test_what_the_issue_names_is_shown(what):
    assert shown(what)


@pytest.mark.parametrize("name", tables.EXTRAS)
def test_every_extra_is_shown(name):
    """And that it begins only after somebody has asked for it."""
    assert any(
        event.action == "extra" and event.values["which"] == name for event in shown(f"extra {name}")[0].happenings
    )
    assert shown("extra not asked for")


@pytest.mark.parametrize("one", QUICK, ids=lambda one: one.name)
def test_quick_scenarios_on_the_virtual_rig(one):
    result = runner.run(one, VIRTUAL)
    assert result.state == runner.PASSED, [verdict for verdict in result.verdicts if not verdict.ok] or result.reason
