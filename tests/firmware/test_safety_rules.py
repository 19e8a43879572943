"""The safety rules end to end, in their order: a whole controller in a small world, one rule at a time.

What a rule asks of a single room is tested with that room; docs/safety.md lists both.
"""

import ast
import json
import struct
from pathlib import Path

import pytest
from relith import schema
from relith.inventory import INFERRED
from relith.profile import ProfileError

from host_sim import tables
from host_sim.tables import STATES
from tests.firmware.gate_worlds import names, order, pulsing, ready, resting
from tests.firmware.rigging import Store, World, data, profile

SCHEMA = schema.rows()


def dark(world):
    """Nothing conducts and nothing may."""
    o = world.outputs
    on = (o.charge_enable, o.discharge_enable, o.pulse_count, o.pulse_ms, o.balance_mask)
    return not any((*on, o.charge_limit_count, o.discharge_limit_count))


@pytest.mark.safety(1)
def test_a_stop_outranks_a_running_pulse_and_rest_in_the_same_tick():
    for world in (pulsing(), resting()):
        world.bms.stop(1)
        world.tick(100, 0)
        assert world.state == "IDLE" and dark(world) and world.reason == "the operator said stop"


@pytest.mark.safety(2)
def test_without_a_cut_off_no_pulse_is_armed():
    world = ready()
    world.bms.gate.cutoff_present = 0
    order(world)
    world.run(60)
    assert "PULSE" not in {state for state, _ in world.seen}
    assert world.reason == "the board has no independent cut-off"


@pytest.mark.safety(3)
def test_no_profile_can_ask_for_a_pulse_that_charges():
    """The strengths of a pulse start at 1, a magnitude of discharge, and no field names another kind."""
    pulse = [row for row in SCHEMA if row[1].startswith("pulse_") and row[0] == "figure"]
    assert pulse and all(int(row[2]) >= 0 for row in pulse)
    for name in ("charge_pulse_permille", "heating_pulse_permille", "formation_pulse_s"):
        with pytest.raises(ProfileError, match=name):
            profile(**{name: 100})
    world = pulsing()
    for _ in range(1300):
        o = world.tick(100, world.flows(0))
        assert o.pulse_count >= 0 and not (o.pulse_count and o.charge_enable)


@pytest.mark.safety(4)
@pytest.mark.parametrize("what", ["disarm", "journal", "calibration", "consent", "recent fault"])
def test_a_pulse_asked_for_meanwhile_never_flows(what):
    world = ready()
    bms = world.bms
    if what == "disarm":
        bms.disarm()
    elif what == "journal":
        bms.journal_bad = 1
    elif what == "calibration":
        bms.gate.calibrated_until_s = -1
    elif what == "consent":
        world.alter = lambda r: setattr(r, "user_consent", 0)
    else:
        bms.protection.quiet_s = 0
    order(world)
    world.run(30)
    assert "PULSE" not in {state for state, _ in world.seen} and bms.gate.life_spent_ppm == 0


@pytest.mark.safety(5)
def test_a_pulse_is_predicted_before_and_ended_at_the_limit():
    world = ready(min_uv=3_500_000, soft_min_uv=3_000_000)
    world.bms.tracker.drop_uv[0] = 300_000
    order(world)
    world.run(5)
    assert world.state == "IDLE" and world.reason.startswith("the pulse would fall below")
    world = pulsing()
    world.alter = lambda r: r.cell_uv.__setitem__(0, world.p.min_uv - 1)
    world.tick(100, -world.outputs.pulse_count)
    assert not world.outputs.pulse_count


@pytest.mark.safety(6)
def test_no_thermometer_no_pulse_and_soon_nothing():
    world = pulsing()
    world.alter = lambda r: setattr(r, "temp_ok", 0)
    world.tick(100, -world.outputs.pulse_count)
    assert not world.outputs.pulse_count
    world.run(2)
    assert world.state == "SOFT_LIMIT" and dark(world)
    world.run(70)
    assert world.state == "FAULT"


@pytest.mark.safety(7)
def test_a_rest_wakes_to_check_and_falling_through_locks_for_good():
    world = resting(seconds=36_000)
    world.run(600)
    assert world.state == "REST" and world.longest_ms <= 60_000
    world.alter = lambda r: r.cell_uv.__setitem__(0, world.p.rest_floor_uv - 1)
    world.run(61)
    assert world.state != "REST"
    world.alter = lambda r: r.cell_uv.__setitem__(0, world.p.lockout_uv - 1)
    world.run(62)
    assert world.state == "LOCKOUT" and dark(world)
    again = World(share=0.5, store=world.store)
    again.run(600)
    assert again.state == "LOCKOUT" and dark(again)


@pytest.mark.safety(8)
def test_a_soft_short_latches_and_is_never_pulsed():
    world = ready()
    world.bms.short_suspected = 1
    order(world)
    world.run(60)
    assert world.state == "FAULT" and "soft_short" in world.alarms() and dark(world)
    assert "PULSE" not in {state for state, _ in world.seen} and world.bms.gate.pulses == 0
    world.bms.short_suspected = 0
    world.run(3600)
    assert world.state == "FAULT"  # it stays


@pytest.mark.safety(9)
def test_power_off_lets_no_budget_elapse():
    world = pulsing(seconds=20)
    world.run(30)
    assert world.bms.gate.pulses == 1
    spent, since = world.bms.gate.day_spent_ppm, world.bms.clock.seconds - world.bms.gate.last_pulse_s
    again = World(share=0.5, store=world.store)  # however long it was off
    assert again.bms.gate.day_spent_ppm == spent > 0
    assert again.bms.clock.seconds - again.bms.gate.last_pulse_s <= since + 2
    again.alter = lambda r: setattr(r, "clock_known", 0)
    again.run(1300)
    for estimate in again.bms.estimates:
        estimate.known = INFERRED
    assert names(again.bms.gate.refuse_rest(again.bms, 60)) == {"NO_CLOCK"}


@pytest.mark.safety(10)
@pytest.mark.parametrize("how", ["brown-out", "watchdog"])
def test_a_pulse_is_never_resumed(how):
    world = pulsing()
    again = World(share=0.5, store=world.store, ready=False)
    assert again.state == "BOOT" and dark(again)
    again.alter = lambda r: setattr(r, "watchdog_reset", int(how == "watchdog"))
    again.run(5)
    again.alter = None
    again.run(3600)
    assert "PULSE" not in {state for state, _ in again.seen}
    assert again.bms.gate.life_spent_ppm == world.bms.gate.life_spent_ppm  # booked whole: intent before action


@pytest.mark.safety(11)
@pytest.mark.parametrize("left", [b"", b"?" * 300])
def test_no_readable_journal_is_unknown_and_locked(left):
    world = ready()
    store = Store()
    store.slots = {slot: left or data[:-1] for slot, data in world.store.slots.items()}
    again = World(share=0.5, store=store)
    again.run(1300)
    assert again.state == "LOCKOUT" and dark(again)
    assert again.bms.estimates[0].known == 0


@pytest.mark.safety(12)
def test_a_profile_cannot_loosen_a_compiled_limit():
    """One more than the top, one less than the bottom of every range is refused, and the field is named."""
    figures = [row for row in SCHEMA if row[0] == "figure"]
    assert len(figures) > 50
    for _, name, low, high in (row[:4] for row in figures):
        for value in (int(low) - 1, int(high) + 1):
            with pytest.raises(ProfileError, match=name):
                profile(**{name: value})


@pytest.mark.safety(13)
def test_every_row_states_a_response_time_it_can_keep():
    """Its delay, and at most three ticks of 100 ms beside it; rows that are slow by nature say so."""
    slow = {"heating": 10_000, "clock_still": 20 * 100, "sensor_lost": 60_000, "accumulator": 2_000}
    for row in tables.TABLE:
        delay_ms, response_ms = row[3] + slow.get(row[0], 0), row[8]
        assert delay_ms < response_ms <= delay_ms + 1000 + slow.get(row[0], 0)


@pytest.mark.safety(14)
def test_the_ticks_before_a_latch_are_kept_and_survive():
    world = pulsing()
    world.run(3)
    world.alter = lambda r: r.temp_cdegc.__setitem__(0, 6100)
    world.run(3)
    assert world.state == "FAULT"
    kept = world.bms.black_box.kept
    rows = [struct.unpack_from("<8i", kept, at) for at in range(0, len(kept), 32)]
    assert len(rows) == 16 and [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert rows[-1][4] == 6100 and rows[0][4] == 2500  # readings before and at it
    assert STATES.index("PULSE") in {row[5] >> 16 for row in rows}  # state and request
    assert any(row[7] >> 2 for row in rows)  # the grant
    assert World(share=0.5, store=world.store).bms.black_box.kept == kept


@pytest.mark.safety(15)
@pytest.mark.parametrize("change", [{"max_uv": 4_200}, {"max_mv": 4_200}, {"schema": 2}, {"hard_max_uv": 9_000_000}])
def test_what_ran_keeps_running_when_a_profile_is_refused(change):
    world = ready()
    before = dict(world.store.slots)
    text = json.dumps(data(**change)).encode()
    assert world.bms.profile_commit(text) == 34
    assert next(iter(change)) in world.bms.wishes.refusal.decode()
    assert 2 not in world.store.slots and set(before) == set(world.store.slots)
    world.run(60, 300)
    assert world.state == "CHARGE" and world.bms.profile is world.p


@pytest.mark.safety(1)
def test_the_gate_alone_turns_outputs_on():
    """No other module writes them, but for Outputs itself, which begins and ends with all off."""
    names = {"charge_enable", "discharge_enable", "pulse_count", "balance_mask"}
    written = set()
    for path in (Path(__file__).parents[2] / "firmware" / "relith").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for target in node.targets if isinstance(node, ast.Assign) else ():
                if isinstance(target, ast.Attribute) and target.attr in names:
                    off = isinstance(node.value, ast.Constant) and node.value.value == 0
                    written.add((path.name, target.attr if not off else "off"))
            assert not (isinstance(node, ast.AugAssign) and ast.unparse(node.target).rpartition(".")[2] in names)
    assert written == {("gate.py", name) for name in names} | {("readings.py", "off")}


@pytest.mark.safety(16)
def test_a_rig_build_has_no_switch():
    """Board files that take injected readings hold every pin low for good, but those of a UART, and drive nothing."""
    boards = Path(__file__).parents[2] / "firmware" / "boards"
    takers = [path.stem for path in boards.glob("*.py") if "Injector(" in path.read_text() and path.stem != "inject"]
    assert takers == ["rig"]
    builds = [path for path in boards.glob("*.py") if path.stem.split("_")[0] == "rig"]
    assert len(builds) >= 3
    for path in builds:
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        made = {ast.unparse(node.func) for node in calls}
        assert not made & {"PWM", "DAC", "Switch", "PulseSink", "Converter", "Lines", "Board"}
        uart = {id(inner) for node in calls if ast.unparse(node.func) == "UART" for inner in ast.walk(node)}
        dropped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # nobody can set it later
        for node in calls:
            if ast.unparse(node.func) == "Pin" and id(node) not in uart:
                assert id(node) in dropped and ast.unparse(node).endswith("Pin.OUT, value=0)")
