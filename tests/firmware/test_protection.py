"""The diagnostic table: well-formed, debounced in milliseconds, latched as it says, and every row found in time."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import protection
from relith.profile import ProfileError, lines
from relith.protection import Protection
from relith.schema import rows as schema_rows

from host_sim.tables import BLOCKS, LEVELS, TABLE
from tests.firmware.rigging import World, at_power_up, profile

WARN, SOFT, HARD, LOCK = range(4)
FIELDS = [row[1] for row in schema_rows() if row[0] == "figure"]
IDS = [row[0] for row in TABLE]
ROWS = [row._asdict() for row in TABLE]
with (Path(__file__).parent / "diagnostics.csv").open(newline="") as _file:
    REQUIRED = list(csv.DictReader(_file))  # what is demanded, and why


def test_the_table_is_what_is_demanded():
    quantities = [line.split()[1] for line in lines("protection.txt", protection.CRC) if line.startswith("quantity")]
    named = [
        row._asdict()
        | {"quantity": quantities[row.quantity], "level": LEVELS[row.level], "blocks": BLOCKS[row.blocks]}
        | {"black_box": "yes" if row.black_box else "no"}
        for row in TABLE
    ]
    demanded = [{name: value for name, value in row.items() if name != "why"} for row in REQUIRED]
    assert [{name: str(value) for name, value in row.items()} for row in named] == demanded
    assert all(row["why"] for row in REQUIRED)


def test_a_damaged_table_is_noticed(monkeypatch):
    """Before anything conducts: the controller does not even start."""
    monkeypatch.setattr(protection, "CRC", protection.CRC ^ 1)
    with pytest.raises(ProfileError, match=r"^protection.txt: is damaged or of another version"):
        World()


def test_the_table_is_well_formed():
    assert len(set(IDS)) == len(TABLE) <= 30
    for row in ROWS:
        assert isinstance(row["limit"], int) or row["limit"].lstrip("-") in FIELDS
        assert row["level"] in (WARN, SOFT, HARD, LOCK)
        assert row["blocks"] == {WARN: 0, HARD: 3, LOCK: 3}.get(row["level"], row["blocks"])
        assert row["level"] != SOFT or row["blocks"] in (1, 2, 3)
        assert row["response_ms"] > row["delay_ms"] >= 0
        assert row["below"] >= 0 and row["recover_ms"] >= 0 and row["black_box"] in (True, False)
        assert row["black_box"] == (row["level"] >= HARD)  # what latches is kept in the black box


def test_every_quantity_is_watched():
    assert sorted({row["quantity"] for row in ROWS}) == list(range(protection._QUANTITIES))


def limit_of(row, p):
    limit = row["limit"]
    if isinstance(limit, int):
        return limit
    return -getattr(p, limit[1:]) if limit[0] == "-" else getattr(p, limit)


def guard():
    p = profile()
    watched = Protection(p)
    for row in ROWS:  # far below every limit
        watched._values[row["quantity"]] = -(1 << 29)
    return p, watched


STEPS = st.lists(st.integers(1, 60_000), min_size=1, max_size=40)


@pytest.mark.safety(13)
@pytest.mark.parametrize("row", ROWS, ids=IDS)
@given(steps=STEPS)
def test_delay_is_elapsed_time_however_it_is_cut(row, steps):
    """Not active before the delay, active in the first tick at or after it, whatever the ticks."""
    p, watched = guard()
    bit = 1 << IDS.index(row["id"])
    watched._values[row["quantity"]] = limit_of(row, p) + 1
    watched.update(steps[0])  # seen for the first time: time counts from here
    above_ms = 0
    for step in steps[1:]:
        assert bool(watched.active & bit) == (above_ms >= row["delay_ms"])
        assert bool(watched.pending & bit) == (above_ms < row["delay_ms"])
        above_ms += step
        watched.update(step)
    assert bool(watched.active & bit) == (above_ms >= row["delay_ms"])
    assert bool(watched.latched & bit) == (row["level"] >= HARD and above_ms >= row["delay_ms"])


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_at_its_limit_nothing_happens(row):
    p, watched = guard()
    watched._values[row["quantity"]] = limit_of(row, p)
    for _ in range(10):
        watched.update(60_000)
    same = [k for k, other in enumerate(ROWS) if other["quantity"] == row["quantity"]]
    assert not watched.active & (1 << IDS.index(row["id"]))
    assert watched.active & ~sum(1 << k for k in same) == 0


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_short_excess_is_forgotten(row):
    """Below the limit once, and the delay begins anew."""
    if row["delay_ms"] < 2:
        return
    p, watched = guard()
    above, inside = limit_of(row, p) + 1, -(1 << 29)
    for _ in range(5):
        watched._values[row["quantity"]] = above
        watched.update(10)
        watched.update(row["delay_ms"] - 1)
        assert watched.pending & (1 << IDS.index(row["id"]))
        watched._values[row["quantity"]] = inside
        watched.update(10)
        assert not watched.active and not watched.pending


@pytest.mark.parametrize("row", [row for row in ROWS if row["level"] < HARD], ids=lambda row: row["id"])
@given(steps=STEPS)
def test_recovery_is_elapsed_time_below_the_hysteresis(row, steps):
    p, watched = guard()
    bit = 1 << IDS.index(row["id"])
    value = watched._values
    value[row["quantity"]] = limit_of(row, p) + 1
    watched.update(1)
    watched.update(row["delay_ms"])
    assert watched.active & bit and not watched.latched
    if row["below"]:
        value[row["quantity"]] = limit_of(row, p) - row["below"] + 1
        for _ in range(5):
            watched.update(60_000_000)
        assert watched.active & bit and not watched.recovering
    value[row["quantity"]] = limit_of(row, p) - row["below"]
    watched.update(steps[0])
    inside_ms = 0
    for step in steps[1:]:
        assert bool(watched.active & bit) == (inside_ms < row["recover_ms"])
        assert bool(watched.recovering & bit) == (inside_ms < row["recover_ms"])
        inside_ms += step
        watched.update(step)


@pytest.mark.safety(12)
@pytest.mark.parametrize("row", [row for row in ROWS if row["level"] >= HARD], ids=lambda row: row["id"])
def test_a_latch_stays_until_a_person_clears_it(row):
    p, watched = guard()
    bit = 1 << IDS.index(row["id"])
    watched._values[row["quantity"]] = limit_of(row, p) + 1
    watched.update(1)
    watched.update(row["delay_ms"])
    before = watched.latched
    assert before & bit and not watched.clear() and watched.latched == before  # it is still there
    watched._values[row["quantity"]] = -(1 << 29)
    for _ in range(5):
        watched.update(60_000_000)
    assert not watched.active and watched.latched == watched.latched == before
    assert bool(watched.lockout) == (row["level"] == LOCK) and bool(watched.fault & bit) == (row["level"] == HARD)
    assert watched.clear()
    watched.update(0)
    assert watched.alarms == watched.fault == watched.lockout == 0


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_what_a_row_blocks(row):
    p, watched = guard()
    watched._values[row["quantity"]] = limit_of(row, p) + 1
    watched.update(1)
    watched.update(row["delay_ms"])
    mine = 1 << IDS.index(row["id"])
    assert bool(watched.no_charge & mine) == bool(row["blocks"] & 1)
    assert bool(watched.no_discharge & mine) == bool(row["blocks"] & 2)
    assert bool(watched.soft & mine) == (row["level"] == SOFT)


def test_quiet_time_counts_from_the_last_alarm():
    p, watched = guard()
    for _ in range(10):
        watched.update(500)
    assert watched.quiet_s == 5
    watched._values[ROWS[IDS.index("deadline")]["quantity"]] = 2000
    watched.update(100)
    assert watched.quiet_s == 0 and watched.active
    watched._values[ROWS[IDS.index("deadline")]["quantity"]] = 0
    watched.update(100)
    watched.update(60_000)
    assert not watched.active and watched.quiet_s == 60
    assert p.cell_count == 1


# -- every row, in the loop: found within its response time, in the state it demands -------------------------------


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
    "voltage_stuck": (frozen, -900, "FAULT"),
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
    """`pulse_current` needs a pulse and `deadline` a late tick: test_gate.py and below."""
    assert set(IDS) - set(FAULTS) == {"pulse_current", "deadline"}


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
    assert ("voltage_stuck" in world.alarms()) == found


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


def test_a_new_protection_has_seen_nothing():
    watched = Protection(profile())
    assert watched.soft == watched.no_charge == watched.no_discharge == watched.alarms == watched.fault == 0
    at_power_up(
        watched,
        _values=[0, 0, -(1 << 29), *[0] * 22],
        _rows=list(watched._rows),
        _level=[sum(1 << k for k, row in enumerate(ROWS) if row["level"] == level) for level in range(4)],
        _blocks=[sum(1 << k for k, row in enumerate(ROWS) if row["blocks"] == blocks) for blocks in range(4)],
    )


def measured(world, **changes):
    """The quantities by name, after changes to what they are measured from."""
    for name, value in changes.items():
        owner, _, field = name.partition("__")
        setattr(getattr(world.bms, owner), field, value)
    world.bms.protection.measure(world.bms)
    names = [line.split()[1] for line in lines("protection.txt", protection.CRC) if line.startswith("quantity")]
    return dict(zip(names, world.bms.protection._values, strict=True))


def test_every_quantity_to_the_last_unit():
    world = World(share=0.6, cell_count=2, policy="none").run(60)
    p, bms = world.p, world.bms
    one_c = p.one_c_count
    bms.outputs.next_tick_ms = 4000
    bms.protection._rate_ms = bms.protection._still_ppm = 0
    v = measured(
        world, belief__max_uv=4_100_001, belief__min_uv=3_900_002, belief__sum_uv=8_000_003,
        readings__pack_uv=8_000_000, belief__count=one_c // 2, belief__max_cdegc=5001, belief__min_cdegc=2000,
        clock__elapsed_ms=4567,
        readings__hardware_trip=1, readings__watchdog_reset=1, clock__still=9, gate__calibrated_until_s=20,
        clock__seconds=33, tracker__jump_permille=1234, ledger__disagree=1,
    )  # fmt: skip
    bms.short_suspected = bms.journal_bad = 1
    v = measured(world, readings__pulse_switch=1)
    assert v == {
        "trip": 1, "high_uv": 4_100_001, "low_uv": -3_900_002, "charge_permille": 500, "discharge_permille": 0,
        "pulse_permille": 0, "hot_cdegc": 5001, "charge_cdegc": 5001 - p.charge_high_cdegc,
        "discharge_cdegc": 5001 - p.discharge_high_cdegc, "pulse_cdegc": 5001 - p.pulse_high_cdegc,
        "heating_cdegc_min": 0, "stale": 0, "lost_ms": 0, "stuck_ppm": 0, "switch": 0, "overrun": 1, "short": 1,
        "still": 9, "sum_uv": 3, "disagree": 1, "late_ms": 567, "watchdog": 1, "journal": 1, "calibration_s": 13,
        "jump_permille": 1234,
    }  # fmt: skip
    cold = measured(world, belief__max_cdegc=p.charge_low_cdegc - 7, belief__min_cdegc=p.charge_low_cdegc - 7)
    assert cold["charge_cdegc"] == 7 and cold["pulse_cdegc"] == p.pulse_low_cdegc - p.charge_low_cdegc + 7
    assert cold["discharge_cdegc"] == p.discharge_low_cdegc - p.charge_low_cdegc + 7
    out = measured(world, belief__count=-one_c, outputs__pulse_count=one_c, gate__pulse_permille=900)
    assert (out["charge_permille"], out["discharge_permille"], out["pulse_permille"]) == (0, 1000, 100)
    assert out["overrun"] == 0  # the sink is told to
    still = measured(world, belief__count=0, outputs__pulse_count=0, readings__pack_uv=0)
    assert (still["charge_permille"], still["discharge_permille"], still["pulse_permille"]) == (0, 0, 0)
    assert still["sum_uv"] == 0  # a board that does not read its string
    assert measured(world, belief__sum_uv=7_999_990, readings__pack_uv=8_000_000)["sum_uv"] == 10
    assert (
        measured(world, ledger__disagree=0)["disagree"] == 0 and measured(world, readings__charge_ok=0)["disagree"] == 1
    )


@pytest.mark.parametrize("part", ["current_good", "voltage_good", "temp_good"])
def test_what_is_not_believed_keeps_its_quantity(part):
    world = World(share=0.6, policy="none").run(60)
    before = measured(world)
    keep = {"current_good": "charge_permille", "voltage_good": "high_uv", "temp_good": "hot_cdegc"}
    changes = {"belief__count": world.p.one_c_count, "belief__max_uv": 4_150_000, "belief__max_cdegc": 4000}
    after = measured(world, **changes, belief__good=0, clock__elapsed_ms=100, **{f"belief__{part}": 0})
    assert [name for name in keep.values() if after[name] == before[name]] == [keep[part]]
    assert (after["stale"], after["lost_ms"]) == (1, 100)
    assert measured(world, clock__elapsed_ms=250)["lost_ms"] == 350
    assert measured(world, clock__elapsed_ms=(1 << 29) + 5)["lost_ms"] == 1 << 29
    assert measured(world, belief__good=1)["lost_ms"] == 0


def test_the_rise_of_temperature():
    """Over ten seconds and not sooner, in 0.01 degC a minute; the first look has nothing to compare."""
    world = World(share=0.6, policy="none")
    watched = world.bms.protection
    watched._rate_ms = watched._then_cdegc = 0
    quiet = {"belief__max_cdegc": 2500, "belief__min_cdegc": 2500}
    assert measured(world, clock__elapsed_ms=10_000, **quiet)["heating_cdegc_min"] == 0
    assert measured(world, clock__elapsed_ms=9_999, belief__max_cdegc=2600)["heating_cdegc_min"] == 0
    assert measured(world, clock__elapsed_ms=1)["heating_cdegc_min"] == 600  # 1 degC in 10 s
    assert measured(world, clock__elapsed_ms=20_000, belief__max_cdegc=2650)["heating_cdegc_min"] == 150
    assert measured(world, clock__elapsed_ms=10_000, belief__max_cdegc=2640)["heating_cdegc_min"] == -60


@pytest.mark.parametrize(
    "told, said, current, found",
    [((0, 0), (0, 0), 0, 0), ((1, 1), (1, 1), 10**6, 0), ((1, 0), (0, 0), 0, 1), ((0, 1), (0, 0), 0, 1),
     ((0, 0), (1, 0), 0, 1), ((0, 0), (0, 1), 0, 1), ((0, 0), (0, 0), 1, 1), ((0, 0), (0, 0), -1, 1),
     ((0, 1), (0, 1), 10**6, 0)],
)  # fmt: skip
def test_a_switch_that_does_not_follow(told, said, current, found):
    """Feedback other than told, or current through open switches: more than a twentieth of 1C."""
    world = World(share=0.6, policy="none")
    count = current * (world.p.step_count + 1) if abs(current) == 1 else current
    v = measured(
        world, outputs__charge_enable=told[0], outputs__discharge_enable=told[1], readings__charge_switch=said[0],
        readings__discharge_switch=said[1], belief__count=count,
    )  # fmt: skip
    assert v["switch"] == found
    if abs(current) == 1:
        assert measured(world, belief__count=current * world.p.step_count)["switch"] == 0
        assert measured(world, belief__count=count, belief__current_good=0)["switch"] == 0
        assert measured(world, belief__current_good=1, outputs__pulse_count=5)["switch"] == 0


def test_a_voltage_that_stands_while_charge_passes():
    world = World(share=0.6, cell_count=2, policy="none")
    watched = world.bms.protection
    for k in range(2):
        watched._then_uv[k] = world.bms.readings.cell_uv[k]
    watched._still_ppm, watched._then_count = 0, 0
    high = {"belief__max_uv": world.p.max_uv, "belief__voltage_new": 1, "ledger__moved_ppm": -70}
    assert measured(world, **high, belief__count=-5)["stuck_ppm"] == 70
    assert measured(world)["stuck_ppm"] == 140
    assert measured(world, belief__voltage_new=0)["stuck_ppm"] == 140  # no new sample, no evidence
    world.bms.readings.cell_uv[1] += 1
    assert measured(world, belief__voltage_new=1, belief__count=1600)["stuck_ppm"] == 0
    assert watched._then_count == 1600
    assert measured(world, belief__count=1500)["stuck_ppm"] == 70  # fell by a sixteenth: not enough
    assert measured(world, belief__count=1499)["stuck_ppm"] == 0 and watched._then_count == 1499
    assert measured(world, belief__count=1300, belief__max_uv=world.p.max_uv - 20_000)["stuck_ppm"] == 70
    assert measured(world, belief__max_uv=world.p.max_uv - 19_999)["stuck_ppm"] == 0
    assert measured(world, belief__count=0)["stuck_ppm"] == 70


def test_quiet_time_is_kept_to_the_millisecond():
    _, watched = guard()
    for ms, quiet_s in ((999, 0), (1, 1), (1999, 2), (1, 3), (10_500, 13), (500, 14)):
        watched.update(ms)
        assert watched.quiet_s == quiet_s
