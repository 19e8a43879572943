"""A pulse from order to end: when it begins, what conducts meanwhile, what ends it, to the millisecond and the unit."""

import pytest
from relith.budgets import charge_ppm

from tests.firmware.gate_worlds import WHY, names, order, pulsing, ready, resting
from tests.firmware.rigging import World


def test_a_pulse_is_delivered_to_the_millisecond():
    world = pulsing(seconds=37)
    begun = world.board.ms
    charge = world.bms.ledger.net_ppm()
    world.run(60, until="IDLE")
    assert world.board.ms - begun == 37_000 and world.reason == "the pulse was delivered"
    assert world.outputs.pulse_count == world.outputs.pulse_ms == 0
    spent = charge - world.bms.ledger.net_ppm()
    assert spent == pytest.approx(37 * 310.3, rel=1e-2)
    gate = world.bms.gate
    assert gate.day_spent_ppm == gate.life_spent_ppm == pytest.approx(spent, abs=2)
    assert gate.pulses == 1 and gate.last_pulse_s == pytest.approx(world.board.ms // 1000, abs=1)
    main = world.bms.tracker._main
    assert (main.pulse_permille, main.pulse_s) == (1000, 37)


@pytest.mark.safety(3)
def test_while_it_runs_only_the_sink_conducts():
    world = pulsing()
    o = world.outputs
    assert (o.charge_enable, o.discharge_enable, o.discharge_limit_count, o.charge_limit_count) == (0, 1, 0, 0)
    assert o.pulse_count == world.p.one_c_count and o.pulse_ms == 120_000
    world.tick(100, -o.pulse_count)
    assert o.pulse_ms == 119_900 and o.next_tick_ms == 100


def test_while_nothing_speaks_against_it_the_reason_stays():
    for world in (pulsing(), resting()):
        world.outputs.reason = WHY["CALENDAR"]
        world.run(2)
        assert world.state in ("PULSE", "REST") and world.outputs.reason == WHY["CALENDAR"]


@pytest.mark.safety(10)
def test_the_journal_knows_first():
    """Whole charge spent, and a record written, before anything flows."""
    world = ready()
    order(world)
    writes = world.store.writes
    world.run(5, until="PULSE")
    assert world.store.writes > writes
    assert world.bms.gate.life_spent_ppm == 37_238
    again = World(store=world.store, policy="none")
    assert again.bms.gate.life_spent_ppm == 37_238 and again.bms.gate.pulses == 1
    assert again.state == "IDLE" and again.bms.gate.asked == 0  # never resumed


@pytest.mark.safety(10, 11)
def test_no_record_no_pulse():
    world = ready()
    order(world)
    world.store.broken = True
    world.run(5, until="PULSE")
    assert world.state == "PULSE" and world.outputs.pulse_count == 0
    world.run(1)
    assert world.state == "IDLE" and world.reason == "the journal is not sound"


ABORTS = {  # what goes wrong during a pulse -> reason
    "a limit or a warning is active, or was until a moment ago": lambda w: setattr(
        w.bms.tracker, "jump_permille", 2100
    ),
    "a reading is missing, old or implausible": lambda w: setattr(w.bms.readings, "current_ok", 0),
    "the operator said stop": lambda w: w.bms.stop(1),
    "the user does not consent now": lambda w: setattr(w.bms.readings, "user_consent", 0),
    "not armed, or the arm token has expired": lambda w: w.bms.disarm(),
    "the voltage fell below what a pulse may reach": lambda w: w.bms.readings.cell_uv.__setitem__(0, 2_999_999),
    "the temperature rose too much": lambda w: w.bms.readings.temp_cdegc.__setitem__(0, 3501),
    "the pulse current was not what was asked": lambda w: setattr(w.bms.readings, "current_count", -100_000),
}


@pytest.mark.safety(5)
@pytest.mark.parametrize("reason", ABORTS)
def test_live_abort(reason):
    """Off in the very tick that sees it."""
    world = pulsing()
    world.run(2)
    assert world.outputs.pulse_count
    world.alter = lambda r: ABORTS[reason](world)
    world.tick(100, -world.outputs.pulse_count)
    assert world.state != "PULSE" and world.outputs.pulse_count == 0
    assert world.reason == reason
    assert world.bms.gate.life_spent_ppm < 2000  # only what flowed is spent


@pytest.mark.safety(5)
def test_a_late_tick_ends_a_pulse():
    for late, state in ((200, "PULSE"), (201, "IDLE")):
        world = pulsing()
        world.tick(world.outputs.next_tick_ms + late, -world.outputs.pulse_count)
        assert world.state == state


@pytest.mark.safety(2, 5)
def test_a_hardware_trip_during_a_pulse():
    world = pulsing()
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.tick(100, 0)
    assert world.state == "FAULT" and world.reason == "the independent cut-off has tripped"
    assert world.alarms() == ["hardware_trip"]


@pytest.mark.safety(5)
def test_a_sink_that_draws_too_much():
    world = pulsing()
    world.alter = lambda r: setattr(r, "current_count", -round(1.16 * world.p.one_c_count))
    for _ in range(3):
        world.tick(100, -world.outputs.pulse_count)
    assert "pulse_current" in world.alarms() and world.state == "FAULT"


def test_a_pulse_begins_with_the_reason_of_the_scheduler():
    world = ready()
    order(world)
    world.bms.scheduler.reason = 47
    assert world.bms.gate._ask(world.bms) == 47 and world.bms.gate.granted


def test_a_pulse_waits_until_the_charger_lets_go_but_not_for_ever():
    world = ready()
    order(world)
    world.tick(100, world.p.taper_count + 10)
    assert world.state != "PULSE" and not world.bms.gate.due
    reason = world.outputs.reason
    assert world.bms.gate._ask(world.bms) == 0 and reason >= 0
    world.tick(100, world.p.taper_count)
    assert world.state == "PULSE"
    world = ready()
    order(world)
    world.alter = lambda r: setattr(r, "user_consent", 0)
    world.run(5)
    assert world.reason == "the user does not consent now"
    world.run(60, -1000)
    assert world.reason == "the time for it has passed" and world.bms.gate.asked == 0


@pytest.mark.safety(9)
def test_a_pulse_ends_when_it_has_drawn_its_budget():
    """Planned within it, but the sink draws a little more: what counts is what flowed."""
    world = pulsing(seconds=120, permille=1000)
    world.p.pulse_budget_ppm = 9_000
    world.run(60, until="IDLE")
    assert world.state == "IDLE" and world.reason == "more charge than one pulse may take"
    assert 9_000 < world.bms.gate.life_spent_ppm < 9_100


def test_a_pulse_stronger_than_a_load_may_be_is_delivered_whole():
    """What the load may draw is asked of what flows beside the pulse; the pulse has a row of its own."""
    world = pulsing(seconds=60, permille=1500)
    assert world.p.discharge_soft_permille < 1500 <= world.p.pulse_max_permille
    world.run(90, until="IDLE")
    assert world.state == "IDLE" and "DELIVERED" in names(world.outputs.reason)
    assert world.bms.gate.life_spent_ppm == pytest.approx(charge_ppm(world.p, 1500, 60), rel=0.02)
    assert world.outputs.alarms == 0


RUNNING = {  # a running pulse: what is just fine -> what ends it
    "VOLTAGE": lambda w, over: setattr(w.bms.belief, "min_uv", w.p.min_uv - over),
    "HEAT": lambda w, over: setattr(w.bms.belief, "max_cdegc", w.bms.gate._began_cdegc + 1000 + over),
    "LATE": lambda w, over: setattr(w.bms.clock, "elapsed_ms", w.bms.outputs.next_tick_ms + 200 + over),
    "PULSE_BUDGET": lambda w, over: setattr(w.bms.gate, "_moved_ppm", w.p.pulse_budget_ppm + over),
    "CURRENT": lambda w, over: setattr(w.bms.tracker, "permille", 800 - over),
    "DELIVERED": lambda w, over: setattr(w.bms.gate, "run_ms", w.bms.gate.pulse_ms - 1 + over),
}


@pytest.mark.safety(5)
@pytest.mark.parametrize("name", RUNNING)
def test_one_unit_more_ends_a_pulse(name):
    for over in (0, 1):
        world = pulsing()
        world.run(2)
        world.bms.ledger.moved_ppm = 0
        RUNNING[name](world, over)
        assert names(world.bms.gate._end_pulse(world.bms)) == ({name} if over else set())


def test_the_first_second_of_a_pulse_may_draw_anything():
    for run_ms, expected in ((1000, set()), (1001, {"CURRENT"})):
        world = pulsing()
        world.run(2)
        world.bms.tracker.permille = 0
        world.bms.gate.run_ms = run_ms
        assert names(world.bms.gate._end_pulse(world.bms)) == expected


@pytest.mark.safety(3, 5)
@pytest.mark.parametrize("high_cdegc, name", [(2500, None), (2499, "WINDOW")])
def test_a_running_pulse_armed_by_name_keeps_its_own_limits(high_cdegc, name):
    world = pulsing()
    world.run(2)
    extras = world.bms.gate.extras
    extras.which, extras.until_s[0] = 1, world.bms.clock.seconds + 1
    extras.pulse = [2000, 300, 0, 1500, high_cdegc, 3, 50_000]
    assert names(world.bms.gate._end_pulse(world.bms)) == ({name} if name else set())
    world.bms.stop(1)  # what presses more is told
    assert names(world.bms.gate._end_pulse(world.bms)) == {"STOP"}
