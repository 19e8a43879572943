"""What the boards have in common: sensors into Readings, Outputs onto switches, two journal files, a link, a watchdog.

A board file drives its pins safe, names them, states its independent cut-off and hands them over here.
"""

import os
import time

from drivers.ina228 import INA228, shunt_cal
from drivers.switches import PulseSink, Switch

_MASK = 0x3FFFFFFF
_WATCHDOG_MS = 8000  # an RP2040 can count to 8388
LONGEST_WAIT_MS = 4000  # a rest may wait longer, but the watchdog is fed after a whole tick and only then
_SHUNT_PV = 163800000000  # what SOVL and SUVL of the INA228 can hold, 163.8 mV,
_STEP_PV = 5000000  # and their step: less would be no limit
_LISTEN_MS = 100  # how often the link is looked at meanwhile

# the reference schematic (docs/wiring.md), for cells up to 1.5 A; who builds for more passes his own
SHUNT_UOHM = 100000
SINK_UA = 1000000  # pulse sink at full level
ONE_SHOT_MS = 330000  # when the hardware ends a pulse

watchdog = None  # made by the first feed(); a tool that interrupts the program has to go on feeding it


def watchdog_of(make):
    """The watchdog, made by `make(ms)` when it is first asked for."""
    global watchdog
    if watchdog is None:
        watchdog = make(_WATCHDOG_MS)
    return watchdog


class Files:
    """Journal storage: one file a slot, written beside and renamed, so that a slot is its old or its new self.

    Slot 2 is the profile, which main.py reads at the next start; a new firmware folder comes with its own.
    """

    def __init__(self, folder):
        self.folder = folder

    def _name(self, slot):
        return "profile.json" if slot == 2 else "%s/journal.%d" % (self.folder, slot)

    def read(self, slot):
        """The slot's bytes, or None when it was never written."""
        try:
            with open(self._name(slot), "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno == 2:  # ENOENT
                return None
            raise

    def write(self, slot, data):
        name = self._name(slot)
        with open(name + ".new", "wb") as file:
            file.write(data)
        os.rename(name + ".new", name)


class Stream:
    """The link on a UART."""

    def __init__(self, uart):
        self.uart = uart

    def waiting(self):
        """How many bytes have come."""
        return self.uart.any()

    def read(self):
        return self.uart.read() if self.uart.any() else None

    def write(self, data):
        self.uart.write(data)


class Lines:
    """The pins of a board, named. `trip` is high once the independent cut-off has acted; `stop` and `consent` are the
    user's (None: not wired, which is no stop, and no consent but over the link).
    """

    def __init__(self, charge, discharge, enable, trigger, sense, trip, stop=None, consent=None):
        self.charge = charge
        self.discharge = discharge
        self.enable = enable
        self.trigger = trigger
        self.sense = sense  # lines behind the charge switch, the discharge switch and the pulse sink
        self.trip = trip
        self.stop = stop
        self.consent = consent


def _front(i2c, profile):
    """What measures the cells: an ADS1115 and a thermistor for one, a BQ76952 for a string."""
    if profile.cell_count == 1:
        from drivers.ads1115 import ADS1115
        from drivers.single_cell import SingleCell
        from drivers.thermistor import Thermistor

        return SingleCell(ADS1115(i2c, time.sleep_ms), Thermistor())
    from drivers.bq76952 import BQ76952

    return BQ76952(i2c, time.sleep_ms, profile.cell_count, profile.hard_min_uv, profile.hard_max_uv)


class Board:
    """One board. `cutoff`: what bounds a pulse without firmware, in words; empty: nothing does, and it refuses pulses.

    `level`: PWM or converter that sets the pulse sink, `sink_ua` its full scale; `make_watchdog(ms)`; `folder`: where
    the journal lies.
    """

    def __init__(
        self, name, cutoff, profile, lines, i2c, level, uart, make_watchdog,
        shunt_uohm=SHUNT_UOHM, sink_ua=SINK_UA, one_shot_ms=ONE_SHOT_MS, folder="",
    ):  # fmt: skip
        lsb_na = profile.current_lsb_na
        self.sink_ua = sink_ua
        self.one_shot_ms = one_shot_ms
        self.cells = profile.cell_count
        self.monitor = INA228(i2c, lsb_na, shunt_uohm)
        self.fits(profile)
        self.name = name
        self.cutoff = cutoff
        self.lines = lines
        self.front = _front(i2c, profile)
        self.charge = Switch(lines.charge, lines.sense[0])
        self.discharge = Switch(lines.discharge, lines.sense[1])
        self.sink = PulseSink(level, lines.enable, lines.trigger, lines.sense[2], sink_ua * 1000 // lsb_na, one_shot_ms)
        self.store = Files(folder)
        self.stream = Stream(uart)
        self.sleep = time.sleep_ms  # a board that lives on its own battery puts machine.lightsleep here
        self.after_watchdog = 0  # 1 until the first tick after a watchdog reset has seen it
        self._make_watchdog = make_watchdog

    def fits(self, profile):
        """Raises ValueError when the profile is for another board."""
        pulse_ua = profile.one_c_ua * profile.pulse_max_permille // 1000
        if pulse_ua > self.sink_ua:
            raise ValueError("pulse_max_permille asks for %d uA, this board's sink gives %d" % (pulse_ua, self.sink_ua))
        if profile.pulse_max_s * 1000 > self.one_shot_ms:
            last_s = self.one_shot_ms // 1000
            raise ValueError("pulse_max_s is %d, this board's one-shot ends at %d" % (profile.pulse_max_s, last_s))
        if profile.cell_count != self.cells:
            raise ValueError("cell_count is %d, this board measures %d" % (profile.cell_count, self.cells))
        shunt_cal(profile.current_lsb_na, self.monitor.shunt_uohm, 0)
        for permille in (profile.charge_hard_permille, profile.discharge_hard_permille):
            limit_na = profile.one_c_count * permille // 1000 * profile.current_lsb_na
            if not _STEP_PV <= limit_na * self.monitor.shunt_uohm // 1000 <= _SHUNT_PV:
                raise ValueError(
                    "charge_hard_permille, discharge_hard_permille: %d uA is not within this board's shunt"
                    % (limit_na // 1000)
                )

    def start(self, charge_limit_count, discharge_limit_count):
        """Set the chips up. Returns the names of those that do not answer as they should, "" when all do."""
        self.safe()
        missing = ""
        try:
            self.monitor.start(charge_limit_count, discharge_limit_count)
        except OSError:
            missing = "%s at 0x%02x" % (self.monitor.NAME, self.monitor.address)
        try:
            self.front.start()
        except OSError:
            missing += (", " if missing else "") + "%s at 0x%02x" % (self.front.NAME, self.front.address)
        return missing

    def attach(self, bms):
        """Tell the controller what it stands on."""
        bms.fits = self.fits
        bms.gate.cutoff_present = 1 if self.cutoff else 0
        bms.gate.bleed_uv = self.front.BLEED_OHM * bms.profile.current_lsb_na // 1000

    def safe(self):
        """Every switch off. Needs nothing to work but the pins."""
        self.sink.stop()
        self.charge.set(0)
        self.discharge.set(0)

    def read(self, r):
        """Fill the readings of one tick; returns 1. What did not answer keeps its old value and time, and says so."""
        monitor = self.monitor
        front = self.front
        r.now_ms = now = time.ticks_ms() & _MASK  # type: ignore[operator]  # opaque to the stubs
        r.current_ok = r.charge_ok = 1 if monitor.sample() and not monitor.broken else 0
        if r.current_ok:
            r.current_ms = now
            r.current_count = monitor.current_count
            r.charge_hi = monitor.charge_hi
            r.charge_lo = monitor.charge_lo
        r.charge_restarts = monitor.restarts
        r.cell_ok = front.sample()
        if r.cell_ok:
            r.cell_ms = now
            for k in range(len(r.cell_uv)):
                r.cell_uv[k] = front.cell_uv[k]
        r.pack_uv = front.stack_uv or monitor.bus_uv
        r.temp_ok = front.temp_ok
        if r.temp_ok:
            r.temp_ms = now
            for k in range(len(r.temp_cdegc)):
                r.temp_cdegc[k] = front.cdegc[k]
        r.charge_switch = self.charge.conducting()
        r.discharge_switch = self.discharge.conducting()
        r.pulse_switch = self.sink.conducting()
        lines = self.lines
        r.hardware_trip = 1 if lines.trip.value() or front.tripped else 0
        r.stop = lines.stop.value() if lines.stop else 0
        r.user_consent = 0 if not self.cutoff else lines.consent.value() if lines.consent else 2
        r.watchdog_reset = self.after_watchdog
        self.after_watchdog = 0
        return 1

    def apply(self, outputs):
        """Put the outputs of one tick on the switches."""
        self.charge.set(outputs.charge_enable)
        self.discharge.set(outputs.discharge_enable)
        sink = self.sink
        if not outputs.pulse_count or not self.cutoff:
            if sink.asked_count:
                sink.stop()
        elif sink.asked_count != outputs.pulse_count:
            sink.start(outputs.pulse_count, outputs.pulse_ms)
        else:
            sink.hold(-self.monitor.current_count)
        self.front.balance(outputs.balance_mask, time.ticks_ms())

    def feed(self):
        """Feed the watchdog; the first call starts it, and nothing stops it."""
        watchdog_of(self._make_watchdog).feed()

    def forever(self, turn):
        """Run `turn()`, which returns the longest wait in ms, for good; whatever ends it leaves every switch off."""
        try:
            while True:
                self.wait(min(turn(), LONGEST_WAIT_MS))
        finally:
            self.safe()

    def wait(self, wait_ms):
        """Wait, but not when the link has bytes: somebody may want to stop."""
        then = time.ticks_ms()
        while not self.stream.waiting():
            left = wait_ms - time.ticks_diff(time.ticks_ms(), then)
            if left <= 0:
                return
            self.sleep(min(left, _LISTEN_MS))
