"""Every quantity of the table, measured to the last unit."""

import pytest
from relith import protection
from relith.profile import lines

from host_sim.tables import TABLE
from tests.firmware.rigging import World

HEATING = next(row.quantity for row in TABLE if row.id == "heating")


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
        "still": 9, "sum_uv": 3, "disagree": 1, "ocv_ppm": 0, "late_ms": 567, "watchdog": 1, "journal": 1,
        "calibration_s": 13, "jump_permille": 1234, "load_permille": 0,
    }  # fmt: skip
    cold = measured(world, belief__max_cdegc=p.charge_low_cdegc - 7, belief__min_cdegc=p.charge_low_cdegc - 7)
    assert cold["charge_cdegc"] == 7 and cold["pulse_cdegc"] == p.pulse_low_cdegc - p.charge_low_cdegc + 7
    assert cold["discharge_cdegc"] == p.discharge_low_cdegc - p.charge_low_cdegc + 7
    out = measured(world, belief__count=-one_c, outputs__pulse_count=one_c, gate__pulse_permille=900)
    assert (out["charge_permille"], out["discharge_permille"], out["pulse_permille"]) == (0, 1000, 100)
    assert out["load_permille"] == 100  # what flows beside the pulse
    assert out["overrun"] == 0  # the sink is told to
    still = measured(world, belief__count=0, outputs__pulse_count=0, readings__pack_uv=0)
    assert (still["charge_permille"], still["discharge_permille"], still["pulse_permille"]) == (0, 0, 0)
    assert still["load_permille"] == 0
    assert measured(world, belief__count=-one_c)["load_permille"] == 1000
    assert still["sum_uv"] == 0  # a board that does not read its string
    assert measured(world, belief__sum_uv=7_999_990, readings__pack_uv=8_000_000)["sum_uv"] == 10
    assert (
        measured(world, ledger__disagree=0)["disagree"] == 0 and measured(world, readings__charge_ok=0)["disagree"] == 1
    )


def test_one_count_is_a_rate_where_1c_is_a_thousand():
    """The coarsest that the schema lets through."""
    world = World(share=0.6, policy="none").run(60)
    world.p.one_c_count = 1000
    for count, rates in ((1, (1, 0)), (-1, (0, 1)), (0, (0, 0))):
        v = measured(world, belief__count=count, outputs__pulse_count=0)
        assert (v["charge_permille"], v["discharge_permille"]) == rates


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


def test_a_rise_is_measured_over_all_the_time_it_took():
    """A thermometer that answers in every tenth tick only: 3 degC a minute stay 3, and are not 30."""
    world = World(share=0.6)
    world.alter = lambda r: (
        r.temp_cdegc.__setitem__(0, 2500 + world.board.ms // 200),
        setattr(r, "temp_ok", int(world.board.ms // 1000 % 10 == 0)),
    )
    seen = set()
    for _ in range(60):
        world.tick(1000, 0)
        seen.add(world.bms.protection._values[HEATING])
    assert max(seen) <= 300 and "heating" not in world.alarms()


def test_the_last_count_of_a_charger_is_a_current_that_falls():
    world = World(share=0.6, policy="none")
    watched = world.bms.protection
    watched._then_uv[0], watched._then_count, watched._still_ppm = world.bms.readings.cell_uv[0], 1600, 0
    held = {"belief__max_uv": world.p.max_uv, "belief__voltage_new": 1, "ledger__moved_ppm": 70}
    assert measured(world, **held, belief__count=0)["stuck_ppm"] == 70
    assert measured(world, belief__count=1)["stuck_ppm"] == 0 and watched._then_count == 1


@pytest.mark.safety(6)
def test_temperatures_that_stand_while_the_current_warms():
    """Charge times the rate over 2C, from C/2 on; hottest and coldest sensor each by itself."""
    world = World(share=0.6, policy="none")
    watched = world.bms.protection
    watched._still_ppm, world.bms.belief.voltage_new = 0, 0

    def stuck(permille, moved_ppm, hot=2600, cold=2490):
        return measured(
            world,
            tracker__permille=permille,
            ledger__moved_ppm=moved_ppm,
            belief__max_cdegc=hot,
            belief__min_cdegc=cold,
        )["stuck_ppm"]

    assert stuck(1000, 10) == 0  # both have moved
    assert stuck(499, 1000) == 0
    assert stuck(500, -1000) == 250
    assert stuck(1000, 1000) == 750
    assert stuck(0, 1000) == 750  # no current, no proof either way
    assert stuck(2000, 60_000) == 50_750 and stuck(30_000, 60_000) == 550_750
    watched._hot_ppm, watched._cold_ppm = 500, 300
    assert stuck(500, 1000) == 750
    assert stuck(500, 1000, hot=2601) == 800  # the coldest still stands
    assert stuck(500, 1000, hot=2601) == 1050
    assert stuck(500, 1000, hot=2601, cold=2499) == 500 == watched._hot_ppm and watched._cold_ppm == 0
    assert stuck(500, 1000, hot=2600, cold=2499) == 250 == watched._cold_ppm and watched._hot_ppm == 0
    assert stuck(500, 1000, hot=2601, cold=2498) == 0
    assert stuck(500, 1000, hot=2601, cold=2498) == 250 == watched._hot_ppm == watched._cold_ppm
    watched._hot_ppm, watched._cold_ppm = (1 << 29) - 3, (1 << 29) - 1
    assert stuck(500, 1000, hot=2601, cold=2498) == 1 << 29 == watched._hot_ppm == watched._cold_ppm


def test_a_sink_that_conducts_closes_the_circuit():
    world = World(share=0.6, policy="none")
    closed = {"outputs__charge_enable": 0, "outputs__discharge_enable": 1, "outputs__pulse_count": 1}
    said = {"readings__charge_switch": 0, "readings__discharge_switch": 1}
    assert measured(world, **closed, **said, belief__count=-(10**6))["switch"] == 0
