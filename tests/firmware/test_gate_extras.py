"""What is armed by name (physics.md §5): nothing unless a profile names it and a person asks for it."""

import pytest
from relith.inventory import INFERRED, MEASURED, UNKNOWN
from relith.journal import MOST

from host_sim.tables import REASONS
from tests.firmware.gate_worlds import EXTRAS_WHY as WHY
from tests.firmware.gate_worlds import pulsing, ready
from tests.firmware.rigging import World

HEATING, STRIP, PLATING, CHARGING, DISCHARGE = 1, 2, 3, 4, 5
MEMBERS = {
    "strength_permille": 2000, "length_s": 30, "pause_s": 0, "low_cdegc": 1500, "high_cdegc": 3500, "day_uses": 3,
    "budget_ppm": 50_000,
}  # fmt: skip
EXTRAS = {
    "extra_self_heating": MEMBERS,
    "extra_first_strip": MEMBERS | {"length_s": 1, "day_uses": 1, "budget_ppm": 10_000},
    "extra_first_plating": MEMBERS | {"strength_permille": 540, "length_s": 20, "day_uses": 1},
    "extra_pulse_charging": MEMBERS | {"strength_permille": 400, "length_s": 60, "pause_s": 15, "budget_ppm": 900_000},
    "extra_pulse_discharge": MEMBERS | {"strength_permille": 200, "length_s": 40, "pause_s": 20, "budget_ppm": 900_000},
}


def named(**changes):
    """A world whose profile names all of them."""
    return ready(**EXTRAS | {"discharge_soft_permille": 2200} | changes)


def asked(which, uses=1, **changes):
    """A person has asked for one."""
    world = named(**changes)
    assert world.bms.command(13, which, uses) == 0
    return world


def why(world):
    return world.outputs.reason


# -- asking -------------------------------------------------------------------------------------------------------


@pytest.mark.safety(3)
def test_a_profile_that_does_not_name_it_has_none():
    world = ready()
    for which in range(1, 6):
        assert world.bms.command(13, which, 1) == WHY["NO_EXTRA"]
    world.fill().run(600)
    assert world.bms.gate.pulses == 0


@pytest.mark.safety(3)
def test_named_and_not_asked_for_it_does_nothing():
    plain, other = ready(discharge_soft_permille=2200), named()
    for world in (plain, other):
        world.seen.clear()
        world.run(600, 500).fill(500).run(60).run(600, -1000).empty().run(60).fill()
    assert plain.seen == other.seen and plain.board.ms == other.board.ms and plain.share == other.share


def test_no_token_too_many_uses_and_twice_in_a_day():
    world = named()
    arm = world.bms.gate.extras.arm
    assert arm(world.bms, HEATING, 4) == WHY["USES"]
    assert arm(world.bms, HEATING, 3) == 0
    assert arm(world.bms, HEATING, 1) == WHY["USES"]
    assert arm(world.bms, STRIP, 1) == 0
    assert (world.bms.gate.extras.which, world.bms.gate.extras.uses) == (STRIP, 1)
    world.run(86_401)
    assert arm(world.bms, HEATING, 1) == 0
    world.bms.disarm()
    assert world.bms.gate.extras.uses == 0 and arm(world.bms, CHARGING, 1) == WHY["UNARMED"]


@pytest.mark.safety(9)
def test_a_loss_of_power_ends_it_and_wins_no_use_back():
    """What was asked for is gone, its day goes on; another's may be asked for."""
    world = asked(HEATING, 3)
    again = World(store=world.store, policy="none", **EXTRAS)
    assert again.bms.gate.extras.uses == 0
    for _ in range(3):
        again = World(store=world.store, policy="none", **EXTRAS)
        assert again.bms.command(13, HEATING, 1) == WHY["USES"]
    assert again.bms.command(13, STRIP, 1) == 0
    again.run(86_401)
    assert again.bms.command(13, HEATING, 3) == 0
    again = World(store=world.store, policy="none", **EXTRAS)
    assert again.bms.command(13, HEATING, 1) == WHY["USES"]


@pytest.mark.safety(9)
def test_without_a_record_of_its_day_it_is_not_begun():
    world = named()
    world.bms.journal.day_records = MOST
    assert world.bms.command(13, HEATING, 1) == WHY["WORN"] and world.bms.gate.extras.uses == 0
    world.bms.journal.day_records = 0
    world.store.broken = True
    world.bms.command(13, HEATING, 1)
    assert world.bms.journal_bad and world.bms.gate.standing(world.bms) == WHY["JOURNAL"]


def test_days_of_the_wrong_size_are_refused():
    extras = named().bms.gate.extras
    for size in (0, 19, 21, 24):
        assert extras.unpack(bytes(size)) is False and len(extras.until_s) == 5
    assert extras.unpack(bytes(range(20))) and extras.pack() == bytes(range(20))


# -- pulses -------------------------------------------------------------------------------------------------------


def test_a_self_heating_pulse_begins_the_discharge_after_a_full_charge():
    world = asked(HEATING, 2)
    spent = world.bms.gate.life_spent_ppm
    world.fill()
    assert why(world) == WHY["EXTRA"] and world.outputs.decision == 1
    world.run(60, until="PULSE")
    begun = world.board.ms
    assert world.outputs.pulse_count == 2 * world.p.one_c_count and not world.outputs.charge_enable
    assert world.bms.gate.extras.uses == 1
    world.run(60, until="IDLE")
    assert 30_000 <= world.board.ms - begun <= 30_200 and why(world) == WHY["DELIVERED"]
    assert world.bms.gate.life_spent_ppm - spent == pytest.approx(2 * 30 * 310.3, rel=0.01)
    world.run(2000).empty().run(60)
    assert world.bms.gate.pulses == 1  # the other use waits for the next full charge
    world.fill().run(60, until="PULSE").run(60)
    assert world.bms.gate.pulses == 2
    world.run(2000).empty().run(60).fill().run(60)
    assert world.bms.gate.pulses == 2


def test_what_the_scheduler_asks_for_comes_first():
    world = asked(HEATING)
    world.bms.profile.policy = 1  # liu21
    world.fill().run(60, until="PULSE")
    assert world.bms.gate.pulse_permille == 1000 and world.bms.gate.extras.uses == 1


@pytest.mark.safety(6)
@pytest.mark.parametrize("cdegc", [1499, 3501])
def test_its_own_window_before_it(cdegc):
    world = asked(HEATING)
    world.fill()
    world.bms.protection._then_cdegc = world.board.temp_cdegc = cdegc  # it got there slowly
    world.run(5)
    assert why(world) == WHY["WINDOW"] and world.bms.gate.pulses == 0 and world.bms.gate.extras.uses == 1


@pytest.mark.safety(6)
def test_warming_is_what_it_is_for_and_the_hot_limit_ends_it():
    world = asked(HEATING, extra_self_heating=MEMBERS | {"high_cdegc": 3800})
    world.fill().run(60, until="PULSE").run(5)
    world.bms.protection._then_cdegc = world.board.temp_cdegc = 3700  # 12 degrees warmer: the end of any other pulse
    world.run(1)
    assert world.state == "PULSE"
    world.bms.protection.tighter_cdegc = 101
    world.bms.gate.watch(world.bms)
    assert world.bms.gate.over == WHY["WINDOW"]
    other = pulsing()
    other.board.temp_cdegc = 3700
    other.run(1)
    assert other.state == "IDLE" and why(other) == WHY["HEAT"]


@pytest.mark.safety(9)
def test_its_own_budget_and_that_of_every_pulse():
    world = asked(HEATING, extra_self_heating=MEMBERS | {"budget_ppm": 18_000})
    world.fill().run(5)
    assert why(world) == WHY["PULSE_BUDGET"]
    world = asked(HEATING, pulse_budget_ppm=18_000)
    world.fill().run(5)
    assert why(world) == WHY["PULSE_BUDGET"] and world.bms.gate.pulses == 0


def test_the_limits_of_every_pulse_hold():
    world = asked(HEATING, pulse_max_permille=1900)
    world.fill().run(5)
    assert why(world) == WHY["TOO_STRONG"]


def test_pulses_of_no_benefit_are_no_reason_against_it():
    world = asked(HEATING)
    for e in world.bms.estimates:
        e.pulse_trials, e.pulse_factor_permille, e.pulse_factor_sigma_permille = 20, 0, 10
    world.fill()
    for e in world.bms.estimates:
        e.pulse_trials, e.pulse_factor_permille, e.pulse_factor_sigma_permille = 20, 0, 10
    world.run(60, until="PULSE")
    assert world.state == "PULSE"


def test_a_day_later_it_is_armed_no_more():
    world = asked(HEATING)
    world.run(86_400).fill().run(5)
    assert why(world) == WHY["UNARMED"] and world.bms.gate.pulses == 0


def test_disarmed_it_ends():
    world = asked(HEATING)
    world.fill().run(60, until="PULSE")
    world.bms.disarm()
    world.run(1)
    assert world.state == "IDLE" and why(world) == WHY["UNARMED"]


# -- formation ----------------------------------------------------------------------------------------------------


def new(which, **changes):
    """A new cell of which nothing is known, and a person has asked for `which`."""
    world = named(share=0.0, **changes)
    world.bms.commission()
    assert world.bms.command(13, which, 1) == 0
    world.run(5)
    assert all(e.known == UNKNOWN and e.loss_ppm == 0 for e in world.bms.estimates)
    return world


def test_the_first_strip_of_a_new_cell():
    world = new(STRIP)
    world.fill()
    assert why(world) == WHY["EXTRA"]
    world.run(60, until="PULSE")
    begun = world.board.ms
    assert world.outputs.pulse_count == 2 * world.p.one_c_count
    world.run(10, until="IDLE")
    assert 1000 <= world.board.ms - begun <= 1200 and world.bms.gate.pulses == 1


@pytest.mark.safety(4)
def test_an_unknown_cell_is_not_formed_and_a_known_one_is_not_new():
    world = new(STRIP)
    world.bms.inventories[0].reset_unknown()
    world.fill().run(5)
    assert why(world) == WHY["UNKNOWN"]
    world = asked(STRIP)
    world.fill()
    for e in world.bms.estimates:
        e.known, e.loss_ppm = MEASURED, 1
    world.run(5)
    assert why(world) == WHY["NOT_NEW"] and world.bms.gate.pulses == 0


@pytest.mark.safety(4)
def test_a_new_cell_is_unknown_for_all_else():
    world = named(share=0.0)
    world.bms.commission()
    assert world.bms.command(13, HEATING, 1) == 0
    world.fill().run(5)
    assert why(world) == WHY["UNKNOWN"] and world.bms.gate.pulses == 0


def test_the_first_plating_may_be_faster_for_a_while_and_once():
    world = new(PLATING)
    world.run(30, 1000, until="CHARGE")
    begun = world.board.ms
    assert why(world) == WHY["EXTRA"]
    fast = 540 * world.p.one_c_count // 1000
    assert world.outputs.charge_limit_count == fast > world.p.charge_max_count
    while world.outputs.charge_limit_count == fast:
        world.tick(world.outputs.next_tick_ms, world.flows(1000))
    assert 20_000 <= world.board.ms - begun <= 21_000 and why(world) == WHY["DELIVERED"]
    assert world.outputs.charge_limit_count == world.p.charge_max_count
    world.run(100).run(100, 1000)
    assert world.outputs.charge_limit_count == world.p.charge_max_count and world.alarms() == []


# -- pauses -------------------------------------------------------------------------------------------------------


def pattern(world, permille, name, ticks):
    """(limit is there, seconds) in turn, as told to who keeps them."""
    seen = []
    for _ in range(ticks):
        before = world.board.ms
        world.tick(world.outputs.next_tick_ms, world.flows(permille))
        on = getattr(world.outputs, name) > 0
        if not seen or seen[-1][0] != on:
            seen.append([on, 0.0])
        seen[-1][1] += (world.board.ms - before) / 1000
    return seen


def test_charging_with_pauses():
    world = asked(CHARGING)
    world.run(30, 500, until="CHARGE")
    assert why(world) == WHY["EXTRA"]
    assert world.outputs.charge_limit_count == 400 * world.p.one_c_count // 1000
    world.seen.clear()
    turns = pattern(world, 500, "charge_limit_count", 400)
    assert [on for on, _ in turns[:6]] == [True, False] * 3
    assert all(seconds == pytest.approx(60 if on else 15, abs=1.1) for on, seconds in turns[1:-1])
    assert {state for state, _ in world.seen} == {"CHARGE"} and world.outputs.charge_enable
    world.run(100)  # the charger is gone for good
    assert world.state == "IDLE"
    world.run(30, 500)
    assert world.outputs.charge_limit_count == world.p.charge_max_count and world.bms.gate.extras.shape is None


def test_near_the_end_of_charge_it_pauses_no_more():
    world = asked(CHARGING)
    world.fill(500)
    assert world.bms.gate.extras.shape is None
    assert world.bms.tracker.full and (("CHARGE", "the pulse was delivered") in world.seen)


def test_no_deadline_waits_for_a_charge_that_pauses():
    world = asked(CHARGING)
    world.alter = lambda r: setattr(r, "user_full_in_s", 80_000)
    world.run(30, 500)
    assert why(world) == WHY["CALENDAR"] and world.bms.gate.extras.shape is None
    assert world.bms.gate.extras.uses == 1
    world = asked(CHARGING)
    world.run(100, 500)
    assert world.bms.gate.extras.shape
    world.alter = lambda r: setattr(r, "user_full_in_s", 0)
    world.run(2, 500)
    assert why(world) == WHY["CALENDAR"] and world.outputs.charge_limit_count == world.p.charge_max_count


def test_what_speaks_against_an_intervention_speaks_against_a_pause():
    world = asked(CHARGING)
    world.alter = lambda r: setattr(r, "user_consent", 0)
    world.run(20, 300)
    assert world.state == "CHARGE" and world.bms.gate.extras.shape is None
    assert ("CHARGE", REASONS[WHY["CONSENT"]]) in world.seen and world.bms.gate.extras.uses == 1


def test_the_load_is_advised_to_pause_and_its_switch_stays_on():
    world = asked(DISCHARGE)
    world.run(5, -300, until="DISCHARGE")
    turns = pattern(world, -300, "discharge_limit_count", 300)
    assert all(seconds == pytest.approx(40 if on else 20, abs=1.1) for on, seconds in turns[1:-1])
    assert world.outputs.discharge_enable and world.state == "DISCHARGE" and len(turns) > 6
    assert world.outputs.charge_limit_count == world.p.charge_max_count
    world.bms.disarm()
    world.run(2, -300)
    assert world.outputs.discharge_limit_count == world.p.discharge_max_count and why(world) == WHY["UNARMED"]


@pytest.mark.safety(9)
def test_a_use_ends_with_its_charge():
    members = EXTRAS["extra_pulse_discharge"] | {"budget_ppm": 10_000}
    world = asked(DISCHARGE, extra_pulse_discharge=members)
    world.run(400, -200)
    assert why(world) == WHY["PULSE_BUDGET"] and world.bms.gate.extras.shape is None


def test_a_shape_is_of_its_own_direction_and_no_pulse():
    world = asked(CHARGING)
    world.run(100, -300)
    assert world.state == "DISCHARGE" and world.bms.gate.extras.shape is None
    world = asked(DISCHARGE)
    world.fill()
    assert world.bms.gate.asked == 0 and world.outputs.decision == 0


def test_asked_for_anew_the_shape_under_way_ends():
    world = asked(DISCHARGE)
    world.run(30, -300)
    assert world.bms.gate.extras.shape
    world.bms.command(13, CHARGING, 1)
    assert world.bms.gate.extras.shape is None
    world.run(5, -300)
    assert world.outputs.discharge_limit_count == world.p.discharge_max_count
    assert world.bms.estimates[0].known == INFERRED


def waiting():
    """Asked for and full: a pulse that waits for consent."""
    world = asked(HEATING, 1)
    world.alter = lambda r: setattr(r, "user_consent", 0)
    world.fill().run(30)
    assert world.bms.gate.asked == 1 and world.bms.gate.extras.pulse
    return world


@pytest.mark.safety(3, 4)
@pytest.mark.parametrize("end", ["disarm", "commission"])
def test_what_was_withdrawn_does_not_flow_when_interventions_are_armed_again(end):
    world = waiting()
    getattr(world.bms, end)()
    assert world.bms.gate.asked == 0 and world.bms.gate.extras.pulse is None
    world.run(5)
    assert world.bms.command(3, 5, 0) == 0
    world.alter = None
    for e in world.bms.estimates:
        e.known = INFERRED
    world.run(120, until="PULSE")
    assert world.state == "IDLE" and world.bms.gate.pulses == 0 and world.bms.gate.extras.uses == 0


@pytest.mark.safety(3)
def test_another_that_is_asked_for_takes_the_place_of_one_that_waits():
    world = waiting()
    assert world.bms.command(13, DISCHARGE, 1) == 0
    world.alter = None
    world.run(120, until="PULSE")
    assert world.state == "IDLE" and world.bms.gate.pulses == 0 and world.bms.gate.extras.uses == 1
