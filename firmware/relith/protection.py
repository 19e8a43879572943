"""Every limit that is watched: the rows of protection.txt, and the few lines that watch them. Safety begins there.

Quantities are measured in every tick; a row asks whether its quantity is above its limit, for how long in elapsed
milliseconds, and says what that blocks. Temperature limits tighten with the isolated lithium, by a degree for each
tenth of nominal capacity (assumed): an aged cell full of it fails harder (Deng et al. 2026).
"""

from array import array

from relith import const
from relith.lossmodel import content_ppm
from relith.profile import lines
from relith.readings import zeros

CRC = 0xAC5422B6  # of protection.txt
_ROWS = const(31)  # at most 31: alarms are bits of a small int, the last one its sign

# quantities, in the order of protection.txt
_TRIP = const(0)
_HIGH_UV = const(1)
_LOW_UV = const(2)
_CHARGE_PERMILLE = const(3)
_DISCHARGE_PERMILLE = const(4)
_PULSE_PERMILLE = const(5)
_HOT_CDEGC = const(6)
_CHARGE_CDEGC = const(7)
_DISCHARGE_CDEGC = const(8)
_PULSE_CDEGC = const(9)
_HEATING_CDEGC_MIN = const(10)
_STALE = const(11)
_LOST_MS = const(12)
_STUCK_PPM = const(13)
_SWITCH = const(14)
_OVERRUN = const(15)
_SHORT = const(16)
_STILL = const(17)
_SUM_UV = const(18)
_DISAGREE = const(19)
_OCV_PPM = const(20)
_LATE_MS = const(21)
_WATCHDOG = const(22)
_JOURNAL = const(23)
_CALIBRATION_S = const(24)
_JUMP_PERMILLE = const(25)
_LOAD_PERMILLE = const(26)
_QUANTITIES = const(27)

_SOFT = const(1)  # level; 0: warning
_HARD = const(2)
_LOCKOUT = const(3)
_CHARGE = const(1)  # blocks; 0: none
_DISCHARGE = const(2)
_ALL = const(3)

_LONGEST_MS = const(1 << 29)
_HOLD_UV = const(20000)  # this near the end-of-charge voltage a charger holds it
_RATE_MS = const(10000)  # rise of temperature is measured over this
_TIGHTER_PPM = const(1000)  # so much isolated lithium takes 0.01 degC off every upper limit of temperature,
_TIGHTEST_CDEGC = const(1000)  # up to this
_WARM_PERMILLE = const(500)  # from this rate on a cell warms by more than a digit
_MET = const(3)  # of each cell at its last rested voltage: content, and since then charge moved and its doubt, ppm


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
        self.boxed = 0  # rows that the black box is kept for
        self.quiet_s = 0  # since there was any alarm
        self.tighter_cdegc = 0  # off every upper limit of temperature
        self._quiet_ms = 0
        self._values = zeros(_QUANTITIES)
        self._values[_LOW_UV] = -_LONGEST_MS  # no cell seen yet
        self._rows = array("i")  # of each: quantity, limit, delay_ms, below, for_ms, bit
        self._timer = zeros(_ROWS)  # ms above the limit, or inside again
        self._level = [0, 0, 0, 0]  # rows of each level
        self._blocks = [0, 0, 0, 0]  # rows that block charge (1), discharge (2), all (3)
        self._rate_ms = self._still_ppm = self._then_cdegc = self._then_count = 0
        self._hot_cdegc = self._cold_cdegc = self._hot_ppm = self._cold_ppm = 0
        self._then_uv = zeros(profile.cell_count)
        self._met = array("i", [-1, 0, 0] * profile.cell_count)  # _MET of each; -1: no rested voltage yet
        self._off_ppm = zeros(profile.cell_count)
        self._read(profile)

    def _read(self, profile):
        """The rows, their limits taken from the profile."""
        quantities = []
        bit = 1
        for line in lines("protection.txt", CRC):
            row = line.split()
            if row[0] == "quantity":
                quantities.append(row[1])
                continue
            name = row[3].lstrip("-")
            limit = int(name) if name.isdigit() else getattr(profile, name)
            self._rows.extend(
                array("i", [
                    quantities.index(row[2]), -limit if row[3][0] == "-" else limit, int(row[4]), int(row[7]),
                    int(row[8]), bit,
                ])
            )  # fmt: skip
            self._level["wshl".index(row[5][0])] |= bit
            self._blocks["ncda".index(row[6][0])] |= bit
            if row[10] == "yes":
                self.boxed |= bit
            bit = bit << 1 if bit < 1 << 29 else -(1 << 30)

    def lock(self):
        """A lockout that could not be read is a lockout (safety rule 11)."""
        self.latched |= self._level[_LOCKOUT]

    def clear(self):
        """A person's deliberate act: forget the latches. False, and nothing forgotten, while such a row is active."""
        if self.latched & self.active:
            return False
        self.latched = 0
        return True

    def update(self, elapsed_ms):
        """Debounce every row, latch what must be."""
        values, rows, timer = self._values, self._rows, self._timer
        active, was_pending, was_recovering = self.active, self.pending, self.recovering
        pending = recovering = at = 0
        for k in range(_ROWS):
            bit = rows[at + 5]
            above = values[rows[at]] - rows[at + 1]
            if above > 0:
                timer[k] = min(timer[k] + elapsed_ms, _LONGEST_MS) if was_pending & bit else 0
                if active & bit == 0:
                    if timer[k] >= rows[at + 2]:
                        active |= bit
                    else:
                        pending |= bit
            elif active & bit and above <= -rows[at + 3]:
                timer[k] = min(timer[k] + elapsed_ms, _LONGEST_MS) if was_recovering & bit else 0
                if timer[k] >= rows[at + 4]:
                    active &= ~bit
                else:
                    recovering |= bit
            at += 6
        self.active = active
        self.pending = pending
        self.recovering = recovering
        level, blocks = self._level, self._blocks
        self.latched |= active & (level[_HARD] | level[_LOCKOUT])
        self.alarms = alarms = active | self.latched
        self.fault = alarms & level[_HARD]
        self.lockout = alarms & level[_LOCKOUT]
        self.soft = active & level[_SOFT]
        self.no_charge = active & (blocks[_CHARGE] | blocks[_ALL])
        self.no_discharge = active & (blocks[_DISCHARGE] | blocks[_ALL])
        self._quiet_ms += elapsed_ms
        if alarms:
            self.quiet_s = self._quiet_ms = 0
        elif self._quiet_ms >= 1000:
            self.quiet_s = min(self.quiet_s + self._quiet_ms // 1000, _LONGEST_MS)
            self._quiet_ms %= 1000

    def renew(self):
        """Another cell is in: no rested voltage of it is known, nor a short. False while a fault is there that is not
        the old cell's alone.
        """
        self._values[_SHORT] = 0
        self.update(0)
        if not self.clear():
            return False
        for k in range(0, len(self._met), _MET):
            self._met[k] = -1
        self._values[_OCV_PPM] = 0
        return True

    def compare(self, k, h, capacity_ppm):
        """OCV against ledger: charge between two rested voltages of cell `k` is the cathode's content between them,
        times its capacity. `h`: the half-cycle that is complete. It may allocate.
        """
        p, met, at = self.profile, self._met, k * _MET
        if met[at] < 0 and h.ocv_before_uv:
            met[at], met[at + 2] = _rested(p, h.ocv_before_uv)
            met[at + 1] = 0
        moved = met[at + 1] + h.kind * h.charge_ppm
        doubt = met[at + 2] + h.gap_ppm + h.charge_ppm * p.gain_sigma_ppm // 333333
        doubt += (h.duration_s + h.rest_after_s) * p.offset_sigma_ppm_per_h // 1200  # three sigma each
        if h.ocv_after_uv:
            content, unsure = _rested(p, h.ocv_after_uv)
            went = (content - met[at]) * capacity_ppm // 1000000
            off = abs(went + moved) - doubt - unsure - abs(went) * p.cathode_sigma_ppm // 333333
            self._off_ppm[k] = max(0, min(off, _LONGEST_MS)) if met[at] >= 0 else 0
            self._values[_OCV_PPM] = max(self._off_ppm)
            met[at] = content
            moved = 0
            doubt = unsure
        met[at + 1] = max(-_LONGEST_MS, min(moved, _LONGEST_MS))
        met[at + 2] = min(doubt, _LONGEST_MS)

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
            asked = bms.gate.pulse_permille if outputs.pulse_count else 0
            v[_LOAD_PERMILLE] = permille - asked
            v[_PULSE_PERMILLE] = permille - asked if asked else 0
        self._rate_ms = min(self._rate_ms + elapsed_ms, _LONGEST_MS)
        if belief.temp_good:
            hot, cold = belief.max_cdegc, belief.min_cdegc
            tighter = 0
            for e in bms.estimates:
                tighter = max(tighter, e.isolated_ppm // _TIGHTER_PPM)
            self.tighter_cdegc = tighter = min(tighter, _TIGHTEST_CDEGC)
            if self._rate_ms >= _RATE_MS:
                rise = hot - self._then_cdegc if self._then_cdegc else 0
                v[_HEATING_CDEGC_MIN] = rise * 6000 // (self._rate_ms // 10)
                self._then_cdegc = hot
                self._rate_ms = 0
            heat = 0
            if bms.tracker.permille >= _WARM_PERMILLE:  # by the square of the current: what flows slowly warms nothing
                heat = min(abs(bms.ledger.moved_ppm), 50000) * min(bms.tracker.permille, 20000) // 2000
            self._hot_ppm = min(self._hot_ppm + heat, _LONGEST_MS) if hot == self._hot_cdegc else 0
            self._cold_ppm = min(self._cold_ppm + heat, _LONGEST_MS) if cold == self._cold_cdegc else 0
            self._hot_cdegc = hot
            self._cold_cdegc = cold
            hot += tighter
            v[_HOT_CDEGC] = hot
            v[_CHARGE_CDEGC] = max(hot - p.charge_high_cdegc, p.charge_low_cdegc - cold)
            v[_DISCHARGE_CDEGC] = max(hot - p.discharge_high_cdegc, p.discharge_low_cdegc - cold)
            v[_PULSE_CDEGC] = max(hot - p.pulse_high_cdegc, p.pulse_low_cdegc - cold)
        if belief.good:
            v[_STALE] = v[_LOST_MS] = 0
        else:
            v[_STALE] = 1
            v[_LOST_MS] = min(v[_LOST_MS] + elapsed_ms, _LONGEST_MS)
        if belief.voltage_new:
            self._still_ppm = min(self._still_ppm + abs(bms.ledger.moved_ppm), _LONGEST_MS)
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
        v[_STUCK_PPM] = max(self._still_ppm, self._hot_ppm, self._cold_ppm)
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


def _rested(p, uv):
    """A rested voltage as the cathode's content, ppm of its swing, and three sigma of that."""
    content, slope = content_ppm(p, uv)
    return max(0, content), 3000000 * p.voltage_sigma_uv // slope
