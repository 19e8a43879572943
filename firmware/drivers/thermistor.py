"""NTC thermistor to ground under a fixed resistor, read against its own supply: temperature from a ratio, by table.

Semitec 103AT-2 (AT series catalogue, resistance table: 10 kohm at 25 degC, B 25/85 = 3435 K) under 10.0 kohm.
"""

from array import array

from relith import const

_FIRST_CDEGC = const(-4000)
_STEP_CDEGC = const(1000)

# Resistance, ohm, every 10 degC from -40 to 100
_OHM = (188500, 111300, 67770, 42470, 27280, 17960, 12090, 8313, 5827, 4160, 3020, 2228, 1668, 1266, 973)


def _ratios(pull_up_ohm):
    return array("i", [(ohm << 15) // (ohm + pull_up_ohm) for ohm in _OHM])


class Thermistor:
    """`convert(node, supply)` (two readings of one converter) returns 1 and leaves `cdegc`; 0: open, shorted or beyond
    the table. Between the table's points it follows a parabola through three of them, within 0.25 degC of the curve.
    """

    def __init__(self, pull_up_ohm=10000):
        self.cdegc = 0
        self._ratio = _ratios(pull_up_ohm)

    def convert(self, node, supply):
        if supply <= 0 or node <= 0 or node >= supply:
            return 0
        ratio = self._ratio
        x = (node << 15) // supply
        last = len(ratio) - 1
        if x > ratio[0] or x < ratio[last]:
            return 0
        k = 1
        while k < last - 1 and x < ratio[k]:
            k += 1
        # Newton's parabola through points k-1, k, k+1 (temperature over ratio), in 1/4096 of a table step
        a = ratio[k - 1]
        b = ratio[k]
        p = a - b
        q = b - ratio[k + 1]
        bend = ((a - x) * (((b - x) << 12) // (p + q)) // p) * (p - q) // q
        self.cdegc = _FIRST_CDEGC + (k - 1) * _STEP_CDEGC + (((((a - x) << 12) // p) + bend) * _STEP_CDEGC >> 12)
        return 1
