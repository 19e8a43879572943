"""A board's serial port or pseudo-terminal as the client wants it (pyserial). Failures are one sentence."""

from __future__ import annotations

from typing import Any

import serial

from host_sim.errors import InputError

BAUD = 460_800  # of the link on every board of firmware/boards


class SerialPort:
    """`read` gives what has come, waiting `wait_s` when nothing has. Raises InputError when it cannot open."""

    def __init__(self, name: str, baud: int = BAUD, wait_s: float = 0.02):
        try:
            self._serial: Any = serial.serial_for_url(name, baudrate=baud, timeout=wait_s, write_timeout=1.0)
        except (serial.SerialException, OSError, ValueError) as error:
            said = str(error)
            if isinstance(error, OSError) and error.strerror:
                said = error.strerror
            raise InputError(
                f"PORT {name}: cannot be opened at {baud} baud ({said}); is the board plugged in?"
            ) from None

    def read(self) -> bytes:
        """Bytes that have come; empty after `wait_s` without any. Raises OSError when the port has gone."""
        return self._serial.read(max(1, self._serial.in_waiting))

    def write(self, data: bytes) -> None:
        """Send `data`. Raises OSError when the port has gone or takes nothing."""
        self._serial.write(data)

    def close(self) -> None:
        self._serial.close()

    def __enter__(self) -> SerialPort:
        return self

    def __exit__(self, *exc) -> None:
        self.close()
