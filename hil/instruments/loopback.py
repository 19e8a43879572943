"""An instrument without hardware: a SCPI server on a TCP port that speaks a dialect and has a cell behind it.

For CI and for learning: `Node` is the pair of terminals that instruments share, with a cell (or a board) on it;
`LoopbackInstrument` is one instrument on those terminals; `serve` puts it on a port. It understands long and short
forms, `;`-joined messages and keeps an error queue, and it can be told to misbehave.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from hil.instruments.dialects import DIALECTS, LIST, PREFIX, SIGNED, matcher

SILENT, SLOW, LYING, DISCONNECTING, DEAD = "silent", "slow", "lying", "disconnecting", "dead"
MISBEHAVIOURS = (SILENT, SLOW, LYING, DISCONNECTING, DEAD)
LIE = 1.05  # a lying instrument reads back this much of what it was set to
QUEUE = 20

_WORDS = {"mode", "output", "over_voltage_on", "over_current_on", "watchdog"}
_MEASURED = {"measure_voltage", "measure_current", "measure_temperature"}
_DEFAULTS = {"voltage": 0.0, "current": 0.0, "sink_current": 0.0, "select": 1.0, "temperature": 25.0}


class Behind(Protocol):
    """The cell behind the terminals. Positive current charges it."""

    def open_circuit_v(self) -> float: ...
    def resistance_ohm(self) -> float: ...
    def pass_current(self, current_a: float, seconds: float) -> None: ...


class ResistiveCell:
    """The simplest cell: a straight open-circuit line between 3.0 and 4.2 V over its capacity, and one resistance."""

    def __init__(self, capacity_ah: float = 3.0, resistance_ohm: float = 0.03, charge_ah: float = 1.5) -> None:
        self.capacity_ah = capacity_ah
        self.charge_ah = charge_ah
        self._resistance_ohm = resistance_ohm

    def open_circuit_v(self) -> float:
        return 3.0 + 1.2 * self.charge_ah / self.capacity_ah

    def resistance_ohm(self) -> float:
        return self._resistance_ohm

    def pass_current(self, current_a: float, seconds: float) -> None:
        self.charge_ah += current_a * seconds / 3600.0


class Node:
    """Two terminals that instruments share. With a `cell` on them, the cell gives the voltage. Without one they are a
    board's cell terminals: `emulator` gives the voltage, the others push or draw, `board_draw_a()` is what the board
    under test takes and `passes(current)` what its switches let through. `temperature_degc` is what a chamber has
    reached, `contact_closed` what a relay does."""

    def __init__(self, cell: Behind | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.cell = cell
        self.clock = clock
        self.instruments: list[LoopbackInstrument] = []
        self.emulator: LoopbackInstrument | None = None
        self.board_draw_a: Callable[[], float] = lambda: 0.0
        self.passes: Callable[[float], float] = lambda current_a: current_a  # the board's switches
        self.contact_closed = True
        self.temperature_degc = 25.0
        self.lock = threading.RLock()
        self._last_s = clock()

    def settle(self) -> tuple[float, float]:
        """Voltage at the terminals (V) and current into the cell, or into the emulator from outside the board (A), now.
        Time since the last call passes first, with the current that flowed."""
        with self.lock:
            now_s = self.clock()
            elapsed_s, self._last_s = now_s - self._last_s, now_s
            if self.cell is not None:
                self.cell.pass_current(self._solve()[1], elapsed_s)
            return self._solve()

    def _solve(self) -> tuple[float, float]:
        if self.cell is None:
            emulator = self.emulator
            voltage_v = emulator.held_voltage_v() if emulator is not None and emulator.output_on() else 0.0
            if not self.contact_closed:
                return voltage_v, 0.0
            pushed_a = sum(one.pushes_a(voltage_v) for one in self.instruments if one is not emulator)
            return voltage_v, self.passes(pushed_a)
        open_v, ohm = self.cell.open_circuit_v(), self.cell.resistance_ohm()
        if not self.contact_closed:
            return open_v, 0.0
        current_a = sum(one.pushes_a(open_v) for one in self.instruments if not one.holds_voltage())
        for one in self.instruments:
            if one.holds_voltage() and one.output_on():
                low_a, high_a = one.current_span_a()
                current_a += min(max((one.held_voltage_v() - open_v) / ohm - current_a, low_a), high_a)
        return open_v + current_a * ohm, current_a

    def current_out_of(self, instrument: LoopbackInstrument) -> float:
        """Current out of one instrument's positive terminal."""
        with self.lock:
            voltage_v, current_a = self.settle()
            if "output" not in instrument.dialect.headers:  # a meter in series with the cell
                return current_a
            if not instrument.output_on():
                return 0.0
            if self.cell is None and instrument is self.emulator:
                return self.board_draw_a() - current_a
            if self.cell is not None and instrument.holds_voltage():
                others = (one for one in self.instruments if not one.holds_voltage())
                return current_a - sum(one.pushes_a(voltage_v) for one in others)
            return self.passes(instrument.pushes_a(voltage_v)) if self.cell is None else instrument.pushes_a(voltage_v)


class LoopbackInstrument:
    """One instrument of a dialect on a node. `misbehaviour` may be changed at any time, also while it is connected."""

    def __init__(self, node: Node, dialect: str, *, rated_a: float = 10.0, identity: str | None = None) -> None:
        self.node = node
        self.dialect = DIALECTS[dialect]
        self.rated_a = rated_a
        self.identity = identity or f"Loopback,{self.dialect.idn[0] or self.dialect.name},0,1.0"
        self.misbehaviour: str | None = None
        self.delay_s = 0.0
        self.errors: deque[str] = deque(maxlen=QUEUE)
        self.values = {name: _DEFAULTS.get(name, rated_a) for name in self.dialect.headers if name not in _MEASURED}
        if self.dialect.negative_limit == SIGNED:
            self.values["negative_limit"] = -rated_a
        self.words = {"mode": "VOLT" if "VOLT" in self.dialect.mode_words.values() else "CURR", "output": "OFF"}
        self._matchers = [(name, matcher(header)) for name, header in self.dialect.headers.items()]
        self._heard_s = node.clock()
        node.instruments.append(self)

    # --- what it does at its terminals --------------------------------------------------------------------------
    def output_on(self) -> bool:
        """Output as it is at the terminals: a watchdog that was armed switches off when nobody talks to it."""
        if self.words.get("watchdog") == "ON" and self.node.clock() - self._heard_s > self.values["watchdog_s"]:
            self.words["output"] = "OFF"
        return self.words["output"] == "ON"

    def holds_voltage(self) -> bool:
        return "voltage" in self.values

    def _current_priority(self) -> bool:
        return "mode" in self.dialect.headers and self.words["mode"].startswith("CURR")

    def held_voltage_v(self) -> float:
        if self._current_priority():
            return self.values.get("voltage_limit", self.values.get("over_voltage", 0.0))
        return self.values["voltage"]

    def current_span_a(self) -> tuple[float, float]:
        """Lowest and highest current that it may put out while it holds its voltage."""
        if self._current_priority():
            current_a = self.values["current"]
            return min(current_a, 0.0) if current_a > 0 else current_a, current_a
        if "positive_limit" in self.values:
            return -abs(self.values["negative_limit"]), self.values["positive_limit"]
        return 0.0, self.values["current"]

    def pushes_a(self, voltage_v: float) -> float:
        """Current out of it into terminals that another holds at `voltage_v`; negative when it draws."""
        if not self.output_on():
            return 0.0
        if not self.holds_voltage():
            return -self.values.get("sink_current", 0.0)
        if self._current_priority():
            return self.values["current"] if self.held_voltage_v() > voltage_v else min(self.values["current"], 0.0)
        return self.current_span_a()[1] if self.held_voltage_v() > voltage_v else 0.0

    # --- what it says -------------------------------------------------------------------------------------------
    def message(self, line: str) -> str | None:
        """Handle one line; returns the replies joined by `;`, or None when there was no query."""
        with self.node.lock:
            self.output_on()  # a watchdog that has run out acts before this message resets it
            self._heard_s = self.node.clock()
            replies, path = [], ""
            for unit in filter(None, (part.strip() for part in line.split(";"))):
                reply, path = self._unit(unit, path)
                if reply is not None:
                    replies.append(reply)
            return ";".join(replies) if replies else None

    def _unit(self, unit: str, path: str) -> tuple[str | None, str]:
        header, _, arguments = unit.partition(" ")
        query = header.endswith("?")
        header = header.removesuffix("?").upper()
        common = self._common(header, query)
        if common is not None:
            return (common if query else None), path
        spelled = [header] if header.startswith(":") else [f"{path}:{header}", f":{header}"]
        for text in spelled:
            for name, pattern in self._matchers:
                if pattern.fullmatch(text):
                    return self._quantity(name, arguments, query), text.rpartition(":")[0]
        self.errors.append('-113,"Undefined header"')
        return None, path

    def _common(self, header: str, query: bool) -> str | None:
        if re.fullmatch(r":?SYST(EM)?:ERR(OR)?(:NEXT)?", header):
            return self.errors.popleft() if self.errors else '+0,"No error"'
        if header == "*CLS":
            self.errors.clear()
        elif header == "*RST":
            self.words["output"] = "OFF"
        elif not re.fullmatch(r"\*IDN|\*OPC|:?SYST(EM)?:(REM(OTE)?|LOC(AL)?)", header):
            return None
        return {"*IDN": self.identity, "*OPC": "1"}.get(header, "")

    def _quantity(self, name: str, arguments: str, query: bool) -> str | None:
        parts = [part.strip() for part in re.sub(r"\(@(\d+)\)", r"@\1", arguments).split(",") if part.strip()]
        if self.dialect.channel in (LIST, PREFIX):
            parts = [part for part in parts if not re.fullmatch(r"@\d+|CH\d+", part, re.IGNORECASE)]
        if name in ("open", "close"):
            if not query:
                self.node.settle()
                self.node.contact_closed = name == "close"
            return str(int(self.node.contact_closed == (name == "close"))) if query else None
        if query:
            return self._answer(name)
        if len(parts) != 1:
            self.errors.append('-109,"Missing parameter"')
        elif name in _WORDS:
            self.node.settle()
            self.words[name] = {"1": "ON", "0": "OFF"}.get(parts[0].upper(), parts[0].upper())
        else:
            self._set_number(name, parts[0])
        return None

    def _set_number(self, name: str, text: str) -> None:
        try:
            value = float(text)
        except ValueError:
            self.errors.append('-104,"Data type error"')
            return
        wrong_sign = value > 0 if name == "negative_limit" and self.dialect.negative_limit == SIGNED else value < 0
        if name == "temperature" or (name == "current" and "mode" in self.dialect.headers):
            wrong_sign = False  # frost; four-quadrant: current priority takes either sign
        if wrong_sign:
            self.errors.append('-222,"Data out of range"')
            return
        self.node.settle()
        self.values[name] = value
        if name == "temperature":
            self.node.temperature_degc = value

    def _answer(self, name: str) -> str:
        if name == "measure_voltage":
            return f"{self.node.settle()[0]:.6f}"
        if name == "measure_current":
            return f"{self.dialect.reading_sign * self.node.current_out_of(self):.6f}"
        if name == "measure_temperature":
            return f"{self.node.temperature_degc:.3f}"
        if name in _WORDS:
            on = self.output_on() if name == "output" else None
            return ("ON" if on else "OFF") if on is not None else self.words.get(name, "OFF")
        lie = LIE if self.misbehaviour == LYING else 1.0
        return f"{self.values[name] * lie:.6g}"


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        instrument: LoopbackInstrument = self.server.instrument  # type: ignore[attr-defined]
        while line := self.rfile.readline():
            kind = instrument.misbehaviour
            if kind in (DISCONNECTING, DEAD):
                if kind == DISCONNECTING:
                    instrument.misbehaviour = None  # drops the line once; a dead one stays dead
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            reply = instrument.message(line.decode("ascii", "replace").strip())
            if reply is None or kind == SILENT:
                continue
            if kind == SLOW:
                time.sleep(instrument.delay_s)
            self.wfile.write(f"{reply}\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


class Serving:
    """A loopback instrument on a TCP port of this machine. `address` is its VISA resource string."""

    def __init__(self, instrument: LoopbackInstrument, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.instrument = instrument  # type: ignore[attr-defined]
        self.instrument = instrument
        self.address = f"TCPIP::127.0.0.1::{self._server.server_address[1]}::SOCKET"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
