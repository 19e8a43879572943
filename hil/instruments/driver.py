"""One instrument on a VISA resource: every set is read back, nothing is switched on before its limits are in it.

Order, enforced: `open` (identity, error queue, output off) -> `program_limits` -> `sign_test` -> `on`.
Any failure raises an `InstrumentError` that names the instrument; the `Bench` then switches everything off.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from hil.instruments import errors
from hil.instruments.capabilities import CellEmulator, Chamber, Limits, Relay, Sink, Source
from hil.instruments.dialects import DIALECTS, LIST, MAGNITUDE, PREFIX, SELECT, SIGNED, Dialect, short_form

READ_BACK_TOLERANCE = 2e-3  # of the value: coarsest setting resolution of the tabled models over their range
READ_BACK_FLOOR = 2e-3  # V or A
PROBE_A = 0.05  # size of the limit that the sign test programs, with the output off
OFF_CURRENT_A = 0.05  # what may still be read as current with the output off


def socket_of(resource: Any) -> socket.socket | None:
    """The TCP socket under a pyvisa-py resource, if that is what it is."""
    sessions = getattr(getattr(resource, "visalib", None), "sessions", {})
    link = getattr(sessions.get(getattr(resource, "session", None)), "interface", None)
    return link if isinstance(link, socket.socket) else None


def peer_gone(resource: Any) -> bool:
    """Whether the other end of a TCP resource is gone. pyvisa-py (0.8) reports a closed connection as a timeout and a
    refused one as open, so its socket is asked itself."""
    link = socket_of(resource)
    if link is None:
        return False
    try:
        link.getpeername()
        return link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Instrument(Source, Sink, CellEmulator, Chamber, Relay):
    """`resource`: an open PyVISA message resource. `reopen`: makes a new one after the connection was lost (used only
    to switch off). `deadline_s`: a reply later than this fails the closed loop, earlier than the VISA timeout."""

    def __init__(
        self,
        name: str,
        resource: Any,
        dialect: str,
        *,
        channel: int = 1,
        deadline_s: float = 0.5,
        watchdog_s: float = 2.0,
        reopen: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.dialect: Dialect = DIALECTS[dialect]
        self.channel = channel
        self.deadline_s = deadline_s
        self.watchdog_s = watchdog_s
        self.limits: Limits | None = None
        self.identity = ""
        self.worst_reply_s = 0.0
        self._resource = resource
        self._reopen = reopen
        self._clock = clock
        self._sign_tested = False

    # --- the wire ---------------------------------------------------------------------------------------------
    def _exchange(self, text: str, reply: bool) -> str:
        import pyvisa

        began = self._clock()
        try:
            answer = self._resource.query(text) if reply else self._resource.write(text) and ""
        except pyvisa.errors.VisaIOError as error:
            if error.error_code == pyvisa.constants.StatusCode.error_timeout and not peer_gone(self._resource):
                waited = self._resource.timeout / 1000
                raise errors.Silent(f"{self.name}: no reply to '{text}' within {waited:g} s") from error
            raise errors.Lost(f"{self.name}: connection lost at '{text}'") from error
        except (OSError, pyvisa.errors.InvalidSession) as error:
            raise errors.Lost(f"{self.name}: connection lost at '{text}'") from error
        took = self._clock() - began
        self.worst_reply_s = max(self.worst_reply_s, took)
        if took > self.deadline_s:
            raise errors.Slow(f"{self.name}: '{text}' took {took:.3f} s, allowed {self.deadline_s:g} s")
        return answer.strip() if reply else ""

    def _text(self, quantity: str, value: str | None) -> str:
        """The command (or, with `value` None, the query) for a quantity, with the channel where the model wants it."""
        dialect = self.dialect
        header = short_form(dialect.headers[quantity], self.channel) + ("?" if value is None else "")
        arguments = [] if value is None else [value]
        if dialect.channel == LIST and not quantity.startswith("watchdog"):
            arguments.append(f"(@{self.channel})")
        if dialect.channel == PREFIX and quantity in dialect.prefixed:
            arguments.insert(0, f"CH{self.channel}")
        return f"{header} {','.join(arguments)}".rstrip()

    def _send(self, text: str) -> None:
        self._exchange(text, reply=False)

    def _query(self, quantity: str) -> str:
        return self._exchange(self._text(quantity, None), reply=True)

    def _number(self, quantity: str) -> float:
        text = self._query(quantity)
        try:
            return float(text)
        except ValueError:
            raise errors.Refused(f"{self.name}: {quantity} reads '{text}', which is not a number") from None

    def has(self, quantity: str) -> bool:
        return quantity in self.dialect.headers

    def check_errors(self) -> None:
        """Raise `Refused` with the first entry of the error queue, if there is one."""
        text = self._exchange("SYST:ERR?", reply=True)
        code = text.split(",", 1)[0]
        if code.lstrip("+-").isdigit() and int(code) != 0:
            raise errors.Refused(f"{self.name}: the instrument reports error {text}")

    def set(self, quantity: str, value: float) -> None:
        """Set a number and read it back; the applied value must be the one asked for."""
        self._send(self._text(quantity, f"{value:.6g}"))
        got = self._number(quantity)
        if abs(got - value) > max(READ_BACK_FLOOR, READ_BACK_TOLERANCE * abs(value)):
            self.check_errors()
            raise errors.ReadBackDiffers(f"{self.name}: {quantity} was set to {value:g} but reads back {got:g}")

    def _set_word(self, quantity: str, word: str) -> None:
        self._send(self._text(quantity, word))
        got = self._query(quantity).upper()
        names = {"ON": ("ON", "1"), "OFF": ("OFF", "0")}.get(word, (word,))
        if not got.startswith(names):
            self.check_errors()
            raise errors.ReadBackDiffers(f"{self.name}: {quantity} was set to {word} but reads back {got}")

    # --- in order ---------------------------------------------------------------------------------------------
    def open(self) -> None:
        """Identity against the dialect, empty error queue, output off and seen to be off."""
        self.identity = self._exchange("*IDN?", reply=True)
        if not any(model in self.identity for model in self.dialect.idn):
            raise errors.Refused(
                f"{self.name}: '{self.identity}' is not a model that dialect {self.dialect.name} knows"
            )
        self._send("*CLS")
        for text in self.dialect.start:
            self._send(text)
        if self.dialect.channel == SELECT:
            self.set("select", self.channel)
        if self.has("output"):
            self._set_word("output", "OFF")
        self.check_errors()

    def program_limits(self, limits: Limits) -> None:
        """Program every limit that the model has; the driver enforces all of them itself as well."""
        magnitude = -limits.sink_current_a if self.dialect.negative_limit == SIGNED else limits.sink_current_a
        rows = {
            "voltage_limit": limits.voltage_v,
            "over_voltage": limits.voltage_v,
            "over_current": max(limits.source_current_a, limits.sink_current_a),
            "positive_limit": limits.source_current_a,
            "negative_limit": magnitude,
            "sink_limit": limits.sink_current_a,
        }
        for quantity, value in rows.items():
            if self.has(quantity):
                self.set(quantity, value)
        for quantity in ("over_voltage_on", "over_current_on"):
            if self.has(quantity):
                self._set_word(quantity, "ON")
        if self.has("watchdog"):
            self.set("watchdog_s", self.watchdog_s)
            self._set_word("watchdog", "ON")
        self.check_errors()
        self.limits = limits

    def sign_test(self) -> str:
        """With the output off: is the negative limit signed the way the table says, does the other sign fail, and is a
        connected cell the right way round? Returns what was seen, in words. The limit is restored."""
        limits = self._armed_limits()
        said = []
        if self.dialect.negative_limit:
            right = -PROBE_A if self.dialect.negative_limit == SIGNED else PROBE_A
            try:
                self.set("negative_limit", right)
            except (errors.Refused, errors.ReadBackDiffers) as error:
                raise errors.WrongSign(
                    f"{self.name}: a negative limit of {right:g} A was not taken ({error}); dialect "
                    f"{self.dialect.name} says {self.dialect.negative_limit}"
                ) from error
            self._send(self._text("negative_limit", f"{-right:.6g}"))
            if self._number("negative_limit") * right < 0:
                raise errors.WrongSign(
                    f"{self.name}: takes a negative limit of either sign; dialect {self.dialect.name} "
                    f"says {self.dialect.negative_limit}"
                )
            self._send("*CLS")  # refusing the wrong sign leaves an entry in the queue, as it should
            restored = limits.sink_current_a if self.dialect.negative_limit == MAGNITUDE else -limits.sink_current_a
            self.set("negative_limit", restored)
            said.append(f"negative limit {self.dialect.negative_limit}")
        if self.has("measure_current"):
            current_a, voltage_v = self.measure_current_a(), self.measure_voltage_v()
            if abs(current_a) > OFF_CURRENT_A:
                raise errors.WrongSign(f"{self.name}: reads {current_a:g} A with its output off")
            if voltage_v < -READ_BACK_FLOOR * 10:
                raise errors.WrongSign(f"{self.name}: reads {voltage_v:g} V with its output off; is the cell reversed?")
            said.append(f"{voltage_v:.3f} V and {current_a:.3f} A with the output off")
        self._sign_tested = True
        return ", ".join(said)

    def on(self) -> None:
        self._armed_limits()
        if not self._sign_tested:
            raise errors.NotAllowed(f"{self.name}: output on was asked for before the sign test")
        self._set_word("output", "ON")
        self.check_errors()

    def off(self) -> None:
        """Contact open, output off, seen to be so; over a new connection when the old one is gone or talks nonsense."""
        if self.has("open"):
            self._surely(self.open_contact)
        if self.has("output"):
            self._surely(lambda: self._set_word("output", "OFF"))

    def _surely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            if self._reopen is None:
                raise
            try:
                self._resource.close()
                self._resource = self._reopen()
                act()
            except Exception as second:
                guard = (
                    f"its own watchdog acts after {self.watchdog_s:g} s" if self.has("watchdog") else "cut its power"
                )
                raise errors.Lost(
                    f"{self.name}: output state unknown, off not confirmed ({error}); {guard}"
                ) from second

    def close(self) -> None:
        self._resource.close()

    # --- what it does -----------------------------------------------------------------------------------------
    def _armed_limits(self) -> Limits:
        if self.limits is None:
            raise errors.NotAllowed(f"{self.name}: limits must be programmed first")
        return self.limits

    def _bounded(self, what: str, value: float, low: float, high: float, unit: str) -> None:
        if not low <= value <= high:
            raise errors.NotAllowed(f"{self.name}: {what} {value:g} {unit} is outside {low:g} … {high:g} {unit}")

    def priority(self, mode: str) -> None:
        """`voltage` or `current` priority, where the model has both."""
        if self.has("mode") and mode in self.dialect.mode_words:
            self._set_word("mode", self.dialect.mode_words[mode])

    def set_voltage_v(self, voltage_v: float) -> None:
        self._bounded("voltage", voltage_v, 0.0, self._armed_limits().voltage_v, "V")
        self.set("voltage", voltage_v)

    def set_current_a(self, current_a: float) -> None:
        """Current out of the instrument; negative only where the model sinks."""
        limits = self._armed_limits()
        self._bounded("current", current_a, -limits.sink_current_a, limits.source_current_a, "A")
        if "sink" in self.dialect.capabilities and not self.has("current"):
            self.set_sink_current_a(-current_a)
        else:
            self.set("current", current_a)

    def set_sink_current_a(self, current_a: float) -> None:
        self._bounded("sink current", current_a, 0.0, self._armed_limits().sink_current_a, "A")
        if self.has("sink_current"):
            self.set("sink_current", current_a)
        else:
            self.set("current", -current_a)

    def measure_voltage_v(self) -> float:
        return self._number("measure_voltage")

    def measure_current_a(self) -> float:
        """Positive out of the instrument, whatever its display says."""
        return self.dialect.reading_sign * self._number("measure_current")

    def cell_current_a(self) -> float:
        """Current of the cell that this instrument stands in for; positive charges it."""
        return -self.measure_current_a()

    def set_temperature_degc(self, temperature_degc: float) -> None:
        self.set("temperature", temperature_degc)

    def measure_temperature_degc(self) -> float:
        return self._number("measure_temperature")

    def close_contact(self) -> None:
        self._contact("close")

    def open_contact(self) -> None:
        self._contact("open")

    def _contact(self, action: str) -> None:
        self._send(f"{short_form(self.dialect.headers[action])} (@{self.channel})")
        if self._query(action) not in ("1", "ON"):
            raise errors.ReadBackDiffers(f"{self.name}: contact {self.channel} was told to {action} but did not")
