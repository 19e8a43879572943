"""Why, in plain words: one list for scheduler, gate and link. `Outputs.reason` is an index into it.

The first ones are the gate's conditions in order: bit k of a refusal mask is reason k + 1 (see `gate.py`).
"""

REASONS = (
    "nothing to say",
    # the gate's standing conditions for an intervention
    "the independent cut-off has tripped",
    "a hard limit is latched",
    "the cell is locked out after a deep discharge",
    "a limit or a warning is active, or was until a moment ago",
    "a reading is missing, old or implausible",
    "the journal is not sound",
    "calibration is out of date",
    "the inventory is unknown",
    "not armed, or the arm token has expired",
    "the board has no independent cut-off",
    "the operator said stop",
    "the user does not consent now",
    # for a pulse
    "the temperature is outside the pulse window",
    "no resistance has been measured yet, so the lowest voltage cannot be predicted",
    "the pulse would fall below the lowest voltage allowed",
    "the pulse is stronger or longer than the profile allows",
    "more charge than one pulse may take",
    "the day's pulse budget is spent",
    "the pulse budget of the cell's life is spent",
    "cooling down since the last pulse",
    "pulses have shown no benefit",
    # for a rest
    "the clock is unknown after a power loss",
    "the user needs the cell soon",
    "too little charge left for a rest",
    # why a pulse or rest ended
    "the pulse was delivered",
    "the voltage fell below what a pulse may reach",
    "the resistance jumped",
    "the temperature rose too much",
    "a tick came too late",
    "the pulse current was not what was asked",
    "the rest was long enough",
    "the time for it has passed",
    # commands
    "the fault is still there",
    "days must be 1 to the profile's arm_days",
    "the profile is refused, and its sentence says why",
    "the flash could not be written",
    # the scheduler's
    "policy is none",
    "fixed protocol: a pulse after every charge",
    "fixed protocol: a rest in the discharged state",
    "this policy does nothing here",
    "the next rest is not due yet",
    "the cell is not full, so there is no fresh lithium to pulse",
    "the cell is not empty, so a rest would corrode it",
    "the gate would not grant it now",
    "the user's own fast start does it already",
    "expected gain is below its cost",
    "a pulse is expected to win back more than it costs",
    "a rest is expected to win back more than it costs",
    "left alone this time, to see what pulses and rests do apart",
    "it did not help this cell and is not tried again",
)
GRANTED = 0
TRIPPED, HARD, LOCKED, ALARM, STALE, JOURNAL, CALIBRATION, UNKNOWN, UNARMED, CUTOFF, STOP, CONSENT = range(1, 13)
WINDOW, NO_RESISTANCE, PREDICTED, TOO_STRONG, PULSE_BUDGET, DAY_BUDGET, LIFE_BUDGET, COOLDOWN, NO_BENEFIT = range(
    13, 22
)
NO_CLOCK, CALENDAR, FLOOR = range(22, 25)
DELIVERED, VOLTAGE, JUMP, HEAT, LATE, CURRENT, RESTED, PASSED = range(25, 33)
STILL, DAYS, PROFILE, FLASH = range(33, 37)
