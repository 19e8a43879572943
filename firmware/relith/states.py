"""States and transitions: one table of plain tuples, and the few lines that run it.

Row: state, trigger, guards ("!" negates), next state, effects. In a tick the first row of the present state whose trigger and guards
hold fires, at most one. Rows of a state stand in the order of TRIGGERS. Leaving any state makes safe first: the gate starts every
tick from all off (`Outputs.off`). The host loads this same table (host_sim/statechart.py).
"""

STATES = ("BOOT", "IDLE", "CHARGE", "DISCHARGE", "PULSE", "REST", "SOFT_LIMIT", "FAULT", "LOCKOUT", "STORAGE")
BOOT, IDLE, CHARGE, DISCHARGE, PULSE, REST, SOFT_LIMIT, FAULT, LOCKOUT, STORAGE = range(10)

TRIGGERS = (  # most pressing first
    "lockout",  # a lockout row of protection.TABLE is active or latched
    "fault",  # the same for a hard row
    "stop",  # the operator says stop
    "cleared",  # the operator cleared the latches, a deliberate act
    "limit",  # a soft row is active
    "unlimited",  # none is
    "pulse_over",  # delivered, or a live condition failed
    "rest_over",  # long enough, or a condition failed
    "ready",  # self-test passed: every sensor answers plausibly
    "pulse_due",  # the scheduler asks, and the time is now
    "rest_due",
    "charging",  # current
    "discharging",
    "quiet",  # no current
    "storage_due",  # no current for a long time
)
GUARDS = (
    "pulse_granted",  # the gate says yes, and the intent is in the journal
    "rest_granted",
)
EFFECTS = ("pulse_begins", "pulse_ends", "rest_begins", "rest_ends", "latched")

TABLE = (
    ("BOOT", "lockout", (), "LOCKOUT", ("latched",)),
    ("BOOT", "fault", (), "FAULT", ("latched",)),
    ("BOOT", "ready", (), "IDLE", ()),
    ("IDLE", "lockout", (), "LOCKOUT", ("latched",)),
    ("IDLE", "fault", (), "FAULT", ("latched",)),
    ("IDLE", "limit", (), "SOFT_LIMIT", ()),
    ("IDLE", "pulse_due", ("!stop", "pulse_granted"), "PULSE", ("pulse_begins",)),
    ("IDLE", "rest_due", ("!stop", "rest_granted"), "REST", ("rest_begins",)),
    ("IDLE", "charging", (), "CHARGE", ()),
    ("IDLE", "discharging", (), "DISCHARGE", ()),
    ("IDLE", "storage_due", (), "STORAGE", ()),
    ("CHARGE", "lockout", (), "LOCKOUT", ("latched",)),
    ("CHARGE", "fault", (), "FAULT", ("latched",)),
    ("CHARGE", "stop", (), "IDLE", ()),
    ("CHARGE", "limit", (), "SOFT_LIMIT", ()),
    ("CHARGE", "pulse_due", ("pulse_granted",), "PULSE", ("pulse_begins",)),
    ("CHARGE", "rest_due", ("rest_granted",), "REST", ("rest_begins",)),
    ("CHARGE", "discharging", (), "DISCHARGE", ()),
    ("CHARGE", "quiet", (), "IDLE", ()),
    ("DISCHARGE", "lockout", (), "LOCKOUT", ("latched",)),
    ("DISCHARGE", "fault", (), "FAULT", ("latched",)),
    ("DISCHARGE", "stop", (), "IDLE", ()),
    ("DISCHARGE", "limit", (), "SOFT_LIMIT", ()),
    ("DISCHARGE", "pulse_due", ("pulse_granted",), "PULSE", ("pulse_begins",)),
    ("DISCHARGE", "rest_due", ("rest_granted",), "REST", ("rest_begins",)),
    ("DISCHARGE", "charging", (), "CHARGE", ()),
    ("DISCHARGE", "quiet", (), "IDLE", ()),
    ("PULSE", "lockout", (), "LOCKOUT", ("pulse_ends", "latched")),
    ("PULSE", "fault", (), "FAULT", ("pulse_ends", "latched")),
    ("PULSE", "stop", (), "IDLE", ("pulse_ends",)),
    ("PULSE", "limit", (), "SOFT_LIMIT", ("pulse_ends",)),
    ("PULSE", "pulse_over", (), "IDLE", ("pulse_ends",)),
    ("REST", "lockout", (), "LOCKOUT", ("rest_ends", "latched")),
    ("REST", "fault", (), "FAULT", ("rest_ends", "latched")),
    ("REST", "stop", (), "IDLE", ("rest_ends",)),
    ("REST", "limit", (), "SOFT_LIMIT", ("rest_ends",)),
    ("REST", "rest_over", (), "IDLE", ("rest_ends",)),
    ("SOFT_LIMIT", "lockout", (), "LOCKOUT", ("latched",)),
    ("SOFT_LIMIT", "fault", (), "FAULT", ("latched",)),
    ("SOFT_LIMIT", "unlimited", (), "IDLE", ()),
    ("FAULT", "lockout", (), "LOCKOUT", ("latched",)),
    ("FAULT", "cleared", ("!fault",), "BOOT", ()),
    ("LOCKOUT", "cleared", ("!lockout", "!fault"), "BOOT", ()),
    ("STORAGE", "lockout", (), "LOCKOUT", ("latched",)),
    ("STORAGE", "fault", (), "FAULT", ("latched",)),
    ("STORAGE", "limit", (), "SOFT_LIMIT", ()),
    ("STORAGE", "charging", (), "CHARGE", ()),
    ("STORAGE", "discharging", (), "DISCHARGE", ()),
)

_NAMES = TRIGGERS + GUARDS


def fact(name):
    """The bit of a trigger or guard in the facts of a tick."""
    return 1 << _NAMES.index(name)


def _compiled(state):
    rows = []
    for source, trigger, guards, target, effects in TABLE:
        if source == state:
            need, forbid, effect = fact(trigger), 0, 0
            for guard in guards:
                if guard[0] == "!":
                    forbid |= fact(guard[1:])
                else:
                    need |= fact(guard)
            for name in effects:
                effect |= 1 << EFFECTS.index(name)
            rows.append((need, forbid, STATES.index(target), effect))
    return tuple(rows)


_ROWS = tuple([_compiled(name) for name in STATES])


class Machine:
    """`step(facts)` once per tick: 1 when a row fired; `state`, `before` and `effects` tell what happened."""

    def __init__(self):
        self.state = self.before = BOOT
        self.effects = 0

    def step(self, facts):
        for row in _ROWS[self.state]:
            if facts & row[0] == row[0] and not facts & row[1]:
                self.before = self.state
                self.state = row[2]
                self.effects = row[3]
                return 1
        self.effects = 0
        return 0
