"""The state table: sound by itself, and run alike by the board's interpreter and by transitions.Machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import tell
from relith.states import BOOT, TABLE, Machine, facts

from host_sim import statechart
from host_sim.tables import GUARDS, STATES, TRIGGERS
from tests.firmware.rigging import World

FACTS = TRIGGERS + GUARDS


def bits(*names):
    return sum(1 << FACTS.index(name) for name in names)


def stepped(state, held):
    """The board's machine in `state` after one step."""
    machine = Machine()
    machine.state = STATES.index(state)
    machine.step(held)
    return STATES[machine.state]


@pytest.mark.safety(1, 10)
def test_the_table_is_sound():
    assert statechart.problems() == []


def changed(state, trigger, *pair):
    """The table with another pair, or none, in place of that of a state's trigger."""
    k = STATES.index(state)
    row = TABLE[k]
    at = next(at for at in range(0, len(row), 2) if row[at] & 1 << TRIGGERS.index(trigger))
    return (*TABLE[:k], row[:at] + pair + row[at + 2 :], *TABLE[k + 1 :])


def without(state):
    k = STATES.index(state)
    return (*TABLE[:k], (), *TABLE[k + 1 :])


def number(state):
    return STATES.index(state)


@pytest.mark.parametrize(
    "table, sentence",
    [
        (TABLE[1:], "9 rows"),
        (changed("IDLE", "fault", bits("fault"), 10), "none of 10"),
        (changed("IDLE", "fault", bits("fault")), "not whole"),
        (changed("IDLE", "fault", bits("fault", "stop"), number("FAULT")), "not one trigger"),
        (changed("IDLE", "fault", bits("granted"), number("FAULT")), "not one trigger"),
        (changed("IDLE", "fault", 1 << len(FACTS) | bits("fault"), number("FAULT")), "unknown guard"),
        (changed("IDLE", "fault", bits("fault"), number("IDLE")), "leads to itself"),
        (changed("IDLE", "lockout", bits("unused"), number("LOCKOUT")), "order"),
        (changed("IDLE", "fault", bits("lockout", "sound"), number("LOCKOUT")), "never fires"),
        (changed("BOOT", "lockout"), "does not answer a lockout"),
        (changed("BOOT", "fault"), "does not answer a fault"),
        (changed("IDLE", "pulse_due", bits("pulse_due"), number("PULSE")), "without pulse_due and granted"),
        (changed("CHARGE", "quiet", bits("quiet", "granted"), number("PULSE")), "without pulse_due"),
        (changed("CHARGE", "quiet", bits("quiet"), number("REST")), "without rest_due"),
        (changed("FAULT", "cleared", bits("cleared"), number("BOOT")), "without a person's clear"),
        (changed("LOCKOUT", "cleared", bits("unlimited", "sound"), number("BOOT")), "without a person's clear"),
        (changed("IDLE", "unused", bits("unused"), number("CHARGE")), "STORAGE cannot be reached"),
        (without("SOFT_LIMIT"), "SOFT_LIMIT is never left"),
        (changed("REST", "stop"), "REST does not answer a stop"),
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
    """Any facts, in any order: the same state after every tick."""
    board, oracle = Machine(), statechart.machine()
    for bits_ in ticks:
        was = oracle.model.state
        fired = board.step(bits_)
        assert bool(oracle.model.tick(bits_)) == bool(fired)
        assert oracle.model.state == STATES[board.state]
        assert not fired or was == STATES[board.before]


def test_people_are_told_the_same_names():
    assert tell.STATES == STATES


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


@pytest.mark.safety(1, 4, 10)
def test_the_whole_space():
    """Every state under every set of facts: fault or lockout end in outputs off, a pulse begins when granted."""
    machine, bad, pulse, granted = Machine(), bits("fault", "lockout"), number("PULSE"), bits("pulse_due", "granted")
    for state in range(len(STATES)):
        for held in range(1 << len(FACTS)):
            machine.state = state
            machine.step(held)
            assert not held & bad or statechart.PERMITS[machine.state] == 0
            assert machine.state != pulse or state == pulse or held & granted == granted


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


def test_a_new_machine_is_in_boot():
    machine = Machine()
    assert STATES[machine.state] == STATES[machine.before] == "BOOT"


def told(world):
    return {name for k, name in enumerate(FACTS) if facts(world.bms) >> k & 1}


def flows(bms, count):
    bms.tracker.permille, bms.belief.count = 1, count


def paused(bms, seconds):
    """A shape is under way, and for so long no current has flowed."""
    bms.gate.extras.shape, bms.tracker.rest_s = [0] * 9, seconds


def test_a_step_tells_whether_a_state_was_left_and_which():
    machine = Machine()
    assert (machine.step(0), machine.state, machine.before) == (0, BOOT, BOOT)
    assert (machine.step(bits("ready")), machine.before) == (1, BOOT) and STATES[machine.state] == "IDLE"
    assert (machine.step(0), machine.before) == (0, BOOT)


QUIET = {"unlimited", "sound", "quiet", "ready"}
SITUATIONS = {  # what is so -> the facts that then hold
    "nothing": (lambda b: None, QUIET),
    "lockout": (lambda b: setattr(b.protection, "lockout", 8), QUIET - {"sound"} | {"lockout"}),
    "fault": (lambda b: setattr(b.protection, "fault", 1), QUIET - {"sound"} | {"fault"}),
    "soft": (lambda b: setattr(b.protection, "soft", 1 << 16), QUIET - {"unlimited"} | {"limit"}),
    "stop line": (lambda b: setattr(b.readings, "stop", 1), QUIET | {"stop"}),
    "stopped": (lambda b: b.stop(1), QUIET | {"stop"}),
    "cleared": (lambda b: setattr(b, "cleared", 1), QUIET | {"cleared"}),
    "in": (
        lambda b: vars(b.tracker).update(permille=1) or setattr(b.belief, "count", 1),
        QUIET - {"quiet"} | {"charging"},
    ),
    "out": (
        lambda b: vars(b.tracker).update(permille=1) or setattr(b.belief, "count", -1),
        QUIET - {"quiet"} | {"discharging"},
    ),
    "stored": (lambda b: setattr(b.wishes, "storage", 1), QUIET | {"unused"}),
    "long unused": (lambda b: setattr(b.tracker, "rest_s", b.profile.storage_after_s), QUIET | {"unused"}),
    "not so long": (lambda b: setattr(b.tracker, "rest_s", b.profile.storage_after_s - 1), QUIET),
    "paused": (lambda b: paused(b, 44), QUIET - {"quiet"}),
    "no longer paused": (lambda b: paused(b, 45), QUIET),
    "three good": (lambda b: setattr(b.belief, "good", 3), QUIET),
    "two good": (lambda b: setattr(b.belief, "good", 2), QUIET - {"ready"}),
    "over": (lambda b: setattr(b.gate, "over", 29), QUIET | {"over"}),
    "pulse due": (lambda b: setattr(b.gate, "due", 1), QUIET | {"pulse_due"}),
    "rest due": (lambda b: setattr(b.gate, "due", 2), QUIET | {"rest_due"}),
    "granted": (lambda b: setattr(b.gate, "granted", 1), QUIET | {"granted"}),
}


@pytest.mark.safety(1)
@pytest.mark.parametrize("name", SITUATIONS)
def test_what_the_table_is_told(name):
    world = World(share=0.5, policy="none").run(60)
    change, expected = SITUATIONS[name]
    change(world.bms)
    assert told(world) == expected
