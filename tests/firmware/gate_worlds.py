"""What the tests of the gate share: worlds in which an intervention may begin or runs, and what speaks against one."""

from relith import budgets as budgets_module
from relith import extras as extras_module
from relith import gate as gate_module
from relith.inventory import INFERRED, UNKNOWN

from tests.firmware.rigging import World


def _numbers(module):
    return {name.removeprefix("_WHY_"): value for name, value in vars(module).items() if name.startswith("_WHY_")}


WHY = _numbers(gate_module) | _numbers(budgets_module)
EXTRAS_WHY = WHY | _numbers(extras_module)


def ready(share=0.5, **changes):
    """A world in which everything speaks for an intervention: full, quiet for long, known, measured."""
    world = World(share=share, policy="none", **changes)
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


def quiet_now(world, from_min, until_min, second=0):
    """Quiet hours, at a second of the wall clock's day."""
    wishes = world.bms.wishes
    wishes.day, wishes.second, wishes.set_at_s = 20_000, second, world.bms.clock.seconds
    world.bms.quiet(from_min, until_min)


def names(reason):
    """What the gate said, in a set: empty when it said nothing."""
    return {name for name, number in WHY.items() if number == reason}


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
    "QUIET": lambda w: quiet_now(w, 0, 1439),
    "NO_CLOCK": lambda w: setattr(w.bms.readings, "clock_known", 0),
    "CALENDAR": lambda w: setattr(w.bms.readings, "user_free_s", 21_599),
    "FLOOR": lambda w: setattr(w.bms.belief, "min_uv", w.p.rest_floor_uv - 1),
}
