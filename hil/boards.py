"""The board under test, whatever it is: the firmware in this process, or anything that speaks the link.

Every kind answers `tick(readings) -> Outputs`, so that the closed loop of `host_sim` drives all of them alike.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from relith.readings import Outputs, Readings

from hil.codec import Client, LinkError, Refused

WATCHDOG_MS = 8000  # firmware/boards/base.py: a rig build whose readings stop is reset by its watchdog after this


class Board(ABC):
    """`slots`: the journal's two slots, as bytes. `powered`, `connected`: what the rig has done to it."""

    kind = ""
    can: frozenset[str] = frozenset()

    def __init__(self, cells: int, thermistors: int = 1) -> None:
        self.cells, self.thermistors = cells, thermistors
        self.boots = 0
        self.powered = False
        self.round_trip_s: list[float] = []
        self.off = Outputs()

    @abstractmethod
    def start(self, slots: Mapping[int, bytes], watchdog: bool = False) -> None:
        """Power on with this journal."""

    @abstractmethod
    def tick(self, readings: Readings) -> Outputs: ...

    @abstractmethod
    def power_off(self) -> None: ...

    @abstractmethod
    def slots(self) -> dict[int, bytes]: ...

    @abstractmethod
    def client(self) -> Client: ...

    @abstractmethod
    def latest(self) -> dict[str, dict[str, Any]]:
        """What the board has sent last, by message."""

    def estimate(self) -> dict[str, Any] | None:
        """The last estimate that the board has sent; None when there is none yet."""
        return self.latest().get("estimate")

    def refused(self) -> int:
        """Frames that the board has refused, as it says."""
        told = self.latest().get("refused", {})
        return sum(told.get(name, 0) for name in ("malformed", "unknown", "replayed", "misplaced"))

    def identity(self) -> dict[str, Any]:
        """What the board says it is."""
        return self.client().hello()

    def command(self, name: str, a: int = 0, b: int = 0) -> str:
        """Carry out a command of the catalogue; `done`, or `refused` or `silent` with the sentence after a colon."""
        try:
            self.client().command(name, a, b)
        except Refused as error:
            return f"refused: {error}"
        except LinkError as error:
            return f"silent: {error}"
        return "done"

    def close(self) -> None:
        if self.powered:
            self.power_off()


class _MemoryStore:
    def __init__(self, slots: Mapping[int, bytes]) -> None:
        self.slots = dict(slots)

    def read(self, slot: int) -> bytes | None:
        return self.slots.get(slot)

    def write(self, slot: int, data: bytes) -> None:
        self.slots[slot] = bytes(data)


class _Wire:
    """Both ends of a byte stream in memory; `turn` lets the board look at what has arrived."""

    def __init__(self) -> None:
        self.arriving: list[bytes] = []
        self.left = bytearray()
        self.turn: Any = None

    # the board's end
    def read_board(self) -> bytes | None:
        return self.arriving.pop(0) if self.arriving else None

    # the host's end, a codec.Port
    def write(self, data: bytes) -> None:
        self.arriving.append(bytes(data))

    def read(self) -> bytes:
        if self.turn is not None and self.arriving:
            self.turn()
        data, self.left = bytes(self.left), bytearray()
        return data


class _BoardEnd:
    def __init__(self, wire: _Wire) -> None:
        self.wire = wire

    def read(self) -> bytes | None:
        return self.wire.read_board()

    def write(self, data: bytes) -> None:
        self.wire.left += data


class HostBoard(Board):
    """The firmware in this process. Readings go in directly, commands and telemetry over the link as on every board."""

    kind = "host"
    can = frozenset({"sensors", "switches", "power", "flash", "link", "truth", "fast"})

    def __init__(self, profile: Any, cells: int, thermistors: int = 1) -> None:
        super().__init__(cells, thermistors)
        self.profile = profile
        self.bms: Any = None
        self._store = _MemoryStore({})
        self._wire = _Wire()
        self._client = Client(self._wire, key=profile.link_key)
        self._scratch = Readings(cells, thermistors)

    def start(self, slots: Mapping[int, bytes], watchdog: bool = False) -> None:
        from relith.bms import Bms

        self._store = _MemoryStore(slots)
        self._wire = _Wire()
        self.bms = Bms(self.profile, self._store, _BoardEnd(self._wire))
        self.bms.cutoff_present = 1
        self.bms.link.readings = self._scratch  # a rig build: commands are taken between ticks, not in them
        self._wire.turn = self._turn
        self._client = Client(self._wire, key=self.profile.link_key)
        self.boots += 1
        self.powered = True

    def _turn(self) -> None:
        """What a rig build's loop does between ticks: take what has arrived."""
        link = self.bms.link
        link.inject(self.bms)
        while self._wire.arriving or link._chunk is not None:
            link.inject(self.bms)

    def tick(self, readings: Readings) -> Outputs:
        began = time.perf_counter()
        self._turn()
        outputs: Outputs = self.bms.tick(readings)
        self.round_trip_s.append(time.perf_counter() - began)
        if self._wire.left:
            self._client.pump()
        return outputs

    def power_off(self) -> None:
        self.powered = False
        self.bms = None

    def slots(self) -> dict[int, bytes]:
        return dict(self._store.slots)

    def latest(self) -> dict[str, dict[str, Any]]:
        return self._client.latest

    def client(self) -> Client:
        if self._client.session < 0:
            self._client.hello()
        return self._client
