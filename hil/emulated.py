"""An emulated Raspberry Pi Pico as a further board: `make flash PORT=emulated UF2=file`.

`rp2040py` (an extra) emulates the RP2040 down to its buses; the MicroPython UF2 is the user's own. The chips of the
reference schematic hang on its first I2C bus, as on the virtual board.
"""

import contextlib
import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hil.virtual.bench import Bench
from host_sim.errors import InputError


class Wiring:
    """An `ExternalDevice` of rp2040py: the bench's chips on I2C 0. Time is the emulator's."""

    def __init__(self) -> None:
        self.bus = Bench().hardware.bus
        self.bus.advance(50)
        self.address = 0
        self.out = b""
        self.answer = b""

    def attach(self, rp2040: Any) -> None:
        """Take the bus's callbacks: connect, a byte written, a byte asked for, stop."""
        i2c = rp2040.i2c[0]
        i2c.on_connect = lambda address, mode: self._connect(i2c, address)
        i2c.on_write_byte = lambda value: self._written(i2c, value)
        i2c.on_read_byte = lambda ack: self._asked(i2c)
        i2c.on_stop = lambda: self._stop(i2c)

    def _connect(self, i2c: Any, address: int) -> None:
        self._deliver()
        self.address = address
        self.bus.advance(5)
        i2c.complete_connect(address in self.bus.scan())

    def _written(self, i2c: Any, value: int) -> None:
        self.out += bytes([value])
        i2c.complete_write(True)

    def _asked(self, i2c: Any) -> None:
        if not self.answer:
            self.answer = self.bus.transfer(self.address, self.out, 64)
            self.out = b""
        value, self.answer = self.answer[0], self.answer[1:]
        i2c.complete_read(value)

    def _stop(self, i2c: Any) -> None:
        self._deliver()
        i2c.complete_stop()

    def _deliver(self) -> None:
        """What was written and not followed by a read."""
        self.answer = b""
        if self.out:
            out, self.out = self.out, b""
            with contextlib.suppress(OSError):
                self.bus.transfer(self.address, out, 0)


def __getattr__(name: str) -> Any:
    """`BOARD`, for `--board-spec`: made when the emulator asks, as only then rp2040py must be there."""
    if name == "BOARD":
        from rp2040py.boards import BoardSpec  # type: ignore[import-not-found]

        return BoardSpec(extras=(Wiring,))
    raise AttributeError(name)


@contextlib.contextmanager
def emulated(uf2: Path | None) -> Iterator[str]:
    """The emulator in a process of its own; yields the port of its USB serial line. Raises InputError."""
    if uf2 is None or not uf2.is_file():
        given = "no UF2 was given" if uf2 is None else f"{uf2} is not there"
        raise InputError(f"PORT=emulated: {given}; name a MicroPython UF2 for the Pico with UF2=file")
    if importlib.util.find_spec("rp2040py") is None:
        raise InputError("PORT=emulated: the emulator is not installed (pip install rp2040py)")
    command = [sys.executable, "-m", "rp2040py", "--log-level", "info", "micropython", "--pty"]
    process = subprocess.Popen(
        [*command, "--image", str(uf2), "--board-spec", f"{__file__}:BOARD"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        last = ""
        for line in process.stdout:
            last = line.strip() or last
            if found := re.search(r"listening on (\S+)", line):
                threading.Thread(target=process.stdout.read, daemon=True).start()  # or it stops when the pipe is full
                yield found[1]
                return
        raise InputError(f"PORT=emulated: the emulator did not start: {last}")
    finally:
        process.kill()  # it holds nothing that is to be kept
        process.wait(10)
