"""States and transitions: one table of plain tuples, and the few lines that run it.

A row is (state, trigger, guards, next state, effects); triggers, guards and effects are bits. In a tick the first row
of the present state fires whose trigger and guards all hold, at most one; rows of a state stand in the order of
TRIGGERS, most pressing first. Leaving any state makes safe: the gate starts every tick from all off and grants anew.
The host loads this same table (host_sim/statechart.py): as oracle, and to draw docs/states.md.
"""

from relith import const

STATES = ("BOOT", "IDLE", "CHARGE", "DISCHARGE", "PULSE", "REST", "SOFT_LIMIT", "FAULT", "LOCKOUT", "STORAGE")
BOOT = const(0)  # outputs off until every sensor has answered plausibly
_IDLE = const(1)
_CHARGE = const(2)
_DISCHARGE = const(3)
PULSE = const(4)  # an activation pulse flows
REST = const(5)  # waiting in the discharged state
_SOFT_LIMIT = const(6)  # a direction, or both, is blocked until it recovers
FAULT = const(7)  # latched
_LOCKOUT = const(8)  # latched, survives a power loss
_STORAGE = const(9)

TRIGGERS = (
    "lockout", "fault", "stop", "cleared", "limit", "unlimited", "pulse_over", "rest_over", "ready", "pulse_due",
    "rest_due", "charging", "discharging", "quiet", "unused",
)  # fmt: skip
_ON_LOCKOUT = const(1 << 0)  # a lockout row of protection.TABLE is active or latched
_ON_FAULT = const(1 << 1)  # the same for a hard row
_ON_STOP = const(1 << 2)  # the operator says stop
_ON_CLEARED = const(1 << 3)  # the operator cleared the latches, a deliberate act
_ON_LIMIT = const(1 << 4)  # a soft row is active
_ON_UNLIMITED = const(1 << 5)  # none is
_ON_PULSE_OVER = const(1 << 6)  # delivered, or a condition failed
_ON_REST_OVER = const(1 << 7)  # long enough, or a condition failed
_ON_READY = const(1 << 8)  # self-test passed
_ON_PULSE_DUE = const(1 << 9)  # the scheduler asks, and it is time
_ON_REST_DUE = const(1 << 10)
_ON_CHARGING = const(1 << 11)  # current flows
_ON_DISCHARGING = const(1 << 12)
_ON_QUIET = const(1 << 13)  # none does
_ON_UNUSED = const(1 << 14)  # none has for long, or the user says so

GUARDS = ("granted", "sound")  # bits above those of the triggers
_IF_GRANTED = const(1 << 15)  # the gate says yes to what is due
_IF_SOUND = const(1 << 16)  # no lockout or hard row is active or latched

EFFECTS = ("pulse_begins", "pulse_ends", "rest_begins", "latched")
PULSE_BEGINS = const(1)
PULSE_ENDS = const(2)
REST_BEGINS = const(4)
LATCHED = const(8)  # with any effect goes a journal record

TABLE = (
    (BOOT, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (BOOT, _ON_FAULT, 0, FAULT, LATCHED),
    (BOOT, _ON_READY, 0, _IDLE, 0),
    (_IDLE, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (_IDLE, _ON_FAULT, 0, FAULT, LATCHED),
    (_IDLE, _ON_LIMIT, 0, _SOFT_LIMIT, 0),
    (_IDLE, _ON_PULSE_DUE, _IF_GRANTED, PULSE, PULSE_BEGINS),
    (_IDLE, _ON_REST_DUE, _IF_GRANTED, REST, REST_BEGINS),
    (_IDLE, _ON_CHARGING, 0, _CHARGE, 0),
    (_IDLE, _ON_DISCHARGING, 0, _DISCHARGE, 0),
    (_IDLE, _ON_UNUSED, 0, _STORAGE, 0),
    (_CHARGE, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (_CHARGE, _ON_FAULT, 0, FAULT, LATCHED),
    (_CHARGE, _ON_LIMIT, 0, _SOFT_LIMIT, 0),
    (_CHARGE, _ON_PULSE_DUE, _IF_GRANTED, PULSE, PULSE_BEGINS),
    (_CHARGE, _ON_REST_DUE, _IF_GRANTED, REST, REST_BEGINS),
    (_CHARGE, _ON_DISCHARGING, 0, _DISCHARGE, 0),
    (_CHARGE, _ON_QUIET, 0, _IDLE, 0),
    (_DISCHARGE, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (_DISCHARGE, _ON_FAULT, 0, FAULT, LATCHED),
    (_DISCHARGE, _ON_LIMIT, 0, _SOFT_LIMIT, 0),
    (_DISCHARGE, _ON_PULSE_DUE, _IF_GRANTED, PULSE, PULSE_BEGINS),
    (_DISCHARGE, _ON_REST_DUE, _IF_GRANTED, REST, REST_BEGINS),
    (_DISCHARGE, _ON_CHARGING, 0, _CHARGE, 0),
    (_DISCHARGE, _ON_QUIET, 0, _IDLE, 0),
    (PULSE, _ON_LOCKOUT, 0, _LOCKOUT, PULSE_ENDS | LATCHED),
    (PULSE, _ON_FAULT, 0, FAULT, PULSE_ENDS | LATCHED),
    (PULSE, _ON_STOP, 0, _IDLE, PULSE_ENDS),
    (PULSE, _ON_LIMIT, 0, _SOFT_LIMIT, PULSE_ENDS),
    (PULSE, _ON_PULSE_OVER, 0, _IDLE, PULSE_ENDS),
    (REST, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (REST, _ON_FAULT, 0, FAULT, LATCHED),
    (REST, _ON_STOP, 0, _IDLE, 0),
    (REST, _ON_LIMIT, 0, _SOFT_LIMIT, 0),
    (REST, _ON_REST_OVER, 0, _IDLE, 0),
    (_SOFT_LIMIT, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (_SOFT_LIMIT, _ON_FAULT, 0, FAULT, LATCHED),
    (_SOFT_LIMIT, _ON_UNLIMITED, 0, _IDLE, 0),
    (FAULT, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (FAULT, _ON_CLEARED, _IF_SOUND, BOOT, 0),
    (_LOCKOUT, _ON_CLEARED, _IF_SOUND, BOOT, 0),
    (_STORAGE, _ON_LOCKOUT, 0, _LOCKOUT, LATCHED),
    (_STORAGE, _ON_FAULT, 0, FAULT, LATCHED),
    (_STORAGE, _ON_LIMIT, 0, _SOFT_LIMIT, 0),
    (_STORAGE, _ON_CHARGING, 0, _CHARGE, 0),
    (_STORAGE, _ON_DISCHARGING, 0, _DISCHARGE, 0),
)
_READY_TICKS = const(3)  # with every reading good: the self-test


def facts(bms):
    """The triggers and guards that hold in this tick."""
    protection, gate, tracker = bms.protection, bms.gate, bms.tracker
    bits = _ON_LIMIT if protection.soft else _ON_UNLIMITED
    if protection.lockout:
        bits |= _ON_LOCKOUT
    if protection.fault:
        bits |= _ON_FAULT
    if not protection.lockout | protection.fault:
        bits |= _IF_SOUND
    if bms.readings.stop or gate.stopped:
        bits |= _ON_STOP
    if bms.cleared:
        bits |= _ON_CLEARED
    if tracker.permille == 0:
        bits |= _ON_QUIET
        if bms.wishes.storage or tracker.rest_s >= bms.profile.storage_after_s:
            bits |= _ON_UNUSED
    elif bms.belief.count > 0:
        bits |= _ON_CHARGING
    else:
        bits |= _ON_DISCHARGING
    if bms.good >= _READY_TICKS:
        bits |= _ON_READY
    if gate.pulse_over:
        bits |= _ON_PULSE_OVER
    if gate.rest_over:
        bits |= _ON_REST_OVER
    if gate.pulse_due:
        bits |= _ON_PULSE_DUE
    if gate.rest_due:
        bits |= _ON_REST_DUE
    if gate.granted:
        bits |= _IF_GRANTED
    return bits


class Machine:
    """`step(bits)` once per tick: 1 when a row fired; `state`, `before` and `effects` tell what happened."""

    def __init__(self):
        self.state = self.before = BOOT
        self.effects = 0
        self._first = bytes([_first_row(state) for state in range(len(STATES) + 1)])

    def step(self, bits):
        """Fire the first row that can."""
        self.effects = 0
        for k in range(self._first[self.state], self._first[self.state + 1]):
            row = TABLE[k]
            need = row[1] | row[2]
            if bits & need == need:
                self.before = self.state
                self.state = row[3]
                self.effects = row[4]
                return 1
        return 0


def _first_row(state):
    """Where the rows of a state begin: they stand together, in the order of STATES."""
    k = 0
    while k < len(TABLE) and TABLE[k][0] < state:
        k += 1
    return k
