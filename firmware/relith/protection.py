"""Every limit that is watched, as one table, and the few lines that watch it. Checking safety begins here.

Times are elapsed milliseconds, never ticks. Warning: no intervention is granted. Soft: the direction it names is blocked until it
recovers. Hard: all off, latched until a person clears it. Lockout: the same, and it survives a power loss.
"""

from array import array

WARNING, SOFT, HARD, LOCK = 1, 2, 3, 4
_C, _D, _ALL = 1, 2, 3  # blocks charge, discharge, both

QUANTITIES = (
    "trip",  # the independent cut-off has acted
    "high_uv",  # highest cell
    "low_uv",  # lowest cell, negated: every row asks whether its quantity is above its limit
    "charge_permille",
    "discharge_permille",
    "pulse_permille",  # discharge rate above what the pulse asks for
    "hot_cdegc",
    "charge_window_cdegc",  # how far outside the window of the profile
    "discharge_window_cdegc",
    "pulse_window_cdegc",
    "heating_cdegc_min",  # rise per minute
    "stale",  # 1: current, voltage or temperature is missing, old or out of range
    "lost_ms",  # how long so
    "stuck_ppm",  # charge passed while no cell voltage moved at all
    "switch",  # conducts though told not to
    "overrun",  # the pulse sink does
    "short",  # suspicion of a soft short
    "still",  # ticks in which the clock stood still
    "sum_uv",  # sum of cells against the string's own reading
    "disagree",  # accumulator against samples
    "late_ms",
    "watchdog",
    "journal",
    "calibration_s",  # past its date
    "jump_permille",  # resistance over the one measured before
)

# id, quantity, limit (a number, or the profile's field, "-" negates), delay_ms, level, blocks,
# to recover: below the limit by this much, for this many ms; response_ms, kept in the black box
TABLE = (
    ("hardware_trip", "trip", 0, 0, HARD, _ALL, 0, 0, 150, 1),
    ("cell_high_hard", "high_uv", "hard_max_uv", 200, HARD, _ALL, 0, 0, 500, 1),
    ("cell_low_hard", "low_uv", "-hard_min_uv", 200, HARD, _ALL, 0, 0, 500, 1),
    ("deep_discharge", "low_uv", "-lockout_uv", 1000, LOCK, _ALL, 0, 0, 1500, 1),
    ("charge_hard", "charge_permille", "charge_hard_permille", 100, HARD, _ALL, 0, 0, 300, 1),
    ("discharge_hard", "discharge_permille", "discharge_hard_permille", 100, HARD, _ALL, 0, 0, 300, 1),
    ("pulse_current", "pulse_permille", 150, 100, HARD, _ALL, 0, 0, 300, 1),
    ("hot_hard", "hot_cdegc", "hard_high_cdegc", 500, HARD, _ALL, 0, 0, 1000, 1),
    ("heating", "heating_cdegc_min", "heating_cdegc_per_min", 0, HARD, _ALL, 0, 0, 12000, 1),
    ("sensor_lost", "lost_ms", 60000, 0, HARD, _ALL, 0, 0, 61000, 1),
    ("voltage_stuck", "stuck_ppm", 30000, 0, HARD, _ALL, 0, 0, 150, 1),
    ("switch_stuck", "switch", 0, 500, HARD, _ALL, 0, 0, 800, 1),
    ("pulse_overrun", "overrun", 0, 200, HARD, _ALL, 0, 0, 500, 1),
    ("soft_short", "short", 0, 0, HARD, _ALL, 0, 0, 150, 1),
    ("clock_still", "still", 20, 0, HARD, _ALL, 0, 0, 3000, 1),
    ("cell_high", "high_uv", "soft_max_uv", 1000, SOFT, _C, 20000, 5000, 1500, 0),
    ("cell_low", "low_uv", "-soft_min_uv", 1000, SOFT, _D, 100000, 5000, 1500, 0),
    ("charge_current", "charge_permille", "charge_soft_permille", 2000, SOFT, _C, 0, 10000, 2500, 0),
    ("discharge_current", "discharge_permille", "discharge_soft_permille", 2000, SOFT, _D, 0, 10000, 2500, 0),
    ("charge_window", "charge_window_cdegc", 0, 2000, SOFT, _C, 200, 10000, 2500, 0),
    ("discharge_window", "discharge_window_cdegc", 0, 2000, SOFT, _D, 200, 10000, 2500, 0),
    ("sensor_stale", "stale", 0, 500, SOFT, _ALL, 0, 5000, 800, 0),
    ("pack_sum", "sum_uv", "pack_sum_uv", 2000, SOFT, _ALL, 0, 10000, 2500, 0),
    ("pulse_window", "pulse_window_cdegc", 0, 0, WARNING, 0, 100, 60000, 150, 0),
    ("accumulator", "disagree", 0, 5000, WARNING, 0, 0, 600000, 8000, 0),
    ("deadline", "late_ms", 1000, 0, WARNING, 0, 0, 60000, 150, 0),
    ("watchdog", "watchdog", 0, 0, WARNING, 0, 0, 600000, 150, 1),
    ("calibration", "calibration_s", 0, 0, WARNING, 0, 0, 0, 150, 0),
    ("resistance_jump", "jump_permille", 2000, 0, WARNING, 0, 0, 600000, 150, 0),
    ("journal", "journal", 0, 0, WARNING, 0, 0, 0, 150, 0),
)
_ROWS = len(TABLE)  # at most 30: alarms are bits of a small int


def _mask(column, value):
    """Bits of the rows whose column holds `value`; of the blocks column, any bit of it."""
    mask = 0
    for k in range(_ROWS):
        if TABLE[k][column] == value or (column == 5 and TABLE[k][5] & value):
            mask |= 1 << k
    return mask


_HARD, _LOCK, _SOFT = _mask(4, HARD), _mask(4, LOCK), _mask(4, SOFT)
_BLOCK_C, _BLOCK_D = _mask(5, _C), _mask(5, _D)
_LATCH = _HARD | _LOCK
TRIP_ROW, LOCK_ROWS = 1, _LOCK
_LONGEST_MS = 1 << 29
_ENOUGH_S = 1 << 29
_RATE_MS = 10000  # temperature rise is measured over this


def row(name):
    """The bit of a row in `Outputs.alarms`."""
    for k in range(_ROWS):
        if TABLE[k][0] == name:
            return 1 << k
    raise ValueError(name)


def _limit(profile, limit):
    if type(limit) is int:
        return limit
    return -getattr(profile, limit[1:]) if limit[0] == "-" else getattr(profile, limit)


class Protection:
    """`update()` once per tick, after measure() filled `values`."""

    def __init__(self, profile):
        self.profile = profile
        self.values = array("i", [0] * len(QUANTITIES))
        self.values[2] = -(1 << 29)  # no cell seen yet
        self.active = 0  # rows past their delay, not recovered
        self.latched = 0  # hard and lockout rows since the last clear()
        self.pending = 0  # rows above their limit, delay not over
        self.recovering = 0  # active rows back inside, not for long enough
        self.quiet_s = 0  # since any row was active
        self._quiet_ms = 0
        self._source = bytes([QUANTITIES.index(r[1]) for r in TABLE])
        self._limit = array("i", [_limit(profile, r[2]) for r in TABLE])
        self._delay = array("i", [r[3] for r in TABLE])
        self._inside = array("i", [_limit(profile, r[2]) - r[6] for r in TABLE])
        self._recover = array("i", [r[7] for r in TABLE])
        self._timer = array("i", [0] * _ROWS)  # ms above the limit, or inside again
        self._lost_ms = self._rate_ms = self._still_ppm = 0
        self._then_cdegc = 0
        self._then_uv = array("i", [0] * profile.cell_count)

    def alarms(self):
        return self.active | self.latched

    def fault(self):
        return (self.active | self.latched) & _HARD

    def lockout(self):
        return (self.active | self.latched) & _LOCK

    def soft(self):
        return self.active & _SOFT

    def charge_blocked(self):
        return self.active & _BLOCK_C

    def discharge_blocked(self):
        return self.active & _BLOCK_D

    def clear(self):
        """A person's deliberate act: forget the latches of rows that are no longer active. 1 when none is left."""
        self.latched &= self.active & _LATCH
        return 0 if self.latched else 1

    def update(self, elapsed_ms):
        """Debounce every row and latch what must be."""
        values, source, limits, timer = self.values, self._source, self._limit, self._timer
        active = self.active
        busy = active | self.pending
        pending = recovering = 0
        for k in range(_ROWS):
            value = values[source[k]]
            if value > limits[k]:
                bit = 1 << k
                if active & bit:
                    timer[k] = 0
                else:
                    if busy & bit:
                        timer[k] = min(timer[k] + elapsed_ms, _LONGEST_MS)
                    else:
                        timer[k] = 0
                    if timer[k] >= self._delay[k]:
                        active |= bit
                        timer[k] = 0
                    else:
                        pending |= bit
            elif busy & 1 << k:
                bit = 1 << k
                if active & bit:
                    if value > self._inside[k]:
                        timer[k] = 0
                    else:
                        timer[k] = min(timer[k] + elapsed_ms, _LONGEST_MS)
                        if timer[k] >= self._recover[k]:
                            active &= ~bit
                        else:
                            recovering |= bit
        self.active = active
        self.pending = pending
        self.recovering = recovering
        self.latched |= active & _LATCH
        if active or self.latched:
            self.quiet_s = self._quiet_ms = 0
        else:
            self._quiet_ms += elapsed_ms
            if self._quiet_ms >= 1000:
                self.quiet_s = min(self.quiet_s + self._quiet_ms // 1000, _ENOUGH_S)
                self._quiet_ms %= 1000

    def measure(self, bms, elapsed_ms):
        """Fill `values` from the readings of this tick. Order as in QUANTITIES."""
        r, belief, p, v = bms.readings, bms.belief, self.profile, self.values
        outputs, tracker, ledger = bms.outputs, bms.tracker, bms.ledger
        v[0] = r.hardware_trip
        if belief.voltage_good:
            v[1] = belief.max_uv
            v[2] = -belief.min_uv
            v[18] = abs(belief.sum_uv - r.pack_uv) if r.pack_uv else 0
        if belief.current_good:
            permille = abs(belief.count) * 1000 // p.one_c_count
            v[3] = permille if belief.count > 0 else 0
            v[4] = permille if belief.count < 0 else 0
            v[5] = v[4] - bms.gate.pulse_permille if outputs.pulse_count else 0
        if belief.temp_good:
            hot, cold = belief.max_cdegc, belief.min_cdegc
            v[6] = hot
            v[7] = max(hot - p.charge_high_cdegc, p.charge_low_cdegc - cold)
            v[8] = max(hot - p.discharge_high_cdegc, p.discharge_low_cdegc - cold)
            v[9] = max(hot - p.pulse_high_cdegc, p.pulse_low_cdegc - cold)
            self._rate_ms += elapsed_ms
            if self._rate_ms >= _RATE_MS:
                v[10] = (hot - self._then_cdegc) * 6000 // (self._rate_ms // 10) if self._then_cdegc else 0
                self._then_cdegc = hot
                self._rate_ms = 0
        good = belief.current_good and belief.voltage_good and belief.temp_good
        v[11] = 0 if good else 1
        self._lost_ms = 0 if good else min(self._lost_ms + elapsed_ms, _LONGEST_MS)
        v[12] = self._lost_ms
        v[13] = self._stuck(r, belief, ledger.moved_ppm)
        wrong = r.charge_switch > outputs.charge_enable or r.discharge_switch > outputs.discharge_enable
        if not outputs.charge_enable and not outputs.discharge_enable and not outputs.pulse_count:
            wrong = wrong or (belief.current_good and abs(belief.count) > p.step_count)
        v[14] = 1 if wrong else 0
        v[15] = 1 if r.pulse_switch and not outputs.pulse_count else 0
        v[16] = bms.short_suspected
        v[17] = bms.clock.still
        v[19] = ledger.disagree
        v[20] = elapsed_ms - outputs.next_tick_ms
        v[21] = r.watchdog_reset
        v[22] = bms.journal_bad
        v[23] = bms.clock.seconds - bms.gate.calibrated_until_s
        v[24] = tracker.jump_permille

    def _stuck(self, r, belief, moved_ppm):
        """Charge that passed while not one cell's voltage moved by a single digit."""
        if belief.voltage_new:
            for k in range(len(self._then_uv)):
                if self._then_uv[k] != r.cell_uv[k]:
                    self._then_uv[k] = r.cell_uv[k]
                    self._still_ppm = 0
            self._still_ppm += abs(moved_ppm)
        return self._still_ppm
