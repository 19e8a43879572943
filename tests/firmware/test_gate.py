"""The gate: every refusal alone, every live abort, budgets, precedence of outputs, and how long a tick may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import gate as gate_module
from relith.gate import Gate
from relith.inventory import INFERRED, UNKNOWN

from host_sim.tables import STATES
from tests.firmware.rigging import World, at_power_up, profile

WHY = {name.removeprefix("_WHY_"): value for name, value in vars(gate_module).items() if name.startswith("_WHY_")}


def ready(**changes):
    """A world in which everything speaks for an intervention: full, quiet for long, known, measured."""
    world = World(share=0.5, policy="none", **changes)
    world.run(1200)
    for estimate in world.bms.estimates:
        estimate.known = INFERRED
    for k in range(world.p.cell_count):
        world.bms.tracker.drop_uv[k] = 200_000
    world.tick(100, 0)
    return world


def pulsing(seconds=120, permille=1000, **changes):
    """The same world with a pulse under way."""
    world = ready(**changes)
    order(world, seconds, permille)
    world.run(5, until="PULSE")
    assert world.state == "PULSE" and world.outputs.pulse_count
    return world


def order(world, seconds=120, permille=1000):
    """As if the scheduler had just decided on a pulse."""
    bms = world.bms
    bms.scheduler.pulse_permille, bms.scheduler.pulse_s = permille, seconds
    bms.gate.asked = 1
    bms.tracker.since_end_ppm = 0


def resting(seconds=3600, **changes):
    world = ready(**changes)
    world.bms.scheduler.rest_s = seconds
    world.bms.gate.asked = 2
    world.bms.tracker.since_end_ppm = 0
    world.run(5, until="REST")
    assert world.state == "REST"
    return world


def names(reason):
    """What the gate said, in a set: empty when it said nothing."""
    return {name for name, number in WHY.items() if number == reason}


def test_everything_speaks_for_it():
    world = ready()
    assert world.bms.gate.refuse_pulse(world.bms, 1000, 120) == 0
    assert world.bms.gate.refuse_rest(world.bms, 21_600) == 0


# -- one thing wrong at a time ------------------------------------------------------------------------------------


def latch(world, bit):
    world.bms.protection.latched |= bit
    world.bms.protection.update(0)


SPOIL = {
    "TRIPPED": lambda w: setattr(w.bms.readings, "hardware_trip", 1),
    "HARD": lambda w: latch(w, 1),
    "LOCKED": lambda w: latch(w, 1 << 3),
    "ALARM": lambda w: setattr(w.bms.protection, "quiet_s", 599),
    "STALE": lambda w: setattr(w.bms.belief, "good", 0),
    "JOURNAL": lambda w: setattr(w.bms, "journal_bad", 1),
    "CALIBRATION": lambda w: setattr(w.bms.gate, "calibrated_until_s", w.bms.clock.seconds - 1),
    "UNKNOWN": lambda w: setattr(w.bms.estimates[0], "known", UNKNOWN),
    "UNARMED": lambda w: setattr(w.bms.gate, "armed_until_s", w.bms.clock.seconds),
    "STOP": lambda w: setattr(w.bms.gate, "stopped", 1),
    "CONSENT": lambda w: setattr(w.bms.readings, "user_consent", 0),
    "CUTOFF": lambda w: setattr(w.bms.gate, "cutoff_present", 0),
    "WINDOW": lambda w: setattr(w.bms.belief, "min_cdegc", w.p.pulse_low_cdegc - 1),
    "NO_RESISTANCE": lambda w: w.bms.tracker.drop_uv.__setitem__(0, 0),
    "PREDICTED": lambda w: w.bms.tracker.drop_uv.__setitem__(0, 700_000),
    "DAY_BUDGET": lambda w: setattr(w.bms.gate, "day_spent_ppm", w.p.day_budget_ppm - 37_000),
    "LIFE_BUDGET": lambda w: setattr(w.bms.gate, "life_spent_ppm", w.p.life_budget_ppm - 37_000),
    "COOLDOWN": lambda w: setattr(w.bms.gate, "last_pulse_s", w.bms.clock.seconds),
    "NO_CLOCK": lambda w: setattr(w.bms.readings, "clock_known", 0),
    "CALENDAR": lambda w: setattr(w.bms.readings, "user_free_s", 21_599),
    "FLOOR": lambda w: setattr(w.bms.belief, "min_uv", w.p.rest_floor_uv - 1),
}
REST_ONLY = {"NO_CLOCK", "CALENDAR", "FLOOR"}
PULSE_ONLY = {"CUTOFF", "WINDOW", "NO_RESISTANCE", "PREDICTED", "DAY_BUDGET", "LIFE_BUDGET", "COOLDOWN"}


@pytest.mark.safety(2, 4, 5, 6, 7, 9)
@pytest.mark.parametrize("name", SPOIL)
def test_each_refusal_alone(name):
    world = ready()
    SPOIL[name](world)
    gate = world.bms.gate
    pulse, rest = names(gate.refuse_pulse(world.bms, 1000, 120)), names(gate.refuse_rest(world.bms, 21_600))
    assert pulse == (set() if name in REST_ONLY else {name})
    assert rest == (set() if name in PULSE_ONLY else {name})


@pytest.mark.safety(4)
@pytest.mark.parametrize("ms, fine", [(300, True), (301, False)])
@pytest.mark.parametrize("sample", ["current_ms", "cell_ms"])
def test_samples_must_be_young(ms, fine, sample):
    world = ready()
    setattr(world.bms.readings, sample, world.bms.readings.now_ms - ms)
    assert names(world.bms.gate.standing(world.bms)) == (set() if fine else {"STALE"})


@pytest.mark.safety(4, 6)
@pytest.mark.parametrize("answered", ["current_ok", "cell_ok", "temp_ok"])
def test_every_reading_must_be_believed(answered):
    world = ready()
    world.alter = lambda r: setattr(r, answered, 0)
    world.tick(100, 0)
    assert names(world.bms.gate.standing(world.bms)) == {"STALE"}


@pytest.mark.safety(1)
def test_the_stop_line_refuses_too():
    world = ready()
    world.bms.readings.stop = 1
    assert names(world.bms.gate.standing(world.bms)) == {"STOP"}


@pytest.mark.safety(9)
@pytest.mark.parametrize("permille, seconds", [(2001, 10), (0, 10), (-5, 10), (1000, 301), (1000, 0), (1000, -1)])
def test_stronger_or_longer_than_the_profile(permille, seconds):
    world = ready()
    assert names(world.bms.gate.refuse_pulse(world.bms, permille, seconds)) == {"TOO_STRONG"}


@pytest.mark.safety(9)
def test_more_charge_than_one_pulse_may_take():
    world = ready(pulse_budget_ppm=37_000)
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"PULSE_BUDGET"}
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 119)) == set()


@pytest.mark.safety(6)
def test_hot_side_of_the_pulse_window():
    world = ready()
    world.bms.belief.max_cdegc = world.p.pulse_high_cdegc
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()
    world.bms.belief.max_cdegc += 1
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"WINDOW"}


@pytest.mark.safety(6, 12)
def test_the_pulse_window_tightens_with_isolated_lithium():
    world = ready()
    world.bms.protection.tighter_cdegc = 300
    world.bms.belief.max_cdegc = world.p.pulse_high_cdegc - 300
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()
    world.bms.belief.max_cdegc += 1
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"WINDOW"}


@pytest.mark.safety(5)
def test_predicted_voltage_takes_resistance_a_quarter_higher_and_each_cell():
    world = ready(cell_count=3)
    uv, drops = world.bms.readings.cell_uv, world.bms.tracker.drop_uv
    for k in range(3):
        uv[k], drops[k] = 3_700_000, 200_000
    gate = world.bms.gate
    assert gate.lowest_uv(world.bms, 1000) == 3_700_000 - 250_000
    drops[2] = 400_000
    assert gate.lowest_uv(world.bms, 2000) == 3_700_000 - 1_000_000
    uv[1] = 2_900_000
    assert gate.lowest_uv(world.bms, 1000) == 2_900_000 - 250_000
    world.bms.tracker.permille = 100  # a charger lifts the voltage now
    assert gate.lowest_uv(world.bms, 1000) == 2_900_000 - 275_000
    drops[0] = 0
    assert gate.lowest_uv(world.bms, 1000) == 0


@pytest.mark.parametrize("permille, fine", [(1000, False), (900, True)])
def test_a_rest_leaves_time_to_charge(permille, fine):
    world = ready()
    world.bms.readings.user_full_in_s = 21_600 + world.p.full_charge_s - (0 if fine else 1)
    assert names(world.bms.gate.refuse_rest(world.bms, 21_600)) == (set() if fine else {"CALENDAR"})


@pytest.mark.safety(7)
def test_a_rest_longer_than_the_profile_allows():
    world = ready()
    world.bms.readings.user_free_s = 200_000
    assert names(world.bms.gate.refuse_rest(world.bms, world.p.rest_max_s + 1)) == {"CALENDAR"}


@pytest.mark.safety(9)
def test_pulses_that_showed_no_benefit():
    world = ready()
    e = world.bms.estimates[0]
    e.pulse_trials, e.pulse_factor_permille, e.pulse_factor_sigma_permille = 20, 40, 30
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"NO_BENEFIT"}
    assert world.bms.gate.budgets(world.bms).pulse_allowed == 0
    e.pulse_factor_sigma_permille = 31  # not sure enough
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()
    e.pulse_trials, e.pulse_factor_sigma_permille = 19, 0  # not often enough
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()


def test_what_presses_most_is_told():
    """Everything speaks against it: told in the order of SPOIL, as one after the other is mended."""
    order_told = ["TRIPPED", "HARD", "LOCKED", "STOP", "STALE", "JOURNAL", "CALIBRATION", "ALARM", "UNKNOWN", "UNARMED",
                  "CONSENT", "CUTOFF", "WINDOW", "NO_RESISTANCE"]  # fmt: skip
    for k, name in enumerate(order_told):
        world = ready()
        for spoilt in order_told[k:]:
            SPOIL[spoilt](world)
        assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {name}


# -- a pulse, from order to end -------------------------------------------------------------------------------------


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
    "the temperature rose too much": lambda w: w.bms.readings.temp_cdegc.__setitem__(0, 2801),
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


def test_cooling_down_ends():
    world = ready()
    gate, now_s = world.bms.gate, world.bms.clock.seconds
    world.bms.clock.seconds = now_s + 2000
    for ago, expected in ((1799, {"COOLDOWN"}), (1800, set())):
        gate.last_pulse_s = now_s + 2000 - ago
        assert names(gate.refuse_pulse(world.bms, 1000, 120)) == expected


@pytest.mark.safety(9)
def test_after_a_pulse_it_cools_down_and_the_day_ends():
    world = pulsing(seconds=300, permille=1000)
    world.run(400, until="IDLE")
    gate = world.bms.gate
    order(world)
    world.run(20)
    assert world.reason == "cooling down since the last pulse"
    gate.asked = 0
    world.run(world.p.cooldown_s - 20)
    assert gate.budgets(world.bms).pulse_allowed == 1
    gate.day_spent_ppm = world.p.day_budget_ppm
    assert gate.budgets(world.bms).pulse_allowed == 0
    world.run(86_400)
    assert gate.budgets(world.bms).pulse_allowed == 1 and gate.day_spent_ppm == 0


OFFER = {  # what speaks against it -> what is still offered: pulse, rest
    None: (1, 1),
    "CUTOFF": (0, 1),
    "COOLDOWN": (0, 1),
    "CONSENT": (0, 0),
    "JOURNAL": (0, 0),
}


@pytest.mark.safety(4, 9)
@pytest.mark.parametrize("name", OFFER)
def test_nothing_is_offered_that_would_be_refused(name):
    world = ready()
    if name:
        SPOIL[name](world)
    budgets = world.bms.gate.budgets(world.bms)
    assert (budgets.pulse_allowed, budgets.rest_allowed) == OFFER[name]


@pytest.mark.safety(9)
def test_a_pulse_ends_when_it_has_drawn_its_budget():
    """Planned within it, but the sink draws a little more: what counts is what flowed."""
    world = pulsing(seconds=120, permille=1000)
    world.p.pulse_budget_ppm = 9_000
    world.run(60, until="IDLE")
    assert world.state == "IDLE" and world.reason == "more charge than one pulse may take"
    assert 9_000 < world.bms.gate.life_spent_ppm < 9_100


@pytest.mark.safety(9)
@given(st.integers(0, 100_000), st.integers(0, 400_000), st.integers(0, 100_000_000))
def test_budgets_never_offer_what_would_be_refused(pulse, day, life):
    """The longest pulse offered at the greatest strength is granted."""
    world = _QUIET
    gate = world.bms.gate
    gate.day_spent_ppm, gate.life_spent_ppm = day, life
    world.p.pulse_budget_ppm = pulse
    budgets = gate.budgets(world.bms)
    if budgets.pulse_allowed:
        refused = names(gate.refuse_pulse(world.bms, budgets.pulse_max_permille, budgets.pulse_max_s))
        assert refused == set()
    else:
        assert budgets.pulse_max_s == 0


_QUIET = ready()
_QUIET.bms.tracker.drop_uv[0] = 100_000


# -- a rest ------------------------------------------------------------------------------------------------------


def test_a_rest_lasts_as_long_as_asked():
    world = resting(7200)
    begun = world.board.ms
    assert not (world.outputs.charge_enable or world.outputs.discharge_enable)
    world.run(10_000, until="IDLE")
    assert world.reason == "the rest was long enough" and world.board.ms - begun == 7_200_000
    assert world.outputs.charge_enable and world.bms.gate.rests == 1


@pytest.mark.safety(7)
@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda r: setattr(r, "user_consent", 0), "the user does not consent now"),
        (lambda r: setattr(r, "clock_known", 0), "the clock is unknown after a power loss"),
        (lambda r: setattr(r, "user_free_s", 0), "the user needs the cell soon"),
        (lambda r: setattr(r, "user_full_in_s", 18_000), "the user needs the cell soon"),
        (lambda r: r.cell_uv.__setitem__(0, 2_699_000), "too little charge left for a rest"),
        (lambda r: setattr(r, "stop", 1), "the operator said stop"),
    ],
)
def test_what_ends_a_rest(spoil, reason):
    world = resting()
    world.run(600)
    world.alter = spoil
    world.tick(60_000, 0)
    assert world.state == "IDLE" and world.reason == reason


@pytest.mark.safety(7)
def test_a_rest_needs_margin_above_its_floor():
    world = ready()
    world.bms.scheduler.rest_s = 3600
    world.bms.gate.asked = 2
    world.bms.tracker.since_end_ppm = 0
    world.alter = lambda r: r.cell_uv.__setitem__(0, world.p.rest_floor_uv + 49_999)
    world.run(0.2)
    assert world.state == "IDLE" and world.reason == "too little charge left for a rest"
    world.bms.readings.user_consent = 0  # what presses more is told
    world.bms.gate.asked = 2
    assert names(world.bms.gate._ask(world.bms)) == {"CONSENT"}
    world.alter = lambda r: r.cell_uv.__setitem__(0, world.p.rest_floor_uv + 50_000)
    world.run(0.3, until="REST")
    assert world.state == "REST"


# -- what conducts ------------------------------------------------------------------------------------------------


@pytest.mark.safety(1)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("veto", ["TRIPPED", "HARD", "LOCKED", "STOP"])
def test_nothing_conducts_against_a_veto(state, veto):
    """Whatever the state: precedence is not left to the state table alone."""
    world = pulsing()
    world.bms.machine.state = STATES.index(state)
    SPOIL[veto](world)
    world.bms.gate.apply(world.bms)
    o = world.outputs
    assert not any((o.charge_enable, o.discharge_enable, o.pulse_count, o.pulse_ms, o.charge_limit_count))
    assert o.discharge_limit_count == o.balance_mask == 0
    assert o.reason == WHY[veto]


@pytest.mark.safety(1)
def test_vetoes_by_precedence():
    world = ready()
    for veto in ("STOP", "LOCKED", "HARD", "TRIPPED"):
        SPOIL[veto](world)
        world.bms.gate.apply(world.bms)
        assert world.outputs.reason == WHY[veto]


@pytest.mark.safety(1, 10)
@pytest.mark.parametrize("state", STATES)
def test_permits_of_a_state(state):
    world = ready()
    world.bms.machine.state = STATES.index(state)
    world.bms.gate.pulse_permille, world.bms.gate.pulse_ms = 1000, 10_000
    world.bms.gate.apply(world.bms)
    o = world.outputs
    permit = gate_module.PERMITS[STATES.index(state)]
    assert (o.charge_enable, o.discharge_enable) == (permit & 1, permit >> 1 & 1)
    assert bool(o.pulse_count) == bool(o.pulse_ms) == (state == "PULSE")
    assert bool(o.charge_limit_count) == bool(o.charge_enable)
    assert bool(o.discharge_limit_count) == (state in ("IDLE", "CHARGE", "DISCHARGE", "SOFT_LIMIT", "STORAGE"))


def test_full_and_empty_close_their_switch():
    world = ready()
    world.bms.tracker.full = 1
    world.bms.gate.apply(world.bms)
    assert (world.outputs.charge_enable, world.outputs.discharge_enable) == (0, 1)
    world.bms.tracker.full, world.bms.tracker.empty = 0, 1
    world.bms.gate.apply(world.bms)
    assert (world.outputs.charge_enable, world.outputs.discharge_enable) == (1, 0)


@pytest.mark.safety(1)
def test_stop_is_at_once_and_over_when_released():
    world = ready()
    world.run(60, -300)
    world.bms.stop(1)
    world.tick(100, world.flows(-300))
    assert not world.outputs.discharge_enable and world.reason == "the operator said stop"
    world.run(10, -300)
    assert world.state == "IDLE"
    world.bms.stop(0)
    world.tick(100, 0)
    assert world.outputs.discharge_enable


# -- balancing a string --------------------------------------------------------------------------------------------


def charged(**changes):
    """Three cells near full charge, the second fuller than the others."""
    world = ready(cell_count=3, **changes)
    world.bms.gate.bleed_uv = 1000
    cells = world.bms.readings.cell_uv
    cells[0], cells[1], cells[2] = 4_150_000, 4_170_000, 4_155_000
    world.bms.belief.min_uv = 4_150_000
    return world


def bled(world):
    """The mask decided from readings taken while nothing bled."""
    world.outputs.balance_mask = 0
    world.bms.gate.apply(world.bms)
    return world.outputs.balance_mask


def test_the_fuller_cell_bleeds_and_only_near_full_charge():
    world = charged()
    assert bled(world) == 0b010
    cells, b = world.bms.readings.cell_uv, world.bms.belief
    cells[1] = b.min_uv + 10_000
    assert bled(world) == 0
    cells[1] += 1
    assert bled(world) == 0b010
    b.min_uv = world.p.max_uv - 200_000
    assert bled(world) == 0
    b.min_uv += 1
    assert bled(world) == 0b111


def test_a_bled_cell_is_not_compared():
    world = charged()
    assert bled(world) == 0b010
    world.bms.gate.apply(world.bms)
    assert world.outputs.balance_mask == 0
    world.bms.gate.apply(world.bms)
    assert world.outputs.balance_mask == 0b010


@pytest.mark.safety(1)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: setattr(w.bms.gate, "bleed_uv", 0),
        lambda w: setattr(w.bms.belief, "count", -1),
        lambda w: setattr(w.bms.protection, "alarms", 1),
        lambda w: setattr(w.bms.machine, "state", STATES.index("REST")),
        lambda w: w.bms.stop(1),
    ],
)
def test_what_speaks_against_bleeding(spoil):
    world = charged()
    spoil(world)
    assert bled(world) == 0


def test_what_is_bled_is_booked_to_its_cell():
    """An hour at 4.17 V over 1000 uV per count: in the cell's own account, and in what is said of its half-cycle."""
    world = charged(max_uv=4_180_000)
    ledger, gate = world.bms.ledger, world.bms.gate
    world.alter = lambda r: (r.cell_uv.__setitem__(1, r.cell_uv[1] + 20_000), setattr(r, "pack_uv", sum(r.cell_uv)))
    world.share = 0.97
    world.run(600, 100)
    assert ledger.bled[1].ppm and world.alarms() == []
    before = [account.ppm for account in ledger.bled]
    begun = world.board.ms
    expected = 0
    for _ in range(1000):
        ms, mask = world.outputs.next_tick_ms, world.outputs.balance_mask
        world.tick(ms, 0)
        assert mask in (0, 0b010)
        expected += (world.bms.readings.cell_uv[1] // gate.bleed_uv) * ms if mask else 0
    expected //= world.p.ppm_count_ms
    after = [account.ppm for account in ledger.bled]
    assert world.board.ms - begun > 60_000 and expected > 10
    assert after[0] == before[0] == after[2] == 0 and after[1] - before[1] == pytest.approx(expected, abs=1)
    main = world.bms.tracker._main
    assert main.kind == 1 and main.bled_ppm[1] == after[1]
    for cell in range(3):
        world.bms.tracker.record(world.bms.h, cell, 0)
        assert world.bms.h.charge_ppm == main.net_ppm - (after[1] if cell == 1 else 0)
    world.bms.calibrated()  # writes a record
    again = World(store=world.store, cell_count=3, ready=False)
    assert again.bms.ledger.bled[1].ppm == after[1]


# -- how long a tick may be ------------------------------------------------------------------------------------------

UV = st.integers(2_000_000, 4_400_000)


@given(UV, st.integers(-2600, 700), st.sampled_from(["IDLE", "CHARGE", "DISCHARGE", "STORAGE", "SOFT_LIMIT"]))
def test_no_limit_is_passed_between_two_ticks(uv, permille, state):
    """At the steepest slopes assumed, from this tick to the next; or 100 ms, where it is closer than that."""
    world = _QUIET
    bms, p = world.bms, world.p
    bms.belief.min_uv = bms.belief.max_uv = uv
    bms.belief.count = permille * p.one_c_count // 1000
    bms.tracker.permille = abs(permille)
    bms.machine.state = STATES.index(state)
    bms.moved = 0
    bms.gate.apply(bms)
    bms.gate.apply(bms)  # the second time no switch has just changed
    wait = world.outputs.next_tick_ms
    assert 100 <= wait <= 60_000
    if wait == 100:
        return
    ppm = wait / 3600  # at 1C, times permille/1000
    if permille < 0:
        assert uv - 200 * ppm * -permille / 1000 * 1000 >= p.min_uv - 1e-6
    if permille > 0:
        assert uv + 20 * ppm * permille <= p.soft_max_uv + 1e-6
    assert uv - 100 * ppm * p.discharge_max_permille >= p.hard_min_uv - 1e-6
    assert uv + 20 * ppm * p.charge_max_permille <= p.hard_max_uv + 1e-6


def test_short_ticks_where_something_happens():
    world = ready()
    bms = world.bms
    world.run(300)
    assert world.outputs.next_tick_ms > 10_000
    for part, name, value, wait in (
        (bms, "moved", 1, 100),
        (bms.protection, "pending", 1, 100),
        (bms.tracker, "ended", 1, 100),
        (bms.clock, "still", 1, 100),
        (bms.protection, "recovering", 1, 1000),
        (bms.ledger, "doubt", 1, 1000),
        (bms.gate, "asked", 1, 1000),
        (bms.protection, "active", 1 << 27, 10_000),
    ):
        setattr(part, name, value)
        bms.gate.apply(bms)
        assert world.outputs.next_tick_ms == wait
        setattr(part, name, 0)
        bms.gate.apply(bms)
        assert world.outputs.next_tick_ms > 10_000


# -- the edges, to the last unit -----------------------------------------------------------------------------------


@pytest.mark.safety(10)
def test_a_new_gate_grants_nothing_and_has_spent_nothing():
    p = profile()
    at_power_up(Gate(p), last_pulse_s=-1, pulse_max_permille=p.pulse_max_permille, rest_max_s=p.rest_max_s)


EDGES = {  # what is just fine -> what is just not, and why
    "UNARMED": lambda w, over: setattr(w.bms.gate, "armed_until_s", w.bms.clock.seconds + 1 - over),
    "CALIBRATION": lambda w, over: setattr(w.bms.gate, "calibrated_until_s", w.bms.clock.seconds - over),
    "ALARM": lambda w, over: setattr(w.bms.protection, "quiet_s", 600 - over),
    "WINDOW": lambda w, over: setattr(w.bms.belief, "min_cdegc", w.p.pulse_low_cdegc - over),
    "TOO_STRONG": lambda w, over: setattr(w.p, "pulse_max_permille", 1000 - over),
    "PREDICTED": lambda w, over: w.bms.readings.cell_uv.__setitem__(0, w.p.min_uv + 30_000 + 250_000 - over),
    "PULSE_BUDGET": lambda w, over: setattr(w.p, "pulse_budget_ppm", 37_238 - over),
    "DAY_BUDGET": lambda w, over: setattr(w.bms.gate, "day_spent_ppm", w.p.day_budget_ppm - 37_238 + over),
    "LIFE_BUDGET": lambda w, over: setattr(w.bms.gate, "life_spent_ppm", w.p.life_budget_ppm - 37_238 + over),
}


@pytest.mark.safety(4, 5, 6, 9)
@pytest.mark.parametrize("name", EDGES)
def test_one_unit_more_refuses_a_pulse(name):
    for over in (0, 1):
        world = ready()
        EDGES[name](world, over)
        assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == ({name} if over else set())


def test_a_pulse_at_the_start_of_time_cools_down_too():
    world = ready()
    world.bms.clock.seconds = 100
    world.bms.gate.calibrated_until_s = world.bms.gate.armed_until_s = 10**6
    world.bms.gate.last_pulse_s = 0
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"COOLDOWN"}


def test_a_day_is_a_day():
    world = ready()
    gate, clock = world.bms.gate, world.bms.clock
    gate.day_began_s, gate.day_spent_ppm = clock.seconds - 86_399, 5
    assert gate._day_spent(clock.seconds) == 5
    clock.seconds += 1
    assert gate._day_spent(clock.seconds) == 0 and gate.day_began_s == clock.seconds


def test_the_charge_of_a_pulse():
    """Per mille of 1C times seconds, in ppm of nominal: 1C is 267 mA, nominal 239 mAh."""
    world = ready()
    p = world.p
    for permille, seconds in ((1000, 120), (2000, 300), (1, 1)):
        exact = permille * seconds * p.one_c_ua / 3.6 / p.nominal_capacity_uah
        assert world.bms.gate._charge_ppm(permille, seconds) == int(exact)


@pytest.mark.parametrize("left, full_in, state", [(1, -1, "REST"), (0, -1, "IDLE"), (1, 1, "REST"), (1, 0, "IDLE")])
def test_a_rest_goes_on_to_the_last_second(left, full_in, state):
    world = resting()
    world.run(60)

    def alter(r):
        r.user_free_s = left
        r.user_full_in_s = full_in + world.p.full_charge_s if full_in >= 0 else -1

    world.alter = alter
    world.tick(1000, 0)
    assert world.state == state


def test_a_rest_at_its_floor_goes_on():
    for uv, state in ((0, "REST"), (1, "IDLE")):
        world = resting()
        world.alter = lambda r, uv=uv, world=world: r.cell_uv.__setitem__(0, world.p.rest_floor_uv - uv)
        world.tick(100, 0)
        assert world.state == state


@pytest.mark.parametrize("since, reason", [(4999, None), (5000, "PASSED")])
def test_later_than_half_a_percent_is_too_late(since, reason):
    world = ready()
    order(world)
    world.bms.tracker.since_end_ppm = since
    told = names(world.bms.gate._ask(world.bms))
    assert told == ({reason} if reason else names(world.bms.scheduler.reason))
    assert (world.bms.gate.granted, world.bms.gate.due) == ((0, 0) if reason else (1, 1))


RUNNING = {  # a running pulse: what is just fine -> what ends it
    "VOLTAGE": lambda w, over: setattr(w.bms.belief, "min_uv", w.p.min_uv - over),
    "HEAT": lambda w, over: setattr(w.bms.belief, "max_cdegc", w.bms.gate._began_cdegc + 300 + over),
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


def test_what_a_pulse_books():
    world = ready()
    gate, clock = world.bms.gate, world.bms.clock
    gate.day_spent_ppm, gate.life_spent_ppm, gate.pulses, gate.run_ms = 7, 1000, 3, 55
    world.bms.scheduler.pulse_permille, world.bms.scheduler.pulse_s = 1000, 120
    gate.asked, gate._moved_ppm, gate.day_began_s = 1, 9, clock.seconds
    gate.begin_pulse(world.bms)
    assert (gate.pulse_permille, gate.pulse_ms, gate._planned_ppm, gate._moved_ppm) == (1000, 120_000, 37_238, 0)
    assert (gate.day_spent_ppm, gate.life_spent_ppm, gate.pulses, gate.asked, gate.run_ms) == (37_245, 38_238, 4, 0, 0)
    assert gate.last_pulse_s == clock.seconds and gate._began_cdegc == world.bms.belief.max_cdegc
    gate._moved_ppm, gate.run_ms = 20_000, 61_999
    clock.seconds += 61
    gate.end_pulse(world.bms)
    assert (gate.day_spent_ppm, gate.life_spent_ppm, gate.pulse_permille) == (20_007, 21_000, 0)
    assert gate.last_pulse_s == clock.seconds
    main = world.bms.tracker._main
    stretch = main if main.kind < 0 else world.bms.tracker._back
    assert (stretch.pulse_ppm, stretch.pulse_permille, stretch.pulse_s) == (20_000, 1000, 61)
    gate.day_spent_ppm = 0
    gate._spend(world.bms, -5)
    assert gate.day_spent_ppm == 0 and gate.life_spent_ppm == 20_995


def test_what_a_rest_books():
    world = ready()
    gate = world.bms.gate
    world.bms.scheduler.rest_s, gate.asked, gate.run_ms, gate.rests = 4321, 2, 99, 5
    gate.begin_rest(world.bms)
    assert (gate.rest_s, gate.asked, gate.run_ms, gate.rests) == (4321, 0, 0, 6)


@pytest.mark.parametrize(
    "day, life, pulse, longest",
    [(0, 0, 10**5, 161), (-37_239, 0, 10**5, 60), (0, -37_239, 10**5, 60), (0, 0, 37_239, 60), (0, 0, 37_238, 59),
     (0, 0, 0, 0), (1, 0, 10**5, 0), (0, 0, 10**6, 300)],
)  # fmt: skip
def test_the_longest_pulse_on_offer(day, life, pulse, longest):
    """At 2C a pulse of 60 s takes 37 238 ppm."""
    world = ready()
    gate, p = world.bms.gate, world.p
    p.pulse_budget_ppm, p.day_budget_ppm = pulse, 10**6
    gate.day_began_s = world.bms.clock.seconds
    gate.day_spent_ppm = p.day_budget_ppm + day if day else 0
    gate.life_spent_ppm = p.life_budget_ppm + life if life else 0
    gate.budgets(world.bms)
    assert gate.pulse_max_s == longest
    assert (gate.pulse_allowed, gate.rest_allowed) == (int(longest > 0), 1)


@pytest.mark.safety(1)
def test_what_the_states_let_through():
    """Charge 1, discharge 2, pulse sink 4."""
    demanded = {"BOOT": 0, "IDLE": 3, "CHARGE": 3, "DISCHARGE": 3, "PULSE": 6, "REST": 0, "SOFT_LIMIT": 3, "FAULT": 0,
                "LOCKOUT": 0, "STORAGE": 3}  # fmt: skip
    assert dict(zip(STATES, gate_module.PERMITS, strict=True)) == demanded


def waits(world, **changes):
    bms = world.bms
    for name, value in changes.items():
        owner, _, field = name.partition("__")
        setattr(getattr(bms, owner), field, value)
    bms.gate.apply(bms)
    bms.gate.apply(bms)  # the second time no switch has just changed
    return world.outputs.next_tick_ms


def test_the_longest_wait_to_the_millisecond():
    """Slopes of docs/profile.md: 100 and 200 uV down, 20 up per ppm; at 1C a ppm moves in 3.6 ms."""
    world = ready()
    p, idle = world.p, {"belief__count": 0, "tracker__permille": 0, "machine__state": STATES.index("IDLE")}
    room = 3_000_000
    assert waits(world, **idle, belief__min_uv=p.hard_min_uv + room, belief__max_uv=3_500_000) == 60_000
    near = {"belief__min_uv": p.hard_min_uv + 50_000, "belief__max_uv": 3_500_000}
    assert waits(world, **idle, **near) == 50_000 * 36 // p.discharge_max_permille
    near = {"belief__min_uv": 4_000_000, "belief__max_uv": p.hard_max_uv - 10_000}
    assert waits(world, **idle, **near) == 10_000 * 180 // p.charge_max_permille
    out = {"belief__count": -1, "tracker__permille": 500, "belief__max_uv": 3_500_000}
    assert waits(world, **idle | out, belief__min_uv=p.min_uv + 100_000) == 100_000 * 18 // 500
    inward = {"belief__count": 1, "tracker__permille": 500, "belief__min_uv": 4_000_000}
    assert waits(world, **idle | inward, belief__max_uv=p.soft_max_uv - 3000) == 3000 * 180 // 500
    assert waits(world, **idle | inward, belief__max_uv=p.soft_max_uv - 100) == 100
    blocked = {"tracker__full": 1, "belief__min_uv": 4_000_000, "belief__max_uv": p.hard_max_uv - 100}
    assert waits(world, **idle, **blocked) == (4_000_000 - p.hard_min_uv) * 36 // p.discharge_max_permille
    blocked = {"tracker__empty": 1, "belief__min_uv": p.hard_min_uv + 100, "belief__max_uv": 3_500_000}
    assert waits(world, **idle, **blocked) == 60_000  # what is off cannot hurt
    world.bms.tracker.full = world.bms.tracker.empty = 0


def test_the_wait_of_a_pulse_and_of_a_rest():
    world = pulsing(seconds=2)
    world.bms.gate.run_ms = 1950
    world.bms.gate.apply(world.bms)
    assert (world.outputs.pulse_ms, world.outputs.next_tick_ms) == (50, 50)
    world.bms.gate.run_ms = 2000
    world.bms.gate.apply(world.bms)
    assert (world.outputs.pulse_ms, world.outputs.next_tick_ms) == (0, 1)
    world = resting(3600)
    world.run(60)
    world.bms.gate.run_ms = 3_600_000 - 12_345
    world.bms.gate.apply(world.bms)
    assert world.outputs.next_tick_ms == 12_345


@pytest.mark.parametrize("good, wait", [(0, 100), (19, 100), (20, 60_000)])
def test_a_sensor_that_comes_and_goes_is_watched_closely(good, wait):
    world = ready()
    world.bms.belief.max_uv = 3_500_000
    assert waits(world, belief__good=good, belief__min_uv=world.p.hard_min_uv + 3_000_000) == wait


def test_boot_is_watched_closely():
    world = ready()
    assert waits(world, machine__state=STATES.index("BOOT")) == 100
