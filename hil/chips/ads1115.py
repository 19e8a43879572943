"""Model of the ADS1115 16-bit converter (Texas Instruments SBAS444D, §9.6 register map)."""

FULL_SCALE_UV = (6_144_000, 4_096_000, 2_048_000, 1_024_000, 512_000, 256_000, 256_000, 256_000)  # Table 3
RATE_SPS = (8, 16, 32, 64, 128, 250, 475, 860)
PAIRS = ((0, 1), (0, 3), (1, 3), (2, 3), (0, None), (1, None), (2, None), (3, None))


class ADS1115:
    """The chip. `inputs_v`: what is on AIN0 … AIN3, volts. A conversion takes as long as its data rate says."""

    def __init__(self) -> None:
        self.inputs_v = [0.0, 0.0, 0.0, 0.0]
        self.power_on_reset()

    def power_on_reset(self) -> None:
        self.registers = [0x0000, 0x8583, 0x8000, 0x7FFF]  # conversion, config, low and high threshold (Table 7)
        self.pointer = 0
        self._left_ms = 0.0

    def advance(self, milliseconds: float) -> None:
        if self._left_ms > 0:
            self._left_ms -= milliseconds
            if self._left_ms <= 0:
                self._convert()

    def _convert(self) -> None:
        config = self.registers[1]
        positive, negative = PAIRS[config >> 12 & 7]
        volts = self.inputs_v[positive] - (self.inputs_v[negative] if negative is not None else 0.0)
        code = round(volts * 1e6 / FULL_SCALE_UV[config >> 9 & 7] * 32768)
        self.registers[0] = max(-32768, min(32767, code)) & 0xFFFF

    def write(self, data: bytes) -> None:
        self.pointer = data[0] & 3
        if len(data) == 3 and self.pointer:
            value = data[1] << 8 | data[2]
            self.registers[self.pointer] = value & 0x7FFF if self.pointer == 1 else value
            if self.pointer == 1 and value & 0x8000:  # OS: start one conversion
                self._left_ms = 1000 / RATE_SPS[value >> 5 & 7]

    def read(self, count: int) -> bytes:
        value = self.registers[self.pointer]
        if self.pointer == 1 and self._left_ms <= 0:
            value |= 0x8000  # OS reads 1: not converting
        return (value.to_bytes(2, "big") + bytes(count))[:count]
