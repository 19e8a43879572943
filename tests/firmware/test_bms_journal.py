"""What survives: a restart, a power loss, a damaged or strange journal."""

import struct
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import bms as bms_module
from relith.bms import Bms
from relith.inventory import UNKNOWN
from relith.journal import FAILED_MOST
from relith.log import CORRECTION
from relith.outlook import GAIN

from host_sim.tables import STATES
from tests.firmware.rigging import Store, World, lived, profile

DAY_S = 86_400


def test_a_restart_within_a_half_cycle_is_no_other_cell():
    world = lived("none").fill().run(300)
    world.run(3600, -400)
    then = World(share=world.share, store=world.store)
    e = then.bms.estimates[0]
    assert abs(e.soc_ppm / 1e6 - world.share) < 0.15
    for _ in range(4):
        then.cycle()
    assert then.bms.inventories[0].resets == 0 and e.known
    assert then.bms.short_suspected == 0


def test_gain_from_anchors_becomes_a_logged_correction():
    world = lived("none").fill().run(300)
    bms = world.bms
    raw = [vars(account).copy() for account in (bms.ledger.charged, bms.ledger.discharged)]
    inventory = bms.inventories[0]
    inventory.filter.d[GAIN] = 1
    inventory.filter.x[GAIN] = 10_000_000  # anchors said 1 %
    bms._correct()
    assert bms.ledger.gain_ppm == 10_000 and bms.ledger.corrections == 1
    assert inventory.filter.x[GAIN] == 0 and inventory.gain() == 0
    assert raw == [vars(account) for account in (bms.ledger.charged, bms.ledger.discharged)]
    world.run(1)
    events = [struct.unpack_from("<iii", bms.log.pack(0, -1, -1), 12 * k) for k in range(1, bms.log.count + 1)]
    said = [(code & 0xFFFFFF, detail) for _, code, detail in events if code >> 24 == CORRECTION]
    assert said == [(10_000, bms.ledger.offset_mcount)]
    bms._correct()
    assert bms.ledger.corrections == 1


def test_a_reboot_takes_up_where_it_stopped():
    world = lived("liu21").fill().run(400)
    bms = world.bms
    bms.save()
    again = Bms(profile(policy="liu21"), world.store)
    assert again.boots == bms.boots + 1
    assert again.clock.seconds == bms.clock.seconds
    for account in ("charged", "discharged", "gaps"):
        assert vars(getattr(again.ledger, account)) == vars(getattr(bms.ledger, account))
    known = (
        "isolated_ppm sei_ppm loss_ppm cathode_capacity_ppm capacity_ppm known limited_by pulse_trials cycles_permille"
    )
    for name in known.split():
        assert getattr(again.estimates[0], name) == getattr(bms.estimates[0], name)
    missed_ppm = bms.ledger.net_ppm() - bms.booked_ppm  # the half-cycle under way, which no record will tell of
    assert again.estimates[0].cathode_ppm == pytest.approx(bms.estimates[0].cathode_ppm - missed_ppm, abs=2)
    for name in ("armed_until_s", "calibrated_until_s", "day_spent_ppm", "life_spent_ppm", "last_pulse_s", "pulses"):
        assert getattr(again.gate, name) == getattr(bms.gate, name)
    assert again.tracker.index == bms.tracker.index
    assert STATES[again.machine.state] == "BOOT" and again.gate.asked == 0
    assert not any((again.outputs.charge_enable, again.outputs.discharge_enable, again.outputs.pulse_count))


def cathodes_ppm(bms):
    return [estimate.cathode_ppm for estimate in bms.estimates]


@pytest.mark.safety(11)
def test_what_no_record_tells_of_is_booked_once_however_often_it_restarts():
    world = lived("liu21").fill().run(400)
    world.bms.save()
    again = Bms(profile(policy="liu21"), world.store)
    once = cathodes_ppm(again)
    assert once != cathodes_ppm(world.bms)  # a half-cycle was under way
    for _ in range(3):
        again.save()
        again = Bms(profile(policy="liu21"), world.store)
        assert cathodes_ppm(again) == once


@pytest.mark.safety(11)
@pytest.mark.parametrize("updated", [1, 2, 3])
def test_a_record_made_while_a_strings_cells_are_updated_one_by_one(updated):
    """The half-cycle is counted once in every cell, whether its estimate knew of it or not."""
    world = World(share=0.5, policy="none", cell_count=4).fill().run(60).empty().run(60)
    while world.bms.updated != updated:
        world.tick(world.outputs.next_tick_ms, world.flows(300))
    world.bms.stop(1)
    again = Bms(world.p, world.store)
    truth_ppm = (1 - world.share) * world.p.cathode_capacity_ppm
    assert cathodes_ppm(again) == [pytest.approx(truth_ppm, abs=5_000)] * 4 and again.updated == 0


@pytest.mark.safety(11)
def test_half_an_update_is_none(monkeypatch):
    """A tick that fails within one leaves a cell that is unknown, in memory and after a restart."""
    world = World(share=0.5, policy="none").fill().run(60).empty().run(60)
    inventory = world.bms.inventories[0]
    with monkeypatch.context() as patch:
        patch.setattr(inventory, "_efficiency", lambda h: [][0])
        with pytest.raises(IndexError):
            world.run(5000, 300)
    assert Bms(world.p, world.store).estimates[0].known == UNKNOWN
    heard = []
    monkeypatch.setattr(inventory, "reset_unknown", lambda: heard.append(inventory))
    world.tick(world.outputs.next_tick_ms, world.flows(300))
    assert heard == [inventory] and world.bms.torn == 0


@pytest.mark.safety(9, 10)
def test_power_lost_in_a_pulse():
    """Outputs off, the pulse spent as planned, never resumed, and a cool-down that has not elapsed."""
    world = lived("liu21").fill().run(30, until="PULSE").run(30)
    assert world.outputs.pulse_count
    again = World(share=world.share, store=world.store, policy="liu21", ready=False)
    assert again.state == "BOOT" and again.outputs.pulse_count == 0
    again.run(300)
    assert again.state == "IDLE" and again.bms.gate.pulses == 1
    assert again.bms.gate.life_spent_ppm == pytest.approx(37_238, rel=1e-3)
    assert again.bms.gate.budgets(again.bms).pulse_allowed == 0


@pytest.mark.safety(4, 11)
def test_first_power_up_knows_nothing_and_intervenes_in_nothing():
    world = World(share=0.5, policy="both", store=Store())
    world.cycle().cycle()
    assert world.bms.gate.pulses == world.bms.gate.rests == 0
    assert world.bms.protection.latched == 0 and not world.bms.journal_bad


@pytest.mark.safety(11)
@pytest.mark.parametrize("slots", [{0: b"x", 1: b"y"}, {0: bytes(400), 1: b"garbage" * 50}])
def test_both_slots_destroyed(slots):
    """Unknown, locked out, no intervention: never zeros or defaults."""
    world = lived("liu21")
    world.store.slots = dict(slots)
    again = World(share=world.share, store=world.store, policy="liu21")
    assert again.state == "LOCKOUT" and not again.outputs.discharge_enable
    assert again.bms.journal_bad and again.bms.estimates[0].known == UNKNOWN
    assert again.bms.gate.armed_until_s == 0
    third = World(store=world.store, policy="liu21")  # and the lockout is in the journal now
    assert third.state == "LOCKOUT"
    assert third.bms.clear() == 0
    third.run(2).run(2)
    assert third.state == "IDLE" and third.bms.gate.budgets(third.bms).pulse_allowed == 0


@cache
def once_lived():
    return lived("none")


@pytest.mark.safety(11)
@given(st.integers(0, 3000), st.integers(0, 255))
def test_any_damaged_byte_is_noticed(where, value):
    world = once_lived()
    good = world.store.slots
    slots = {slot: bytearray(data) for slot, data in good.items()}
    for data in slots.values():
        data[where % len(data)] = value
    store = Store()
    store.slots = {slot: bytes(data) for slot, data in slots.items()}
    again = Bms(profile(policy="none"), store)
    untouched = [slot for slot in (0, 1) if store.slots[slot] == good[slot]]
    assert again.journal_bad or untouched or again.boots in (world.bms.boots, world.bms.boots + 1)


def test_of_another_cell():
    """A journal of another capacity or string is not ours."""
    world = lived("none")
    for changes in ({"nominal_capacity_uah": 238_000}, {"cell_count": 2}):
        store = Store()
        store.slots = dict(world.store.slots)
        again = Bms(profile(**changes), store)
        assert again.journal_bad and again.protection.latched
        assert all(estimate.known == UNKNOWN for estimate in again.estimates)


@pytest.mark.safety(7, 11, 12)
def test_a_lockout_survives_power_loss_and_a_fault_as_well():
    for uv, state in ((1_900_000, "LOCKOUT"), (2_400_000, "FAULT")):
        world = lived("none")
        world.alter = lambda r, uv=uv: r.cell_uv.__setitem__(0, uv)
        world.run(5).run(5)
        assert world.state == state
        again = World(share=0.5, store=world.store, policy="none")
        again.run(60)
        assert again.state == state and not again.outputs.charge_enable


def test_journal_is_written_by_charge_and_by_day():
    world = lived("none")
    before = world.store.writes
    world.run(20, 0)
    world.run(3600, 300)
    assert 3 <= world.store.writes - before <= 4  # 280 000 ppm, and the half-cycle that became complete
    before = world.store.writes
    world.run(10 * DAY_S)
    assert 9 <= world.store.writes - before <= 11
    assert world.outputs.journal_due in (0, 1)


@pytest.mark.safety(11)
def test_a_latch_whose_record_could_not_be_made_is_written_at_once_after(monkeypatch):
    """No memory for it in the tick of the latch: the tick's last words make up for it."""
    world = World(share=0.5)
    pack, left = bms_module.pack_all, [1]

    def none(bms):
        if left[0]:
            left[0] -= 1
            raise MemoryError
        return pack(bms)

    monkeypatch.setattr(bms_module, "pack_all", none)
    world.bms.journal.day_records = FAILED_MOST
    world.bms.short_suspected = 1
    with pytest.raises(MemoryError):
        world.tick(100, 0)
    assert Bms(world.p, world.store).protection.latched == world.bms.protection.latched != 0


@pytest.mark.safety(1, 11)
def test_what_the_flash_did_not_take_is_told_and_tried_again():
    world = World(share=0.5)
    world.store.broken = True
    for code, a in ((0, 0), (4, 0), (5, 0)):
        assert world.bms.command(code, a, 0) == world.bms.command(code, a, 0) == 35
    assert world.bms.gate.stopped == 1 and world.bms.gate.armed_until_s == world.bms.wishes.consent == 0
    world.store.broken = False
    assert world.bms.command(0, 0, 0) == 0
    again = Bms(world.p, world.store)
    assert again.gate.stopped == 1 and again.gate.armed_until_s == again.wishes.consent == 0


def test_a_new_cell_has_no_measured_resistance():
    world = World(share=0.5)
    world.bms.tracker.drop_uv[0] = 200_000
    assert world.bms.commission() == 0 and world.bms.tracker.drop_uv[0] == 0


@pytest.mark.safety(5)
def test_a_step_of_a_volt_is_a_resistance_beyond_measure():
    world = World(share=0.95)
    world.run(20, -500).run(20)
    assert 0 < world.bms.tracker.drop_uv[0] < 300_000
    world.drop_uv = 1_300_000
    world.run(0.9, -1000)
    assert world.bms.tracker.drop_uv[0] == 1_000_000 and "resistance_jump" in world.alarms()
