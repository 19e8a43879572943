"""How fast a charger may charge, which cells bleed, how long the next tick may wait. The gate alone turns on."""

from relith import const
from relith.states import BOOT, PULSE, REST

_WHY_SLOW = const(53)  # line of reasons.txt

_BALANCE_UV = const(200000)  # so near the end-of-charge voltage it shows which cell is fuller,
_APART_UV = const(10000)  # and a cell so far above the lowest is
_SLOW_MS = const(60000)
_WATCH_MS = const(10000)  # while an alarm stands
FAST_MS = const(100)
_STEADY = const(20)  # ticks in a row with every reading good: a sensor that comes and goes is watched closely


def charge_limit(bms):
    """As slow as the scheduler advises, but never so slow that a deadline breaks: what is needed now counts, not what
    was when the advice was given. No consent, no clock, no deadline: no advice.
    """
    p, r, gate = bms.profile, bms.readings, bms.gate
    limit = p.charge_max_count
    if r.user_consent and r.clock_known and r.user_full_in_s > p.full_charge_s:
        need = p.charge_max_permille * (p.full_charge_s // 60 + 1) // max(1, r.user_full_in_s // 60) + 1
        need = max(need, bms.scheduler.charge_permille, 2 * p.taper_permille)
        limit = min(limit, min(need, p.charge_max_permille) * p.one_c_count // 1000)
    slow = limit < p.charge_max_count and bms.belief.count > p.idle_count
    if slow and not gate.slow:
        bms.outputs.reason = _WHY_SLOW
    gate.slow = slow
    return limit


def bleeders(bms):
    """Near full charge, with no current out, the cells above the lowest (bits); the gate lets them every other tick."""
    b, cell_uv = bms.belief, bms.readings.cell_uv
    mask = 0
    if b.voltage_good and b.count >= 0 and b.min_uv > bms.profile.max_uv - _BALANCE_UV:
        for k in range(len(cell_uv)):
            if cell_uv[k] > b.min_uv + _APART_UV:
                mask |= 1 << k
    return mask


def wait_ms(bms):
    """Longest wait until the next tick, so that no limit can be passed unseen (docs/profile.md).

    At the present current a cell may fall by 200 uV per ppm of charge towards the cut-off and rise by 20; at
    the greatest current permitted fall by 100 and rise by 20 to the hard limits. At 1C one ppm moves in 3.6 ms.
    """
    o, p, b = bms.outputs, bms.profile, bms.belief
    tracker, protection, gate = bms.tracker, bms.protection, bms.gate
    state = o.state
    if state == PULSE:
        return min(FAST_MS, max(1, o.pulse_ms))
    if tracker.ended or tracker.ready or bms.ended:
        return FAST_MS
    if state == BOOT or bms.moved or protection.pending or bms.clock.still or b.good < _STEADY:
        return FAST_MS
    wait = _SLOW_MS
    if state == REST:
        wait = gate.rest_s * 1000 - gate.run_ms
    if gate.asked or gate.extras.shape or protection.recovering or bms.ledger.doubt:
        wait = 1000
    elif protection.active:
        wait = min(wait, _WATCH_MS)
    rate = tracker.permille
    if o.discharge_enable:
        wait = min(wait, (b.min_uv - p.hard_min_uv) * 36 // p.discharge_max_permille)
        if rate and b.count < 0:
            wait = min(wait, (b.min_uv - p.min_uv) * 18 // rate)
    if o.charge_enable:
        wait = min(wait, (p.hard_max_uv - b.max_uv) * 180 // p.charge_max_permille)
        if rate and b.count > 0:
            wait = min(wait, (p.soft_max_uv - b.max_uv) * 180 // rate)
    return min(max(wait, FAST_MS), _SLOW_MS)
