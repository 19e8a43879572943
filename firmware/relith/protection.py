"""Every limit that is watched, as one table, and the few lines that watch it. Checking safety begins here.

Times are elapsed milliseconds, never ticks. Warning: no intervention is granted. Soft: the direction that it names
is blocked until it recovers. Hard: all off, latched until a person clears it. Lockout: the same, and it survives a
power loss.
"""

from array import array

from relith import const

# quantities, measured in every tick; every row asks whether its quantity is above its limit
_TRIP = const(0)  # the independent cut-off has acted
_HIGH_UV = const(1)  # highest cell
_LOW_UV = const(2)  # lowest cell, negated
_CHARGE_PERMILLE = const(3)  # charge rate
_DISCHARGE_PERMILLE = const(4)  # discharge rate
_PULSE_PERMILLE = const(5)  # discharge rate above what the running pulse asks for
_HOT_CDEGC = const(6)  # hottest sensor
_CHARGE_CDEGC = const(7)  # how far outside the window for charging
_DISCHARGE_CDEGC = const(8)  # ... for discharging
_PULSE_CDEGC = const(9)  # ... for a pulse
_HEATING_CDEGC_MIN = const(10)  # rise of temperature per minute
_STALE = const(11)  # 1: current, voltage or temperature is missing, old or out of range
_LOST_MS = const(12)  # for how long
_STUCK_PPM = const(13)  # charge that passed while no cell voltage moved by a digit
_SWITCH = const(14)  # 1: a switch does not do what it is told, or current flows though both are open
_OVERRUN = const(15)  # 1: the pulse sink does
_SHORT = const(16)  # 1: a soft short is suspected
_STILL = const(17)  # ticks in which the clock stood still or ran backwards
_SUM_UV = const(18)  # sum of cells against the string's own reading
_DISAGREE = const(19)  # 1: the charge accumulator is missing or does not go with the samples
_LATE_MS = const(20)  # how late this tick is
_WATCHDOG = const(21)  # 1: the watchdog has reset the board
_JOURNAL = const(22)  # 1: the journal is not sound
_CALIBRATION_S = const(23)  # how long past its date
_JUMP_PERMILLE = const(24)  # resistance over the one measured before
_QUANTITIES = const(25)

_WARN = const(0)  # level
_SOFT = const(1)
_HARD = const(2)
_LOCK = const(3)
_C = const(1)  # blocks: charge, discharge, all
_D = const(2)
_ALL = const(3)

# id, quantity, limit (a number, or a field of the profile, "-" negates), delay_ms, level, blocks,
# recovers when below the limit by, for ms; response_ms; kept in the black box
TABLE = (
    ("hardware_trip", _TRIP, 0, 0, _HARD, _ALL, 0, 0, 150, True),
    ("cell_high_hard", _HIGH_UV, "hard_max_uv", 200, _HARD, _ALL, 0, 0, 500, True),
    ("cell_low_hard", _LOW_UV, "-hard_min_uv", 200, _HARD, _ALL, 0, 0, 500, True),
    ("deep_discharge", _LOW_UV, "-lockout_uv", 1000, _LOCK, _ALL, 0, 0, 1500, True),
    ("charge_hard", _CHARGE_PERMILLE, "charge_hard_permille", 100, _HARD, _ALL, 0, 0, 300, True),
    ("discharge_hard", _DISCHARGE_PERMILLE, "discharge_hard_permille", 100, _HARD, _ALL, 0, 0, 300, True),
    ("pulse_current", _PULSE_PERMILLE, 150, 100, _HARD, _ALL, 0, 0, 300, True),
    ("hot_hard", _HOT_CDEGC, "hard_high_cdegc", 500, _HARD, _ALL, 0, 0, 1000, True),
    ("heating", _HEATING_CDEGC_MIN, "heating_cdegc_per_min", 0, _HARD, _ALL, 0, 0, 12000, True),
    ("sensor_lost", _LOST_MS, 60000, 0, _HARD, _ALL, 0, 0, 61000, True),
    ("voltage_stuck", _STUCK_PPM, 30000, 0, _HARD, _ALL, 0, 0, 150, True),
    ("switch_stuck", _SWITCH, 0, 500, _HARD, _ALL, 0, 0, 800, True),
    ("pulse_overrun", _OVERRUN, 0, 200, _HARD, _ALL, 0, 0, 500, True),
    ("soft_short", _SHORT, 0, 0, _HARD, _ALL, 0, 0, 150, True),
    ("clock_still", _STILL, 20, 0, _HARD, _ALL, 0, 0, 3000, True),
    ("cell_high", _HIGH_UV, "soft_max_uv", 1000, _SOFT, _C, 20000, 5000, 1500, False),
    ("cell_low", _LOW_UV, "-soft_min_uv", 1000, _SOFT, _D, 100000, 5000, 1500, False),
    ("charge_current", _CHARGE_PERMILLE, "charge_soft_permille", 2000, _SOFT, _C, 0, 10000, 2500, False),
    ("discharge_current", _DISCHARGE_PERMILLE, "discharge_soft_permille", 2000, _SOFT, _D, 0, 10000, 2500, False),
    ("charge_window", _CHARGE_CDEGC, 0, 2000, _SOFT, _C, 200, 10000, 2500, False),
    ("discharge_window", _DISCHARGE_CDEGC, 0, 2000, _SOFT, _D, 200, 10000, 2500, False),
    ("sensor_stale", _STALE, 0, 500, _SOFT, _ALL, 0, 5000, 800, False),
    ("pack_sum", _SUM_UV, "pack_sum_uv", 2000, _SOFT, _ALL, 0, 10000, 2500, False),
    ("pulse_window", _PULSE_CDEGC, 0, 0, _WARN, 0, 100, 60000, 150, False),
    ("accumulator", _DISAGREE, 0, 5000, _WARN, 0, 0, 600000, 8000, False),
    ("deadline", _LATE_MS, 1000, 0, _WARN, 0, 0, 60000, 150, False),
    ("watchdog", _WATCHDOG, 0, 0, _WARN, 0, 0, 600000, 150, True),
    ("calibration", _CALIBRATION_S, 0, 0, _WARN, 0, 0, 0, 150, False),
    ("resistance_jump", _JUMP_PERMILLE, 2000, 0, _WARN, 0, 0, 600000, 150, False),
    ("journal", _JOURNAL, 0, 0, _WARN, 0, 0, 0, 150, False),
)
_ROWS = len(TABLE)  # at most 30: alarms are bits of a small int
_LONGEST_MS = const(1 << 29)
_HOLD_UV = const(20000)  # this near the end-of-charge voltage a charger holds it
_RATE_MS = const(10000)  # rise of temperature is measured over this


class Protection:
    """`measure()`, then `update()`, once per tick. What rows say is kept as bits, row 0 lowest."""

    def __init__(self, profile):
        self.profile = profile
        self.latched = 0  # hard and lockout rows since the last clear()
        self.active = 0  # rows past their delay that have not recovered
        self.pending = 0  # rows above their limit whose delay is not over
        self.recovering = 0  # active rows back inside, not for long enough
        self.alarms = self.fault = self.lockout = 0  # active or latched: all, hard, lockout
        self.soft = self.no_charge = self.no_discharge = 0  # active: soft, blocking charge, blocking discharge
        self.quiet_s = 0  # since there was any alarm
        self._quiet_ms = 0
        self._values = array("i", [0] * _QUANTITIES)
        self._values[_LOW_UV] = -_LONGEST_MS  # no cell seen yet
        self._source = bytes([row[1] for row in TABLE])
        self._limit = array("i", [self._limit_of(row[2]) for row in TABLE])
        self._timer = array("i", [0] * _ROWS)  # ms above the limit, or inside again
        self._level = [0, 0, 0, 0]  # rows of each level
        self._blocks = [0, 0, 0]  # rows that block charge (1), discharge (2)
        for k in range(_ROWS):
            self._level[TABLE[k][4]] |= 1 << k
            for way in (_C, _D):
                if TABLE[k][5] & way:
                    self._blocks[way] |= 1 << k
        self._lost_ms = self._rate_ms = self._still_ppm = self._then_cdegc = self._then_count = 0
        self._then_uv = array("i", [0] * profile.cell_count)

    def _limit_of(self, limit):
        if type(limit) is int:
            return limit
        return -getattr(self.profile, limit[1:]) if limit[0] == "-" else getattr(self.profile, limit)

    def lock(self):
        """A lockout that could not be read is a lockout (safety rule 11)."""
        self.latched |= self._level[_LOCK]

    def clear(self):
        """A person's deliberate act: forget the latches of rows that are no longer active. True when none is left."""
        self.latched &= self.active
        return self.latched == 0

    def update(self, elapsed_ms):
        """Debounce every row, latch what must be."""
        values, source = self._values, self._source
        limit, timer = self._limit, self._timer
        active = self.active
        busy = active | self.pending
        pending = recovering = 0
        for k in range(_ROWS):
            value = values[source[k]]
            if value > limit[k]:
                bit = 1 << k
                timer[k] = min(timer[k] + elapsed_ms, _LONGEST_MS) if self.pending & bit else 0
                if active & bit == 0:
                    if timer[k] >= TABLE[k][3]:
                        active |= bit
                    else:
                        pending |= bit
            elif busy & 1 << k:
                bit = 1 << k
                if active & bit and value <= limit[k] - TABLE[k][6]:
                    timer[k] = min(timer[k] + elapsed_ms, _LONGEST_MS) if self.recovering & bit else 0
                    if timer[k] >= TABLE[k][7]:
                        active &= ~bit
                    else:
                        recovering |= bit
        self.active = active
        self.pending = pending
        self.recovering = recovering
        level, blocks = self._level, self._blocks
        self.latched |= active & (level[_HARD] | level[_LOCK])
        self.alarms = alarms = active | self.latched
        self.fault = alarms & level[_HARD]
        self.lockout = alarms & level[_LOCK]
        self.soft = active & level[_SOFT]
        self.no_charge = active & blocks[_C]
        self.no_discharge = active & blocks[_D]
        self._quiet_ms += elapsed_ms
        if alarms:
            self.quiet_s = self._quiet_ms = 0
        elif self._quiet_ms >= 1000:
            self.quiet_s = min(self.quiet_s + self._quiet_ms // 1000, _LONGEST_MS)
            self._quiet_ms %= 1000

    def measure(self, bms):
        """Every quantity of this tick; one that cannot be measured keeps its value, and _STALE says so."""
        r, belief = bms.readings, bms.belief
        p, v = self.profile, self._values
        outputs, elapsed_ms = bms.outputs, bms.clock.elapsed_ms
        v[_TRIP] = r.hardware_trip
        if belief.voltage_good:
            v[_HIGH_UV] = belief.max_uv
            v[_LOW_UV] = -belief.min_uv
            v[_SUM_UV] = abs(belief.sum_uv - r.pack_uv) if r.pack_uv else 0
        if belief.current_good:
            permille = abs(belief.count) * 1000 // p.one_c_count
            v[_CHARGE_PERMILLE] = permille if belief.count > 0 else 0
            v[_DISCHARGE_PERMILLE] = permille = permille if belief.count < 0 else 0
            v[_PULSE_PERMILLE] = permille - bms.gate.pulse_permille if outputs.pulse_count else 0
        if belief.temp_good:
            hot, cold = belief.max_cdegc, belief.min_cdegc
            v[_HOT_CDEGC] = hot
            v[_CHARGE_CDEGC] = max(hot - p.charge_high_cdegc, p.charge_low_cdegc - cold)
            v[_DISCHARGE_CDEGC] = max(hot - p.discharge_high_cdegc, p.discharge_low_cdegc - cold)
            v[_PULSE_CDEGC] = max(hot - p.pulse_high_cdegc, p.pulse_low_cdegc - cold)
            self._rate_ms += elapsed_ms
            if self._rate_ms >= _RATE_MS:
                v[_HEATING_CDEGC_MIN] = (
                    (hot - self._then_cdegc) * 6000 // (self._rate_ms // 10) if self._then_cdegc else 0
                )
                self._then_cdegc = hot
                self._rate_ms = 0
        if belief.current_good and belief.voltage_good and belief.temp_good:
            v[_STALE] = self._lost_ms = 0
        else:
            v[_STALE] = 1
            self._lost_ms = min(self._lost_ms + elapsed_ms, _LONGEST_MS)
        v[_LOST_MS] = self._lost_ms
        if belief.voltage_new:
            self._still_ppm += abs(bms.ledger.moved_ppm)
            # a charger that holds the voltage moves it no more, but its current falls
            moved = (
                0 < belief.count < self._then_count - (self._then_count >> 4) and belief.max_uv > p.max_uv - _HOLD_UV
            )
            for k in range(len(self._then_uv)):
                if self._then_uv[k] != r.cell_uv[k]:
                    self._then_uv[k] = r.cell_uv[k]
                    moved = True
            if moved:
                self._still_ppm = 0
                self._then_count = belief.count
        v[_STUCK_PPM] = self._still_ppm
        closed = outputs.charge_enable + outputs.discharge_enable + outputs.pulse_count
        if r.charge_switch != outputs.charge_enable or r.discharge_switch != outputs.discharge_enable:
            v[_SWITCH] = 1
        else:
            v[_SWITCH] = 1 if closed == 0 and belief.current_good and abs(belief.count) > p.step_count else 0
        v[_OVERRUN] = 1 if r.pulse_switch and not outputs.pulse_count else 0
        v[_SHORT] = bms.short_suspected
        v[_STILL] = bms.clock.still
        v[_DISAGREE] = 1 if bms.ledger.disagree or not r.charge_ok else 0
        v[_LATE_MS] = elapsed_ms - outputs.next_tick_ms
        v[_WATCHDOG] = r.watchdog_reset
        v[_JOURNAL] = bms.journal_bad
        v[_CALIBRATION_S] = bms.clock.seconds - bms.gate.calibrated_until_s
        v[_JUMP_PERMILLE] = bms.tracker.jump_permille
