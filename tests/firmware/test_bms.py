"""The tick as a whole: a laboratory life under each policy, what the journal brings back, and what a person may do."""

import struct
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.bms import Bms
from relith.inventory import UNKNOWN
from relith.log import CORRECTION
from relith.outlook import GAIN

from host_sim.tables import REASONS, STATES, TABLE
from tests.firmware.rigging import Store, World, profile

DAY_S = 86_400


def states(world):
    """States passed, repeats left out."""
    passed = []
    for state, _ in world.seen:
        if not passed or passed[-1] != state:
            passed.append(state)
    return passed


def lived(policy, **changes):
    """A world after one cycle: the inventory is known, the resistance measured."""
    world = World(share=0.5, policy=policy, **changes)
    world.cycle()
    world.run(900 if world.state != "REST" else 40_000)
    world.seen.clear()
    return world


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


# -- what survives -------------------------------------------------------------------------------------------------


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


# -- the black box ----------------------------------------------------------------------------------------------------


def box(bms):
    """Rows of eight numbers."""
    return list(struct.iter_unpack("<8i", bms.black_box.kept))


def test_the_last_ticks_before_a_latch_are_kept():
    world = lived("none")
    world.run(120, 300)
    assert box(world.bms) == []
    world.alter = lambda r: r.cell_uv.__setitem__(0, 4_300_000)
    world.run(5, 300).run(5, 300)
    rows = box(world.bms)
    assert world.state == "FAULT" and len(rows) == 16
    seconds, count, low, high, hot, what, alarms, switches = rows[-1]
    assert (count, low, high, hot) == (40_050, 4_300_000, 4_300_000, 2500)
    assert STATES[what >> 16] == "CHARGE" and switches == 3  # what had been granted until then
    assert alarms & 2 and rows[0][6] == 0  # the hard row, and nothing at first
    assert seconds == world.bms.clock.seconds or seconds == world.bms.clock.seconds - 5
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert min(row[2] for row in rows) < 4_200_000  # from before it began
    again = World(share=0.5, store=world.store, policy="none")
    assert again.state == "FAULT" and box(again.bms) == rows  # a boot into the latch does not overwrite it
    assert again.bms.record(2) == again.bms.black_box.kept


@pytest.mark.safety(14)
def test_the_first_event_stays_and_the_newest_stands_behind_it():
    """Until a person clears: then the next one has the box for itself."""
    world = lived("none")
    world.run(120, 300)
    world.alter = lambda r: r.cell_uv.__setitem__(0, 2_400_000)
    world.run(5).run(5)
    assert world.state == "FAULT"
    first = box(world.bms)
    assert len(first) == 16
    world.alter = lambda r: r.cell_uv.__setitem__(0, 1_900_000)
    world.run(60).run(60)
    assert world.state == "LOCKOUT"
    both = box(world.bms)
    assert both[:8] == first[8:] and both[8:] != first[8:] and both[-1][2] < 2_000_000
    again = World(share=0.5, store=world.store, policy="none")  # over a loss of power too
    again.alter = lambda r: setattr(r, "hardware_trip", 1)
    again.run(2)
    third = box(again.bms)
    assert third[:8] == first[8:] and third[-1][6] & 1 and third[-1][0] > both[-1][0]
    again.alter = None
    again.run(10)
    assert again.bms.clear() == 0 and box(again.bms) == third  # it may still be read
    again.run(3).run(3)
    assert again.state == "IDLE"
    again.alter = lambda r: setattr(r, "hardware_trip", 1)
    again.run(2)
    rows = box(again.bms)
    assert again.state == "FAULT" and rows[0][0] > third[-1][0] - 16 and not set(rows) & set(first)


@pytest.mark.safety(14)
def test_a_latch_while_it_boots_is_kept_as_well():
    world = World(share=0.5, store=Store(), ready=False)
    assert world.state == "BOOT" and world.bms.black_box.kept == b""
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.tick(100, 0)
    rows = box(world.bms)
    assert world.state == "FAULT" and [row[5] >> 16 for row in rows] == [0] * len(rows)
    assert World(store=world.store).bms.black_box.kept == world.bms.black_box.kept


@pytest.mark.safety(14)
def test_a_failed_tick_that_nobody_has_read_of_is_not_lost_to_a_latch(monkeypatch):
    world = lived("none")
    world.run(60, 300)
    with monkeypatch.context() as patch:
        patch.setattr(world.bms.gate, "watch", lambda bms: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            world.tick(100, 0)
    failed = box(world.bms)
    again = World(share=0.5, store=world.store, ready=False)
    again.alter = lambda r: setattr(r, "hardware_trip", 1)
    again.tick(100, 0)
    rows = box(again.bms)
    assert again.state == "FAULT" and rows[:8] == failed[-8:] and len(rows) > 8


def test_the_table_says_what_the_black_box_is_kept_for(monkeypatch):
    """Not a latching row alone: a row of the table that says yes."""
    world = lived("none")
    world.alter = lambda r: setattr(r, "watchdog_reset", 1)
    world.tick(100, 0)
    assert world.alarms() == ["watchdog"] and world.bms.black_box.kept == b""
    world = lived("none")
    world.bms.protection.boxed |= 1 << [row[0] for row in TABLE].index("watchdog")
    world.alter = lambda r: setattr(r, "watchdog_reset", 1)
    world.run(2)
    kept = world.bms.black_box.kept
    assert world.alarms() == ["watchdog"] and kept
    world.run(5)
    assert world.bms.black_box.kept == kept  # once


def test_a_box_of_the_wrong_size_is_refused():
    world = lived("none")
    assert world.bms.black_box.unpack(b"x" * 31) is False
    assert world.bms.black_box.unpack(b"x" * 32 * 17) is False
    assert world.bms.black_box.unpack(b"x" * 32) is True


@pytest.mark.safety(10)
def test_last_words_that_fail_too_change_nothing(monkeypatch):
    """The first exception goes on, outputs stay off."""
    world = lived("none")
    world.run(60, 300)

    def broken(*args):
        raise RuntimeError("first")

    def worse(*args):
        world.outputs.charge_enable = 1
        raise OSError("second")

    monkeypatch.setattr(world.bms.gate, "watch", broken)
    monkeypatch.setattr(world.bms, "save", worse)
    with pytest.raises(RuntimeError, match="first"):
        world.tick(100, 0)
    assert not world.outputs.charge_enable


@pytest.mark.safety(11)
def test_a_second_latch_is_kept_as_well():
    """It comes when the state is FAULT already, and no transition brings a record."""
    world = lived("none")
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.run(2)
    assert world.state == "FAULT" and world.alarms() == ["hardware_trip"]
    writes = world.store.writes
    world.alter = lambda r: r.temp_cdegc.__setitem__(0, 6100)
    world.run(3)
    latched = world.bms.protection.latched
    assert latched.bit_count() >= 2 and writes < world.store.writes <= writes + 2
    assert World(store=world.store).bms.protection.latched == latched


def test_the_lowest_cell_of_a_string_is_the_record_that_decides():
    world = World(share=0.5, cell_count=3)
    heard = []
    world.bms.tracker.record = lambda h, cell, complete: heard.append(cell)
    for uv in ([3_700_000, 3_600_000, 3_650_000], [3_500_000, 3_600_000, 3_400_000], [3_500_000] * 3):
        world.bms.readings.cell_uv[:] = type(world.bms.readings.cell_uv)("i", uv)
        world.bms._schedule()
    assert heard == [1, 2, 0]


# -- a string's estimates, one cell a tick -------------------------------------------------------------------------


class Watched(World):
    """A string of 16 that tells, of every tick, which cells' estimates were updated; and of every decision, how many
    half-cycles each of the estimates it saw has had. `hasten`: during updates the cut-off is reached.
    """

    def __init__(self, hasten=False, **changes):
        super().__init__(share=0.3, cell_count=16, **changes)
        self.updates, self.decided, self.hasten = [], [], hasten
        self.had = [0] * 16
        for k, inventory in enumerate(self.bms.inventories):
            inventory.half_cycle = self._heard(k, inventory.half_cycle)
        self.bms.scheduler.after_half_cycle = lambda *_: self.decided.append(list(self.had))
        self.alter = self._touch

    def _heard(self, k, half_cycle):
        def update(h):
            self.updates[-1].append(k)
            self.had[k] += 1
            half_cycle(h)

        return update

    def _touch(self, r):
        if self.hasten and 0 < sum(self.had) % 16 < 4:
            for k in range(16):
                r.cell_uv[k] = self.p.min_uv - 1000

    def tick(self, ms, count):
        if hasattr(self, "updates"):
            self.updates.append([])
        return super().tick(ms, count)


def test_a_tick_updates_one_cell_at_most_and_all_in_order():
    world = Watched()
    world.run(600, -100).run(600, 300).run(600, -300)
    done = [cells for cells in world.updates if cells]
    assert done == [[k % 16] for k in range(32)]
    first = world.updates.index([0])
    assert world.updates[first : first + 16] == [[k] for k in range(16)]  # in one go
    assert world.longest_ms > 1000 and world.bms.tracker.ready == 0


def test_a_decision_never_sees_estimates_of_which_some_are_new():
    """The discharge is over in the midst of the updates that its beginning brought: the decision waits, and comes."""
    world = Watched(hasten=True)
    world.run(600, 300).run(300, -300)
    assert world.had == [1] * 16 and world.bms.tracker.empty
    assert all(len(set(had)) == 1 for had in world.decided)
    assert world.decided[-1] == [1] * 16


def test_what_waits_for_the_other_cells_is_decided_at_once_when_they_are_done():
    world = Watched(hasten=True)
    world.run(600, 300)
    while not world.had[0]:
        world.tick(world.outputs.next_tick_ms, world.flows(-300))
    ticks = len(world.updates)
    while [1] * 16 not in world.decided:
        assert world.outputs.next_tick_ms == 100
        world.tick(world.outputs.next_tick_ms, world.flows(-300))
    assert len(world.updates) - ticks == 16  # 15 cells more, and the decision


def test_a_new_cell_is_not_told_of_the_half_cycle_before_it():
    world = Watched()
    world.run(600, 300)
    while not world.had[0]:
        world.tick(world.outputs.next_tick_ms, world.flows(-300))
    world.bms.commission()
    world.run(5, -300)
    assert world.had[1] == 0 and world.bms.tracker.ready == 0
    world.run(600, -300)
    world.run(600, 300)
    assert [inventory.kept[0] for inventory in world.bms.inventories] == [0] * 16
