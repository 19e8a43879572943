"""The board under test, whatever it is: the firmware in this process, or anything that speaks the link.

Every kind answers `tick(readings) -> Outputs`, so that the closed loop of `host_sim` drives all of them alike.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from relith.profile import Profile
from relith.readings import Outputs, Readings

from hil.codec import Client, LinkError, Refused

WATCHDOG_MS = 8000  # firmware/boards/base.py: a rig build whose readings stop is reset by its watchdog after this
FLASH = ("journal.0", "journal.1")
TURN_S = 0.1


class Wire:
    """A byte stream on its way to the board, with what can go wrong on it. `port` is the board's real end."""

    def __init__(self, port: Any) -> None:
        self.port = port
        self.fault: tuple[str, float] | None = None
        self.sent: list[bytes] = []  # the last frames, for somebody who repeats them
        self.random = random.Random(0x11)

    def write(self, data: bytes) -> None:
        self.sent = [*self.sent[-7:], bytes(data)]
        verb, share = self.fault or ("ok", 0.0)
        lost = verb == "off" or verb == "stuck" or (verb == "intermittent" and self.random.random() < share)
        out = bytearray(data)
        if verb in ("garbage", "wrong"):
            out[self.random.randrange(len(out))] ^= 1 << self.random.randrange(8)
        if not lost:
            self.port.write(bytes(out))

    def read(self) -> bytes:
        data: bytes = self.port.read()
        return b"" if self.fault and self.fault[0] == "off" else data


class Tape(Protocol):
    """Keeps what goes into a board and what comes out (hil.recording)."""

    def start(self, slots: Mapping[int, bytes], watchdog: bool) -> None: ...
    def tick(self, readings: Readings, outputs: Outputs) -> None: ...
    def asked(self, what: str, *arguments: Any) -> None: ...
    def stop(self) -> None: ...


class Board(ABC):
    """One board on one profile. `powered`: whether it runs; `round_trip_s`: time that every tick took."""

    kind = ""
    can: frozenset[str] = frozenset()  # of hil.scenario's needs

    def __init__(self, profile: Profile, text: str) -> None:
        """`text`: the profile as JSON, for boards that need it as a file."""
        self.profile, self.text = profile, text
        self.boots = 0
        self.powered = False
        self.round_trip_s: list[float] = []
        self.off = Outputs()
        self.client = Client(None)  # type: ignore[arg-type]
        self.wire = Wire(None)
        self.tape: Tape | None = None

    # --- what each kind does its own way
    @abstractmethod
    def _power(self, slots: Mapping[int, bytes], watchdog: bool) -> Any:
        """Start with this journal; returns the port of the link."""

    @abstractmethod
    def _stop(self) -> None: ...

    @abstractmethod
    def slots(self) -> dict[int, bytes]:
        """The journal's two slots as they are now."""

    @abstractmethod
    def _tick(self, readings: Readings) -> Outputs: ...

    def flash_fault(self, verb: str, magnitude: float) -> None:
        """Make the journal's storage fail from now on; `ok` heals it."""
        raise NotImplementedError(f"{self.kind} boards cannot be given a failing flash")

    def probe(self) -> None:  # noqa: B027 (a board in this process is always there)
        """Is it there, and what the rig needs? Asked before an instrument is switched on. Raises InputError."""

    # --- what they have in common
    def start(self, slots: Mapping[int, bytes], watchdog: bool = False) -> None:
        if self.tape:
            self.tape.start(slots, watchdog)
        fault = self.wire.fault
        self.wire = Wire(self._power(slots, watchdog))
        clock = getattr(self.wire.port, "clock", None)
        self.client = Client(self.wire, key=self.profile.link_key, timeout_s=2.0, clock=clock)
        self.boots += 1
        self.powered = True
        self.client.hello()
        self.wire.fault = fault

    def power_off(self) -> None:
        self.powered = False
        if self.tape:
            self.tape.stop()
        self._stop()

    def tick(self, readings: Readings) -> Outputs:
        began = time.perf_counter()
        outputs = self._tick(readings)
        self.round_trip_s.append(time.perf_counter() - began)
        if self.tape:
            self.tape.tick(readings, outputs)
        return outputs

    def latest(self) -> dict[str, dict[str, Any]]:
        """What the board has sent last, by message."""
        return self.client.latest

    def refused(self) -> int:
        """Frames that the board says it has refused."""
        return sum(self.latest().get("refused", {}).get("counts", [0])[1:])  # the first counts the stream's own errors

    def command(self, name: str, a: int = 0, b: int = 0) -> str:
        """Carry out a command of the catalogue; `done`, or `refused` or `silent` with the sentence after a colon."""
        return self._ask(lambda: self.client.command(name, a, b), "command", name, a, b)

    def upload(self, profile: bytes) -> str:
        """Send a profile in two phases; answers as `command`."""
        return self._ask(lambda: self.client.upload_profile(profile), "upload", profile.hex())

    def _ask(self, call: Callable[[], object], what: str, *arguments: Any) -> str:
        if not self.powered:
            return "silent: the board has no power"
        if self.tape:
            self.tape.asked(what, *arguments)
        try:
            call()
        except Refused as error:
            return f"refused: {error}"
        except LinkError as error:
            return f"silent: {error}"
        return "done"

    def raw(self, data: bytes) -> None:
        """Bytes onto the wire that nobody meant."""
        self.wire.port.write(data)
        self._settle()

    def repeat(self) -> None:
        """The last frames once more, as a recorder on the wire would."""
        for data in list(self.wire.sent):
            self.wire.port.write(data)
        self._settle()

    def _settle(self) -> None:
        """Listen until the board has had its say: it reports damage piece by piece, and that is no answer to us."""
        quiet = 0
        while quiet < 3:
            quiet = 0 if self.client.pump() else quiet + 1

    def fault(self, component: str, verb: str, magnitude: float) -> Callable[[], None]:
        """A fault of `flash` or `link`; returns what heals it."""
        if component == "flash":
            self.flash_fault(verb, magnitude)
            return lambda: self.flash_fault("ok", 0.0)
        self.wire.fault = (verb, magnitude)

        def heal() -> None:
            self.wire.fault = None

        return heal

    def black_box(self) -> bytes:
        return self.client.download("black_box") if self.powered else b""

    def close(self) -> None:
        if self.powered:
            self.power_off()


class Store:
    """The journal's slots in memory, with a storage that may fail."""

    def __init__(self, slots: Mapping[int, bytes] | None = None) -> None:
        self.slots = dict(slots or {})
        self.fault = ("ok", 0.0)
        self.random = random.Random(0xF1)

    def read(self, slot: int) -> bytes | None:
        if self.fault[0] == "off":
            raise OSError(5, "flash")
        return self.slots.get(slot)

    def write(self, slot: int, data: bytes) -> None:
        verb, share = self.fault
        if verb == "off" or (verb == "intermittent" and self.random.random() < share):
            raise OSError(5, "flash")
        if verb == "stuck":
            return
        out = bytearray(data)
        if verb == "wrong":
            out[self.random.randrange(len(out))] ^= 1 << self.random.randrange(8)
        elif verb == "garbage":
            out = bytearray(self.random.randbytes(len(out)))
        self.slots[slot] = bytes(out)


class BoardEnd:
    """The firmware's end of a stream in memory: what arrives is read piece by piece, what it writes is `left`."""

    def __init__(self) -> None:
        self.arriving: list[bytes] = []
        self.left = bytearray()

    def read(self) -> bytes | None:
        return self.arriving.pop(0) if self.arriving else None

    def write(self, data: bytes) -> None:
        self.left += data


class _Turned:
    """A port whose other end moves only when somebody reads: a read is a TURN_S, and waiting costs no time of ours."""

    turns = 0

    def clock(self) -> float:
        return self.turns * TURN_S


class _Loop(_Turned):
    """The rig's end of such a stream, a codec.Port. `turn()`: lets the firmware take what has arrived."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self.turn = turn
        self.board = BoardEnd()

    def write(self, data: bytes) -> None:
        self.board.arriving.append(data)

    def read(self) -> bytes:
        self.turns += 1
        self.turn()
        data, self.board.left = bytes(self.board.left), bytearray()
        return data


class HostBoard(Board):
    """The firmware in this process. Readings go in directly, commands and telemetry over the link as on every board."""

    kind = "host"
    can = frozenset({"truth", "sensors", "switches", "power", "flash", "storage", "link", "fast", "past", "injection"})

    def _power(self, slots: Mapping[int, bytes], watchdog: bool) -> Any:
        from boards.inject import Injector
        from relith.bms import Bms

        self.store = Store(slots)
        stream = _Loop(self._listen)
        self.bms = Bms(self.profile, self.store, stream.board)
        self.bms.gate.cutoff_present = 1
        self.bms.link.injector = Injector(self.bms.readings)  # as a rig build: commands come between ticks
        self.bms.link.rig = 1
        self._stream = stream.board
        return stream

    def _listen(self) -> None:
        """What a rig build's loop does between ticks: take what has arrived."""
        link = self.bms.link
        link.inject(self.bms)
        while self._stream.arriving or link._chunk is not None:
            link.inject(self.bms)

    def _tick(self, readings: Readings) -> Outputs:
        outputs: Outputs = self.bms.tick(readings)
        if self._stream.left:
            self.client.pump()
        return outputs

    def _stop(self) -> None:
        self.bms = None

    def slots(self) -> dict[int, bytes]:
        return dict(self.store.slots)

    def flash_fault(self, verb: str, magnitude: float) -> None:
        self.store.fault = (verb, magnitude)


class LinkBoard(Board):
    """A rig build behind its link: readings and outputs travel as frames, in lockstep."""

    def __init__(self, profile: Profile, text: str) -> None:
        super().__init__(profile, text)
        self._outputs = Outputs()

    def _tick(self, readings: Readings) -> Outputs:
        outputs = self._outputs
        for name, value in self.client.step(readings).items():
            setattr(outputs, name, value)
        return outputs


class _Stepped(_Turned):
    """The link of a virtual board whose loop runs only when somebody waits for it."""

    def __init__(self, board: Any) -> None:
        self.board = board

    def write(self, data: bytes) -> None:
        self.board.hardware.link_in += data

    def read(self) -> bytes:
        hardware = self.board.hardware
        self.turns += 1
        self.board.step()
        data = bytes(hardware.link_out)
        hardware.link_out.clear()
        return data


class VirtualRigBoard(LinkBoard):
    """The rig build on MicroPython's WebAssembly build: real frames, real flash files, its own interpreter."""

    kind = "virtual"
    can = HostBoard.can - {"storage"}
    _image: dict[str, bytes] | None = None  # compiled once; only the profile differs

    def __init__(self, profile: Profile, text: str) -> None:
        super().__init__(profile, text)
        self._folder = tempfile.TemporaryDirectory(prefix="relith-flash-")
        self.folder = Path(self._folder.name)
        self._board: Any = None

    def _power(self, slots: Mapping[int, bytes], watchdog: bool) -> Any:
        from hil import image
        from hil.virtual.board import VirtualBoard
        from hil.virtual.hardware import POWER_ON_RESET, WDT_RESET

        if VirtualRigBoard._image is None:
            VirtualRigBoard._image = image.build("rig_virtual", next(image.PROFILES.glob("*.json")))
        profile = json.dumps(json.loads(self.text), separators=(",", ":")).encode()
        image.write(VirtualRigBoard._image | {"profile.json": profile}, self.folder)
        for slot, name in enumerate(FLASH):
            path = self.folder / name
            if slot in slots:
                path.write_bytes(slots[slot])
            elif path.exists():
                path.unlink()
        if self._board is None:
            self._board = VirtualBoard(self.folder, stepped=True)
            self._board.start()
        else:
            self._board.reset(WDT_RESET if watchdog else POWER_ON_RESET)
        if not self._board.processor.looping:
            printed = self._board.console.decode(errors="replace").splitlines()
            said = [line for line in printed if "Error" in line] or ["nothing"]
            raise LinkError(f"the virtual board did not start its program; it said: {said[-1]}")
        return _Stepped(self._board)

    def _stop(self) -> None:
        self._board.hardware.link_in.clear()

    def flash_fault(self, verb: str, magnitude: float) -> None:
        """Writing is refused while something that is no file stands where the journal's next copy would go."""
        act = "rmdir" if verb == "ok" else "mkdir"
        self._board.exec("import os\n" + "".join(f"os.{act}('/{name}.new')\n" for name in FLASH))

    def slots(self) -> dict[int, bytes]:
        paths = {slot: self.folder / name for slot, name in enumerate(FLASH)}
        return {slot: path.read_bytes() for slot, path in paths.items() if path.is_file()}

    def close(self) -> None:
        super().close()
        if self._board is not None:
            self._board.kill()
        self._folder.cleanup()
