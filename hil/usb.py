"""A real board on a serial port, with a rig build (readings over the link) or on a bench (its own sensors)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from relith.profile import Profile

from hil.boards import FLASH, LinkBoard
from hil.codec import Client, LinkError, OtherFirmware
from hil.serialport import SerialPort
from host_sim.errors import InputError

RETURNS_S = 15.0  # how long a board may take from reset to its first frame
HELLO_S = 1.0  # how long one that runs may take to answer


class UsbBoard(LinkBoard):
    """`port`, `baud`: of the link. `repl`: port of the board's MicroPython prompt, where journal and profile are put
    before a scenario; without it the board keeps what it has. `rig`: whether it must be a rig build, or must not."""

    kind = "usb"
    can = frozenset({"truth", "sensors", "switches", "link", "fast", "injection"})

    def __init__(self, profile: Profile, text: str, port: str, baud: int, repl: str | None, rig: bool = True) -> None:
        super().__init__(profile, text)
        self.port, self.baud, self.repl, self.rig = port, baud, repl, rig
        self._serial: SerialPort | None = None

    def _power(self, slots: Mapping[int, bytes], watchdog: bool) -> Any:
        if self._serial is not None:
            self._serial.close()
        if self.repl is not None and not watchdog:
            self._load(slots, self.repl)
        self._serial = SerialPort(self.port, self.baud)
        return self._serial

    def start(self, slots: Mapping[int, bytes], watchdog: bool = False) -> None:
        """As `Board.start`. Raises InputError: no board of ours there, other firmware, or the wrong kind of build."""
        if not watchdog:
            try:
                self._greet()
            except LinkError as error:
                if self.repl is None:
                    raise self._named(error) from None  # with a prompt: it may stand there, and is loaded and started
        ends = time.monotonic() + (RETURNS_S if self.repl else 0.0)
        while True:
            try:
                super().start(slots, watchdog)
                break
            except LinkError as error:
                if time.monotonic() > ends or isinstance(error, OtherFirmware):
                    self._close()
                    raise self._named(error) from None
                slots, watchdog = {}, True  # it is still starting: do not load it again
        self._check(self.client.latest["welcome"])

    def probe(self) -> None:
        """As `Board.probe`."""
        try:
            self._greet()
        except LinkError as error:
            raise self._named(error) from None

    def _greet(self) -> None:
        with SerialPort(self.port, self.baud) as port:
            try:
                self._check(Client(port, timeout_s=HELLO_S).hello())
            except OtherFirmware as error:
                raise self._named(error) from None

    def _named(self, error: LinkError) -> InputError:
        return InputError(f"port {self.port} at {self.baud} baud: {error}")

    def _check(self, welcome: Mapping[str, Any]) -> None:
        rig = bool(welcome["rig"])
        if rig != self.rig:
            self._close()
            builds = ("a build with real switches", "a rig build, which takes injected readings")
            raise InputError(f"port {self.port}: the board is {builds[rig]}; this rig needs {builds[self.rig]}")

    def _load(self, slots: Mapping[int, bytes], repl: str) -> None:
        """Put profile and journal on the board through its prompt, and restart it."""
        from hil import flash

        device = flash.Board(repl)
        device.clear()
        _, folder = flash.chosen(device)
        if not folder:
            raise InputError(
                f"port {repl}: no firmware is on the board; `make flash BOARD=rig_… PORT={repl}` puts it there"
            )
        device.write(f"{folder}/profile.json", json.dumps(json.loads(self.text), separators=(",", ":")).encode())
        for slot, name in enumerate(FLASH):
            if slot in slots:
                device.write(f"{device.root.rstrip('/')}/{name}", slots[slot])
            else:
                device.run(f"try: os.remove({name!r})\nexcept OSError: pass")
        device.restart()

    def _stop(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._serial is not None:
            self._serial.close()
            self._serial = None

    def slots(self) -> dict[int, bytes]:
        """Downloaded over the link."""
        if not self.powered:
            return {}
        return {slot: data for slot in (0, 1) if (data := self.client.download(f"journal_{slot}"))}
