"""BQ76952 monitor for strings of 3 to 16 cells (Texas Instruments SLUSE13; SLUUBY2B, its technical reference manual).

It measures the cells and two thermistors, bleeds cells, and is part of the independent cut-off: its own comparators
open its own transistors on cell over- and under-voltage, whatever the firmware does. Plain I2C (BQ7695200).
"""

from relith import const

_SAFETY_A = const(0x03)  # SLUUBY2B section 12.2: COV bit 3, CUV bit 2
_BATTERY_STATUS = const(0x12)  # section 12.2.4: POR bit 3
_CELL_1 = const(0x14)  # mV, two bytes a cell, little-endian; the stack follows the 16th
_TS1 = const(0x70)  # 0.1 K; TS3 is at 74h
_SUBCOMMAND = const(0x3E)
_BUFFER = const(0x40)
_CHECKSUM = const(0x60)

_DEVICE_NUMBER = const(0x0001)
_FET_ENABLE = const(0x0022)
_MANUFACTURING_STATUS = const(0x0057)  # bit 4: FET_EN
_CB_ACTIVE_CELLS = const(0x0083)
_SET_CFGUPDATE = const(0x0090)
_EXIT_CFGUPDATE = const(0x0092)
_ALL_FETS_ON = const(0x0096)
_SLEEP_DISABLE = const(0x009A)

_VCELL_MODE = const(0x9304)
_ENABLED_A = const(0x9261)
_CUV_THRESHOLD = const(0x9275)  # 50.6 mV a step
_COV_THRESHOLD = const(0x9278)
_PROTECTIONS = const(0x8C)  # short circuit in discharge, COV, CUV

_POR = const(0x08)
_WAIT_MS = const(2)
_REPEAT_MS = const(5000)  # a bleed that nobody renews stops by itself (section 10.2)
_EIO = const(5)
_ENODEV = const(19)


class BQ76952:
    """`sample()` fills `cell_uv` (list of `cells`), `stack_uv`, `cdegc` (TS1, TS3), `temp_ok` and `tripped`; 1, or 0
    when the chip did not answer or has just restarted.
    """

    NAME = "BQ76952"
    BLEED_OHM = 65  # its own 25 ohm, and 20 ohm at each of a cell's two inputs

    def __init__(self, i2c, sleep_ms, cells, lowest_uv, highest_uv, address=0x08):
        if not 3 <= cells <= 16:
            raise ValueError("the BQ76952 takes 3 to 16 cells, not %d" % cells)
        self.i2c = i2c
        self.sleep_ms = sleep_ms
        self.address = address
        self.cells = cells
        self.cuv = lowest_uv // 50600
        self.cov = (highest_uv + 50599) // 50600
        self.cell_uv = [0] * cells
        self.stack_uv = 0
        self.cdegc = [0, 0]
        self.temp_ok = 0
        self.tripped = 0  # 1: its own protection has opened its own transistors
        self.restarts = 0
        self._told = 0  # 1: the chip has acknowledged every setting; it may have kept others from before our restart
        self._one = bytearray(1)
        self._two = bytearray(2)
        self._block = bytearray(34)
        self._mask = 0
        self._told_ms = 0

    def start(self):
        """Raises OSError when the chip is missing, another one, or does not keep its configuration."""
        self._told = 0
        if self._ask(_DEVICE_NUMBER) != 0x7695:
            raise OSError(_ENODEV)
        self._configure()

    def _configure(self):
        self._command(_SET_CFGUPDATE)
        # the topmost cell always sits between VC15 and VC16 (SLUSE13 section 8.3.1.1)
        self._memory(_VCELL_MODE, (1 << (self.cells - 1)) - 1 | 0x8000, 2)
        self._memory(_ENABLED_A, _PROTECTIONS, 1)
        self._memory(_CUV_THRESHOLD, self.cuv, 1)
        self._memory(_COV_THRESHOLD, self.cov, 1)
        self._command(_EXIT_CFGUPDATE)  # also clears POR
        self._command(_SLEEP_DISABLE)
        if not self._ask(_MANUFACTURING_STATUS) & 0x10:
            self._command(_FET_ENABLE)
        self._command(_ALL_FETS_ON)
        self._mask = 0
        self._told = 1

    def _command(self, code):
        self._two[0] = code & 0xFF
        self._two[1] = code >> 8
        self.i2c.writeto_mem(self.address, _SUBCOMMAND, self._two)
        self.sleep_ms(_WAIT_MS)

    def _ask(self, code):
        self._command(code)
        self.i2c.readfrom_mem_into(self.address, _BUFFER, self._two)
        return self._two[0] | self._two[1] << 8

    def _write(self, code, value, size):
        """Data, then checksum and length, which commit it (SLUUBY2B section 3.3)."""
        data = bytes((code & 0xFF, code >> 8, value & 0xFF, value >> 8)[: 2 + size])
        self.i2c.writeto_mem(self.address, _SUBCOMMAND, data)
        self._two[0] = 0xFF & ~sum(data)
        self._two[1] = len(data) + 2
        self.i2c.writeto_mem(self.address, _CHECKSUM, self._two)

    def _memory(self, code, value, size):
        """Write data memory and read it back. Raises OSError when it did not take."""
        self._write(code, value, size)
        self.sleep_ms(_WAIT_MS)
        if self._ask(code) & (0xFF if size == 1 else 0xFFFF) != value:
            raise OSError(_EIO)

    def sample(self):
        block = self._block
        two = self._two
        self.temp_ok = 0
        try:
            self.i2c.readfrom_mem_into(self.address, _BATTERY_STATUS, self._one)
            if self._one[0] & _POR:
                self.restarts = (self.restarts + 1) & 0xFFFF
                self._told = 0
            if not self._told:
                self._configure()
                return 0  # its first conversions come later
            self.i2c.readfrom_mem_into(self.address, _SAFETY_A, self._one)
            self.i2c.readfrom_mem_into(self.address, _CELL_1, block)
            for k in range(2):
                self.i2c.readfrom_mem_into(self.address, _TS1 + 4 * k, two)
                self.cdegc[k] = (two[0] | two[1] << 8) * 10 - 27315
        except OSError:
            return 0
        self.tripped = 1 if self._one[0] & 0x0C else 0
        last = self.cells - 1
        for k in range(last):
            self.cell_uv[k] = (block[2 * k] | block[2 * k + 1] << 8) * 1000
        self.cell_uv[last] = (block[30] | block[31] << 8) * 1000
        self.stack_uv = (block[32] | block[33] << 8) * 10000
        self.temp_ok = 1
        return 1

    def balance(self, mask, now_ms):
        """Bleed the cells whose bit is set; renews the order in time. Returns 1, or 0 when the chip did not answer."""
        if mask == self._mask and (not mask or (now_ms - self._told_ms) & 0x3FFFFFFF < _REPEAT_MS):
            return 1
        top = self.cells - 1
        wired = mask & ((1 << top) - 1) | (mask >> top & 1) << 15
        try:
            self._write(_CB_ACTIVE_CELLS, wired, 2)
        except OSError:
            return 0
        self._mask = mask
        self._told_ms = now_ms
        return 1
