"""The gate before an intervention: every refusal alone, to the last unit, and what presses most is told."""

import pytest
from relith.budgets import lowest_uv
from relith.gate import Gate

from tests.firmware.gate_worlds import SPOIL, names, order, ready
from tests.firmware.rigging import at_power_up, profile


def test_everything_speaks_for_it():
    world = ready()
    assert world.bms.gate.refuse_pulse(world.bms, 1000, 120) == 0
    assert world.bms.gate.refuse_rest(world.bms, 21_600) == 0


REST_ONLY = {"NO_CLOCK", "CALENDAR", "FLOOR"}
PULSE_ONLY = {"CUTOFF", "WINDOW", "NO_RESISTANCE", "PREDICTED", "DAY_BUDGET", "LIFE_BUDGET", "COOLDOWN", "QUIET"}


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
def test_the_least_and_the_longest_pulse_are_pulses():
    world = ready()
    assert names(world.bms.gate.refuse_pulse(world.bms, 1, 1)) == set()
    assert names(world.bms.gate.refuse_pulse(world.bms, 1, world.p.pulse_max_s)) == set()
    assert names(world.bms.gate.refuse_pulse(world.bms, 1, world.p.pulse_max_s + 1)) == {"TOO_STRONG"}


@pytest.mark.safety(3, 9)
@pytest.mark.parametrize(
    "low_cdegc, budget_ppm, name",
    [(2500, 37_238, None), (2501, 37_238, "WINDOW"), (2500, 37_237, "PULSE_BUDGET")],
)
def test_a_pulse_armed_by_name_has_limits_of_its_own_too(low_cdegc, budget_ppm, name):
    world = ready()
    extras = world.bms.gate.extras
    extras.which, extras.uses, extras.until_s[0] = 1, 1, world.bms.clock.seconds + 1
    extras.pulse = [2000, 300, 0, low_cdegc, 3500, 3, budget_ppm]
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == ({name} if name else set())
    extras.uses = 0
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"UNARMED"}


@pytest.mark.safety(5)
def test_a_pulse_that_would_take_all_the_voltage_there_is():
    """Predicted, and as low as it can be told; 0 would say that nothing was measured."""
    world = ready()
    world.bms.tracker.drop_uv[0] = 999_999
    assert lowest_uv(world.bms, 5000) == 1
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"PREDICTED"}
    world.bms.tracker.drop_uv[0] = 1_000_000  # as far as it is measured: nobody knows how much it is
    assert lowest_uv(world.bms, 1000) == 0
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"NO_RESISTANCE"}


@pytest.mark.safety(9)
def test_more_charge_than_one_pulse_may_take():
    world = ready(pulse_budget_ppm=37_000)
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"PULSE_BUDGET"}
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 119)) == set()


@pytest.mark.safety(9)
def test_pulses_that_showed_no_benefit():
    world = ready()
    e = world.bms.estimates[0]
    e.pulse_trials, e.pulse_factor_permille, e.pulse_factor_sigma_permille = 20, 40, 30
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {"NO_BENEFIT"}
    assert world.bms.gate.budgets(world.bms).pulse_allowed == 0
    e.pulse_factor_permille = 41  # not sure enough
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()
    e.pulse_trials, e.pulse_factor_sigma_permille = 19, 0  # not often enough
    assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == set()


def test_what_presses_most_is_told():
    """Everything speaks against it: told in the order of SPOIL, as one after the other is mended."""
    order_told = ["TRIPPED", "HARD", "LOCKED", "STOP", "STALE", "JOURNAL", "CALIBRATION", "ALARM", "UNKNOWN", "UNARMED",
                  "CONSENT", "QUIET", "CUTOFF", "WINDOW", "NO_RESISTANCE"]  # fmt: skip
    for k, name in enumerate(order_told):
        world = ready()
        for spoilt in order_told[k:]:
            SPOIL[spoilt](world)
        assert names(world.bms.gate.refuse_pulse(world.bms, 1000, 120)) == {name}


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


@pytest.mark.parametrize("since, reason", [(4999, None), (5000, "PASSED")])
def test_later_than_half_a_percent_is_too_late(since, reason):
    world = ready()
    order(world)
    world.bms.tracker.since_end_ppm = since
    told = names(world.bms.gate._ask(world.bms))
    assert told == ({reason} if reason else names(world.bms.scheduler.reason))
    assert (world.bms.gate.granted, world.bms.gate.due) == ((0, 0) if reason else (1, 1))


@pytest.mark.safety(10)
def test_a_new_gate_grants_nothing_and_has_spent_nothing():
    p = profile()
    at_power_up(Gate(p), last_pulse_s=-1, pulse_max_permille=p.pulse_max_permille, rest_max_s=p.rest_max_s)


# -- temperature, predicted voltage ------------------------------------------------------------------------------------


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
    assert lowest_uv(world.bms, 1000) == 3_700_000 - 250_000
    drops[2] = 400_000
    assert lowest_uv(world.bms, 2000) == 3_700_000 - 1_000_000
    uv[1] = 2_900_000
    assert lowest_uv(world.bms, 1000) == 2_900_000 - 250_000
    world.bms.tracker.permille = 100  # a charger lifts the voltage now
    assert lowest_uv(world.bms, 1000) == 2_900_000 - 275_000
    drops[0] = 0
    assert lowest_uv(world.bms, 1000) == 0


# -- what a rest needs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permille, fine", [(1000, False), (900, True)])
def test_a_rest_leaves_time_to_charge(permille, fine):
    world = ready()
    world.bms.readings.user_full_in_s = 21_600 + world.p.full_charge_s - (0 if fine else 1)
    assert names(world.bms.gate.refuse_rest(world.bms, 21_600)) == (set() if fine else {"CALENDAR"})


CALENDAR = {  # what is just fine -> what is just not
    "free": lambda w, over: setattr(w.bms.readings, "user_free_s", 21_600 - over),
    "full": lambda w, over: setattr(w.bms.readings, "user_full_in_s", 21_600 + w.p.full_charge_s - over),
    "now": lambda w, over: setattr(w.bms.readings, "user_full_in_s", over - 1),
    "longest": lambda w, over: setattr(w.p, "rest_max_s", 21_600 - over),
}


@pytest.mark.safety(7)
@pytest.mark.parametrize("name", CALENDAR)
def test_one_second_more_refuses_a_rest(name):
    for over in (0, 1):
        world = ready()
        CALENDAR[name](world, over)
        assert names(world.bms.gate.refuse_rest(world.bms, 21_600)) == ({"CALENDAR"} if over else set())


@pytest.mark.safety(7)
def test_a_rest_longer_than_the_profile_allows():
    world = ready()
    world.bms.readings.user_free_s = 200_000
    assert names(world.bms.gate.refuse_rest(world.bms, world.p.rest_max_s + 1)) == {"CALENDAR"}
