"""What the gate lets conduct: vetoes by precedence, permits of a state, and the bleeding of a string."""

import pytest
from relith import gate as gate_module

from host_sim.tables import STATES
from tests.firmware.gate_worlds import SPOIL, WHY, pulsing, ready
from tests.firmware.rigging import World


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


@pytest.mark.safety(1)
def test_what_the_states_let_through():
    """Charge 1, discharge 2, pulse sink 4."""
    demanded = {"BOOT": 0, "IDLE": 3, "CHARGE": 3, "DISCHARGE": 3, "PULSE": 6, "REST": 0, "SOFT_LIMIT": 3, "FAULT": 0,
                "LOCKOUT": 0, "STORAGE": 3}  # fmt: skip
    assert dict(zip(STATES, gate_module.PERMITS, strict=True)) == demanded


def test_full_and_empty_close_their_switch():
    world = ready()
    world.bms.tracker.full = 1
    world.bms.gate.apply(world.bms)
    assert (world.outputs.charge_enable, world.outputs.discharge_enable) == (0, 1)
    world.bms.tracker.full, world.bms.tracker.empty = 0, 1
    world.bms.gate.apply(world.bms)
    assert (world.outputs.charge_enable, world.outputs.discharge_enable) == (1, 0)


@pytest.mark.parametrize("which, paused", [(4, "charge_limit_count"), (5, "discharge_limit_count")])
def test_a_shape_that_pauses_holds_back_its_own_direction_only(which, paused):
    world = ready()
    extras, p = world.bms.gate.extras, world.p
    extras.which, extras.shape = which, [400, 60, 15, 1500, 3500, 1, 900_000]
    extras.until_s[which - 1] = world.bms.clock.seconds + 1
    world.bms.belief.max_uv = 3_900_000
    full = {"charge_limit_count": p.charge_max_count, "discharge_limit_count": p.discharge_max_count}
    own = 400 * p.one_c_count // 1000
    for at_ms, most in ((59_999, own), (60_000, 0), (74_999, 0), (75_000, own)):
        extras._ms = at_ms - world.bms.clock.elapsed_ms
        world.bms.gate.apply(world.bms)
        assert {name: getattr(world.outputs, name) for name in full} == full | {paused: most}


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


# -- balancing a string ------------------------------------------------------------------------------------------------


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
        lambda w: setattr(w.bms.belief, "voltage_good", 0),
        lambda w: setattr(w.bms.belief, "count", -1),
        lambda w: setattr(w.bms.protection, "alarms", 1),
        lambda w: setattr(w.bms.machine, "state", STATES.index("REST")),
        lambda w: setattr(w.bms.machine, "state", STATES.index("PULSE")),
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
