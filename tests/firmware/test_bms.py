"""The tick as a whole: a laboratory life under each policy, what a person may do, and safe whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.tables import REASONS
from tests.firmware.rigging import Store, World, lived, states

DAY_S = 86_400


# -- a life under each policy ------------------------------------------------------------------------------------


def test_policy_none():
    world = lived("none").cycle()
    assert states(world) == ["CHARGE", "IDLE", "DISCHARGE", "IDLE"]
    assert world.bms.gate.pulses == world.bms.gate.rests == 0


def test_liu21_pulses_after_every_charge():
    world = lived("liu21").fill()
    assert world.reason == "fixed protocol: a pulse after every charge"
    begun = world.board.ms
    world.run(400, until="PULSE").run(400, until="IDLE")
    assert world.board.ms - begun <= 120_200 and world.reason == "the pulse was delivered"
    world.run(60).empty().run(60)
    assert states(world)[-3:] == ["IDLE", "DISCHARGE", "IDLE"] and "PULSE" in states(world)
    assert world.bms.gate.pulses == 1
    world.fill()
    assert world.bms.h.pulse_s == 0  # of the charge that has just ended
    main = world.bms.tracker._done
    assert (main.kind, main.pulse_s, main.pulse_permille) == (-1, 120, 1000)
    assert main.pulse_ppm == pytest.approx(37_238, rel=1e-3)


def test_zhang24_rests_once_a_day_when_empty():
    world = lived("zhang24")
    assert world.bms.gate.rests == 1
    world.cycle()
    assert world.bms.gate.rests == 1 and world.reason == "the next rest is not due yet"
    world.fill().run(DAY_S).empty().run(60)
    assert world.bms.gate.rests == 2 and world.state == "REST"
    assert not world.outputs.charge_enable and not world.outputs.discharge_enable
    world.run(7 * 3600, until="IDLE")
    assert world.reason == "the rest was long enough"


def test_both():
    world = lived("both").fill().run(DAY_S).empty().run(60)
    assert world.bms.gate.pulses == 1 and world.state == "REST"


def test_a_refusal_is_told_and_the_cell_goes_on():
    world = lived("liu21")
    world.bms.disarm()
    world.fill()
    assert world.reason == "the gate would not grant it now"
    world.run(60).empty()
    assert world.bms.gate.pulses == 0 and "PULSE" not in states(world)


def test_no_current_for_long_is_storage_and_current_ends_it():
    world = lived("none", storage_after_s=3600)
    world.run(4000)
    assert world.state == "STORAGE"
    world.run(120, 300)
    assert world.state == "CHARGE"
    world.bms.wishes.storage = 1
    world.run(30).run(30)
    assert world.state == "STORAGE"


def test_a_world_that_does_not_obey_is_stopped():
    """It draws on below the cut-off: the discharge switch opens, and nothing latches."""
    world = lived("none")
    world.fill().run(60)
    world.obey = False
    for _ in range(5000):
        world.tick(world.outputs.next_tick_ms, world.flows(-300))
        if not world.outputs.discharge_enable:
            break
    assert world.board.voltage_uv[0] > world.p.min_uv - 10_000
    assert world.bms.tracker.empty and world.bms.protection.latched == 0
    world.run(60, -300)
    assert world.state == "IDLE"
    world.run(120, 300)
    assert world.state == "CHARGE" and world.outputs.discharge_enable


def test_ticks_far_apart_come_to_the_same():
    """A cycle in ticks as long as allowed and one in ticks of 1 s: the same decisions, and charge exact in both."""
    fast, slow = lived("both"), lived("both")
    fast.fill().run(300).empty()
    for want in (300, 0, -100):
        begun = slow.board.ms
        while True:
            slow.tick(min(1000, slow.outputs.next_tick_ms), slow.flows(want))
            if want > 0 and slow.bms.tracker.full:
                break
            if want == 0 and slow.board.ms - begun >= 300_000:
                break
            if want < 0 and slow.bms.tracker.empty:
                break
    assert states(fast) == states(slow)
    for world in (fast, slow):
        true_ppm = world.board.count_ms / world.p.ppm_count_ms
        assert world.bms.ledger.net_ppm() == pytest.approx(true_ppm, abs=2)
        assert world.bms.ledger.gaps.ppm == 0


# -- persons ---------------------------------------------------------------------------------------------------------


@pytest.mark.safety(4)
def test_arming_is_for_days_and_not_longer():
    world = lived("none")
    days = world.p.arm_days
    assert REASONS[world.bms.arm(days + 1)] == REASONS[world.bms.arm(0)] == "days must be 1 to the profile's arm_days"
    assert world.bms.arm(2) == 0
    gate = world.bms.gate
    world.run(2 * DAY_S - 200)
    assert gate.budgets(world.bms).rest_allowed
    world.run(400)
    assert not gate.budgets(world.bms).rest_allowed
    assert world.bms.arm(1) == 0 and gate.budgets(world.bms).rest_allowed
    assert world.bms.disarm() == 0 and not gate.budgets(world.bms).rest_allowed


@pytest.mark.safety(12)
def test_clearing_needs_the_fault_to_be_gone():
    world = lived("none")
    world.alter = lambda r: r.cell_uv.__setitem__(0, 4_300_000)
    world.run(5).run(5)
    assert world.state == "FAULT"
    assert REASONS[world.bms.clear()] == "the fault is still there"
    world.alter = None
    world.run(60)
    assert world.state == "FAULT"  # nothing clears itself
    assert world.bms.clear() == 0
    world.run(2).run(2)
    assert world.state == "IDLE"
    assert not world.bms.gate.budgets(world.bms).rest_allowed  # cleared too recently
    world.run(700)
    assert world.bms.gate.budgets(world.bms).rest_allowed


def test_commissioning_believes_the_profile():
    world = World(share=0.5, policy="none", store=Store())
    world.cycle()
    assert world.bms.commission() == 0
    assert world.bms.estimates[0] is world.bms.inventories[0].estimate
    assert world.bms.gate.calibrated_until_s > world.bms.clock.seconds


@pytest.mark.safety(12, 15)
def test_while_a_fault_is_still_there_no_cell_is_commissioned():
    """Refused whole, with the reason, and nothing written for it."""
    world = lived("none")
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.run(3).run(3)
    bms, writes = world.bms, world.store.writes
    before = [bms.inventories[0], bms.estimates[0], bms.gate.calibrated_until_s]
    assert REASONS[bms.command(8, 0, 0)] == "the fault is still there" and bms.protection.latched
    assert [bms.inventories[0], bms.estimates[0], bms.gate.calibrated_until_s] == before
    world.run(3)
    assert world.state == "FAULT" and world.store.writes == writes
    world.alter = None
    world.run(3)
    assert bms.command(8, 0, 0) == 0 and bms.protection.latched == 0 and bms.inventories[0] is not before[0]
    world.run(1).run(3)
    assert world.state == "IDLE"


@pytest.mark.safety(8, 12)
def test_a_soft_short_goes_with_its_cell_but_not_while_another_fault_stands():
    world = lived("none")
    world.bms.short_suspected = 1
    world.run(3)
    assert world.alarms() == ["soft_short"] and world.bms.clear() and world.state == "FAULT"
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.run(3)
    assert world.bms.commission() and world.bms.short_suspected
    world.run(3)
    assert world.alarms() == ["hardware_trip", "soft_short"]
    world.alter = None
    world.run(3)
    assert world.bms.clear()  # of the short
    assert world.bms.commission() == 0
    world.run(1).run(3)
    assert world.alarms() == [] and world.state == "IDLE"


# -- safe whatever happens -----------------------------------------------------------------------------------------


PARTS = (
    "link.poll", "clock.tick", "belief.update", "ledger.count", "tracker.update", "protection.measure",
    "protection.update", "gate.watch", "machine.step", "gate.apply", "log.watch", "link.send",
)  # fmt: skip


@pytest.mark.safety(10)
@pytest.mark.parametrize("part", PARTS)
def test_an_exception_leaves_outputs_off(part, monkeypatch):
    world = lived("none")
    world.run(60, 300)
    assert world.outputs.charge_enable
    owner, name = part.split(".")

    def broken(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(getattr(world.bms, owner), name, broken)
    with pytest.raises(RuntimeError):
        world.tick(100, 0)
    o = world.outputs
    assert not any((o.charge_enable, o.discharge_enable, o.pulse_count, o.pulse_ms, o.discharge_limit_count))


@pytest.mark.safety(10)
def test_boot_waits_for_every_sensor():
    world = World(share=0.5, ready=False)
    world.alter = lambda r: setattr(r, "temp_ok", 0)
    for _ in range(20):
        world.tick(20, 0)
        assert world.state == "BOOT" and not world.outputs.discharge_enable
    world.alter = None
    for _ in range(2):
        world.tick(20, 0)
        assert world.state == "BOOT"
    world.tick(20, 0)
    assert world.state != "BOOT"


@given(
    st.lists(
        st.tuples(
            st.integers(-2600, 2600),
            st.integers(1, 4_700_000),
            st.integers(-6000, 14_000),
            st.integers(1, 70_000),
            st.integers(0, 255),
        ),
        max_size=40,
    )
)
def test_garbage_never_raises_and_never_pulses(ticks):
    """Any readings: no exception, no pulse, and nothing conducts in BOOT, FAULT, LOCKOUT or under a stop."""
    world = World(share=0.5, policy="both")
    for permille, uv, cdegc, ms, bits in ticks:

        def alter(r, uv=uv, cdegc=cdegc, bits=bits):
            r.cell_uv[0] = uv
            r.temp_cdegc[0] = cdegc
            r.current_ok, r.cell_ok, r.temp_ok, r.charge_ok = bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1
            r.stop, r.user_consent, r.pulse_switch, r.watchdog_reset = (bits >> k & 1 for k in (4, 5, 6, 7))

        world.alter = alter
        o = world.tick(ms, permille * world.p.one_c_count // 1000)
        assert o.pulse_count == 0 and 1 <= o.next_tick_ms <= 60_000
        if world.state in ("BOOT", "FAULT", "LOCKOUT", "REST") or bits >> 4 & 1:
            assert not o.charge_enable and not o.discharge_enable
        assert bool(o.charge_limit_count) == bool(o.charge_enable)
