"""`make flash PORT=… [PROFILE=…] [BOARD=…]`: put firmware and a profile on a board, and prove that it runs.

The board keeps two firmware folders. What changed is copied into the one not in use, every file is verified by its
hash, the new firmware tests itself with all outputs off, and only then a small pointer file (firmware/boot.py) makes it
the one that starts. Pulled at any moment, the board starts the old firmware or the new one.
"""

import ast
import base64
import contextlib
import hashlib
import io
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from mpremote.transport import TransportError, TransportExecError  # type: ignore[import-untyped]
from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]
from relith import memory
from relith.bms import Bms
from relith.journal import Journal
from relith.profile import Profile

from hil import image
from hil.virtual.processor import interpreter
from host_sim import profiles
from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.loop import NEW_BOARD, MemoryStore

FOLDERS = ("firmware_a", "firmware_b")
LEAST_VERSION = (1, 24)  # first release whose ports all load .mpy version 6.3
ANSWER_S = 10.0  # how long a board may take to answer at all; mpremote's own patience
BLOCK = 4096  # what a file of any size takes at least
CHUNK = 3072  # bytes of a file in one command
FEED_S = 1.0  # a watchdog of ours waits 8 s
RESET_S = 15.0  # how long a board may take to come back

# Runs on the board. Paths are relative to {root}. A watchdog that was running goes on running, so it is fed here.
TOOLS = """
import os, sys, hashlib, binascii
os.chdir({root!r})
dog = None
if {watched}:
 import machine
 dog = machine.WDT(timeout=8000)
def feed():
 if dog: dog.feed()
def tree(d):
 try: entries = list(os.ilistdir(d))
 except OSError: return
 for e in entries:
  p = d + '/' + e[0]
  if e[1] & 0x4000: tree(p)
  else: print(digest(p), p)
def digest(p):
 feed()
 h = hashlib.sha256()
 b = bytearray(512)
 with open(p, 'rb') as f:
  n = f.readinto(b)
  while n:
   h.update(memoryview(b)[:n])
   n = f.readinto(b)
 return binascii.hexlify(h.digest()).decode()
def copy(a, b):
 feed()
 with open(a, 'rb') as f:
  with open(b, 'wb') as g:
   c = f.read(512)
   while c:
    g.write(c)
    c = f.read(512)
def drop():
 for m in list(sys.modules):
  if m.split('.')[0] in ('relith', 'drivers', 'boards', 'board', 'main'): del sys.modules[m]
"""
WATCHED = "getattr(__import__('sys').modules.get('boards.base'), 'watchdog', None) is not None"
ROOT = "'/flash' if 'flash' in __import__('os').listdir('/') else '/'"
_LOST = (TransportError, OSError, TypeError, IndexError, ValueError, struct.error)  # how mpremote fails on a dead line


class Board:
    """A MicroPython board in its raw REPL, its program stopped. Raises InputError when it does not answer."""

    def __init__(self, port: str):
        self.port = port
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints what it did not understand
                self.transport = SerialTransport(port, baudrate=115200, timeout=ANSWER_S)
                self.transport.enter_raw_repl(soft_reset=False, timeout_overall=ANSWER_S)
        except _LOST:
            raise InputError(f"PORT={port}: no MicroPython board answers there") from None

    def clear(self) -> None:
        """Free the memory of the program that was running (boot.py holds the switches off again); load TOOLS."""
        watched = self.evaluate(WATCHED)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                self.transport.enter_raw_repl(soft_reset=True)
        except _LOST:
            raise InputError(f"PORT={self.port}: the board stopped answering") from None
        self.root = str(self.evaluate(ROOT))
        self.run(TOOLS.format(root=self.root, watched=watched))

    def run(self, code: str, timeout: float = 20.0) -> str:
        """Execute on the board; what it printed. What it raises arrives as TransportExecError."""
        try:
            out, error = self.transport.exec_raw(code, timeout=timeout)
        except _LOST:
            raise InputError(f"PORT={self.port}: the board stopped answering") from None
        if error:
            raise TransportExecError(out, error.decode(errors="replace"))
        return out.decode(errors="replace")

    def evaluate(self, expression: str):
        """The value of an expression on the board."""
        try:
            return ast.literal_eval(self.run(f"print(repr({expression}))").strip())
        except (TransportExecError, ValueError, SyntaxError):
            raise InputError(f"PORT={self.port}: what answers there is no MicroPython board") from None

    def hashes(self, folder: str) -> dict[str, str]:
        """SHA-256 of every file in a folder, by name inside it."""
        lines = self.run(f"tree({folder!r})").splitlines()
        pairs = (line.split(" ", 1) for line in lines if line.strip())
        return {name.removeprefix(folder + "/"): digest for digest, name in pairs}

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        self.run(f"feed()\nf = open({name!r}, 'wb')")
        for start in range(0, len(data), CHUNK):
            piece = base64.b64encode(data[start : start + CHUNK]).decode()
            self.run(f"feed()\nf.write(binascii.a2b_base64(b'{piece}')) and None")
        self.run("f.close()")

    @contextlib.contextmanager
    def fed(self) -> Iterator[None]:
        """While something here takes its time and nothing is asked of the board, its watchdog goes on being fed."""
        over = threading.Event()

        def feed() -> None:
            while not over.wait(FEED_S):
                self.run("feed()")

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def restart(self) -> None:
        """Hard reset; the board runs what it now holds. The port may go away and come back."""
        with contextlib.suppress(*_LOST):
            self.transport.exec_raw_no_follow("import machine\nmachine.reset()")
        self.close()

    def close(self) -> None:
        """Let go of the port."""
        with contextlib.suppress(OSError):
            self.transport.close()


def check_version(board: Board) -> None:
    """Refuse a MicroPython that cannot run the .mpy files made here."""
    machine, version, mpy = board.evaluate(
        "(lambda i: (i._machine, tuple(i.version[:3]), getattr(i, '_mpy', 0) & 255))(__import__('sys').implementation)"
    )
    shown = ".".join(map(str, version))
    if mpy != image.MPY_VERSION or version[:2] < LEAST_VERSION:
        raise InputError(
            f"PORT={board.port}: {machine} runs MicroPython {shown} (.mpy version {mpy}), must be "
            f"{LEAST_VERSION[0]}.{LEAST_VERSION[1]} or newer with .mpy version {image.MPY_VERSION}"
        )


def detect(board: Board) -> str:
    """Which board file belongs to what answers."""
    platform, machine = board.evaluate("(__import__('sys').platform, __import__('sys').implementation._machine)")
    if platform == "rp2":
        return "pico2" if "RP2350" in machine else "pico"
    return {"webassembly": "virtual"}.get(platform, platform)


def agree(named: str, found: str, port: str) -> None:
    """A board file for another kind of board is refused."""
    if named.removeprefix("rig_") != found and not (named == "rig_pico" and found == "pico2"):
        raise InputError(f"BOARD={named}: what answers on {port} is a {found}")


def chosen(board: Board) -> tuple[int, str]:
    """Number and folder of the firmware in use, by the rule of firmware/boot.py; (0, "") when there is none."""
    best = (0, "")
    for slot in (0, 1):
        with contextlib.suppress(TransportExecError, ValueError):
            number, folder, crc = board.run(f"print(open('firmware.{slot}').read())").split()
            if zlib.crc32(f"{number} {folder}".encode()) == int(crc):
                best = max(best, (int(number), folder))
    return best


def choose(board: Board, number: int, folder: str) -> None:
    """Make a folder the one that starts."""
    text = f"{number} {folder}"
    board.write(f"firmware.{number % 2}", f"{text} {zlib.crc32(text.encode())}\n".encode())


def lockout(board: Board, profile: Profile) -> str:
    """Why this profile will not take the journal that now lies on the board, and so locks the board out (safety rule
    11), in words; "" when it will, when there is none, and when nobody can read it as it is.
    """
    slots = MemoryStore()
    for slot in (0, 1):
        with contextlib.suppress(TransportExecError):
            text = board.run(f"print(binascii.b2a_base64(open('journal.{slot}', 'rb').read()).decode())")
            slots.write(slot, base64.b64decode(text))
    kept = Journal(slots).load()
    if not kept or memory.unpack_all(Bms(profile, MemoryStore()), kept):
        return ""
    theirs = struct.unpack_from("<qqq", kept, 1)
    ours = (profile.cell_count, profile.nominal_capacity_uah, profile.current_lsb_na)
    if theirs == ours or kept[0] != memory.pack_all(Bms(profile, MemoryStore()))[0]:
        return "the journal on the board is of another version of the firmware"
    told = [f"{n} cell{'s' * (n > 1)} of {uah / 1000:g} mAh" for n, uah, _ in (theirs, ours)]
    if told[0] == told[1]:
        told = [f"counts of {na} nA" for _, _, na in (theirs, ours)]
    return f"the journal on the board is of {told[0]}, the profile {profile.name!r} of {told[1]}"


def ask(sentence: str) -> bool:
    """Put it to the person at the terminal; no terminal, no answer, is no."""
    if not sys.stdin.isatty():
        return False
    print(f"{sentence}; go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def transfer(board: Board, files: dict[str, bytes], folder: str, other: str) -> int:
    """Bring `folder` to hold exactly `files`; what the other folder already has is copied on the board. Bytes sent."""
    wanted, here, there = image.hashes(files), board.hashes(folder), board.hashes(other)
    missing = {name: data for name, data in files.items() if here.get(name) != wanted[name]}
    if not missing and here.keys() == files.keys():
        return 0
    sent = 0
    try:
        free = board.evaluate("(lambda s: s[0] * s[3])(os.statvfs('.'))")
        need = sum(len(data) + BLOCK for data in missing.values())
        if free < need:
            raise InputError(f"PORT={board.port}: the flash has {free // 1024} KiB free, {need // 1024} are needed")
        for directory in sorted({folder} | {f"{folder}/{Path(name).parent}" for name in files if "/" in name}):
            with contextlib.suppress(TransportExecError):
                board.run(f"os.mkdir({directory!r})")
        for name in here.keys() - files.keys():
            board.run(f"os.remove({folder + '/' + name!r})")
        for name, data in missing.items():
            if there.get(name) == wanted[name]:
                board.run(f"feed()\ncopy({other + '/' + name!r}, {folder + '/' + name!r})")
            else:
                board.write(f"{folder}/{name}", data)
                sent += len(data)
    except TransportExecError as error:
        raise InputError(f"PORT={board.port}: {_why(error)}; what ran before stays") from None
    if board.hashes(folder) != wanted:
        raise InputError(f"PORT={board.port}: the files on the board do not match what was sent; what ran before stays")
    return sent


def _last_line(error: TransportExecError) -> str:
    return image.readable(error.error_output.strip()).splitlines()[-1]


def _why(error: TransportExecError) -> str:
    last = _last_line(error)
    if re.search(r"\b(28|ENOSPC)\b", last):  # a chip has numbers in its name, too
        return "the flash is full"
    if re.search(r"\b(30|EROFS|EPERM|EACCES)\b", last):
        return "the file system is read-only"
    return f"the board says {last}"


def begin(board: Board) -> bool:
    """A board without a journal gets the first record of a new one; without that it locks, as if its own were lost."""
    if board.evaluate("any([name.startswith('journal.') for name in os.listdir()])"):
        return False
    for slot, data in NEW_BOARD.items():
        board.write("first.new", data)
        board.run(f"os.rename('first.new', 'journal.{slot}')")
    return True


def self_test(board: Board, folder: str) -> None:
    """Run the firmware in `folder` once, all outputs off."""
    code = f"feed()\ndrop()\nos.chdir({folder!r})\nsys.path.insert(0, os.getcwd())\nimport board, main\nfeed()\n"
    try:
        wrong = board.run(code + "print(main.self_test())", 60.0).strip()
        board.run(f"os.chdir({board.root!r})")
    except TransportExecError as error:
        wrong = _last_line(error)
    if wrong:
        raise InputError(f"PORT={board.port}: self-test: {wrong}; outputs are off, what ran before stays")


def settle(board: Board, number: int, folder: str) -> None:
    """Make `folder` the one that starts; boot.py, which finds it, first."""
    boot = (image.FIRMWARE / "boot.py").read_bytes()
    try:
        if board.hashes(".").get("boot.py") != hashlib.sha256(boot).hexdigest():
            board.write("boot.new", boot)
            board.run("os.rename('boot.new', 'boot.py')")
        choose(board, number, folder)
    except TransportExecError as error:
        raise InputError(f"PORT={board.port}: {_why(error)}; what ran before stays") from None


def flash(port: str, profile: Path, named: str | None, say=print, another_cell: bool = False) -> None:
    """Everything, on a port that is there. `another_cell`: the journal on the board may be of another cell."""
    began = time.monotonic()
    wanted = profiles.load(profile)  # before the board is touched
    board = Board(port)
    check_version(board)
    found = detect(board)
    name = named or found
    agree(name, found, port)
    board.clear()
    why = lockout(board, wanted)
    if why:
        why = f"PORT={port}: {why}: the board will be locked out until a person clears it (docs/board.md)"
        with board.fed():
            go_on = another_cell or ask(why)
        if not go_on:
            board.restart()
            raise InputError(f"{why}; CELL=another goes on; nothing was changed, what ran before runs again")
        say(why)
    with board.fed():
        files = image.build(name, profile)
    number, current = chosen(board)
    changed = not current or board.hashes(current) != image.hashes(files)
    folder = (FOLDERS[1] if current == FOLDERS[0] else FOLDERS[0]) if changed else current
    if changed:
        sent = transfer(board, files, folder, current or FOLDERS[1])
        say(f"{name}: {sent} of {sum(map(len, files.values()))} bytes sent, {len(files)} files verified")
    else:
        say(f"{name}: nothing changed, {len(files)} files verified")
    if begin(board):
        say("no journal there: a new board, which knows nothing of its cell until it is commissioned")
    self_test(board, folder)
    if changed:
        settle(board, number + 1, folder)
    image.keep_names()
    board.restart()
    say(f"{running(port)} after {time.monotonic() - began:.1f} s")


def running(port: str) -> str:
    """What the board says it runs, after its restart; it is then left running."""
    until = time.monotonic() + RESET_S
    while True:
        time.sleep(0.3)
        try:
            board = Board(port)
            break
        except InputError:
            if time.monotonic() > until:
                raise InputError(f"PORT={port}: the board did not come back after its restart") from None
    try:
        code = image.at_prompt("import relith\nprint(relith.VERSION, relith.running.profile.name)")
        version, name = board.run(code).strip().split(" ", 1)
    except TransportExecError as error:
        raise InputError(f"PORT={port}: the firmware does not run: {_why(error)}") from None
    board.restart()
    number = int(version)
    return f"{port} runs relith {number // 10000}.{number // 100 % 100}.{number % 100}, profile {name!r}"


@contextlib.contextmanager
def virtual(folder: Path = Path("build/virtual/flash")) -> Iterator[str]:
    """A virtual board as a process of its own; yields its port."""
    interpreter()
    process = subprocess.Popen(
        [sys.executable, "-m", "hil.virtual", "--files", str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        words = process.stdout.readline().split()
        if len(words) < 2:
            raise InputError("PORT=virtual: the virtual board did not start")
        yield words[1]
    finally:
        process.terminate()
        process.wait(10)


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="make flash", description=__doc__.split("\n")[0])
    parser.add_argument("--port", default="", help="serial port, or virtual, or emulated")
    parser.add_argument("--profile", default="liu21_nmc532", help="profile by name or path")
    parser.add_argument("--board", default=None, help="board file; found out when left away")
    parser.add_argument(
        "--cell",
        choices=("same", "another"),
        default="same",
        help="another: lock the board out if its journal is not of the profile's cell",
    )
    parser.add_argument("--uf2", type=Path, default=None, help="MicroPython UF2 for PORT=emulated")
    try:
        args = parser.parse_args(argv)
        profile = image.profile_path(args.profile)
        if args.board and args.board not in image.boards():
            raise InputError(f"BOARD={args.board}: no such board, must be one of {', '.join(image.boards())}")
        port: contextlib.AbstractContextManager[str]
        if not args.port:
            raise InputError("PORT= is missing: name a serial port, virtual, or emulated")
        if args.port == "virtual":
            port = virtual()
        elif args.port == "emulated":
            from hil.emulated import emulated

            port = emulated(args.uf2)
        else:
            port = contextlib.nullcontext(args.port)
        with port as name:
            flash(name, profile, args.board or None, another_cell=args.cell == "another")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
