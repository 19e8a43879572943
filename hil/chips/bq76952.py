"""Model of the BQ76952 3- to 16-cell monitor (Texas Instruments SLUSE13, technical reference manual SLUUBY2B).

Direct commands are little-endian at their address; subcommands and data memory go through 3Eh/3Fh, the transfer buffer
at 40h, checksum at 60h and length at 61h (SLUUBY2B §3.3, §3.4). Plain I2C without CRC, address 08h.
"""

DEVICE_NUMBER, RESET, FET_ENABLE, MANUFACTURING_STATUS = 0x0001, 0x0012, 0x0022, 0x0057
CB_ACTIVE_CELLS, SET_CFGUPDATE, EXIT_CFGUPDATE = 0x0083, 0x0090, 0x0092
ALL_FETS_OFF, ALL_FETS_ON = 0x0095, 0x0096
VCELL_MODE, ENABLED_PROTECTIONS_A = 0x9304, 0x9261
CUV_THRESHOLD, COV_THRESHOLD = 0x9275, 0x9278
# data memory: bytes, value as delivered
MEMORY = {VCELL_MODE: (2, 0x0000), ENABLED_PROTECTIONS_A: (1, 0x88), CUV_THRESHOLD: (1, 50), COV_THRESHOLD: (1, 86)}
POR, CFGUPDATE = 1 << 3, 1 << 0  # Battery Status (12h)
COV, CUV = 1 << 3, 1 << 2  # Safety Status A (03h)
THRESHOLD_UV = 50_600  # LSB of the cell over- and under-voltage thresholds (SLUUBY2B §5.2)


class BQ76952:
    """The chip. `cells_v`: its 16 cell inputs, volts; a shorter string ends at the 16th. `ts_degc`: TS1, TS3."""

    def __init__(self, cells: int):
        self.cells_v = [3.6] * (cells - 1) + [0.0] * (16 - cells) + [3.6]
        self.ts_degc = [25.0, 25.0]
        self.power_on_reset()

    def power_on_reset(self) -> None:
        self.memory = {address: value for address, (_, value) in MEMORY.items()}
        self.status = POR
        self.safety_a = 0
        self.fet_enabled = False
        self.fets_on = False
        self.balancing = 0
        self.command = 0
        self.buffer = bytearray(32)
        self.pointer = 0
        self.checksum = self.length = 0

    def advance(self, milliseconds: float) -> None:
        """Compare every used cell with the thresholds; an enabled protection opens the transistors (§5.2.2, §5.2.3)."""
        used = [round(self.cells_v[k] * 1e6) for k in range(16) if self.memory[VCELL_MODE] >> k & 1]
        flags = 0
        flags |= COV if any(uv > self.memory[COV_THRESHOLD] * THRESHOLD_UV for uv in used) else 0
        flags |= CUV if any(uv < self.memory[CUV_THRESHOLD] * THRESHOLD_UV for uv in used) else 0
        self.safety_a = flags & self.memory[ENABLED_PROTECTIONS_A]
        if self.safety_a:
            self.fets_on = False

    def write(self, data: bytes) -> None:
        self.pointer = data[0]
        for offset, byte in enumerate(data[1:]):
            self._store(self.pointer + offset, byte)

    def _store(self, address: int, byte: int) -> None:
        if address == 0x3E:
            self.command = byte
        elif address == 0x3F:
            self.command |= byte << 8
            self._execute()
        elif 0x40 <= address < 0x60:
            self.buffer[address - 0x40] = byte
        elif address == 0x60:
            self.checksum = byte
        elif address == 0x61:  # writing the length commits the data, if the checksum agrees
            count = byte - 4
            if 0 <= count <= 32 and self.checksum == _checksum(self.command, bytes(self.buffer[:count])):
                self._commit(bytes(self.buffer[:count]))

    def _execute(self) -> None:
        reply: bytes | None = None
        if self.command == DEVICE_NUMBER:
            reply = (0x7695).to_bytes(2, "little")
        elif self.command == MANUFACTURING_STATUS:
            reply = (0x10 if self.fet_enabled else 0x00).to_bytes(2, "little")
        elif self.command == CB_ACTIVE_CELLS:
            reply = self.balancing.to_bytes(2, "little")
        elif self.command in MEMORY:
            reply = self.memory[self.command].to_bytes(MEMORY[self.command][0], "little").ljust(32, b"\0")
        elif self.command == RESET:
            self.power_on_reset()
        elif self.command == FET_ENABLE:
            self.fet_enabled = not self.fet_enabled
        elif self.command == SET_CFGUPDATE:
            self.status |= CFGUPDATE
            self.fets_on = False
        elif self.command == EXIT_CFGUPDATE:
            self.status &= ~(CFGUPDATE | POR)
        elif self.command == ALL_FETS_OFF:
            self.fets_on = False
        elif self.command == ALL_FETS_ON:
            self.fets_on = self.fet_enabled and not self.safety_a
        if reply is not None:
            self.buffer[: len(reply)] = reply
            self.checksum, self.length = _checksum(self.command, reply), len(reply) + 4

    def _commit(self, data: bytes) -> None:
        if self.command == CB_ACTIVE_CELLS:
            self.balancing = int.from_bytes(data[:2], "little")
        elif self.command in MEMORY and self.status & CFGUPDATE:
            self.memory[self.command] = int.from_bytes(data[: MEMORY[self.command][0]], "little")

    def read(self, count: int) -> bytes:
        return bytes(self._load(self.pointer + k) for k in range(count))

    def _load(self, address: int) -> int:
        if 0x40 <= address < 0x60:
            return self.buffer[address - 0x40]
        single = {0x03: self.safety_a, 0x3E: self.command & 0xFF, 0x3F: self.command >> 8, 0x60: self.checksum,
                  0x61: self.length, 0x7F: 0x05 if self.fets_on else 0x00}  # fmt: skip
        if address in single:
            return single[address]
        low = address & ~1
        value = 0
        if low == 0x12:
            value = self.status
        elif 0x14 <= low < 0x34:
            value = round(self.cells_v[(low - 0x14) // 2] * 1000)
        elif low == 0x34:
            value = round(sum(self.cells_v) * 100)  # userV, 10 mV as delivered
        elif low in (0x70, 0x74):
            value = round((self.ts_degc[(low - 0x70) // 4] + 273.15) * 10)  # 0.1 K
        return value >> 8 * (address & 1) & 0xFF


def _checksum(command: int, data: bytes) -> int:
    return 0xFF & ~((command & 0xFF) + (command >> 8) + sum(data))
