"""What a pulse would do and what pulses may take. Nothing is granted here: `gate` is Gate, which keeps the accounts."""

from relith import const
from relith.clock import DAY_S
from relith.journal import OWN_MOST

# lines of reasons.txt
_WHY_NO_CLOCK = const(22)
_WHY_QUIET = const(59)

_DAY_MIN = const(1440)
_MARGIN_PERMILLE = const(1250)  # resistance is taken a quarter higher than measured
_MOST_UV = const(1000000)  # that a measured resistance may take off at 1C (Tracker)
_TRIALS = const(20)  # measurable pulses without benefit that end pulsing


def lowest_uv(bms, permille):
    """The lowest cell voltage that a pulse will reach, from measured resistance; 0: not measured, or beyond measure."""
    drops, cells = bms.tracker.drop_uv, bms.readings.cell_uv
    permille = (permille + bms.tracker.permille) * _MARGIN_PERMILLE // 1000  # a charger's lift is lost as well
    least = 1 << 29
    for k in range(len(cells)):
        if not 0 < drops[k] < _MOST_UV:
            return 0
        least = min(least, cells[k] - drops[k] * permille // 1000)
    return max(least, 1)


def charge_ppm(p, permille, seconds):
    """What a pulse of so much and so long takes, by the profile `p`."""
    return permille * seconds * p.one_c_ua * 5 // (18 * p.nominal_capacity_uah)


def quiet(gate, bms):
    """Against a pulse by the clock: in quiet hours none begins, nor while nobody knows whether these are some."""
    length = (gate.quiet_until_min - gate.quiet_from_min) % _DAY_MIN
    if not length:
        return 0
    wall_s = bms.wishes.wall_s(bms.clock.seconds)
    if wall_s < 0:
        return _WHY_NO_CLOCK
    return _WHY_QUIET if (wall_s // 60 - gate.quiet_from_min) % _DAY_MIN < length else 0


def useless(bms):
    """Enough pulses could be measured in every cell, and none is likely to have brought anything back."""
    for e in bms.estimates:
        if e.pulse_trials < _TRIALS or e.pulse_factor_permille + 2 * e.pulse_factor_sigma_permille > 100:
            return False
    return True


def day_spent(gate, now_s):
    """Charge that pulses took in this day of power."""
    if now_s - gate.day_began_s >= DAY_S:
        gate.day_began_s = now_s
        gate.day_spent_ppm = 0
    return gate.day_spent_ppm


def cooling(gate, now_s):
    """Is it too soon after the last one?"""
    return gate.last_pulse_s >= 0 and now_s - gate.last_pulse_s < gate.profile.cooldown_s


def spend(gate, now_s, ppm):
    """Book what one takes, or gives back of what it was to take."""
    gate.day_spent_ppm = max(0, day_spent(gate, now_s) + ppm)
    gate.life_spent_ppm += ppm
    gate.last_pulse_s = now_s


def offer(gate, bms):
    """Gate.budgets(bms), what would be granted now: the scheduler does not ask for what it will not get."""
    p, now_s = gate.profile, bms.clock.seconds
    left = min(p.day_budget_ppm - day_spent(gate, now_s), p.life_budget_ppm - gate.life_spent_ppm, p.pulse_budget_ppm)
    most = max(1, charge_ppm(p, p.pulse_max_permille, p.pulse_max_s))
    gate.pulse_max_s = min(p.pulse_max_s, p.pulse_max_s * max(0, left) // most)
    gate.rest_allowed = 1 if bms.journal.may(now_s, OWN_MOST) and not gate.standing(bms) else 0
    gate.pulse_allowed = gate.rest_allowed
    if not gate.cutoff_present or cooling(gate, now_s) or useless(bms) or gate.pulse_max_s == 0:
        gate.pulse_allowed = 0
    return gate
