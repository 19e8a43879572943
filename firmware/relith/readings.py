"""What the sensors said, how old it is, and whether to believe it; and what a tick answers.

One `Readings` object is made at start and filled again before every tick, so the tick allocates nothing.
Every field is a whole number. Positive current charges.
"""

from array import array

from relith import const

TICKS_PERIOD_MS = const(1 << 30)  # the board's ticks_ms wraps here (12.4 days)
LIMB = const(1 << 20)  # the 40-bit charge accumulator is carried as two 20-bit limbs

STALE_MS = const(500)  # a sample older than this is not believed
COUNT_MAX = const((1 << 19) - 1)  # a monitor that reads full scale is saturated: not believed
_UV_LOW = const(300000)  # outside these: a broken wire, not a cell
_UV_HIGH = const(5600000)
_CDEGC_LOW = const(-4500)  # outside these: an open or shorted thermistor
_CDEGC_HIGH = const(12500)
_MASK = const((1 << 30) - 1)


def zeros(n):
    """Whole numbers that a tick stores without allocating."""
    return array("i", [0] * n)


class Readings:
    """Inputs of one tick. `cells`: number of series cells; `thermistors`: number of temperature sensors."""

    def __init__(self, cells=1, thermistors=1):
        self.now_ms = 0  # board ticks_ms at this tick, 0 … 2**30-1, wraps
        # current and charge monitor
        self.current_count = 0  # signed 20-bit count of the profile's current_lsb_na; positive charges
        self.current_ms = 0  # ticks_ms when that current was sampled
        self.current_ok = 0  # 1 when the monitor answered
        self.charge_hi = 0  # accumulator, signed upper 20 bits; unit of the pair: 1 count * 1 s
        self.charge_lo = 0  # accumulator, lower 20 bits, 0 … 2**20-1
        self.charge_ok = 0  # 1 when the accumulator answered
        self.charge_restarts = 0  # how often the accumulator restarted from zero since boot (wraps at 2**16)
        # voltages
        self.cell_uv = zeros(cells)
        self.cell_ms = 0  # ticks_ms of the voltage samples
        self.cell_ok = 0
        self.pack_uv = 0  # whole string, 0 when the board does not measure it
        # temperatures
        self.temp_cdegc = array("i", [2500] * thermistors)
        self.temp_ms = 0
        self.temp_ok = 0
        # feedback of the board's own switches, 1 = conducting
        self.charge_switch = 0
        self.discharge_switch = 0
        self.pulse_switch = 0
        self.hardware_trip = 0  # 1 when the independent cut-off has acted
        # the user's side
        self.user_consent = 0  # 1: interventions allowed now (load and calendar agree); 2: no line, the link alone says
        self.user_free_s = 0  # seconds the user does not need the cell from now on (0: not known)
        self.user_full_in_s = -1  # seconds until the user needs it full; -1: no deadline
        self.clock_known = 0  # 1 when wall-clock time survived (RTC or host); else no calendar, no rest
        self.stop = 0  # operator stop line
        self.watchdog_reset = 0  # 1 on the first tick after a watchdog reset


class Outputs:
    """What one tick decided. The board applies it; the world outside is asked to keep the limits."""

    def __init__(self):
        self.charge_enable = 0  # board's charge switch
        self.discharge_enable = 0  # board's discharge switch
        self.pulse_count = 0  # pulse-sink current magnitude, counts of current_lsb_na; 0 = off
        self.pulse_ms = 0  # width for the hardware one-shot, with the pulse; 0 = not armed
        self.balance_mask = 0  # bit k: bleed cell k
        self.charge_limit_count = 0  # magnitude of the charge current that charger and user may use
        self.discharge_limit_count = 0  # magnitude of the discharge current that load and user may use
        self.next_tick_ms = 100  # longest wait until the next tick that this state allows
        self.state = 0  # place in states.TABLE
        self.decision = 0  # index into scheduler.DECISIONS: what the scheduler asked for last
        self.reason = 0  # index into reasons.REASONS: why, in plain words
        self.alarms = 0  # bit k: diagnostic row k of protection.txt active or latched
        self.journal_due = 0  # 1: the journal was written in this tick

    def off(self):
        """Everything that conducts, off. The gate starts from here in every tick."""
        self.charge_enable = self.discharge_enable = 0
        self.pulse_count = self.pulse_ms = self.balance_mask = 0
        self.charge_limit_count = self.discharge_limit_count = 0


class Belief:
    """Which readings of this tick to believe, and their extremes over the string. A value not believed is not used.

    `*_good`: answered, fresh and in range; `good`: ticks in a row in which all three were, up to 255. `*_new`: a sample
    not seen before (a repeated one carries no charge).
    The extremes keep their last believed value while `*_good` is 0.
    """

    def __init__(self):
        self.good = self.current_good = self.voltage_good = self.temp_good = 0
        self.current_new = self.voltage_new = 0
        self.count = 0
        self.min_uv = self.max_uv = self.sum_uv = 0
        self.min_cdegc = self.max_cdegc = 2500
        self._current_ms = self._cell_ms = -1

    def update(self, r):
        now = r.now_ms
        good = 0
        if r.current_ok and (now - r.current_ms) & _MASK <= STALE_MS and -COUNT_MAX <= r.current_count <= COUNT_MAX:
            good = 1
            self.count = r.current_count
            self.current_new = 1 if r.current_ms != self._current_ms else 0
            self._current_ms = r.current_ms
        else:
            self.current_new = 0
        self.current_good = good

        good = 0
        self.voltage_new = 0
        if r.cell_ok and (now - r.cell_ms) & _MASK <= STALE_MS:
            cells = r.cell_uv
            low = high = total = cells[0]
            for k in range(1, len(cells)):
                uv = cells[k]
                total += uv
                if uv < low:
                    low = uv
                elif uv > high:
                    high = uv
            if low >= _UV_LOW and high <= _UV_HIGH:
                good = 1
                self.min_uv = low
                self.max_uv = high
                self.sum_uv = total
                self.voltage_new = 1 if r.cell_ms != self._cell_ms else 0
                self._cell_ms = r.cell_ms
        self.voltage_good = good

        good = 0
        if r.temp_ok and (now - r.temp_ms) & _MASK <= STALE_MS:
            temps = r.temp_cdegc
            low = high = temps[0]
            for k in range(1, len(temps)):
                cdegc = temps[k]
                if cdegc < low:
                    low = cdegc
                elif cdegc > high:
                    high = cdegc
            if low >= _CDEGC_LOW and high <= _CDEGC_HIGH:
                good = 1
                self.min_cdegc = low
                self.max_cdegc = high
        self.temp_good = good
        self.good = min(self.good + 1, 255) if good and self.current_good and self.voltage_good else 0
