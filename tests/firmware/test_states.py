"""The state table: sound by itself, and run alike by the board's interpreter and by transitions.Machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.states import GUARDS, STATES, TABLE, TRIGGERS, Machine

from host_sim import statechart

FACTS = TRIGGERS + GUARDS


def bits(*names):
    return sum(1 << FACTS.index(name) for name in names)


def stepped(state, facts):
    """The board's machine in `state` after one step."""
    machine = Machine()
    machine.state = STATES.index(state)
    machine.step(facts)
    return STATES[machine.state]


@pytest.mark.safety(1, 10)
def test_the_table_is_sound():
    assert statechart.problems() == []


def with_row(k, **change):
    names = ("state", "trigger", "guards", "target", "effects")
    row = list(TABLE[k])
    for name, value in change.items():
        row[names.index(name)] = value
    return (*TABLE[:k], tuple(row), *TABLE[k + 1 :])


def row_of(state, trigger):
    return next(k for k, row in enumerate(statechart.rows()) if row.state == state and row.trigger == trigger)


@pytest.mark.parametrize(
    "table, sentence",
    [
        (with_row(3, target=10), "state"),
        (with_row(3, trigger=3), "not one trigger"),
        (with_row(3, trigger=0), "not one trigger"),
        (with_row(3, guards=1), "unknown guard"),
        (with_row(3, effects=16), "unknown guard or effect"),
        (with_row(3, target=1), "leads to itself"),
        ((TABLE[1], TABLE[0], *TABLE[2:]), "order"),
        ((TABLE[0], TABLE[0], *TABLE[1:]), "never fires"),
        (TABLE[1:], "does not answer a lockout"),
        (TABLE[:1] + TABLE[2:], "does not answer a fault"),
        (with_row(row_of("IDLE", "pulse_due"), guards=0), "without pulse_due and granted"),
        (with_row(row_of("IDLE", "pulse_due"), effects=0), "pulse_begins belongs"),
        (with_row(row_of("CHARGE", "quiet"), target=STATES.index("PULSE")), "without pulse_due"),
        (with_row(row_of("PULSE", "pulse_over"), effects=0), "pulse_ends belongs"),
        (with_row(row_of("IDLE", "fault"), effects=0), "latched belongs"),
        (with_row(row_of("FAULT", "cleared"), guards=0), "without a person's clear"),
        (with_row(row_of("LOCKOUT", "cleared"), trigger=1 << TRIGGERS.index("unlimited")), "without a person's clear"),
        (with_row(row_of("IDLE", "unused"), target=STATES.index("CHARGE")), "STORAGE cannot be reached"),
        (tuple(row for row in TABLE if STATES[row[0]] != "SOFT_LIMIT"), "SOFT_LIMIT is never left"),
        (
            TABLE[: row_of("REST", "stop")] + TABLE[row_of("REST", "stop") + 1 :],
            "REST does not answer a stop",
        ),
    ],
)
def test_a_wrong_table_is_found(table, sentence):
    assert any(sentence in problem for problem in statechart.problems(table))


@pytest.mark.parametrize("state, permit", [("BOOT", 1), ("FAULT", 2), ("REST", 3), ("IDLE", 4), ("SOFT_LIMIT", 7)])
def test_a_wrong_permit_is_found(state, permit):
    permits = list(statechart.PERMITS)
    permits[STATES.index(state)] = permit
    assert statechart.problems(permits=tuple(permits)) == [f"{state} must not permit {permit}"]
    assert "9 places" in statechart.problems(permits=tuple(permits[1:]))[0]


@given(st.lists(st.integers(0, (1 << len(FACTS)) - 1), max_size=60))
def test_same_as_transitions(ticks):
    """Any facts, in any order: the same state and effects after every tick."""
    board, oracle = Machine(), statechart.machine()
    for facts in ticks:
        oracle.model.effects = ()
        fired = board.step(facts)
        assert bool(oracle.model.tick(facts)) == bool(fired)
        assert oracle.model.state == STATES[board.state]
        assert oracle.model.effects == statechart._names(board.effects, statechart.EFFECTS)


def test_every_row_fires():
    """Each row, from its own state with its own facts and nothing else, does what it says."""
    for row in statechart.rows():
        assert stepped(row.state, bits(row.trigger, *row.guards)) == row.target


@pytest.mark.safety(1, 12)
def test_guards_hold_back():
    for state in ("IDLE", "CHARGE", "DISCHARGE"):
        assert stepped(state, bits("pulse_due")) == state
        assert stepped(state, bits("rest_due")) == state
        assert stepped(state, bits("granted")) == state
    for state in ("FAULT", "LOCKOUT"):
        assert stepped(state, bits("cleared")) == state
        assert stepped(state, bits("sound")) == state


@pytest.mark.safety(1)
@pytest.mark.parametrize("state", STATES)
def test_safety_comes_first(state):
    """Whatever else holds, a lockout and a fault win, in this order."""
    everything = (1 << len(FACTS)) - 1
    assert stepped(state, everything) == ("LOCKOUT" if state != "LOCKOUT" else "BOOT")
    if state not in ("LOCKOUT", "FAULT"):
        assert stepped(state, everything & ~bits("lockout")) == "FAULT"


def test_the_page_is_up_to_date():
    assert statechart.main(["--check"]) == 0


def test_an_old_page_is_noticed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(statechart, "DOC", tmp_path / "states.md")
    assert statechart.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert statechart.main([]) == 0
    assert statechart.main(["--check"]) == 0
    assert "stateDiagram-v2" in (tmp_path / "states.md").read_text()
