"""MC/DC: every guard of the state table and every condition of the gate turns its decision by itself."""

import inspect
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import budgets as budgets_module
from relith import extras as extras_module
from relith import gate as gate_module
from relith import pace as pace_module
from relith.extras import Extras
from relith.gate import Gate
from relith.states import TABLE, Machine

from host_sim.conditions import FACTS, Recorder, state_pairs
from host_sim.tables import STATES
from tests.firmware import (
    test_gate_budgets,
    test_gate_charge,
    test_gate_extras,
    test_gate_outputs,
    test_gate_pulse,
    test_gate_quiet,
    test_gate_refusals,
    test_gate_rest,
    test_gate_ticks,
    test_safety_rules,
)

PAIRS = list(state_pairs())
OF_THE_GATE = (
    test_gate_refusals, test_gate_pulse, test_gate_budgets, test_gate_charge, test_gate_rest, test_gate_outputs,
    test_gate_extras, test_gate_quiet,
    test_gate_ticks, test_safety_rules,
)  # fmt: skip


def fired(state, facts):
    machine = Machine()
    machine.state = state
    return machine.state if machine.step(facts) else None


@pytest.mark.safety(1)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{STATES[pair.state]}-{pair.place}-{pair.name}")
def test_every_trigger_and_guard_alone(pair):
    assert fired(pair.state, pair.facts) == pair.target
    assert fired(pair.state, pair.without) is None


@given(st.sampled_from(PAIRS), st.integers(0, (1 << len(FACTS)) - 1))
def test_a_row_never_fires_without_its_condition(pair, others):
    """Whatever else holds: without it, another row fires or none."""
    facts = (pair.facts | others) & ~(pair.facts & ~pair.without)
    state, needed = pair.state, pair.facts
    row = TABLE[state]
    first = next((at for at in range(0, len(row), 2) if facts & row[at] == row[at]), None)
    assert first is None or row[first] != needed
    assert fired(state, facts) == (None if first is None else row[first + 1])


def cases(module):
    """(function, arguments) of every test of a module that stands without hypothesis, its parameters spelled out."""
    for name, test in vars(module).items():
        if not name.startswith("test_") or hasattr(test, "hypothesis"):
            continue
        rows = [{}]
        for mark in getattr(test, "pytestmark", []):
            if mark.name == "parametrize":
                names = [one.strip() for one in mark.args[0].split(",")]
                values = [value if len(names) > 1 else (value,) for value in mark.args[1]]
                rows = [row | dict(zip(names, value, strict=True)) for row in rows for value in values]
        if set(inspect.signature(test).parameters) == set(rows[0]):
            for row in rows:
                yield test, row


@pytest.mark.safety(1, 4, 5)
def test_every_condition_of_the_gate_turns_its_decision(monkeypatch):
    """The gate's own tests, over a gate that writes down what it asks; so do the files it has its functions from."""
    recorders = []
    for module, place in (
        (budgets_module, budgets_module), (pace_module, pace_module), (extras_module, Extras), (gate_module, Gate)
    ):  # fmt: skip
        recorders.append(recorder := Recorder(module))
        there = recorder.namespace if place is module else vars(recorder.namespace[place.__name__])
        for name, function in there.items():
            if inspect.isfunction(function) and name in vars(place):
                monkeypatch.setattr(place, name, function)
    for module in OF_THE_GATE:
        for test, row in cases(module):
            test(**row)
    asked = [sum(len(names) for _, names in recorder.decisions) for recorder in recorders]
    assert min(asked) > 8 and sum(asked) > 150, asked
    assert [recorder.unshown() for recorder in recorders] == [[]] * len(recorders)


def recorded(source):
    module = SimpleNamespace(__name__="made_up", __file__="made_up.py", source=source)
    kept = inspect.getsource
    try:
        inspect.getsource = lambda one: one.source
        return Recorder(module)
    finally:
        inspect.getsource = kept


@pytest.mark.parametrize(
    "line", ["return a and not b", "c = a and not b", "c = 1 if a and not b else 0", "c = max(0, a and not b)"]
)
def test_a_decision_is_one_wherever_it_stands(line):
    recorder = recorded(f"def f(a, b):\n    {line}\n")
    f = recorder.namespace["f"]
    f(1, 0), f(0, 0)
    assert recorder.unshown() == ["2: b"]
    f(1, 1)
    assert recorder.unshown() == [] and len(recorder.decisions) == 1


def test_what_stands_in_for_nothing_is_no_condition():
    recorder = recorded("ONE = 1\ndef f(a):\n    return a or ONE, a or 7\n")
    assert recorder.namespace["f"](0) == (1, 7) and recorder.unshown() == ["3: a", "3: a"]
    assert recorder.namespace["f"](3) == (3, 3) and recorder.unshown() == []


def test_a_condition_that_turns_nothing_is_found():
    """`a or b` with b never tried alone."""
    recorder = recorded("def f(a, b, c):\n    if a or 0 < b < c:\n        return 1\n")
    f = recorder.namespace["f"]
    f(1, 0, 0), f(0, 0, 0)
    assert recorder.unshown() == ["2: 0 < b", "2: b < c"]
    f(0, 1, 2), f(0, 1, 1)
    assert recorder.unshown() == []
