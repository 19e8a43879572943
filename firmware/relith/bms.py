"""One tick, top to bottom. Read this file first.

sample -> believe -> count -> protect -> state -> (at the end of a half-cycle: estimate -> schedule) -> gate -> apply -> journal -> send

The board does, forever: board.read(readings); outputs = bms.tick(readings); board.apply(outputs); wait at most outputs.next_tick_ms.
Data flows down this list and never back up within a tick. The scheduler asks; the gate alone grants.
"""

from relith import commands, memory
from relith import reasons as why
from relith import states as st
from relith.clock import DAY_S, Clock
from relith.gate import Gate
from relith.halfcycle import TURN_PPM, HalfCycle, Tracker
from relith.inventory import Inventory
from relith.journal import EMPTY, Journal
from relith.ledger import Ledger
from relith.link import Link
from relith.log import REFUSAL, Log
from relith.protection import LOCK_ROWS, Protection
from relith.readings import Belief, Outputs, Readings
from relith.scheduler import NONE, PULSE, REST, Scheduler

_SAVE_PPM = 100000  # charge moved between two journal records
_SAVE_S = 86400  # and time
_READY_TICKS = 3  # good readings in a row that end the self-test

_LOCKOUT, _FAULT, _STOP, _CLEARED = st.fact("lockout"), st.fact("fault"), st.fact("stop"), st.fact("cleared")
_LIMIT, _UNLIMITED, _PULSE_OVER, _REST_OVER = (
    st.fact("limit"),
    st.fact("unlimited"),
    st.fact("pulse_over"),
    st.fact("rest_over"),
)
_READY, _PULSE_DUE, _REST_DUE, _CHARGING = (
    st.fact("ready"),
    st.fact("pulse_due"),
    st.fact("rest_due"),
    st.fact("charging"),
)
_DISCHARGING, _QUIET, _STORAGE_DUE = st.fact("discharging"), st.fact("quiet"), st.fact("storage_due")
_PULSE_GRANTED, _REST_GRANTED = st.fact("pulse_granted"), st.fact("rest_granted")
_PULSE_BEGINS, _PULSE_ENDS, _REST_BEGINS, _REST_ENDS, _LATCHED = [1 << k for k in range(len(st.EFFECTS))]


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
        self.machine = st.Machine()
        self.inventories = [Inventory(profile, k) for k in range(profile.cell_count)]
        self.estimates = [inventory.estimate for inventory in self.inventories]
        self.scheduler = Scheduler(profile)
        self.gate = Gate(profile)
        self.journal = Journal(store)
        self.link = Link(stream)
        self.wishes = commands.Wishes()
        self.log = Log()
        self.news = False  # state, decision, reason or alarms are not what they were
        self.h = HalfCycle()
        self.short_suspected = 0  # 1: rest sag or charge that never returns
        self.moved = 0  # 1: a row of the state table fired in this tick
        self.due = 0  # what the scheduler asked for and the time is now: PULSE, REST or 0
        self.boots = 0
        self.journal_bad = 0  # 1: interventions stay off
        self._asked = NONE  # decision that waits for its time
        self._cleared = 0
        self._good = 0  # ticks in a row with every reading good
        self._saved_s = self._saved_ppm = 0
        self._remember()

    def tick(self, readings):
        self.readings = readings
        outputs, machine, tracker = self.outputs, self.machine, self.tracker
        outputs.journal_due = 0
        self.link.poll(self)
        self.wishes.apply(readings, self.clock.seconds)
        self.clock.tick(readings.now_ms)
        elapsed_ms = self.clock.elapsed_ms
        self.belief.update(readings)
        self.ledger.count(readings, self.belief, 1 if machine.state == st.REST and self.gate.run_ms else 0)
        tracker.update(readings, self.belief, elapsed_ms)
        self.protection.measure(self, elapsed_ms)
        self.protection.update(elapsed_ms)
        self.moved = machine.step(self._facts())
        if machine.effects:
            self._act(machine.effects)
        if tracker.ended:
            self._schedule()
        if tracker.ready and machine.state != st.PULSE:
            self._estimate()
        self.gate.apply(self)
        self._journal()
        self.news = self.log.watch(outputs, self.clock.seconds)
        self.link.send(self)
        return outputs

    # -- state ---------------------------------------------------------------------------------------------

    def _facts(self):
        """Triggers and guards of this tick as bits (states.TRIGGERS, states.GUARDS)."""
        protection, tracker, gate = self.protection, self.tracker, self.gate
        state = self.machine.state
        facts = self.due = 0
        if protection.active or protection.latched:
            if protection.lockout():
                facts |= _LOCKOUT
            if protection.fault():
                facts |= _FAULT
            facts |= _LIMIT if protection.soft() else _UNLIMITED
        else:
            facts |= _UNLIMITED
        if self.readings.stop or gate.stopped:
            facts |= _STOP
        if self._cleared:
            facts |= _CLEARED
            self._cleared = 0
        if tracker.permille == 0:
            facts |= _QUIET
            if self.wishes.storage or tracker.rest_s >= self.profile.storage_after_s:
                facts |= _STORAGE_DUE
        elif self.belief.count > 0:
            facts |= _CHARGING
        else:
            facts |= _DISCHARGING
        if state == st.PULSE:
            reason = gate.watch_pulse(self)
            if reason:
                self.outputs.reason = reason
                facts |= _PULSE_OVER
        elif state == st.REST:
            reason = gate.watch_rest(self)
            if reason:
                self.outputs.reason = reason
                facts |= _REST_OVER
        elif state == st.BOOT:
            b = self.belief
            self._good = self._good + 1 if b.current_good and b.voltage_good and b.temp_good else 0
            if self._good >= _READY_TICKS:
                facts |= _READY
        elif self._asked and self._is_due():
            facts |= self._ask()
        return facts

    def _is_due(self):
        """Is it time for what the scheduler asked? A pulse begins the discharge after a charge, a rest follows a discharge; both soon."""
        tracker = self.tracker
        if tracker.since_end_ppm >= TURN_PPM:
            self._asked = NONE
            self.outputs.reason = why.PASSED
        elif self._asked == REST or self.belief.count <= self.profile.taper_count:
            self.due = self._asked
        return self.due

    def _ask(self):
        """Bits for the state table: what is due, and whether the gate grants it. The journal knows of it before it happens."""
        s, gate = self.scheduler, self.gate
        pulse = self.due == PULSE
        mask = gate.refuse_pulse(self, s.pulse_permille, s.pulse_s) if pulse else gate.refuse_rest(self, s.rest_s)
        if mask:
            reason = 1
            while not mask & 1:
                mask >>= 1
                reason += 1
            self.outputs.reason = reason
            return _PULSE_DUE if pulse else _REST_DUE
        return _PULSE_DUE | _PULSE_GRANTED if pulse else _REST_DUE | _REST_GRANTED

    def _act(self, effects):
        """What a transition brings with it. The journal knows of a pulse before it flows."""
        gate = self.gate
        if effects & _PULSE_BEGINS:
            gate.begin_pulse(self, self.scheduler.pulse_permille, self.scheduler.pulse_s)
            self._asked = NONE
            self.outputs.reason = self.scheduler.reason
        if effects & _REST_BEGINS:
            self.outputs.reason = self.scheduler.reason
            gate.begin_rest(self.scheduler.rest_s)
            self._asked = NONE
        if effects & _PULSE_ENDS:
            gate.end_pulse(self)
        if not self._save() and effects & _PULSE_BEGINS:
            gate.pulse_permille = 0  # no record, no pulse: nothing is turned on, and the next tick ends it

    # -- at the end of a half-cycle ------------------------------------------------------------------------

    def _schedule(self):
        """It ended: what next? The record is that of the lowest cell."""
        cells = self.readings.cell_uv
        lowest = 0
        for k in range(1, len(cells)):
            if cells[k] < cells[lowest]:
                lowest = k
        self.tracker.record(self.h, lowest, self.tracker.ended == 2)
        s = self.scheduler
        s.after_half_cycle(self.h, self.estimates, self.readings, self.gate.budgets(self))
        self._asked = s.decision
        self.outputs.decision = s.decision
        self.outputs.reason = s.reason

    def _estimate(self):
        """It is complete, with the rest after it: where is each cell's lithium now?"""
        self.tracker.ready = 0
        for k in range(len(self.inventories)):
            self.tracker.record(self.h, k, 1)
            self.inventories[k].half_cycle(self.h)
        self._save()

    # -- journal -------------------------------------------------------------------------------------------

    def _journal(self):
        self._saved_ppm += abs(self.ledger.moved_ppm)
        if self._saved_ppm >= _SAVE_PPM or self.clock.seconds - self._saved_s >= _SAVE_S:
            self._save()

    def _save(self):
        self._saved_ppm = 0
        self._saved_s = self.clock.seconds
        self.outputs.journal_due = 1
        saved = self.journal.save(memory.pack_all(self))
        if not saved:
            self.journal_bad = 1
        return saved

    def _remember(self):
        """What the journal kept. Unreadable: everything unknown, and an unreadable lockout is a lockout (safety rule 11)."""
        data = self.journal.load()
        if data is None or not memory.unpack_all(self, data):
            for inventory in self.inventories:
                inventory.reset_unknown()
            if data is not None or self.journal.status != EMPTY:
                self.journal_bad = 1
                self.protection.latched |= LOCK_ROWS
        self.boots += 1
        self._save()

    # -- persons, over the link or at the board; each returns an index into reasons.REASONS, 0 = done ---------

    def command(self, code, a, b):
        """A command of catalogue.COMMANDS, its frame, ranges and challenge already checked."""
        return commands.run(self, code, a, b)

    def profile_commit(self, data):
        """Keep an uploaded profile for the next start, or refuse it whole."""
        return commands.commit(self, data)

    def record(self, area):
        """Bytes of catalogue.AREAS to download, or None."""
        return commands.record(self, area)

    def refused(self, message, refusal, reason):
        """The link refused a frame: that stands in the log."""
        self.log.add(self.clock.seconds, REFUSAL << 24 | message << 8 | refusal, reason)

    def commission(self):
        """A new cell of this profile, calibrated and tested: what the profile says of it is believed from here on."""
        for k in range(len(self.inventories)):
            self.inventories[k] = Inventory(self.profile, k)
            self.estimates[k] = self.inventories[k].estimate
        self.calibrated()
        return why.GRANTED

    def calibrated(self):
        """The current path was checked today."""
        self.gate.calibrated_until_s = self.clock.seconds + self.profile.calibration_days * DAY_S
        self._save()

    def arm(self, days):
        """Consent to interventions for some days."""
        if not 0 < days <= self.profile.arm_days:
            return why.DAYS
        self.gate.armed_until_s = self.clock.seconds + days * DAY_S
        self._save()
        return why.GRANTED

    def disarm(self):
        self.gate.armed_until_s = 0
        self._save()
        return why.GRANTED

    def stop(self, on):
        """The operator's stop outranks everything but protection, at once."""
        self.gate.stopped = 1 if on else 0
        return why.GRANTED

    def clear(self):
        """Forget the latches of faults that are gone: a deliberate act."""
        self.journal_bad = 0
        if not self.protection.clear():
            return why.STILL
        self._cleared = 1
        self._save()
        return why.GRANTED
