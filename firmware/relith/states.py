"""States and transitions: one table of plain tuples, and the few lines that run it.

A row is (state, trigger, guards, next state, effects). In a tick the first row of the present state whose trigger
and guards all hold fires, at most one; rows of a state stand in the order of TRIGGERS, most pressing first. A guard
is the name of a fact, or NOT of one. Leaving any state makes safe: the gate starts every tick from all off
(`Outputs.off`) and grants anew. The host loads this same table (host_sim/statechart.py): as oracle, and to draw
docs/states.md.
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
_FAULT = const(7)  # latched
_LOCKOUT = const(8)  # latched, survives a power loss
_STORAGE = const(9)

TRIGGERS = (
    "lockout", "fault", "stop", "cleared", "limit", "unlimited", "pulse_over", "rest_over", "ready", "pulse_due", "rest_due",
    "charging", "discharging", "quiet", "unused",
)  # fmt: skip
_ON_LOCKOUT = const(0)  # a lockout row of protection.TABLE is active or latched
_ON_FAULT = const(1)  # the same for a hard row
_ON_STOP = const(2)  # the operator says stop
_ON_CLEARED = const(3)  # the operator cleared the latches, a deliberate act
_ON_LIMIT = const(4)  # a soft row is active
_ON_UNLIMITED = const(5)  # none is
_ON_PULSE_OVER = const(6)  # delivered, or a condition failed
_ON_REST_OVER = const(7)  # long enough, or a condition failed
_ON_READY = const(8)  # self-test passed
_ON_PULSE_DUE = const(9)  # the scheduler asks, and it is time
_ON_REST_DUE = const(10)
_ON_CHARGING = const(11)  # current flows
_ON_DISCHARGING = const(12)
_ON_QUIET = const(13)  # none does
_ON_UNUSED = const(14)  # none has for long, or the user says so

GUARDS = ("granted",)
_GRANTED = const(15)  # the gate says yes to what is due
NOT = const(32)

EFFECTS = ("pulse_begins", "pulse_ends", "rest_begins", "latched")
PULSE_BEGINS = const(1)
PULSE_ENDS = const(2)
REST_BEGINS = const(4)
_LATCHED = const(8)  # with every effect goes a journal record

TABLE = (
    (BOOT, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (BOOT, _ON_FAULT, (), _FAULT, _LATCHED),
    (BOOT, _ON_READY, (), _IDLE, 0),
    (_IDLE, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (_IDLE, _ON_FAULT, (), _FAULT, _LATCHED),
    (_IDLE, _ON_LIMIT, (), _SOFT_LIMIT, 0),
    (_IDLE, _ON_PULSE_DUE, (_GRANTED,), PULSE, PULSE_BEGINS),
    (_IDLE, _ON_REST_DUE, (_GRANTED,), REST, REST_BEGINS),
    (_IDLE, _ON_CHARGING, (), _CHARGE, 0),
    (_IDLE, _ON_DISCHARGING, (), _DISCHARGE, 0),
    (_IDLE, _ON_UNUSED, (), _STORAGE, 0),
    (_CHARGE, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (_CHARGE, _ON_FAULT, (), _FAULT, _LATCHED),
    (_CHARGE, _ON_LIMIT, (), _SOFT_LIMIT, 0),
    (_CHARGE, _ON_PULSE_DUE, (_GRANTED,), PULSE, PULSE_BEGINS),
    (_CHARGE, _ON_REST_DUE, (_GRANTED,), REST, REST_BEGINS),
    (_CHARGE, _ON_DISCHARGING, (), _DISCHARGE, 0),
    (_CHARGE, _ON_QUIET, (), _IDLE, 0),
    (_DISCHARGE, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (_DISCHARGE, _ON_FAULT, (), _FAULT, _LATCHED),
    (_DISCHARGE, _ON_LIMIT, (), _SOFT_LIMIT, 0),
    (_DISCHARGE, _ON_PULSE_DUE, (_GRANTED,), PULSE, PULSE_BEGINS),
    (_DISCHARGE, _ON_REST_DUE, (_GRANTED,), REST, REST_BEGINS),
    (_DISCHARGE, _ON_CHARGING, (), _CHARGE, 0),
    (_DISCHARGE, _ON_QUIET, (), _IDLE, 0),
    (PULSE, _ON_LOCKOUT, (), _LOCKOUT, PULSE_ENDS | _LATCHED),
    (PULSE, _ON_FAULT, (), _FAULT, PULSE_ENDS | _LATCHED),
    (PULSE, _ON_STOP, (), _IDLE, PULSE_ENDS),
    (PULSE, _ON_LIMIT, (), _SOFT_LIMIT, PULSE_ENDS),
    (PULSE, _ON_PULSE_OVER, (), _IDLE, PULSE_ENDS),
    (REST, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (REST, _ON_FAULT, (), _FAULT, _LATCHED),
    (REST, _ON_STOP, (), _IDLE, 0),
    (REST, _ON_LIMIT, (), _SOFT_LIMIT, 0),
    (REST, _ON_REST_OVER, (), _IDLE, 0),
    (_SOFT_LIMIT, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (_SOFT_LIMIT, _ON_FAULT, (), _FAULT, _LATCHED),
    (_SOFT_LIMIT, _ON_UNLIMITED, (), _IDLE, 0),
    (_FAULT, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (_FAULT, _ON_CLEARED, (_ON_FAULT | NOT,), BOOT, 0),
    (_LOCKOUT, _ON_CLEARED, (_ON_LOCKOUT | NOT, _ON_FAULT | NOT), BOOT, 0),
    (_STORAGE, _ON_LOCKOUT, (), _LOCKOUT, _LATCHED),
    (_STORAGE, _ON_FAULT, (), _FAULT, _LATCHED),
    (_STORAGE, _ON_LIMIT, (), _SOFT_LIMIT, 0),
    (_STORAGE, _ON_CHARGING, (), _CHARGE, 0),
    (_STORAGE, _ON_DISCHARGING, (), _DISCHARGE, 0),
)

_READY_TICKS = const(3)  # with every reading good: the self-test


def facts(bms):
    """The triggers and guards that hold in this tick: bit k for number k."""
    protection, gate, tracker = bms.protection, bms.gate, bms.tracker
    bits = 1 << _ON_UNLIMITED
    if protection.active or protection.latched:
        if protection.soft():
            bits = 1 << _ON_LIMIT
        if protection.lockout():
            bits |= 1 << _ON_LOCKOUT
        if protection.fault():
            bits |= 1 << _ON_FAULT
    if bms.readings.stop or gate.stopped:
        bits |= 1 << _ON_STOP
    if bms.cleared:
        bits |= 1 << _ON_CLEARED
    if tracker.permille == 0:
        bits |= 1 << _ON_QUIET
        if bms.wishes.storage or tracker.rest_s >= bms.profile.storage_after_s:
            bits |= 1 << _ON_UNUSED
    elif bms.belief.count > 0:
        bits |= 1 << _ON_CHARGING
    else:
        bits |= 1 << _ON_DISCHARGING
    if bms.good >= _READY_TICKS:
        bits |= 1 << _ON_READY
    if gate.pulse_over:
        bits |= 1 << _ON_PULSE_OVER
    if gate.rest_over:
        bits |= 1 << _ON_REST_OVER
    if gate.pulse_due:
        bits |= 1 << _ON_PULSE_DUE
    if gate.rest_due:
        bits |= 1 << _ON_REST_DUE
    if gate.granted:
        bits |= 1 << _GRANTED
    return bits


def _compiled():
    """For each state its rows as (bits that must be, bits that must not be, next state, effects)."""
    rows = [[] for _ in STATES]
    for state, trigger, guards, target, effects in TABLE:
        need = 1 << trigger
        forbid = 0
        for guard in guards:
            if guard & NOT:
                forbid |= 1 << (guard & ~NOT)
            else:
                need |= 1 << guard
        rows[state].append((need, forbid, target, effects))
    return rows


class Machine:
    """`step(facts)` once per tick: 1 when a row fired; `state`, `before` and `effects` tell what happened."""

    def __init__(self):
        self.state = self.before = BOOT
        self.effects = 0
        self._rows = _compiled()

    def step(self, bits):
        self.effects = 0
        for need, forbid, target, effects in self._rows[self.state]:
            if bits & need == need and not bits & forbid:
                self.before = self.state
                self.state = target
                self.effects = effects
                return 1
        return 0
