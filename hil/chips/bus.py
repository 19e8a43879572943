"""An I2C bus with chip models on it, and the faults that a real one has.

`Bus.transfer` is one transaction (write, then after a repeated start read). `I2C` gives it the face of `machine.I2C`,
so that the firmware's drivers run on it under CPython.
"""

import math
from typing import Protocol

EIO = 5  # MicroPython's error numbers (py/mperrno.h): nobody acknowledged
ETIMEDOUT = 110  # a line is held


class Chip(Protocol):
    """A chip: `write` takes the bytes after the address, `read` gives bytes; either may raise OSError for a NACK."""

    def write(self, data: bytes) -> None: ...
    def read(self, count: int) -> bytes: ...
    def advance(self, milliseconds: float) -> None: ...


class Bus:
    """Chips by address. `stuck`: a line is held low. `unpowered`: addresses that do not answer. `nack_after`: how many
    bytes of a write are taken before one is refused, once; `corrupt`: what is XORed into the next bytes read, once.
    `silent_after`: how many of all `transfers` are answered.
    """

    def __init__(self) -> None:
        self.chips: dict[int, Chip] = {}
        self.stuck = False
        self.unpowered: set[int] = set()
        self.nack_after: int | None = None
        self.corrupt = 0
        self.transfers = 0
        self.silent_after = math.inf

    def add(self, address: int, chip: Chip) -> Chip:
        """Put a chip on the bus and return it."""
        self.chips[address] = chip
        return chip

    def scan(self) -> list[int]:
        """Addresses that acknowledge."""
        if self.stuck:
            return []
        return sorted(a for a in self.chips if a not in self.unpowered)

    def transfer(self, address: int, out: bytes, count: int) -> bytes:
        """Write `out`, then read `count` bytes. Raises OSError(ETIMEDOUT) on a held line, OSError(EIO) on a NACK."""
        self.transfers += 1
        if self.stuck:
            raise OSError(ETIMEDOUT, "line held")
        if address not in self.chips or address in self.unpowered or self.transfers > self.silent_after:
            raise OSError(EIO, "address not acknowledged")
        chip = self.chips[address]
        if self.nack_after is not None and len(out) > self.nack_after:
            taken, self.nack_after = out[: self.nack_after], None
            if len(taken) > 1:
                chip.write(taken)
            raise OSError(EIO, "data not acknowledged")
        if out:
            chip.write(out)
        if not count:
            return b""
        data = chip.read(count)
        mask, self.corrupt = self.corrupt, 0
        return bytes(b ^ mask for b in data)

    def advance(self, milliseconds: float) -> None:
        """Let time pass for every powered chip."""
        for address, chip in self.chips.items():
            if address not in self.unpowered:
                chip.advance(milliseconds)


class I2C:
    """`machine.I2C` on a `Bus`."""

    def __init__(self, bus: Bus):
        self.bus = bus

    def scan(self) -> list[int]:
        return self.bus.scan()

    def writeto_mem(self, address: int, register: int, buf: bytes) -> None:
        self.bus.transfer(address, bytes([register]) + bytes(buf), 0)

    def readfrom_mem_into(self, address: int, register: int, buf: bytearray) -> None:
        buf[:] = self.bus.transfer(address, bytes([register]), len(buf))
