"""The flash: whatever is done to a board, so many records a day and no more (host_sim/wear.py says how many)."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relith.bms import APART_S, Bms
from relith.clock import DAY_S
from relith.inventory import INFERRED
from relith.journal import FAILED_MOST, MOST, OWN_MOST

from host_sim import wear
from tests.firmware.rigging import Store, World, data, profile

PROFILE = profile(policy="none")
STOP, RESUME, CLEAR, ARM, DISARM, CONSENT, CALIBRATE, COMMISSION, QUIET = 0, 1, 2, 3, 4, 5, 7, 8, 14


class CutError(BaseException):
    """The power failed within a record: nothing catches it."""


class Flash(Store):
    """Counts what is begun, and cuts the power in the middle when it is told to."""

    def __init__(self):
        super().__init__()
        self.profiles = self.cuts = 0
        self.cut = False

    def write(self, slot, data):
        if slot == 2:
            self.profiles += 1
        if self.cut:
            self.cut = False
            self.cuts += 1
            self.writes += 1
            self.slots[slot] = bytes(data)[: len(data) // 2]
            raise CutError
        super().write(slot, data)


class Torment:
    """One board, one day of power, and what can be done to it; each returns after a few ticks at most."""

    def __init__(self):
        self.store = Flash()
        self.world = None
        self.used_ms = 0
        self.restart()
        self.world.bms.commission()

    def restart(self):
        """The power comes back, everything that is not in the journal forgotten."""
        if self.world:
            self.used_ms += self.world.board.ms
        self.world = None
        while self.world is None:
            with contextlib.suppress(CutError):
                self.world = World(store=self.store, ready=False, policy="none", cooldown_s=0)

    def hours(self):
        return (self.used_ms + self.world.board.ms) / 3.6e6

    def command(self, code, a=0, b=0):
        self.world.bms.command(code, a, b)

    def reset(self):
        self.restart()

    def cut(self):
        """The next record is cut off."""
        self.store.cut = True

    def arm(self):
        self.command(ARM, 1 + self.store.writes % 300)

    def disarm(self):
        self.command(ARM, 5)
        self.command(DISARM)

    def calibrate(self):
        self.command(CALIBRATE, self.store.writes, 0)

    def commission(self):
        self.command(COMMISSION)

    def upload(self):
        changed = data(cooldown_s=self.store.writes)
        self.world.bms.profile_commit(json.dumps(changed).encode())

    def latch(self):
        """Every row that can latch, one after the other, then a person clears."""
        protection = self.world.bms.protection
        for bit in range(14):
            protection.latched |= 1 << bit
            self.world.tick(100, 0)
        protection.latched |= 1 << 13
        self.world.tick(100, 0)
        self.command(CLEAR)
        self.world.tick(100, 0)

    def fail(self):
        """A tick that raises, and what the board does then."""
        gate = self.world.bms.gate
        gate.watch = lambda bms: 1 // 0
        with contextlib.suppress(ZeroDivisionError):
            self.world.tick(100, 0)
        self.restart()

    def garbage(self):
        """A current sensor that shows anything."""
        self.world.tick(1000, 500_000 if self.store.writes % 2 else -500_000)

    def turn(self):
        """Half-cycles as short as they can be."""
        for permille in (500, -500):
            self.world.run(60, permille)

    def pulse(self):
        """As the scheduler would ask, with nothing against it."""
        bms = self.world.bms
        bms.protection.quiet_s = 1000
        bms.gate.armed_until_s = bms.gate.armed_until_s or bms.clock.seconds + 1000
        bms.gate.life_spent_ppm = bms.gate.day_spent_ppm = 0
        for estimate in bms.estimates:
            estimate.known = INFERRED
        bms.tracker.drop_uv[0] = 200_000
        bms.scheduler.pulse_permille, bms.scheduler.pulse_s = 1000, 1
        bms.gate.asked, bms.tracker.since_end_ppm = 1, 0
        self.world.run(2)

    def wait(self):
        self.world.run(APART_S + 1)

    def do(self, name, times):
        """So often, or until the day is over."""
        for _ in range(times):
            if self.hours() > 23.5:
                return
            try:
                getattr(self, name)()
            except CutError:
                self.restart()


DEEDS = ("reset", "cut", "arm", "disarm", "calibrate", "commission", "upload", "latch", "fail", "garbage", "turn",
         "pulse", "wait")  # fmt: skip


def most(torment):
    """The latches that a cut makes come again are written again: two each."""
    return wear.worst() + torment.store.cuts


@pytest.mark.safety(11)
@pytest.mark.parametrize("deed", [deed for deed in DEEDS if deed != "cut"])
def test_over_and_over(deed):
    """The same thing all day, as fast as it can be done."""
    torment = Torment()
    torment.do(deed, 1000)
    assert 0 < torment.store.writes <= most(torment)
    if deed in ("reset", "fail"):
        assert torment.store.writes <= (OWN_MOST if deed == "reset" else FAILED_MOST) + 2
    if deed in ("arm", "disarm", "calibrate", "commission", "upload"):
        assert torment.store.writes - torment.store.profiles <= MOST + 2 and torment.store.profiles <= MOST


@pytest.mark.safety(11)
@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(1, 150)), min_size=1, max_size=12))
def test_any_sequence_of_a_day(deeds):
    torment = Torment()
    for deed, times in deeds:
        torment.do(deed, 1 if deed == "cut" else times)
    assert torment.store.writes - torment.store.profiles <= most(torment)
    assert torment.store.profiles <= MOST + torment.store.cuts


@pytest.mark.safety(11)
def test_power_that_fails_in_every_record():
    """A brown-out that the record itself brings about: no start writes before its time."""
    torment = Torment()
    for _ in range(300):
        torment.cut()
        torment.do("reset", 1)
    assert torment.store.cuts <= 2
    torment.do("wait", 1)
    assert torment.store.cuts <= 3


@pytest.mark.safety(11)
def test_what_must_survive_is_written_all_the_same():
    """The allowance used up: what is withdrawn and a latch at once, what is given the day after."""
    torment = Torment()
    torment.do("arm", 200)
    bms, store = torment.world.bms, torment.store
    assert bms.journal.day_records == MOST and bms.command(ARM, 3, 0) == 58
    writes = store.writes
    assert bms.command(DISARM, 0, 0) == 0 and store.writes == writes + 2
    assert all(Bms(PROFILE, one).gate.armed_until_s == 0 for one in only(store))  # either slot may be lost
    assert bms.command(DISARM, 0, 0) == 0 and store.writes == writes + 2  # nothing to withdraw
    for _ in range(3):  # a stop and a refusal too, and their opposites wait
        assert bms.command(STOP, 0, 0) == bms.command(CONSENT, 0, 0) == 0
        assert bms.command(RESUME, 0, 0) == bms.command(CONSENT, 1, 0) == 58
    for after in (Bms(PROFILE, one) for one in only(store)):
        assert after.gate.stopped == 1 and after.wishes.consent == 0
    assert store.writes <= writes + 6
    torment.world.alter = lambda r: setattr(r, "hardware_trip", 1)
    torment.world.run(1)
    assert bms.protection.latched == 1
    assert all(Bms(PROFILE, one).protection.latched == 1 for one in only(store))
    torment.world.alter = None
    torment.world.run(10)
    assert bms.command(CLEAR, 0, 0) == 58 and bms.protection.latched
    torment.world.run(DAY_S)
    assert bms.command(CLEAR, 0, 0) == 0 and bms.command(ARM, 3, 0) == 0


def only(store):
    """Two stores with one slot each."""
    for slot in (0, 1):
        one = Store()
        one.slots = {slot: store.slots[slot]}
        yield one


def test_quiet_hours_that_are_told_again_write_nothing():
    torment = Torment()
    bms, store = torment.world.bms, torment.store
    assert bms.command(QUIET, 60, 120) == 0
    writes = store.writes
    for _ in range(200):
        assert bms.command(QUIET, 60, 120) == 0
    assert store.writes == writes


@pytest.mark.safety(11)
def test_a_latch_that_one_slot_missed_is_written_there_at_the_next_start():
    """The allowance used up, the power cut between the two slots of a latch, then the newer slot lost."""
    torment = Torment()
    torment.do("arm", 200)
    world, store = torment.world, torment.store
    before = dict(store.slots)
    world.alter = lambda r: setattr(r, "hardware_trip", 1)
    world.run(1)
    newest = world.bms.journal._slot
    store.slots[newest] = before[newest]  # the second write never came
    Bms(PROFILE, store)
    writes = store.writes
    Bms(PROFILE, store)  # and once is enough
    assert store.writes == writes
    assert all(Bms(PROFILE, one).protection.latched == 1 for one in only(store))


def test_clearing_nothing_writes_nothing():
    world = World()
    writes = world.store.writes
    assert world.bms.command(CLEAR, 0, 0) == 0 and world.store.writes == writes
    world.bms.black_box.keep()  # as when a tick has failed: a person has seen it now, and that is kept
    assert world.bms.command(CLEAR, 0, 0) == 0 and world.store.writes == writes + 1


def test_the_same_profile_is_not_written_twice():
    world = World()
    text = json.dumps(data(cooldown_s=5)).encode()
    assert world.bms.profile_commit(text) == 0
    writes = world.store.writes
    assert world.bms.profile_commit(bytearray(text)) == 0 and world.store.writes == writes
    assert world.store.slots[2] == text


def test_figures_follow_from_the_firmware():
    assert wear.worst() == 3 * (DAY_S // APART_S) + FAILED_MOST + 2 + 2 * 14 + 2 * 3
    assert wear.raw_years(2 * 365.25) == pytest.approx(100_000 / 365.25 / 365.25)
    assert 1000 < wear.size(1) < 4096 and wear.size(16) > 4 * 4096
    assert wear.littlefs_years(365.25, 1) == pytest.approx(100_000 * 100 / 2 / 365.25 / 365.25)
    assert wear.littlefs_years(1, 16) < wear.littlefs_years(1, 1) / 2
    assert f"{wear.worst()} a day" in wear.text()
