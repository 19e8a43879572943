"""A rest: how long it lasts, what ends it, what it books."""

import pytest

from tests.firmware.gate_worlds import names, ready, resting


def test_a_rest_lasts_as_long_as_asked():
    world = resting(7200)
    begun = world.board.ms
    assert not (world.outputs.charge_enable or world.outputs.discharge_enable)
    world.run(10_000, until="IDLE")
    assert world.reason == "the rest was long enough" and world.board.ms - begun == 7_200_000
    assert world.outputs.charge_enable and world.bms.gate.rests == 1


def test_a_rest_lasts_to_its_last_millisecond():
    world = resting(3600)
    world.bms.gate.run_ms = 3_600_000 - 101
    world.tick(100, 0)
    assert world.state == "REST"
    world.tick(1, 0)
    assert world.state == "IDLE"


def test_where_nothing_is_asked_nothing_is_granted():
    world = ready()
    gate, reason = world.bms.gate, world.outputs.reason
    gate.asked, world.bms.scheduler.reason = 0, reason + 1
    gate.watch(world.bms)
    assert (gate.due, gate.granted, gate.over, world.outputs.reason) == (0, 0, 0, reason)


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


def test_what_a_rest_books():
    world = ready()
    gate = world.bms.gate
    world.bms.scheduler.rest_s, gate.asked, gate.run_ms, gate.rests = 4321, 2, 99, 5
    gate.begin_rest(world.bms)
    assert (gate.rest_s, gate.asked, gate.run_ms, gate.rests) == (4321, 0, 0, 6)
