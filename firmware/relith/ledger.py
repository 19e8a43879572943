"""The coulomb ledger: whole numbers, nothing lost, nothing rewritten.

Unit: 1 ppm of nominal capacity = `ppm_count_ms` count·ms + `ppm_count_us` count·us of the profile; what is less
than 1 ppm is kept exactly. Charge and discharge are two accounts that only grow; net charge is their difference.

The monitor's own accumulator is primary: it saw every conversion. Where it has no two readings of one run, two
current samples make a trapezoid. Where those fail too, the interval is a gap: no charge is booked, but how much
there may have been. Every intermediate stays below 2**30 for |current| <= 2**19 counts and intervals up to 65 s;
longer ones go in pieces.
"""

from relith import const
from relith.clock import elapsed
from relith.readings import LIMB, zeros

CYCLE_PPM = const(1000000)
BY_NOTHING = const(0)  # what the last interval was booked from
BY_ACCUMULATOR = const(1)
BY_SAMPLES = const(2)
BY_GAP = const(3)
_PIECE_MS = const(65535)
_HALF_LIMB = const(1 << 19)
_BACK_MS = const(1 << 29)
_LAPSE_MS = const(1000)  # samples further apart than this, with a failed reading between them, leave a gap
_WINDOW_MS = const(1000)  # accumulator and samples are compared over windows this long ...
_WINDOW_MAX_MS = const(2000)  # ... to this long: under a varying current, samples far apart prove nothing
_ZERO_MS = const(3600000)  # open switches for an hour measure the offset


class Account:
    """Charge in one direction, never falling: cycles of nominal capacity, `ppm`, `ms` (count·ms), `us` (count·us)."""

    def __init__(self, ppm_count_ms, ppm_count_us):
        self.cycles = self.ppm = self.ms = self.us = 0
        self._unit_ms = ppm_count_ms  # 36 000 … 4 000 000
        self._unit_us = ppm_count_us  # 0 … 999

    def add(self, count, ms, us):
        """Book count·ms and us count·us; returns whole ppm gained. 0 <= count <= 2**19, ms < 2**16, us < 2**26."""
        unit = self._unit_ms
        us += self.us
        rest = self.ms + count * (ms & 511) + us // 1000
        us %= 1000
        ppm = 0
        blocks = ms >> 9  # of 512 ms
        if blocks:
            count <<= 9
            ppm = count // unit
            rest += blocks * (count - ppm * unit)
            ppm *= blocks
        if rest >= unit:
            whole = rest // unit
            rest -= whole * unit
            ppm += whole
        if self._unit_us:
            us -= ppm * self._unit_us
            rest += us // 1000  # floors
            us %= 1000
            while rest < 0:  # the small part of many ppm was more than what is left
                ppm -= 1
                us += self._unit_us
                rest += unit + us // 1000
                us %= 1000
        self.ms = rest
        self.us = us
        self.ppm += ppm
        if self.ppm >= CYCLE_PPM:
            self.ppm -= CYCLE_PPM
            self.cycles += 1
        return ppm


class Ledger:
    """`count()` in every tick: `moved_ppm` is what it booked, from what `booked`; `gap_ppm` is what may be missing."""

    def __init__(self, profile):
        self.charged = Account(profile.ppm_count_ms, profile.ppm_count_us)
        self.discharged = Account(profile.ppm_count_ms, profile.ppm_count_us)
        self.gaps = Account(profile.ppm_count_ms, profile.ppm_count_us)  # charge that may have passed unseen
        self.bled = [Account(profile.ppm_count_ms, profile.ppm_count_us) for k in range(profile.cell_count)]
        self.bled_ppm = zeros(profile.cell_count)  # of this tick, what each cell lost through its bleed
        self.moved_ppm = self.gap_ppm = 0  # of this tick
        self.booked = BY_NOTHING
        self.restarts = 0  # accumulator restarts seen
        self.disagree = 0  # 1: accumulator and samples disagreed in the last window, or it jumped
        self.doubt = 0  # 1: they seemed to over a long interval; short ticks will tell
        # corrections, set by calibrate(): applied to what is read out, never to the accounts
        self.offset_mcount = 0  # what the monitor reads at no current, 1/1000 count
        self.gain_ppm = 0
        self.corrections = 0
        self.under_way_ppm = 0  # raw net charge since the half-cycle that the estimates are of; kept by the link
        self._unit_ms = profile.ppm_count_ms
        self._idle = profile.idle_count
        self._tolerance = profile.one_c_count >> 8
        self._begun = 0  # 1: everything up to _covered_ms is booked
        self._covered_ms = 0
        self._base = 0  # 1: the accumulator stood at _hi, _lo then
        self._hi = self._lo = self._run = 0
        self._sample = 0  # 1: the current was _count then, sampled at _sample_ms
        self._count = self._sample_ms = 0
        self._lapsed = 0  # 1: a reading has failed since
        self._pair = 0  # 1: both were good in the tick before
        self._window_ms = self._window_sum = self._window_charge = self._window_spread = 0
        self._zero_ms = self._zero_sum = 0

    def net_ppm(self):
        """Raw net charge since commissioning, ppm of nominal capacity."""
        return (self.charged.cycles - self.discharged.cycles) * CYCLE_PPM + self.charged.ppm - self.discharged.ppm

    def corrected_ppm(self, raw_ppm, duration_s):
        """A signed raw charge and the time it took, with gain and offset taken out."""
        return raw_ppm + raw_ppm * self.gain_ppm // CYCLE_PPM - self.offset_mcount * duration_s // self._unit_ms

    def calibrate(self, offset_mcount, gain_ppm):
        self.offset_mcount = offset_mcount
        self.gain_ppm = gain_ppm
        self.corrections += 1

    def count(self, r, belief, switches_open):
        """Book the interval that ends with these readings. `switches_open`: true when no current can have passed."""
        self.moved_ppm = self.gap_ppm = 0
        self.booked = BY_NOTHING
        gone_ms = elapsed(r.now_ms, self._covered_ms)
        wait_ms = elapsed(r.current_ms, self._sample_ms) if belief.current_new and self._sample else 0
        if r.charge_ok:
            if self._base:
                charge = ((r.charge_hi - self._hi + _HALF_LIMB) & (LIMB - 1)) - _HALF_LIMB  # rolls over at 40 bits
                charge = charge * LIMB + r.charge_lo - self._lo
                if r.charge_restarts != self._run:
                    self.restarts += 1
                elif abs(charge) >> 19 > gone_ms // 1000 + 2:  # a step beyond what the monitor can have seen
                    self.restarts += 1
                    self.disagree = self.doubt = 1
                    self._window_ms = 0
                else:
                    self._book(charge)
                    if not belief.current_new and gone_ms >= 1000:
                        self._count = charge // (gone_ms // 1000)  # should a gap follow
                    if self._pair and wait_ms:
                        self._compare(charge, wait_ms, self._count, belief.count)
                    self._zero(charge, gone_ms, switches_open)
            self._base = 1
            self._hi = r.charge_hi
            self._lo = r.charge_lo
            self._run = r.charge_restarts
        if self.booked == BY_NOTHING:
            if 0 < wait_ms <= _PIECE_MS and not (self._lapsed and wait_ms > _LAPSE_MS):
                self._book_samples(self._count + belief.count, wait_ms)
            elif self._begun and (r.charge_ok or belief.current_new) and gone_ms < _BACK_MS:
                self._gap(gone_ms, belief.count)
            if belief.current_new and not r.charge_ok:
                self._base = 0  # this interval is booked: the accumulator must not book it again
        self._pair = r.charge_ok and belief.current_new
        if belief.current_new:
            self._sample = 1
            self._lapsed = 0
            self._count = belief.count
            self._sample_ms = r.current_ms
        elif r.charge_ok:
            self._sample = 0  # nor the samples what the accumulator has booked
        elif not belief.current_good:
            self._lapsed = 1
        if r.charge_ok or belief.current_new:
            self._begun = 1
            self._covered_ms = r.now_ms

    def bleed(self, cell_uv, mask, uv_per_count, ms):
        """Book what the cells in `mask` have lost through their bleed resistors since the tick before."""
        for k in range(len(self.bled)):
            self.bled_ppm[k] = 0
            if mask >> k & 1:
                self.bled_ppm[k] = self.bled[k].add(cell_uv[k] // uv_per_count, min(ms, _PIECE_MS), 0)

    # -- inside --------------------------------------------------------------------------------------------

    def _book(self, charge):
        """Signed count·s of the accumulator."""
        self.booked = BY_ACCUMULATOR
        account = self.charged if charge >= 0 else self.discharged
        size = abs(charge)
        ppm = 0
        if size >> 19:  # as 64 s of the 64th part, and what is left
            while size >> 25:  # days at a time: after a long sleep only
                ppm += account.add(1 << 19, 64000, 0)
                size -= 1 << 25
            ppm += account.add(size >> 6, 64000, 0)
            size &= 63
        ppm += account.add(size, 1000, 0)
        self.moved_ppm = ppm if charge >= 0 else -ppm

    def _book_samples(self, twice, ms):
        """A trapezoid: the mean of two samples (`twice` their mean) over `ms` < 2**16."""
        self.booked = BY_SAMPLES
        size = abs(twice)
        account = self.charged if twice >= 0 else self.discharged
        ppm = account.add(size >> 1, ms, (size & 1) * ms * 500)
        self.moved_ppm = ppm if twice >= 0 else -ppm

    def _gap(self, ms, count):
        """Nothing was seen for `ms`: no charge is booked, but as much as flowed on either side may be missing."""
        self.booked = BY_GAP
        size = max(abs(self._count), abs(count), self._idle)
        while ms > _PIECE_MS:
            self.gap_ppm += self.gaps.add(size, _PIECE_MS, 0)
            ms -= _PIECE_MS
        self.gap_ppm += self.gaps.add(size, ms, 0)

    def _compare(self, charge, ms, before, now):
        """The accumulator against the samples over the same interval."""
        mean = (before + now) >> 1
        if ms > _WINDOW_MAX_MS:
            self._window_ms = 0
            mean -= charge * 16 // (ms * 16 // 1000)
            self.doubt = 1 if abs(mean) > self._tolerance + (abs(now) >> 4) else 0
            return
        if self._window_ms == 0 or self._window_ms + ms > _WINDOW_MAX_MS:
            self._window_ms = self._window_sum = self._window_charge = self._window_spread = 0
        self._window_ms += ms
        self._window_sum += mean * ms
        self._window_charge += charge
        self._window_spread = max(self._window_spread, abs(now - before))
        if self._window_ms >= _WINDOW_MS:
            mean = self._window_charge * 1000 // self._window_ms
            apart = abs(mean - self._window_sum // self._window_ms)
            if apart > self._tolerance + self._window_spread + (abs(mean) >> 5):
                self.disagree = 1
                self.gap_ppm += self.gaps.add(min(apart, 1 << 19), self._window_ms, 0)
            elif self._window_spread <= self._tolerance + (abs(mean) >> 4):  # a varying current clears nobody
                self.disagree = 0
            self.doubt = self.disagree
            self._window_ms = 0

    def _zero(self, charge, ms, switches_open):
        """What the monitor counts while no current can flow is its offset."""
        if not switches_open:
            self._zero_ms = self._zero_sum = 0
            return
        self._zero_ms += ms
        self._zero_sum += charge
        if self._zero_ms >= _ZERO_MS:
            offset = self._zero_sum * 1000000 // self._zero_ms
            if abs(offset) < self._idle * 1000:  # more than that is a leak, not an offset
                if self.corrections:
                    offset = (3 * self.offset_mcount + offset) // 4
                self.calibrate(offset, self.gain_ppm)
            self._zero_ms = self._zero_sum = 0
