"""The virtual board: processor, hardware, flash folder, and a pseudo-terminal on which `mpremote` finds a REPL.

    with VirtualBoard(folder, stepped=True) as board:  # in-process: lockstep on a stepped clock, no terminal needed
        board.start()  # boot.py, main.py
        board.advance(100)
        board.step()

    python -m hil.virtual --files DIR  # a board of its own: prints its ports, runs until Ctrl-C

Ctrl-C reaches main.py's own loop and a program that sleeps; a busy loop it cannot reach, as no thread watches.
"""

import contextlib
import os
import select
import threading
import time
import tty
from pathlib import Path

from hil.virtual.hardware import POWER_ON_RESET, WDT_RESET, Hardware, Reset, Watchdog
from hil.virtual.processor import MicroPythonError, Processor, ProcessorHung

CTRL_A, CTRL_B, CTRL_C, CTRL_D = b"\x01", b"\x02", b"\x03", b"\x04"
RAW_PASTE = b"\x05A\x01"
PASTE_WINDOW = 512
STALLED_S = 1.0  # a terminal that nobody reads loses its output after this, as USB does


class Terminal:
    """A pseudo-terminal. `port` is what a client opens. Output that nobody reads is dropped, as on USB."""

    def __init__(self) -> None:
        self.fd, self._held = os.openpty()  # holding the client's end keeps the line alive between clients
        tty.setraw(self._held)
        os.set_blocking(self.fd, False)
        self.port = os.ttyname(self._held)
        self._stalled = False

    def write(self, data: bytes) -> None:
        while data:
            wait = 0.0 if self._stalled else STALLED_S
            if not select.select([], [self.fd], [], wait)[1]:
                self._stalled = True
                return
            self._stalled = False
            data = data[os.write(self.fd, data) :]

    def read(self, wait_s: float | None = 0.0) -> bytes:
        if not select.select([self.fd], [], [], wait_s)[0]:
            return b""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._held)


class VirtualBoard:
    """One board. `folder`: its flash (None: in memory). `hardware`: what it is wired to. `stepped`: the clock moves
    only by `advance` and by the program's own sleeps. `capacity_bytes`, `readonly`: a small or write-protected flash.
    """

    def __init__(self, folder: Path | None = None, hardware: Hardware | None = None, *, stepped: bool = False, **flash):
        self.hardware = hardware or Hardware()
        self.hardware.clock_ms = 0 if stepped else None
        self.hardware.interrupted = self._sleep
        self.console = bytearray()  # everything printed while there is no terminal
        self.terminal: Terminal | None = None
        self.link: Terminal | None = None
        clock = lambda: self.hardware.clock_ms  # noqa: E731
        self.processor = Processor(folder, ask=self._ask, console=self._print, clock=clock, **flash)
        self._swallow = 0  # how many bytes of output to drop
        self._keys = b""
        self._raw = False
        self._due = 0.0
        self._off = self._serving = False
        self._closing = threading.Lock()

    # ---- life
    def start(self) -> None:
        """Power on: boot.py, main.py, and the REPL unless main.py handed over its loop."""
        self._raw = False
        self._run("boot.py")
        self._run("main.py")
        self._due = time.monotonic()
        if not self.processor.looping:
            self.processor.command("repl")

    def reset(self, cause: int = POWER_ON_RESET) -> None:
        """Hard reset: a new processor on the same files, then start. Chips on the bus keep running."""
        self.hardware.reset(cause)
        self.processor.restart()
        self.start()

    def soft_reset(self) -> None:
        """Ctrl-D: a new interpreter, pins as they were; main.py runs unless the REPL is raw."""
        raw = self._raw
        self._print(b"MPY: soft reboot\r\n")
        self.processor.boot()
        if not raw:
            return self.start()
        self._run("boot.py")
        self._quietly("repl")
        self.processor.command("type", keys="\x01")

    def kill(self) -> None:
        """Power off in the middle of whatever it does."""
        self._off = True
        self.processor.kill()
        if not self._serving:
            self._close_terminals()

    def _close_terminals(self) -> None:
        with self._closing:  # the thread that serves and the one that kills both come here
            terminals, self.terminal, self.link = (self.terminal, self.link), None, None
        for terminal in terminals:
            if terminal:
                terminal.close()

    def __enter__(self) -> "VirtualBoard":
        return self

    def __exit__(self, *exc) -> None:
        self.kill()

    def _run(self, name: str) -> None:
        code = f"import os\nif {name!r} in os.listdir(): exec(compile(open({name!r}).read(), {name!r}, 'exec'))"
        try:
            self.processor.exec(code)
        except MicroPythonError as error:
            self._print(str(error).encode().replace(b"\n", b"\r\n") + b"\r\n")

    # ---- in-process use
    def exec(self, code: str) -> str:
        """Run `code` on the board; returns what it printed. Raises MicroPythonError."""
        before = len(self.console)
        self.processor.exec(code)
        return self.console[before:].decode(errors="replace")

    def step(self) -> int:
        """One turn of main.py's loop at the hardware's present clock; returns the longest wait until the next, ms."""
        return self.processor.step()

    def advance(self, milliseconds: int) -> None:
        """Stepped clock: let time pass. Raises Watchdog when main.py has let it run out."""
        self.hardware.advance(milliseconds)

    def _ask(self, what: str, args: list) -> object:
        return self.hardware.ask(what, args)

    # ---- the terminal
    def open_terminal(self) -> str:
        """Open the pseudo-terminals of REPL and link; returns the port of the REPL (the link's: `self.link.port`)."""
        self.terminal, self.link = Terminal(), Terminal()
        return self.terminal.port

    def _print(self, data: bytes) -> None:
        dropped = min(self._swallow, len(data))
        self._swallow -= dropped
        data = data[dropped:]
        if self.terminal:
            self.terminal.write(data)
        else:
            self.console += data

    def _quietly(self, do: str) -> None:
        self._swallow = 1 << 30
        self.processor.command(do)
        self._swallow = 0

    def _sleep(self, seconds: float) -> bool:
        """The program sleeps: wait, but wake on Ctrl-C."""
        if not self.terminal:
            time.sleep(seconds)
            return False
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._keys += self.terminal.read(left)
            if CTRL_C in self._keys:
                self._keys = self._keys.split(CTRL_C, 1)[1]
                return True
        return False

    def serve(self, until=lambda: False) -> None:
        """Run the board on its terminal until `until()` (asked ten times a second) says so, or it is killed."""
        self._serving = True
        try:
            while not until() and not self._off:
                self._serve()
        except (OSError, ValueError):  # its pipes went with it
            if not self._off:
                raise
        finally:
            self._serving = False
            if self._off:
                self._close_terminals()

    def _serve(self) -> None:
        assert self.terminal and self.link
        wait = max(0.0, self._due - time.monotonic()) if self.processor.looping else 0.1
        select.select([self.terminal.fd, self.link.fd], [], [], min(wait, 0.1))
        self._keys += self.terminal.read()
        self.hardware.link_in += self.link.read()
        try:
            self._work()
        except (Reset, Watchdog, ProcessorHung, ConnectionError) as why:
            if self._off:
                return
            self._keys = b""
            self.reset(POWER_ON_RESET if isinstance(why, Reset) else WDT_RESET)
        if self.hardware.link_out:
            self.link.write(bytes(self.hardware.link_out))
            self.hardware.link_out.clear()

    def _work(self) -> None:
        self.hardware.catch_up()
        if self.processor.looping:
            if CTRL_C in self._keys:
                self._keys = self._keys.split(CTRL_C, 1)[1]
                self.processor.command("stop")
                self._print(b"\r\nTraceback (most recent call last):\r\nKeyboardInterrupt: \r\n")
                self.processor.command("repl")
            elif self.hardware.link_in or time.monotonic() >= self._due:  # as a board does
                self._keys = b""  # nobody reads standard input while the loop runs
                try:
                    self._due = time.monotonic() + self.processor.step() / 1000
                except MicroPythonError as error:
                    self._print(str(error).encode().replace(b"\n", b"\r\n") + b"\r\n")
                    self.processor.command("repl")
        else:
            while self._keys and not self.processor.looping:
                self._type()

    def _type(self) -> None:
        """Hand the next keys to the REPL: up to a raw-paste request, which this end answers, or a soft reset."""
        head, paste, rest = self._keys.partition(RAW_PASTE)
        if head:
            self._keys = paste + rest
            for key in head:
                self._raw = {CTRL_A[0]: True, CTRL_B[0]: False}.get(key, self._raw)
            done = self.processor.command("type", keys=head.decode("latin-1"))
            if done["exited"]:
                self._keys = done["rest"].encode("latin-1") + self._keys
                self.soft_reset()
        elif self._raw:
            self._keys = rest
            self._paste()
        else:
            self._keys = rest

    def _paste(self) -> None:
        """Raw paste with flow control (MicroPython docs, "Raw-paste mode"), handed to the build's plain raw REPL."""
        assert self.terminal
        self._print(b"R\x01" + PASTE_WINDOW.to_bytes(2, "little") + b"\x01")
        code, granted = b"", 2 * PASTE_WINDOW
        while CTRL_D not in self._keys:
            code, self._keys = code + self._keys, b""
            while len(code) > granted - PASTE_WINDOW:
                self._print(b"\x01")
                granted += PASTE_WINDOW
            piece = self.terminal.read(10.0)
            if not piece:
                return  # the client is gone
            self._keys += piece
        last, _, self._keys = self._keys.partition(CTRL_D)
        self._print(CTRL_D)
        self._swallow = len(b"OK")
        self.processor.command("type", keys=(code + last + CTRL_D).decode("latin-1"))


@contextlib.contextmanager
def served(board: VirtualBoard):
    """Serve `board` on its terminal in a thread; yields the port."""
    port = board.open_terminal()
    done = threading.Event()
    board.start()
    thread = threading.Thread(target=board.serve, args=(done.is_set,), daemon=True)
    thread.start()
    try:
        yield port
    finally:
        done.set()
        thread.join(5)
