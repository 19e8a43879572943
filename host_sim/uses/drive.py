"""A drive profile, back to back: the dynamic stress test until empty, then a CC/CV charge."""

from __future__ import annotations

from host_sim.cell import Control
from host_sim.uses.base import Terminals
from host_sim.uses.lab import Lab

# USABC electric-vehicle battery test procedures manual (1996), dynamic stress test: (seconds, share of peak power);
# negative discharges, positive is braking.
DST = (
    (16, 0.0), (28, -0.125), (12, -0.25), (8, 0.125), (16, 0.0), (24, -0.125), (12, -0.25), (8, 0.125),
    (16, 0.0), (24, -0.125), (12, -0.25), (8, 0.125), (16, 0.0), (36, -0.125), (8, -1.0), (24, -0.625),
    (8, 0.25), (32, -0.25), (8, 0.5), (44, 0.0),
)  # fmt: skip
PERIOD_S = sum(seconds for seconds, _ in DST)


class Drive(Lab):
    """Peak power is 2C at the string's middle voltage. Braking keeps the charge limit."""

    peak_c = 2.0

    def next(self, time_s: float, terminals: Terminals, outputs) -> tuple[Control, float]:
        """See `Actor.next`: the laboratory's order, with the discharge replaced by the profile."""
        control, longest_s = super().next(time_s, terminals, outputs)
        if self.phase == "charge" or time_s < self._pause_until:
            return control, longest_s
        share, left_s = self._stretch(time_s)
        wanted_a = abs(share) * self.peak_c * self.ratings.one_c_a
        if share > 0.0:
            return self.charge(outputs, wanted_a), left_s
        if share < 0.0:
            return self.discharge(outputs, wanted_a), left_s
        return Control.rest(), left_s

    @staticmethod
    def _stretch(time_s: float) -> tuple[float, float]:
        """Share of peak now and the seconds left of it."""
        at_s = time_s % PERIOD_S
        for seconds, share in DST:
            if at_s < seconds:
                return share, seconds - at_s + 1e-3
            at_s -= seconds
        return 0.0, 1e-3
