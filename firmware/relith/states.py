"""States and transitions: one table of plain tuples, and the few lines that run it.

Each state has its row: pairs of what must hold (bits of triggers and guards) and the next state. In a tick the first
pair of the present state fires whose bits all hold, at most one; they stand in the order of the triggers, most pressing
first. Leaving any state makes safe: the gate starts every tick from all off and grants anew. What a transition brings
with it follows from the states left and entered alone (`Bms._enter`): a pulse begins and ends with PULSE, a rest begins
with REST, FAULT and LOCKOUT are latched. The host loads this same table (host_sim/statechart.py): as oracle, and to
draw docs/states.md; the names of states, triggers and guards are those of the constants.
"""

from relith import const

BOOT = const(0)  # outputs off until every sensor has answered plausibly
_IDLE = const(1)
_CHARGE = const(2)
_DISCHARGE = const(3)
PULSE = const(4)  # an activation pulse flows
REST = const(5)  # waiting in the discharged state
_SOFT_LIMIT = const(6)  # a direction, or both, is blocked until it recovers
FAULT = const(7)  # latched
LOCKOUT = const(8)  # latched, survives a power loss
_STORAGE = const(9)

# triggers
_ON_LOCKOUT = const(1 << 0)  # a lockout row of protection.txt is active or latched
_ON_FAULT = const(1 << 1)  # the same for a hard row
_ON_STOP = const(1 << 2)  # the operator says stop
_ON_CLEARED = const(1 << 3)  # the operator cleared the latches, a deliberate act
_ON_LIMIT = const(1 << 4)  # a soft row is active
_ON_UNLIMITED = const(1 << 5)  # none is
_ON_OVER = const(1 << 6)  # the pulse is delivered, the rest long enough, or a condition failed
_ON_READY = const(1 << 7)  # self-test passed
_ON_PULSE_DUE = const(1 << 8)  # the scheduler asks, and it is time
_ON_REST_DUE = const(1 << 9)  # the same for a rest
_ON_CHARGING = const(1 << 10)  # current flows in
_ON_DISCHARGING = const(1 << 11)  # current flows out
_ON_QUIET = const(1 << 12)  # none does
_ON_UNUSED = const(1 << 13)  # none has for long, or the user says so
# guards
_IF_GRANTED = const(1 << 14)  # the gate says yes to what is due
_IF_SOUND = const(1 << 15)  # no lockout or hard row is active or latched

# fmt: off
TABLE = (
    # BOOT
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_READY, _IDLE),
    # IDLE
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_LIMIT, _SOFT_LIMIT,
     _ON_PULSE_DUE | _IF_GRANTED, PULSE, _ON_REST_DUE | _IF_GRANTED, REST,
     _ON_CHARGING, _CHARGE, _ON_DISCHARGING, _DISCHARGE, _ON_UNUSED, _STORAGE),
    # CHARGE
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_LIMIT, _SOFT_LIMIT,
     _ON_PULSE_DUE | _IF_GRANTED, PULSE, _ON_REST_DUE | _IF_GRANTED, REST,
     _ON_DISCHARGING, _DISCHARGE, _ON_QUIET, _IDLE),
    # DISCHARGE
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_LIMIT, _SOFT_LIMIT,
     _ON_PULSE_DUE | _IF_GRANTED, PULSE, _ON_REST_DUE | _IF_GRANTED, REST,
     _ON_CHARGING, _CHARGE, _ON_QUIET, _IDLE),
    # PULSE
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_STOP, _IDLE, _ON_LIMIT, _SOFT_LIMIT, _ON_OVER, _IDLE),
    # REST
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_STOP, _IDLE, _ON_LIMIT, _SOFT_LIMIT, _ON_OVER, _IDLE),
    # SOFT_LIMIT
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_UNLIMITED, _IDLE),
    # FAULT
    (_ON_LOCKOUT, LOCKOUT, _ON_CLEARED | _IF_SOUND, BOOT),
    # LOCKOUT
    (_ON_CLEARED | _IF_SOUND, BOOT),
    # STORAGE
    (_ON_LOCKOUT, LOCKOUT, _ON_FAULT, FAULT, _ON_LIMIT, _SOFT_LIMIT, _ON_CHARGING, _CHARGE,
     _ON_DISCHARGING, _DISCHARGE),
)
# fmt: on
_PAUSED_S = const(45)  # the longest pause of an extra, and what charger and load take to go on
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
    if tracker.permille == 0 and gate.extras.shape and tracker.rest_s < _PAUSED_S:
        pass  # it pauses
    elif tracker.permille == 0:
        bits |= _ON_QUIET
        if bms.wishes.storage or tracker.rest_s >= bms.profile.storage_after_s:
            bits |= _ON_UNUSED
    elif bms.belief.count > 0:
        bits |= _ON_CHARGING
    else:
        bits |= _ON_DISCHARGING
    if bms.belief.good >= _READY_TICKS:
        bits |= _ON_READY
    if gate.over:
        bits |= _ON_OVER
    if gate.due:
        bits |= _ON_REST_DUE if gate.due > 1 else _ON_PULSE_DUE
    if gate.granted:
        bits |= _IF_GRANTED
    return bits


class Machine:
    """`step(bits)` once per tick: 1 when a state was left for another; `state` and `before` say which."""

    def __init__(self):
        self.state = self.before = BOOT

    def step(self, bits):
        """Fire the first pair that can."""
        row = TABLE[self.state]
        for k in range(0, len(row), 2):
            if bits & row[k] == row[k]:
                self.before = self.state
                self.state = row[k + 1]
                return 1
        return 0
