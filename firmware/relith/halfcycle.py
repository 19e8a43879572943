"""Half-cycles out of current: where one ends, where the next begins, and what is said of each.

A turn counts when it moves more than TURN_PPM against the direction so far, so braking in a drive or noise at rest
makes none; then what it moved belongs to the new half-cycle. The same direction after a long or qualified rest is a
new half-cycle as well.
"""

from relith import const
from relith.readings import LIMB, zeros

END_STOPPED = const(0)
END_LOW = const(1)  # cut-off reached under discharge
END_HIGH = const(2)  # full charge reached
TURN_PPM = const(5000)  # charge against the direction that makes a turn, and the least that makes a half-cycle
EARLY_PPM = const(50000)  # `early_rate_permille` is the mean over so much
_STOP_S = const(60)  # without current: the half-cycle has ended
_LONG_REST_S = const(1800)  # the same direction afterwards is a new half-cycle
SETTLE_S = const(600)  # voltage is compared over this time ...
SETTLE_UV = const(2000)  # ... and has settled when it moved less (3.3 µV/s; fuel gauges take 4)
COLD_CDEGC = const(500)  # outside these, a rested voltage does not qualify
_HOT_CDEGC = const(4500)
_NEAR_UV = const(5000)  # noise at a cut-off
_STRING_UV = const(20000)  # a cell this far above the cut-off was not the one that ended the discharge
_MOST_UV = const(1000000)  # more than this a measured resistance does not take off at 1C: it is beyond measure
_RUNAWAY_UV = const(200000)  # this close to the cut-off an emptying anode looks like resistance
_STEP_MS = const(2000)  # a current step within this time shows resistance, not diffusion
_ENOUGH_S = const(1 << 29)  # seconds are not counted beyond


class HalfCycle:
    """One half-cycle of one cell, as docs/interfaces.md says. All int."""

    def __init__(self):
        self.kind = 0  # +1 charge, -1 discharge
        self.charge_ppm = 0  # magnitude, gain- and offset-corrected, ppm of nominal capacity
        self.duration_s = 0  # with current
        self.rate_permille = 0  # of 1C, charge-weighted mean
        self.early_rate_permille = 0  # the same over the first 5 % of nominal capacity
        self.temp_cdegc = 0  # charge-weighted mean
        self.end = END_STOPPED
        self.end_uv = 0  # last voltage under current
        self.end_permille = 0  # and that current, of 1C
        self.pulse_ppm = self.pulse_permille = self.pulse_s = 0  # the activation pulse it began with
        self.rest_before_s = self.rest_after_s = 0
        self.ocv_before_uv = self.ocv_after_uv = 0  # rested voltage at the end of that rest; 0: it did not qualify
        self.gap_ppm = 0  # charge that may have passed unseen
        self.index = 0  # half-cycles since commissioning
        self.resistance_uohm = 0  # 0: not measured


class _Mean:
    """Charge-weighted mean; the sum is kept in two limbs."""

    def __init__(self):
        self.hi = self.lo = self.weight = 0

    def add(self, value, weight):
        low = self.lo + value * weight
        self.hi += low >> 20
        self.lo = low & (LIMB - 1)
        self.weight += weight

    def take(self):
        return ((self.hi << 20) + self.lo) // self.weight if self.weight else 0

    def clear(self):
        self.hi = self.lo = self.weight = 0


class _Stretch:
    """One half-cycle under way, in front of it the rest that preceded it."""

    def __init__(self, cells):
        self.rate = _Mean()
        self.temp = _Mean()
        self.uv = zeros(cells)  # last voltages under current
        self.before_uv = zeros(cells)
        self.bled_ppm = zeros(cells)
        self.start(0)

    def start(self, kind):
        self.kind = kind
        self.end = END_STOPPED
        self.net_ppm = self.asked_ppm = 0  # moved in its direction; the same when its end was last reported
        self.s = self.ms = self.gap_ppm = self.early_permille = self.last_permille = 0
        self.pulse_ppm = self.pulse_permille = self.pulse_s = 0
        self.before_s = 0
        for k in range(len(self.before_uv)):
            self.before_uv[k] = self.bled_ppm[k] = 0
        self.rate.clear()
        self.temp.clear()

    def move(self, ppm, permille, cdegc, ms):
        """`ppm` in its direction; what goes the other way lessens it and weighs nothing."""
        self.net_ppm += ppm
        if ppm > 0:
            self.rate.add(permille, ppm)
            self.temp.add(cdegc, ppm)
            if self.rate.weight >= EARLY_PPM and not self.early_permille:
                self.early_permille = self.rate.take()
        ms += self.ms
        if ms >= 1000:
            self.s += ms // 1000
            ms %= 1000
        self.ms = ms

    def absorb(self, other):
        """A turn that came to nothing."""
        self.net_ppm -= other.net_ppm
        self.s += other.s
        self.gap_ppm += other.gap_ppm
        self.bleed(other.bled_ppm)

    def bleed(self, ppm):
        """What each cell lost beside the string's current."""
        for k in range(len(ppm)):
            self.bled_ppm[k] += ppm[k]


class Tracker:
    """`update()` once per tick. `ended` is not 0 in the tick in which a half-cycle ended: 1, or 2 when it is
    complete at once; `ready` is 1 from when one is complete until the user of this class sets it to 0, and until then
    the next one is not complete. `record(h, cell, complete)` tells either."""

    def __init__(self, profile, ledger):
        n = profile.cell_count
        self.profile = profile
        self.ledger = ledger
        self.ended = self.ready = 0
        self.full = self.empty = 0  # 1: an end was reached, and less than TURN_PPM moved since
        self.since_end_ppm = 0  # moved since the last end, either way
        self.rest_s = 0  # without current until now
        self.index = 0  # half-cycles complete since commissioning
        self.permille = 0  # rate now
        self._last_permille = 0  # the last one that was not 0
        self.drop_uv = zeros(n)  # what 1C takes off each cell's voltage; 0: not measured
        self.jump_permille = 1000  # the last measurement over the one before, worst cell
        self._main = _Stretch(n)
        self._back = _Stretch(n)  # against the direction of _main, while `_turning`
        self._done = _Stretch(n)
        self._turning = 0
        self._idle = 1
        self._low = 0  # the cut-off was touched, and the next tick decides
        self._rest_ms = 0
        self._ocv_uv = zeros(n)
        self._settled = 0  # 1: _ocv_uv qualifies
        self._then_uv = zeros(n)
        self._then_s = -1
        self._uv = zeros(n)  # of the tick before, with its current
        self._count = 0
        self._seen = 0

    def update(self, r, belief, elapsed_ms):
        p = self.profile
        ledger = self.ledger
        count = belief.count
        size = abs(count)
        moved = ledger.moved_ppm
        self.ended = 0
        if belief.voltage_new and belief.current_new:
            if self._seen and elapsed_ms <= _STEP_MS and abs(count - self._count) >= p.step_count:
                self._resistance(r, count - self._count)
            self._seen = 1
            self._count = count
            for k in range(len(self._uv)):
                self._uv[k] = r.cell_uv[k]
        elif not belief.voltage_good:
            self._seen = 0

        active = size > p.idle_count
        kind = 1 if count > 0 else -1
        main = self._main
        if active:
            if self._idle:
                self._wake(kind)
                main = self._main
            elif kind != main.kind and not self._turning:
                self._turn()
            stretch = self._back if self._turning else main
            if belief.voltage_good:
                for k in range(len(stretch.uv)):
                    stretch.uv[k] = r.cell_uv[k]
            self.permille = self._last_permille = stretch.last_permille = size * 1000 // p.one_c_count
        else:
            self._wait(r, belief, elapsed_ms)
            stretch = self._back if self._turning else main
            elapsed_ms = 0
        if moved or elapsed_ms:
            stretch.move(moved * stretch.kind, self.permille, (belief.min_cdegc + belief.max_cdegc) >> 1, elapsed_ms)
        stretch.gap_ppm += ledger.gap_ppm
        stretch.bleed(ledger.bled_ppm)
        self._ends(belief, kind if active else 0)
        if self._turning:
            back = self._back
            if back.net_ppm >= TURN_PPM and not self.ready:
                self._complete()
            elif back.net_ppm < 0:
                main.absorb(back)
                self._turning = 0
        self._idle = 0 if active else 1
        if self.since_end_ppm < TURN_PPM:
            self.since_end_ppm += abs(moved)
        else:
            self.full = self.empty = 0

    def pulsed(self, ppm, permille, seconds):
        """An activation pulse was given: it belongs to the discharge it begins."""
        stretch = self._main if self._main.kind < 0 else self._back
        stretch.pulse_ppm += ppm
        stretch.pulse_permille = permille
        stretch.pulse_s += seconds

    def record(self, h, cell, complete):
        """Fill `h` for one cell: the half-cycle that is complete, or else the one that has just ended."""
        p = self.profile
        s = self._done if complete else self._main
        h.kind = s.kind
        h.charge_ppm = s.kind * (self.ledger.corrected_ppm(s.kind * s.net_ppm, s.s) - s.bled_ppm[cell])
        h.duration_s = s.s
        h.rate_permille = s.rate.take()
        h.early_rate_permille = s.early_permille or h.rate_permille
        h.temp_cdegc = s.temp.take()
        h.end = s.end
        h.end_uv = s.uv[cell]
        h.end_permille = s.last_permille
        if h.end == END_LOW and h.end_uv > p.min_uv + _STRING_UV:
            h.end = END_STOPPED  # another cell of the string ended it
        h.pulse_ppm = s.pulse_ppm
        h.pulse_permille = s.pulse_permille
        h.pulse_s = s.pulse_s
        h.rest_before_s = s.before_s
        h.ocv_before_uv = p.sloping(s.before_uv[cell])
        h.rest_after_s = h.ocv_after_uv = 0
        if complete:
            h.rest_after_s = self._main.before_s
            h.ocv_after_uv = p.sloping(self._main.before_uv[cell])
        h.gap_ppm = s.gap_ppm
        h.index = self.index
        h.resistance_uohm = self.drop_uv[cell] * 1000000 // p.one_c_ua

    def under_way_ppm(self):
        """Raw charge of what no complete half-cycle holds yet, with its sign."""
        return self._main.kind * self._main.net_ppm

    # -- inside --------------------------------------------------------------------------------------------

    def _wake(self, kind):
        """Current after none."""
        main = self._main
        if main.kind == 0:
            main.start(kind)
            self._rested(main)
        elif not self._turning:
            if kind != main.kind:
                self._turn()
                self._rested(self._back)
            elif main.net_ppm >= TURN_PPM and not self.ready and (self._settled or self.rest_s >= _LONG_REST_S):
                if (
                    main.pulse_ppm * 2 > main.net_ppm
                ):  # a pulse belongs to the discharge it begins, however long the wait
                    main.before_s += self.rest_s
                else:
                    self._back.start(kind)
                    self._rested(self._back)
                    self._complete()
        self.rest_s = self._rest_ms = self._settled = 0
        self._then_s = -1

    def _rested(self, stretch):
        stretch.before_s = self.rest_s
        if self._settled:
            for k in range(len(self._ocv_uv)):
                stretch.before_uv[k] = self._ocv_uv[k]

    def _turn(self):
        self._turning = 1
        self._back.start(-self._main.kind)

    def _complete(self):
        """What turned is the half-cycle now; the one before it is complete."""
        main = self._main
        if main.net_ppm - main.asked_ppm >= TURN_PPM:
            self.ended = 2
            self.since_end_ppm = self.full = self.empty = 0
        if main.net_ppm >= TURN_PPM:
            spare = self._done
            self._done = main
            self.ready = 1
            self.index += 1
        else:
            spare = main  # too little to speak of
        self._main = self._back
        self._back = spare
        self._turning = 0

    def _wait(self, r, belief, elapsed_ms):
        """No current: count the rest, and see whether the voltage has settled."""
        main = self._main
        self.permille = 0
        ms = self._rest_ms + elapsed_ms
        self.rest_s = min(self.rest_s + ms // 1000, _ENOUGH_S)
        self._rest_ms = ms % 1000
        if self.rest_s >= _STOP_S and main.net_ppm - main.asked_ppm >= TURN_PPM and not self._turning:
            if main.pulse_ppm * 2 <= main.net_ppm:
                self._ended(main.end)
        if not belief.voltage_good or not belief.temp_good:
            self._then_s = -1
        elif self._then_s < 0 or self.rest_s - self._then_s >= SETTLE_S:
            steady = self._then_s >= 0 and belief.min_cdegc >= COLD_CDEGC and belief.max_cdegc <= _HOT_CDEGC
            for k in range(len(self._uv)):
                if abs(r.cell_uv[k] - self._then_uv[k]) > SETTLE_UV * (self.rest_s - self._then_s) // SETTLE_S:
                    steady = False
                self._then_uv[k] = r.cell_uv[k]
            self._then_s = self.rest_s
            if steady:
                self._settled = 1
                for k in range(len(self._uv)):
                    self._ocv_uv[k] = r.cell_uv[k]

    def _ends(self, belief, flow):
        """Has a cut-off or a full charge been reached? `flow`: +1, -1, or 0 without current."""
        p = self.profile
        main = self._main
        if main.kind > 0:
            if main.end == END_STOPPED and not self._turning and main.net_ppm >= TURN_PPM:
                if flow > 0:
                    if belief.max_uv >= p.max_uv - 2 * _NEAR_UV and self.permille <= p.taper_permille:
                        self._ended(END_HIGH)
                elif not self._idle and max(main.uv) >= p.max_uv - 2 * _NEAR_UV:
                    if self._last_permille * 10 <= p.taper_permille * 11:
                        self._ended(END_HIGH)
        elif main.kind < 0 and main.end == END_STOPPED:
            if self._low and (
                flow >= 0 or belief.min_uv <= p.min_uv
            ):  # stopped there, or stays there; a short dip is none
                self._ended(END_LOW)
            self._low = flow < 0 and belief.voltage_good and belief.min_uv <= p.min_uv + _NEAR_UV

    def _ended(self, end):
        main = self._main
        main.end = end
        main.asked_ppm = main.net_ppm
        self.ended = 1
        self._low = 0
        self.since_end_ppm = 0
        self.full = 1 if end == END_HIGH else 0
        self.empty = 1 if end == END_LOW else 0

    def _resistance(self, r, step):
        """A step of current between two ticks shows each cell's resistance."""
        permille = abs(step) * 1000 // self.profile.one_c_count
        self.jump_permille = 1000
        for k in range(len(self._uv)):
            rise = r.cell_uv[k] - self._uv[k]
            if step < 0:
                rise = -rise
            if rise < _MOST_UV and min(r.cell_uv[k], self._uv[k]) < self.profile.min_uv + _RUNAWAY_UV:
                continue
            if rise > 0:
                drop = min(rise, _MOST_UV) * 1000 // permille
                old = self.drop_uv[k]
                if old:
                    self.jump_permille = max(self.jump_permille, min(drop, _MOST_UV) * 1000 // old)
                    if drop < _MOST_UV:
                        drop = (old + drop) >> 1
                self.drop_uv[k] = min(drop, _MOST_UV)
