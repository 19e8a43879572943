"""What the sensors said, how old it is, and (later in this file) whether to believe it.

One `Readings` object is made at start and filled again before every tick, so the tick allocates nothing.
Every field is a whole number. Positive current charges.
"""

from array import array

TICKS_PERIOD_MS = 1 << 30  # the board's ticks_ms wraps here (12.4 days)
LIMB = 1 << 20  # the 40-bit charge accumulator is carried as two 20-bit limbs


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
        self.cell_uv = array("i", [0] * cells)
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
        self.user_consent = 0  # 1: interventions allowed now (load and calendar agree)
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
        self.state = 0  # index into states.STATES
        self.decision = 0  # index into scheduler.DECISIONS: what the scheduler asked for last
        self.reason = 0  # index into reasons.REASONS: why, in plain words
        self.alarms = 0  # bit k: diagnostic row k of protection.TABLE active or latched
        self.journal_due = 0  # 1: the journal was written in this tick
