"""Time: elapsed milliseconds across the `ticks_ms` wrap, and powered seconds since commissioning.

The board's counter is good for differences up to half its period (6.2 days); what looks longer is a clock that ran
backwards.
"""

from relith import const

DAY_S = const(86400)
_MASK = const((1 << 30) - 1)  # ticks_ms wraps behind it
_HALF = const(1 << 29)
_BACK = const(5)  # a clock that jumps about runs backwards in every second tick


def elapsed(now_ms, then_ms):
    """Milliseconds from `then_ms` to `now_ms`, 0 … 2**30-1; a moment just ahead reads as almost a whole period."""
    return (now_ms - then_ms) & _MASK


class Clock:
    """`seconds` counts only while powered and is journalled: no budget or cool-down elapses while off (safety rule
    9).
    """

    def __init__(self):
        self.seconds = 0  # since commissioning; below 2**30 for 34 years
        self.elapsed_ms = 0  # since the tick before
        self.still = 0  # ticks in which time stood still, those in which it ran backwards counted _BACK-fold
        self._ms = 0
        self._then_ms = -1

    def tick(self, now_ms):
        """Take over the board's counter."""
        gone = 0
        if self._then_ms >= 0:
            gone = (now_ms - self._then_ms) & _MASK
            if gone == 0:
                self.still += 1
            elif gone >= _HALF:
                gone = 0
                self.still += _BACK
            elif self.still:
                self.still -= 1
        self._then_ms = now_ms
        self.elapsed_ms = gone
        gone += self._ms
        if gone >= 1000:
            self.seconds += gone // 1000
            gone %= 1000
        self._ms = gone
