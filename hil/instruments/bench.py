"""Several instruments that live and die together: on any exception every output goes off, relay first."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any

from hil.instruments import errors
from hil.instruments.dialects import DIALECTS
from hil.instruments.driver import Instrument, peer_gone, socket_of
from host_sim.errors import InputError


class Bench:
    """`with Bench(instruments) as bench:` opens all; leaving it, by any way, switches all off and closes them.

    When an output could not be confirmed off, leaving raises `Lost` that lists every such instrument."""

    def __init__(self, instruments: dict[str, Instrument]) -> None:
        self.instruments = instruments

    def __getitem__(self, name: str) -> Instrument:
        return self.instruments[name]

    def __enter__(self) -> Bench:
        try:
            for instrument in self.instruments.values():
                instrument.open()
        except BaseException as error:
            self._leave(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    def keep_alive(self) -> None:
        """Talk to every instrument whose own watchdog would otherwise switch it off. Call it more often than that."""
        for instrument in self.instruments.values():
            if instrument.has("watchdog"):
                instrument.measure_voltage_v()

    def all_off(self) -> list[str]:
        """Open the relays, switch every output off; returns a sentence for each that is not confirmed."""
        failed = []
        for instrument in sorted(self.instruments.values(), key=lambda one: not one.has("open")):
            try:
                try:
                    instrument.off()
                except KeyboardInterrupt:  # a second Ctrl-C does not leave the others on
                    instrument.off()
            except errors.InstrumentError as error:
                failed.append(str(error))
            except BaseException as error:
                failed.append(f"{instrument.name}: output state unknown, off not confirmed ({error!r})")
        return failed

    def _leave(self, error: BaseException | None) -> None:
        failed = self.all_off()
        for instrument in self.instruments.values():
            instrument.close()
        if failed:
            raise errors.Lost("; ".join(failed)) from error


def connect(address: str, timeout_s: float = 1.0) -> Any:
    """A PyVISA message resource (pyvisa-py) with newline termination. `address`: a VISA resource string, for example
    `TCPIP::192.0.2.7::5025::SOCKET` or `ASRL/dev/ttyUSB0::INSTR`. Raises `InputError` when nothing answers there."""
    import pyvisa

    try:
        resource: Any = pyvisa.ResourceManager("@py").open_resource(
            address, read_termination="\n", write_termination="\n", timeout=int(timeout_s * 1000)
        )
    except (pyvisa.errors.Error, OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"instrument address '{address}' cannot be opened: {reason}") from error
    if peer_gone(resource):
        resource.close()
        raise InputError(f"instrument address '{address}' cannot be opened: nothing listens there")
    link = socket_of(resource)
    if link is not None:  # a set and its read-back are two small packets: do not wait 40 ms between them
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return resource


def build(name: str, address: str, dialect: str, *, timeout_s: float = 1.0, **options: Any) -> Instrument:
    """An instrument by its address and the name of its dialect."""
    if dialect not in DIALECTS:
        known = ", ".join(sorted(DIALECTS))
        raise InputError(f"instrument {name}: dialect '{dialect}' is not known (known: {known})")
    return Instrument(name, connect(address, timeout_s), dialect, reopen=lambda: connect(address, timeout_s), **options)
