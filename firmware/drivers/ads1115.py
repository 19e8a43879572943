"""ADS1115 four-input 16-bit converter (Texas Instruments SBAS444D): a single cell's voltage and its thermistor."""

from relith import const

_CONVERSION = const(0x00)  # section 9.6.1
_CONFIG = const(0x01)
_START = const(0x8000)  # OS: start when written, done when read (section 9.6.3, Table 8)
_SINGLE_SHOT = const(0x0100)
_RATE_475 = const(0x00C0)
_NO_COMPARATOR = const(0x0003)
_WAIT_MS = const(3)  # 1/475 s plus the oscillator's 10 % (section 7.5), rounded up
_EIO = const(5)

CELL = const(0x0000)  # AIN0 - AIN1, +-6.144 V: 187.5 uV a count (Table 3)
NODE = const(0x6200)  # AIN2 to ground, +-4.096 V: 125 uV a count
SUPPLY = const(0x7200)  # AIN3 to ground, +-4.096 V


class ADS1115:
    """`sample(source)` converts once: 1, with the signed result in `raw`, or 0 when the chip did not answer."""

    NAME = "ADS1115"

    def __init__(self, i2c, sleep_ms, address=0x48):
        self.i2c = i2c
        self.sleep_ms = sleep_ms
        self.address = address
        self.raw = 0
        self._two = bytearray(2)

    def start(self):
        """Raises OSError when the chip does not keep what is written."""
        self._put(CELL | _SINGLE_SHOT | _RATE_475 | _NO_COMPARATOR)
        self.i2c.readfrom_mem_into(self.address, _CONFIG, self._two)
        if self._two[0] & 0x7F != (CELL | _SINGLE_SHOT) >> 8 or self._two[1] != _RATE_475 | _NO_COMPARATOR:
            raise OSError(_EIO)

    def _put(self, value):
        self._two[0] = value >> 8
        self._two[1] = value & 0xFF
        self.i2c.writeto_mem(self.address, _CONFIG, self._two)

    def sample(self, source):
        try:
            self._put(_START | source | _SINGLE_SHOT | _RATE_475 | _NO_COMPARATOR)
            self.sleep_ms(_WAIT_MS)
            self.i2c.readfrom_mem_into(self.address, _CONFIG, self._two)
            if not self._two[0] & 0x80 or (self._two[0] & 0x7F) << 8 != source | _SINGLE_SHOT:
                return 0  # still converting, or restarted meanwhile: the result would be another input's
            self.i2c.readfrom_mem_into(self.address, _CONVERSION, self._two)
        except OSError:
            return 0
        self.raw = ((self._two[0] << 8 | self._two[1]) ^ 0x8000) - 0x8000
        return 1

    def microvolts(self):
        """The last result of `CELL`, uV."""
        return self.raw * 375 >> 1
