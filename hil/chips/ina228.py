"""Model of the INA228 current, voltage and charge monitor (Texas Instruments SLYS021A, §7.6.1 register map).

Ideal converter: what is on the pins is quantised as the chip would, without noise. CURRENT follows from VSHUNT as
VSHUNT · 4096 / SHUNT_CAL: §8.1.2 gives SHUNT_CAL = 13107.2e6 · CURRENT_LSB · R, and 312.5 nV · 13107.2e6 = 4096.
"""

CONFIG, ADC_CONFIG, SHUNT_CAL = 0x00, 0x01, 0x02
VSHUNT, VBUS, DIETEMP, CURRENT, POWER, ENERGY, CHARGE = 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A
DIAG_ALRT, SOVL, SUVL, BOVL, BUVL, TEMP_LIMIT, PWR_LIMIT = 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11
RESET_VALUES = {
    CONFIG: 0x0000, ADC_CONFIG: 0xFB68, SHUNT_CAL: 0x1000, 0x03: 0x0000, DIAG_ALRT: 0x0001, SOVL: 0x7FFF, SUVL: 0x8000,
    BOVL: 0x7FFF, BUVL: 0x0000, TEMP_LIMIT: 0x7FFF, PWR_LIMIT: 0xFFFF, 0x3E: 0x5449, 0x3F: 0x2281,
}  # fmt: skip
BYTES = {VSHUNT: 3, VBUS: 3, CURRENT: 3, POWER: 3, ENERGY: 5, CHARGE: 5}
READ_ONLY = {VSHUNT, VBUS, DIETEMP, CURRENT, POWER, ENERGY, CHARGE, 0x3E, 0x3F}
ALATCH, ENERGYOF, CHARGEOF, MATHOF = 1 << 15, 1 << 11, 1 << 10, 1 << 9
TMPOL, SHNTOL, SHNTUL, BUSOL, BUSUL, POL, CNVRF = 1 << 7, 1 << 6, 1 << 5, 1 << 4, 1 << 3, 1 << 2, 1 << 1
LIMIT_FLAGS = TMPOL | SHNTOL | SHNTUL | BUSOL | BUSUL | POL
CONTINUOUS = 8  # MODE bit 3: continuous conversion; only then do the accumulators run (§7.3.2)


class INA228:
    """The chip. Set `current_a`, `bus_v`, `die_degc` to what is at its pins; `shunt_ohm`: the resistor soldered on."""

    def __init__(self, shunt_ohm: float):
        self.shunt_ohm = shunt_ohm
        self.current_a = 0.0
        self.bus_v = 0.0
        self.die_degc = 25.0
        self.power_on_reset()

    def power_on_reset(self) -> None:
        """What a brown-out leaves: every register at its reset value, both accumulators zero."""
        self.registers = dict(RESET_VALUES)
        self.pointer = 0
        self.vshunt = self.vbus = 0  # 20-bit values of the last conversion
        self.clear_accumulators()

    def clear_accumulators(self) -> None:
        self.charge = self.energy = 0  # counts
        self._charge_rest = self._energy_rest = 0  # what is below one count, in 1/(1000·SHUNT_CAL)

    @property
    def alert(self) -> bool:
        """The ALERT pin is pulled (active low unless APOL; here simply: asserted)."""
        return bool(self.registers[DIAG_ALRT] & LIMIT_FLAGS)

    @property
    def current(self) -> int:
        return self.vshunt * 4096 // self.registers[SHUNT_CAL] if self.registers[SHUNT_CAL] else 0

    def advance(self, milliseconds: float) -> None:
        """Convert what is on the pins for so long; accumulate; compare with the limits."""
        mode = self.registers[ADC_CONFIG] >> 12
        if not mode & 7:
            return  # shut down
        nanovolt_tenths = 781.25 if self.registers[CONFIG] & 0x10 else 3125.0  # LSB of VSHUNT in 0.1 nV (ADCRANGE)
        ideal = round(self.current_a * self.shunt_ohm * 1e10 / nanovolt_tenths)
        self.vshunt = max(-(1 << 19), min((1 << 19) - 1, ideal))
        self.vbus = max(0, min((1 << 20) - 1, round(self.bus_v / 195.3125e-6)))
        shunt_cal = self.registers[SHUNT_CAL]
        flags = self.registers[DIAG_ALRT] | CNVRF
        if not -(1 << 19) <= self.current < (1 << 19):
            flags |= MATHOF
        if mode & CONTINUOUS and shunt_cal:
            unit = 1000 * shunt_cal
            count, self._charge_rest = divmod(self.vshunt * 4096 * round(milliseconds) + self._charge_rest, unit)
            self.charge, over = _wrap(self.charge + count, 40)
            flags |= CHARGEOF if over else 0
            # §8.1.2: POWER = 3.2 · CURRENT_LSB · count, ENERGY = 16 · 3.2 · CURRENT_LSB · count
            power_rest = abs(self.vshunt) * 4096 * self.vbus * 1953125 * round(milliseconds) + self._energy_rest
            count, self._energy_rest = divmod(power_rest, unit * 10**10 * 512 // 10)
            self.energy += count
            if self.energy >> 40:
                self.energy &= (1 << 40) - 1
                flags |= ENERGYOF
        self.registers[DIAG_ALRT] = self._compared(flags)

    @property
    def power(self) -> int:
        """POWER register: |CURRENT| · VBUS / 3.2, 24-bit."""
        unit = self.registers[SHUNT_CAL] * 10**10 * 32 // 10
        return min((1 << 24) - 1, abs(self.vshunt) * 4096 * self.vbus * 1953125 // unit) if unit else 0

    def _compared(self, flags: int) -> int:
        r = self.registers
        now = 0
        now |= SHNTOL if self.vshunt > _signed(r[SOVL], 16) * 16 else 0
        now |= SHNTUL if self.vshunt < _signed(r[SUVL], 16) * 16 else 0
        now |= BUSOL if self.vbus > r[BOVL] * 16 else 0
        now |= BUSUL if self.vbus < r[BUVL] * 16 else 0
        now |= TMPOL if self._dietemp() > _signed(r[TEMP_LIMIT], 16) else 0
        now |= POL if self.power > r[PWR_LIMIT] * 256 else 0
        return flags | now if flags & ALATCH else (flags & ~LIMIT_FLAGS) | now

    def _dietemp(self) -> int:
        return round(self.die_degc / 7.8125e-3)

    # ---- the bus (§7.5.1): one pointer byte, then data, most significant byte first
    def write(self, data: bytes) -> None:
        self.pointer = data[0]
        if len(data) == 3 and self.pointer in RESET_VALUES and self.pointer not in READ_ONLY:
            value = data[1] << 8 | data[2]
            if self.pointer == CONFIG and value & 0x8000:  # RST
                return self.power_on_reset()
            if self.pointer == CONFIG and value & 0x4000:  # RSTACC
                self.clear_accumulators()
                value &= ~0x4000
            if self.pointer == SHUNT_CAL:
                value &= 0x7FFF
                self._charge_rest = self._energy_rest = 0
            if self.pointer == DIAG_ALRT:
                value = (value & 0xF000) | (self.registers[DIAG_ALRT] & 0x0FFF)
            self.registers[self.pointer] = value

    def read(self, count: int) -> bytes:
        size = BYTES.get(self.pointer, 2)
        value = {
            VSHUNT: self.vshunt << 4, VBUS: self.vbus << 4, CURRENT: self.current << 4, DIETEMP: self._dietemp(),
            POWER: self.power, ENERGY: self.energy, CHARGE: self.charge,
        }.get(self.pointer, self.registers.get(self.pointer, 0))  # fmt: skip
        if self.pointer == DIAG_ALRT:  # §7.6.1.12: reading clears the latched flags and CNVRF
            self.registers[DIAG_ALRT] &= ~(CNVRF | LIMIT_FLAGS)
        if self.pointer == CHARGE:
            self.registers[DIAG_ALRT] &= ~CHARGEOF
        if self.pointer == ENERGY:
            self.registers[DIAG_ALRT] &= ~ENERGYOF
        data = (value & ((1 << 8 * size) - 1)).to_bytes(size, "big")
        return (data + bytes(count))[:count]


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _wrap(value: int, bits: int) -> tuple[int, bool]:
    """Two's complement of so many bits, and whether it rolled over."""
    half = 1 << (bits - 1)
    wrapped = (value + half) % (1 << bits) - half
    return wrapped, wrapped != value
