"""One tick, top to bottom. Read this file first.

sample -> believe -> count -> protect -> state -> (at the end of a half-cycle: estimate -> schedule) -> gate -> apply
-> journal -> send. Data flows down this list, never back up within a tick. The scheduler asks; the gate alone grants.

A board does, forever: board.read(readings); outputs = bms.tick(readings); board.apply(outputs); and waits for
outputs.next_tick_ms at most.
"""

from relith import const
from relith.blackbox import BlackBox
from relith.clock import DAY_S, Clock
from relith.commands import Wishes, commit, record, recorded, run
from relith.gate import Gate
from relith.halfcycle import END_HIGH, HalfCycle, Tracker
from relith.inventory import Inventory
from relith.journal import FAILED_MOST, OWN_MOST, Journal
from relith.ledger import Ledger
from relith.link import Link
from relith.log import ANCHOR, CORRECTION, REFUSAL, Log
from relith.memory import pack_all, unpack_all
from relith.protection import Protection
from relith.readings import Belief, Outputs, Readings
from relith.scheduler import Scheduler
from relith.states import PULSE, REST, Machine, facts

SAVE_PPM = const(100000)  # charge moved between two journal records
APART_S = const(300)  # and no two of these come closer
_HOUR_S = const(3600)
_WHY_GRANTED = const(0)
_WHY_STILL = const(32)
_WHY_DAYS = const(33)
_WHY_FLASH = const(35)


class Bms:
    """`store`: two journal slots; `stream`: bytes to and from whoever listens, or None (docs/interfaces.md)."""

    def __init__(self, profile, store, stream=None):
        self.profile = profile
        self.readings = Readings(profile.cell_count)
        self.outputs = Outputs()
        self.clock = Clock()
        self.belief = Belief()
        self.ledger = Ledger(profile)
        self.tracker = Tracker(profile, self.ledger)
        self.protection = Protection(profile)
        self.gate = Gate(profile)
        self.machine = Machine()
        self.inventories = [Inventory(profile, k) for k in range(profile.cell_count)]
        self.estimates = [inventory.estimate for inventory in self.inventories]
        self.scheduler = Scheduler(profile)
        self.journal = Journal(store)
        self.link = Link(stream)
        self.wishes = Wishes()
        self.log = Log()
        self.black_box = BlackBox()
        self.h = HalfCycle()
        self.fits = None  # the board's check of an uploaded profile, which raises ValueError
        self.boots = 0
        self.moved = 0  # 1: a state was left for another in this tick
        self.cleared = 0  # 1 in the tick after a person cleared the latches
        self.ended = 0  # not 0: a half-cycle has ended (as Tracker.ended), and what comes next is still to be decided
        self.updated = 0  # cells whose estimate knows of one half-cycle more than the others'; 0: all of the same
        self.torn = 0  # 1: the update of the next one has begun
        self.news = False  # state, decision, reason or alarms are not what they were
        self.journal_bad = 0  # 1: interventions stay off
        self.short_suspected = 0  # 1: rest sag or charge that never returns
        self.booked_ppm = 0  # raw net charge up to the end of the last half-cycle that was estimated in all cells
        self.ahead_ppm = 0  # up to that of the one which `updated` cells know
        self._corrections = 0
        self._saved_ppm = self._saved_s = self._saved_latches = self._failed = 0
        self._boxed = 0  # rows that the black box has been kept for
        self._watched_s = 0  # into this rest, when the voltages were last compared
        self._remember()

    def tick(self, readings):
        """What the sensors say -> what may conduct, how much, and how long the next tick may wait."""
        try:
            self._tick(readings)
        except Exception:
            self.outputs.off()  # before anything else; the board's loop does the rest
            self._last_words()
            raise
        return self.outputs

    def _last_words(self):
        """What was known when a tick failed, into the black box and the journal, as far as they still work."""
        try:
            self.black_box.note(self)
            self.black_box.keep()
            self._own(FAILED_MOST)
            self._journal()  # a latch in any case
        except Exception:
            self.outputs.off()

    def _tick(self, readings):
        self.readings = readings
        outputs, belief = self.outputs, self.belief
        tracker, machine = self.tracker, self.machine
        clock, ledger, gate = self.clock, self.ledger, self.gate
        outputs.journal_due = 0
        self.link.poll(self)
        self.wishes.apply(readings, clock.seconds)
        clock.tick(readings.now_ms)
        belief.update(readings)
        ledger.count(readings, belief, machine.state == REST and gate.run_ms > 0)
        if ledger.corrections != self._corrections:
            self._corrections = ledger.corrections
            self.log.add(clock.seconds, CORRECTION << 24 | ledger.gain_ppm & 0xFFFFFF, ledger.offset_mcount)
        ledger.bleed(readings.cell_uv, outputs.balance_mask, gate.bleed_uv, clock.elapsed_ms)
        tracker.update(readings, belief, clock.elapsed_ms)
        if abs(tracker.rest_s - self._watched_s) >= _HOUR_S and belief.voltage_good:
            self._watch()
        self.protection.measure(self)
        self.protection.update(clock.elapsed_ms)
        boxed = self.protection.alarms & self.protection.boxed
        if boxed & ~self._boxed:
            self.black_box.note(self)  # what has just been read, with what was granted until now
            self.black_box.keep()
        self._boxed = boxed
        gate.watch(self)
        self.moved = machine.step(facts(self))
        if self.moved:
            self._enter(machine.before, machine.state)
        self.cleared = 0
        if tracker.ended:
            self.ended = tracker.ended
        if self.ended and not self.updated:
            self._schedule()
        if tracker.ready and machine.state != PULSE:
            self._estimate()
        gate.apply(self)
        self.black_box.note(self)
        self._journal()
        self.news = self.log.watch(outputs, clock.seconds)
        self.link.send(self)

    def _enter(self, before, state):
        """What a transition brings with it. The journal knows of a pulse before it flows."""
        gate = self.gate
        if before == PULSE:
            gate.end_pulse(self)
        if state == PULSE:
            gate.begin_pulse(self)
        elif state == REST:
            gate.begin_rest(self)
        elif before != PULSE:
            return
        if not self.save() and state == PULSE:
            gate.pulse_permille = 0  # no record, no pulse: nothing is turned on, and the next tick ends it

    def _schedule(self):
        """A half-cycle ended: what next? The record is that of the lowest cell."""
        cells = self.readings.cell_uv
        lowest = 0
        for k in range(1, len(cells)):
            if cells[k] < cells[lowest]:
                lowest = k
        self.tracker.record(self.h, lowest, self.ended == 2)
        self.ended = 0
        s = self.scheduler
        s.after_half_cycle(self.h, self.estimates, self.readings, self.gate.budgets(self))
        self.gate.asked = self.outputs.decision = s.decision
        self.outputs.reason = s.reason
        self.gate.extras.ask(self, self.h.end == END_HIGH and not s.decision)

    def _estimate(self):
        """A half-cycle is complete, with the rest after it: where is each cell's lithium now? A cell a tick: an update
        takes a Pico an estimated 0.2 s, and limits are to be looked at meanwhile.
        """
        k = self.updated
        inventory = self.inventories[k]
        if self.torn:  # a tick failed in the middle of it: half an update is none
            inventory.reset_unknown()
        self.torn = 1
        self.ahead_ppm = self.ledger.net_ppm() - self.tracker.under_way_ppm()
        self.tracker.record(self.h, k, 1)
        self.protection.compare(k, self.h, self.estimates[k].cathode_capacity_ppm)
        inventory.half_cycle(self.h)
        self.updated = k = (k + 1) % len(self.inventories)
        if k == 0:
            self.booked_ppm = self.ahead_ppm
        self.torn = 0
        for kind, residual_ppm in inventory.anchors:
            self.log.add(self.clock.seconds, ANCHOR << 24 | inventory.estimate.cell_index << 8 | kind, residual_ppm)
        if k == 0:
            self.tracker.ready = 0
            self._correct()
            self._suspect()
            self._saved_ppm = SAVE_PPM

    def _correct(self):
        """What a cell's anchors say of the current's gain goes over into the ledger's correction: the sum stays."""
        gain = self.inventories[0].gain()
        if gain:
            self.ledger.calibrate(self.ledger.offset_mcount, self.ledger.gain_ppm + gain)
            for inventory in self.inventories:
                inventory.corrected(gain)

    def _watch(self):
        """Once an hour in a rest: does a cell's voltage sag?"""
        self._watched_s = self.tracker.rest_s
        for k in range(len(self.inventories)):
            self.inventories[k].rest(self.readings.cell_uv[k], self._watched_s)
        self._suspect()

    def _suspect(self):
        for e in self.estimates:
            if e.short_suspected:
                self.short_suspected = 1

    # -- journal -------------------------------------------------------------------------------------------

    def _journal(self):
        """A latch at once; charge and estimates when they have moved, but not too often; and once a day."""
        self._saved_ppm = min(self._saved_ppm + abs(self.ledger.moved_ppm), SAVE_PPM)
        waited_s = self.clock.seconds - self._saved_s
        if self.protection.latched != self._saved_latches:
            self.save()
        elif waited_s >= (APART_S if self._saved_ppm >= SAVE_PPM else DAY_S):
            self.save(0)

    def _own(self, most=OWN_MOST):
        """A record of what nobody asked for: now, or when some time has passed, so that no loop of restarts or failing
        ticks wears the flash.
        """
        if self.journal.may(self.clock.seconds, most):
            self.save()

    def save(self, counts=1, both=0):
        """A record of all; in both slots if asked, when the latches changed, or when one may have missed them."""
        latched = self.protection.latched
        self._saved_ppm = 0
        self._saved_s = self.clock.seconds
        both = 1 if both or latched != self._saved_latches or latched and self._failed else 0
        self.outputs.journal_due = 1
        self.journal.day_records += counts + both
        saved = self.journal.save(pack_all(self), both)
        self._saved_latches = latched  # not before: a record that could not even be made is made up for
        self._failed = not saved
        if not saved:
            self.journal_bad = 1
        return saved

    def _remember(self):
        """What the journal kept. A new board's empty record: all unknown. None that is ours: as well, and an unreadable
        lockout is a lockout.
        """
        data = self.journal.load()
        if data is None or not unpack_all(self, data):
            for inventory in self.inventories:
                inventory.reset_unknown()
            if data != b"":
                self.journal_bad = 1
                self.protection.lock()
        else:
            net_ppm = self.ledger.net_ppm()
            if self.torn:
                self.inventories[self.updated].reset_unknown()
            for k in range(len(self.inventories)):
                self.inventories[k].passed(net_ppm - (self.ahead_ppm if k < self.updated else self.booked_ppm))
            self.booked_ppm = net_ppm  # or the next restart would count it again
            self.updated = self.torn = 0
        self._corrections = self.ledger.corrections
        self._suspect()
        self._boxed = self._saved_latches = self.protection.latched
        self._saved_s = self.clock.seconds
        self.boots += 1
        self._saved_ppm = SAVE_PPM
        if self.protection.latched and not self.journal.alike:
            self._failed = 1  # the other slot may have missed the latch
            self.save()
        else:
            self._own()

    # -- persons, over the link or at the board; each returns a line number of reasons.txt, 0 = done -----------

    command = run
    profile_commit = commit
    record = record
    recorded = recorded

    def refused(self, message, refusal, reason):
        """The link refused a frame: that stands in the log."""
        self.log.add(self.clock.seconds, REFUSAL << 24 | message << 8 | refusal, reason)

    def kept(self, both=0):
        """A record of what a person asked for; what is withdrawn stands in both slots. 0, or why it does not."""
        return _WHY_GRANTED if self.save(1, both) else _WHY_FLASH

    def commission(self):
        """A new cell of this profile, calibrated and tested: what the profile says of it is believed from here on, and
        the latches of the old one are forgotten. Not while a fault is still there.
        """
        if not self.protection.renew():
            return _WHY_STILL
        self.gate.extras.cancel(self)
        self.gate.asked = 0
        for k in range(len(self.inventories)):
            self.inventories[k] = Inventory(self.profile, k)
            self.estimates[k] = self.inventories[k].estimate
            self.tracker.drop_uv[k] = 0
        self.short_suspected = self.tracker.ready = self.updated = self.torn = 0
        self.cleared = 1
        self.journal_bad = 0
        return self.calibrated()

    def calibrated(self):
        """The current path was checked today."""
        self.gate.calibrated_until_s = self.clock.seconds + self.profile.calibration_days * DAY_S
        return self.kept()

    def arm(self, days):
        """Consent to interventions for some days."""
        if not 0 < days <= self.profile.arm_days:
            return _WHY_DAYS
        self.gate.armed_until_s = self.clock.seconds + days * DAY_S
        return self.kept()

    def disarm(self):
        """Consent withdrawn, for good at once; so many records as there were of arming."""
        self.gate.extras.cancel(self)
        if self.gate.armed_until_s or self._failed:
            self.gate.armed_until_s = 0
            return self.kept(1)
        return _WHY_GRANTED

    def quiet(self, from_min, until_min):
        """Between these minutes of the clock's day no pulse begins; the same minute twice: at any time."""
        gate = self.gate
        if gate.quiet_from_min != from_min or gate.quiet_until_min != until_min:
            gate.quiet_from_min = from_min
            gate.quiet_until_min = until_min
            return self.kept()
        return _WHY_GRANTED

    def stop(self, on):
        """The operator's stop outranks everything but protection, at once, and stands after a restart."""
        if self.gate.stopped != on or self._failed:
            self.gate.stopped = on
            return self.kept(on)
        return _WHY_GRANTED

    def clear(self):
        """Forget the latches of faults that are gone: a deliberate act. The black box may be written over."""
        kept = self.protection.latched | self.journal_bad | self.black_box.first
        if not self.protection.clear():
            return _WHY_STILL
        self.cleared = 1
        self.journal_bad = self.black_box.first = 0
        return self.kept() if kept else _WHY_GRANTED
