"""Every row in the loop: found within its response time, in the state it demands."""

import pytest

from tests.firmware.protection_rows import IDS, ROWS, limit_of
from tests.firmware.rigging import World

WARN, SOFT, HARD, LOCK = range(4)


def volts(uv):
    return lambda world, r: r.cell_uv.__setitem__(0, uv)


def fields(**values):
    def alter(world, r):
        for name, value in values.items():
            setattr(r, name, value)

    return alter


def temperature(cdegc):
    return lambda world, r: r.temp_cdegc.__setitem__(0, cdegc)


def rate(permille):
    def alter(world, r):
        r.current_count = permille * world.p.one_c_count // 1000
        r.charge_ok = 0

    return alter


def restless(world, r):
    """Accumulator that stands while current flows."""
    r.charge_hi = r.charge_lo = 0


def clock_stands(world, r):
    r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = 5_000


def short(world, r):
    world.bms.short_suspected = 1


def out_of_date(world, r):
    world.bms.gate.calibrated_until_s = -1


def jump(world, r):
    world.bms.tracker.jump_permille = 2100


def bad_journal(world, r):
    world.bms.journal_bad = 1


def frozen(world, r):
    r.cell_uv[0] = 3_700_000


def warming(world, r):
    r.temp_cdegc[0] = 2500 + world.board.ms // 100  # 6 degC a minute


FAULTS = {  # row: what is wrong, what the world wants meanwhile (per mille), end state
    "hardware_trip": (fields(hardware_trip=1), 0, "FAULT"),
    "cell_high_hard": (volts(4_290_000), 0, "FAULT"),
    "cell_low_hard": (volts(2_400_000), 0, "FAULT"),
    "deep_discharge": (volts(1_900_000), 0, "LOCKOUT"),
    "charge_hard": (rate(750), 0, "FAULT"),
    "discharge_hard": (rate(-2700), 0, "FAULT"),
    "hot_hard": (temperature(6100), 0, "FAULT"),
    "heating": (warming, 0, "FAULT"),
    "sensor_lost": (fields(temp_ok=0), 0, "FAULT"),
    "sensor_stuck": (frozen, -900, "SOFT_LIMIT"),
    "switch_stuck": (lambda w, r: fields(charge_switch=1, stop=1)(w, r), 0, "FAULT"),
    "pulse_overrun": (fields(pulse_switch=1), 0, "FAULT"),
    "soft_short": (short, 0, "FAULT"),
    "clock_still": (clock_stands, 0, "FAULT"),
    "cell_high": (volts(4_230_000), 0, "SOFT_LIMIT"),
    "cell_low": (volts(2_850_000), 0, "SOFT_LIMIT"),
    "charge_current": (rate(600), 0, "SOFT_LIMIT"),
    "discharge_current": (rate(-1500), 0, "SOFT_LIMIT"),
    "charge_window": (temperature(4600), 0, "SOFT_LIMIT"),
    "discharge_window": (temperature(5600), 0, "SOFT_LIMIT"),
    "sensor_stale": (fields(current_ok=0), 0, "SOFT_LIMIT"),
    "pack_sum": (lambda w, r: setattr(r, "pack_uv", sum(r.cell_uv) + 30_000), 0, "SOFT_LIMIT"),
    "pulse_window": (temperature(4100), 0, "IDLE"),
    "accumulator": (restless, -100, "DISCHARGE"),
    "watchdog": (fields(watchdog_reset=1), 0, "IDLE"),
    "calibration": (out_of_date, 0, "IDLE"),
    "resistance_jump": (jump, 0, "IDLE"),
    "journal": (bad_journal, 0, "IDLE"),
}


@pytest.mark.safety(7, 8, 13)
@pytest.mark.parametrize("name", FAULTS)
def test_found_in_time_and_made_safe(name):
    """From the tick that first shows it above its limit to the outputs that answer it: at most response_ms."""
    alter, permille, end = FAULTS[name]
    row = ROWS[IDS.index(name)]
    world = World(share=0.6)
    if permille:
        world.run(30, permille)
    world.alter = lambda r: alter(world, r)
    waited_ms, ms = 0, 100
    for _ in range(1000):
        world.tick(ms, world.flows(permille))
        if name in world.alarms():
            break
        ms = world.outputs.next_tick_ms
        if world.bms.protection._values[row["quantity"]] > limit_of(row, world.p):
            waited_ms += ms
    assert name in world.alarms() and waited_ms <= row["response_ms"]
    assert world.board.ms < 200_000  # and it was seen at all
    o = world.outputs
    if row["level"] >= HARD:
        assert not (o.charge_enable or o.discharge_enable or o.pulse_count)
    if row["blocks"] & 1:
        assert not o.charge_enable and not o.charge_limit_count
    if row["blocks"] & 2:
        assert not o.discharge_enable and not o.discharge_limit_count
    assert world.state == end
    assert world.bms.gate.budgets(world.bms).pulse_allowed == 0  # no row leaves room for an intervention


@pytest.mark.safety(13)
def test_every_row_has_its_fault():
    """`pulse_current` needs a pulse, `ocv_ledger` two rests, `deadline` a late tick: test_gate_pulse.py,
    test_ocv_ledger.py, and below."""
    assert set(IDS) - set(FAULTS) == {"pulse_current", "ocv_ledger", "deadline"}


def test_a_late_tick_is_noticed():
    world = World(share=0.6)
    world.tick(world.outputs.next_tick_ms + 1000, 0)
    assert "deadline" not in world.alarms()
    world.tick(world.outputs.next_tick_ms + 1001, 0)
    assert world.alarms() == ["deadline"]
    world.run(80)
    assert world.alarms() == []


@pytest.mark.parametrize("falls, found", [(True, False), (False, True)])
def test_a_held_voltage_is_not_a_stuck_one(falls, found):
    """At the end of charge the voltage stands while the current falls; when neither moves, the sensor is stuck."""
    world = World(share=0.6)
    world.run(30, 300)
    world.alter = volts(4_199_000).__get__(world)
    permille = 300
    for _ in range(100):
        world.tick(4000, permille * world.p.one_c_count // 1000)
        permille -= permille // 20 if falls else 0
        if permille < 110:
            break
    assert ("sensor_stuck" in world.alarms()) == found


@pytest.mark.parametrize("uv, state", [(4_279_000, "SOFT_LIMIT"), (2_501_000, "SOFT_LIMIT")])
def test_a_soft_limit_leaves_the_other_direction_open(uv, state):
    world = World(share=0.6)
    world.alter = lambda r: volts(uv)(world, r)
    world.run(5).run(5)
    assert world.state == state
    assert (world.outputs.charge_enable, world.outputs.discharge_enable) == ((0, 1) if uv > 4_000_000 else (1, 0))
    world.alter = None
    world.run(20)
    assert world.state == "IDLE" and world.outputs.charge_enable and world.outputs.discharge_enable


@pytest.mark.safety(12)
@pytest.mark.parametrize(
    "isolated_ppm, tighter_cdegc", [(0, 0), (999, 0), (300_000, 300), (1_000_000, 1000), (2 * 10**6, 1000)]
)
def test_limits_of_temperature_tighten_with_isolated_lithium(isolated_ppm, tighter_cdegc):
    """Every upper one, by the worst cell; the lower ones and the rate stay."""
    world = World(share=0.6, cell_count=2)
    p, watched = world.p, world.bms.protection
    world.bms.estimates[1].isolated_ppm = isolated_ppm
    for name, limit, row in (
        ("hard_high_cdegc", p.hard_high_cdegc, "hot_hard"),
        ("charge_high_cdegc", p.charge_high_cdegc, "charge_window"),
        ("discharge_high_cdegc", p.discharge_high_cdegc, "discharge_window"),
        ("pulse_high_cdegc", p.pulse_high_cdegc, "pulse_window"),
    ):
        for cdegc, above in ((limit - tighter_cdegc, False), (limit - tighter_cdegc + 1, True)):
            world.bms.belief.max_cdegc = world.bms.belief.min_cdegc = cdegc
            watched.measure(world.bms)
            quantity = ROWS[IDS.index(row)]["quantity"]
            assert (watched._values[quantity] > limit_of(ROWS[IDS.index(row)], p)) == above, name
    world.bms.belief.max_cdegc = world.bms.belief.min_cdegc = p.charge_low_cdegc
    watched.measure(world.bms)
    assert watched._values[ROWS[IDS.index("charge_window")]["quantity"]] == 0
    assert watched._values[ROWS[IDS.index("heating")]["quantity"]] == 0 and watched.tighter_cdegc == tighter_cdegc
