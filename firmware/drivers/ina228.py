"""INA228 current, voltage and charge monitor (Texas Instruments SLYS021A).

Wired so that charging current flows from IN+ to IN-, so that positive charges. CURRENT and CHARGE come in counts of
`current_lsb_na`; CHARGE has 40 bits, which are two limbs here as one int would allocate.
"""

from relith import const

_CONFIG = const(0x00)
_ADC_CONFIG = const(0x01)
_SHUNT_CAL = const(0x02)
_VBUS = const(0x05)
_CURRENT = const(0x07)
_CHARGE = const(0x0A)
_DIAG_ALRT = const(0x0B)
_SOVL = const(0x0C)
_SUVL = const(0x0D)
_MANUFACTURER_ID = const(0x3E)
_DEVICE_ID = const(0x3F)

_RST = const(0x8000)  # CONFIG (section 7.6.1.1)
_ADCRANGE = const(0x0010)
_ADC_SETTING = const(0xFB6A)  # all inputs, continuous, 1052 us each, average of 16: 50 ms a round (section 7.6.1.2)
_RESTARTED = const(0x1000)  # SHUNT_CAL after power-on (section 7.6.1.3)
_ALATCH = const(0x8000)  # DIAG_ALRT (section 7.6.1.12)
_CHARGEOF = const(0x0400)
_OVER = const(0x0040)  # SHNTOL
_UNDER = const(0x0020)  # SHNTUL
_MEMSTAT = const(0x0001)

_EIO = const(5)
_ENODEV = const(19)


def shunt_cal(current_lsb_na, shunt_uohm, low_range):
    """SHUNT_CAL = 13107.2e6 * CURRENT_LSB * R, times 4 with the 40.96 mV range (section 8.1.2), rounded.

    The reset value itself would hide a restart, so it is passed by: one count beside it, 0.024 %.
    """
    value = (current_lsb_na * shunt_uohm * (524288 if low_range else 131072) + 5000000000) // 10000000000
    if not 1 <= value <= 0x7FFF:
        raise ValueError("current_lsb_na %d does not fit this board's shunt of %d uohm" % (current_lsb_na, shunt_uohm))
    return value + 1 if value == _RESTARTED else value


class INA228:
    """`sample()` fills `current_count`, `charge_hi` (signed 20 bits), `charge_lo` (20 bits), `bus_uv`; 1, or 0 when the
    chip did not answer. `restarts` counts how often it lost its supply, `rollovers` how often CHARGE passed its end;
    `over` and `under` stay 1 after a current limit tripped the ALERT pin, until `clear_trip()`.
    """

    NAME = "INA228"

    def __init__(self, i2c, current_lsb_na, shunt_uohm, address=0x40, low_range=0):
        self.i2c = i2c
        self.address = address
        self.current_lsb_na = current_lsb_na
        self.shunt_uohm = shunt_uohm
        self.low_range = low_range
        self.cal = shunt_cal(current_lsb_na, shunt_uohm, low_range)
        self.over_limit = 0x7FFF  # as after reset: none
        self.under_limit = -0x8000
        self.current_count = 0
        self.charge_hi = 0
        self.charge_lo = 0
        self.bus_uv = 0
        self.restarts = 0
        self.rollovers = 0
        self.over = 0
        self.under = 0
        self.broken = 0  # 1: the chip found its own trim memory damaged (MEMSTAT)
        self._told = 0  # 1: the chip has acknowledged every setting; it may have kept others from before our restart
        self._two = bytearray(2)
        self._three = bytearray(3)
        self._five = bytearray(5)

    def start(self, charge_limit_count=0, discharge_limit_count=0):
        """Set the chip up; limits are magnitudes beyond which ALERT is pulled (0: none). Raises OSError."""
        if charge_limit_count:  # limits first: a chip that is missing now gets them when sample() takes it up
            self.over_limit = self._limit(charge_limit_count)
        if discharge_limit_count:
            self.under_limit = -self._limit(discharge_limit_count)
        self._told = 0
        if self._get(_MANUFACTURER_ID) != 0x5449 or self._get(_DEVICE_ID) >> 4 != 0x228:
            raise OSError(_ENODEV)
        self._put(_CONFIG, _RST)
        self._configure()

    def _limit(self, count):
        """A count as SOVL/SUVL: 5 uV a step, 1.25 uV in the low range (sections 7.6.1.13 and 14), rounded inward."""
        step_pv = 1250000 if self.low_range else 5000000
        limit = count * self.current_lsb_na * self.shunt_uohm // (step_pv * 1000)
        if not 1 <= limit <= 0x7FFF:
            raise ValueError("a current limit of %d counts is out of the INA228's shunt range" % count)
        return limit

    def _configure(self):
        self._put(_CONFIG, _ADCRANGE if self.low_range else 0)
        self._put(_ADC_CONFIG, _ADC_SETTING)
        self._put(_SOVL, self.over_limit)
        self._put(_SUVL, self.under_limit & 0xFFFF)
        self._put(_DIAG_ALRT, _ALATCH)
        self._put(_SHUNT_CAL, self.cal)  # last: until it is there, the chip still counts as restarted
        if self._get(_SHUNT_CAL) != self.cal:
            raise OSError(_EIO)
        self._told = 1

    def _get(self, register):
        self.i2c.readfrom_mem_into(self.address, register, self._two)
        return self._two[0] << 8 | self._two[1]

    def _put(self, register, value):
        self._two[0] = value >> 8
        self._two[1] = value & 0xFF
        self.i2c.writeto_mem(self.address, register, self._two)

    def sample(self):
        """Read everything once. On 0 every figure keeps its last value: the caller must not count it again."""
        try:
            if self._get(_SHUNT_CAL) != self.cal:
                self.restarts = (self.restarts + 1) & 0xFFFF
                self._told = 0
            if not self._told:
                self._configure()
            flags = self._get(_DIAG_ALRT)  # before CHARGE: reading that clears its overflow flag
            if flags & _OVER:  # reading has cleared them
                self.over = 1
            if flags & _UNDER:
                self.under = 1
            three = self._three
            five = self._five
            self.i2c.readfrom_mem_into(self.address, _VBUS, three)
            raw = three[0] << 12 | three[1] << 4 | three[2] >> 4
            self.i2c.readfrom_mem_into(self.address, _CURRENT, three)
            self.i2c.readfrom_mem_into(self.address, _CHARGE, five)
        except OSError:
            return 0
        self.bus_uv = raw * 195 + (raw * 5 >> 4)  # 195.3125 uV a count (section 7.6.1.6)
        self.current_count = (((three[0] << 16 | three[1] << 8 | three[2]) ^ 0x800000) - 0x800000) >> 4
        self.charge_hi = ((five[0] << 12 | five[1] << 4 | five[2] >> 4) ^ 0x80000) - 0x80000
        self.charge_lo = (five[2] & 15) << 16 | five[3] << 8 | five[4]
        if flags & _CHARGEOF:
            self.rollovers = (self.rollovers + 1) & 0xFFFF
        self.broken = 0 if flags & _MEMSTAT else 1
        return 1

    def clear_trip(self):
        """Forget `over` and `under`. A deliberate act."""
        self.over = 0
        self.under = 0
