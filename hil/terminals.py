"""A board with real terminals, without a board: the firmware in this process, its sensors on a loopback bench's wires.

It runs in real time in a thread of its own, as a board does, and is reached over the link only. With the loopback
instruments it lets the whole bench rig be run in CI, and learned, without hardware.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from relith.profile import Profile
from relith.readings import Outputs, Readings

from hil.boards import Board, Store
from hil.instruments.loopback import Node
from host_sim.sensors import SensorModel

LONGEST_WAIT_S = 0.1  # boards/base.py listens to the link this often while it waits


class TerminalBoard(Board):
    """Reads cell voltage and current from `node`; its pulse sink and its switches act on it."""

    kind = "host"

    def __init__(self, profile: Profile, text: str, node: Node, sensors: SensorModel) -> None:
        super().__init__(profile, text)
        self.node, self.sensors = node, sensors
        self.lsb_a = profile.current_lsb_na * 1e-9
        self.charge_on = self.discharge_on = 0
        self.pulse_a = 0.0
        self.failure: BaseException | None = None
        node.board_draw_a = lambda: self.pulse_a
        node.passes = self._passes
        self._lock = threading.Lock()
        self._in: list[bytes] = []
        self._out = bytearray()
        self._wake = threading.Event()
        self._running = False
        self._slots: dict[int, bytes] = {}

    def _passes(self, current_a: float) -> float:
        """Current of the pack's terminals that the board's switches let through."""
        return current_a if (self.charge_on if current_a > 0 else self.discharge_on) else 0.0

    def _power(self, slots: Mapping[int, bytes], watchdog: bool) -> Any:
        from relith.bms import Bms

        store = Store(slots)
        bms = Bms(self.profile, store, _Stream(self))
        bms.gate.cutoff_present = 1
        self._slots, self._running, self.failure = store.slots, True, None
        self._thread = threading.Thread(target=self._live, args=(bms,), daemon=True)
        self._thread.start()
        return self

    def _live(self, bms: Any) -> None:
        """The board's own loop: sense, tick, apply, wait."""
        readings = Readings(self.profile.cell_count)
        last_s = time.monotonic()
        try:
            while self._running:
                now_s = time.monotonic()
                voltage_v, pack_a = self.node.settle()
                current_a = pack_a - self.pulse_a
                self.sensors.sample(
                    now_s - last_s, current_a * (now_s - last_s), current_a, [voltage_v], [self.node.temperature_degc]
                )
                last_s = now_s
                self.sensors.fill(readings)
                readings.charge_switch, readings.discharge_switch = self.charge_on, self.discharge_on
                readings.pulse_switch = int(self.pulse_a > 0)
                readings.user_consent = 1
                outputs = bms.tick(readings)
                self._apply(outputs)
                self._wake.wait(min(outputs.next_tick_ms * 1e-3, LONGEST_WAIT_S))
                self._wake.clear()
        except BaseException as error:  # the board is dead: everything off, and the rig is told
            self.failure = error
        self._apply(Outputs())

    def _apply(self, outputs: Outputs) -> None:
        with self.node.lock:
            self.node.settle()
            self.charge_on, self.discharge_on = outputs.charge_enable, outputs.discharge_enable
            self.pulse_a = outputs.pulse_count * self.lsb_a

    # the host's end of the link
    def write(self, data: bytes) -> None:
        with self._lock:
            self._in.append(data)
        self._wake.set()

    def read(self) -> bytes:
        for _ in range(20):
            with self._lock:
                data, self._out = bytes(self._out), bytearray()
            if data or not self._running:
                return data
            time.sleep(0.001)
        return b""

    def _tick(self, readings: Readings) -> Outputs:
        raise NotImplementedError("a board with real terminals is not told its readings")

    def _stop(self) -> None:
        self._running = False
        self._wake.set()
        self._thread.join(2.0)

    def slots(self) -> dict[int, bytes]:
        return dict(self._slots)


class _Stream:
    """The firmware's end of the link."""

    def __init__(self, board: TerminalBoard) -> None:
        self.board = board

    def read(self) -> bytes | None:
        with self.board._lock:
            return self.board._in.pop(0) if self.board._in else None

    def write(self, data: bytes) -> None:
        with self.board._lock:
            self.board._out += data
