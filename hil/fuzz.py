"""Fuzzing the board's end of the link: a target that knows what may never happen, and a coverage-guided loop around it.

    python -m hil.fuzz --seconds 60     # with atheris when it is installed (extra `fuzz`), else with the loop below

An input is a little program (`Target.play`): raw bytes as they are, or frames whose form, session, sequence and answer
are made right, so that the fuzzer gets past the CRC and into what the frames ask for.
"""

from __future__ import annotations

import importlib
import random
import struct
import sys
import time
import zlib
from pathlib import Path

from boards.inject import Injector
from relith import catalogue, commands, frames, link, log
from relith.inventory import Estimate
from relith.ledger import Ledger
from relith.readings import Outputs, Readings

from hil.boards import BoardEnd
from hil.catalogue import COMMANDS, REFUSAL
from hil.codec import MOST, Decoder, answer, frame
from host_sim.cli import Parser

KEY = b"fuzz"
WATCHED = tuple(str(Path(module.__file__)) for module in (link, frames, log, commands, catalogue))
ASKED = [struct.pack("<Bii", code, row[1], row[3]) for code, row in enumerate(catalogue.COMMANDS)]
SEEDS = (
    *(bytes([1, 10, 1]) + fields for fields in ASKED),  # every command, plain
    *(bytes([3, 9]) + fields for fields in ASKED),  # and with its challenge answered
    bytes([1, 9, 4, 5, 0, 0, 0]) + struct.pack("<I", zlib.crc32(b"12345") & MOST)  # an upload
    + bytes([1, 10, 5, 0, 0, 0, 0]) + b"12345" + bytes([3, 9, 12, 0, 0, 0, 0, 0, 0, 0, 0]),
    bytes([1, 6, 6, 2, 0, 0, 0, 0]),  # a download
    bytes([0, 40]) + bytes(range(1, 41)),  # noise
    bytes([2, 5, 1, 7, 0, 0, 0]),  # a frame of this session, one of another
    bytes([2, 5, 1, 6, 0, 9, 0]),
    bytes([1, 1, 2]),  # a challenge
    bytes([1, 59, 7]) + bytes(22) + bytes([2]) + bytes(16) + bytes([1]) + bytes(18),  # readings
)  # fmt: skip


def damaged(draw: random.Random, data: bytes) -> bytes:
    """A frame as a bad line delivers it: bits flipped, bytes lost, put in or doubled, its tail cut off; never whole."""
    out = bytearray(data)
    while data.strip(b"\0") in bytes(out).split(b"\0"):
        at = draw.randrange(1, max(2, len(out) - 1))
        kind = draw.randrange(5)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            out[at : at + draw.randrange(1, 5)] = draw.randbytes(draw.randrange(5))
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            out[at:at] = out[at : at + draw.randrange(1, 9)]
        else:
            out[at:] = draw.randbytes(draw.randrange(1, 40))
    return bytes(out)


class Violation(AssertionError):
    """Something happened that may never happen."""


class Target(BoardEnd):
    """A link with a controller that checks what reaches it. `bytes`: delivered so far; `frames`: taken so far."""

    class Profile:
        link_key = KEY
        crc30 = current_lsb_na = nominal_capacity_uah = ppm_count_us = idle_count = one_c_count = cell_count = 1
        ppm_count_ms = 36000

    def __init__(self, rig: bool = False):
        super().__init__()
        self.boots, self.profile, self.news = 7, self.Profile(), False
        self.readings, self.outputs, self.estimates = Readings(2, 1), Outputs(), [Estimate(0), Estimate(1)]
        self.ledger = Ledger(self.profile)
        self.booked_ppm = 0
        self.log = log.Log()
        self.link = link.Link(self)
        if rig:
            self.link.injector = Injector(self.readings)
        self.decoder = Decoder()
        self.bytes = self.frames = 0
        self._nonces: set[int] = set()
        self._granted: tuple[int, int, int] | None = None
        self.tick()

    # ---- the controller
    def command(self, code: int, a: int, b: int) -> int:
        _, a_low, a_high, b_low, b_high = catalogue.COMMANDS[code]
        name = list(COMMANDS)[code]
        if not (a_low <= a <= a_high and b_low <= b <= b_high):
            raise Violation(f"{name} reached the controller with {a}, {b}")
        if COMMANDS[name].challenged(a) and (code, a, b) != self._granted:
            raise Violation(f"{name} reached the controller without its answer")
        return a & 1

    def profile_commit(self, data: bytes) -> int:
        if self._granted is None:
            raise Violation("a profile reached the controller without its answer")
        return len(data) & 1

    def recorded(self) -> int:
        return 0

    def record(self, area: int) -> bytes | None:
        return bytes(150) if area == 2 else None

    def refused(self, message: int, refusal: int, reason: int) -> None:
        self.log.add(0, log.REFUSAL << 24 | message << 8 | refusal, reason)

    # ---- what the fuzzer drives
    def tick(self) -> None:
        """One tick; and what came out must be sound frames, with one `refused` at most for what was malformed."""
        taken = self.link.expected
        self.readings.now_ms = (self.readings.now_ms + 97) & MOST
        self.news = self.log.watch(self.outputs, 0)
        if self.link.injector is None:
            self.link.poll(self)
            self.link.send(self)
        elif self.link.inject(self):
            self.link.send(self)
        self.frames += (self.link.expected - taken) & 0xFFFF
        data, self.left = bytes(self.left), bytearray()
        for message in self.decoder.feed(data):
            if message.name == "nonce":
                if message["nonce"] in self._nonces:
                    raise Violation("a nonce came twice")
                self._nonces.add(message["nonce"])
            if message.name in ("done", "refused") and message["refusal"] >= len(REFUSAL):
                raise Violation("a refusal that has no meaning")
        if self.decoder.damaged:
            raise Violation("the board sent a damaged frame")

    def deliver(self, data: bytes) -> None:
        """Bytes on the wire, and ticks until they are used up."""
        self.bytes += len(data)
        self.arriving.append(data)
        for _ in range(len(data) + 2):
            self.tick()
            if not self.arriving and self.link._chunk is None:
                break
        else:
            raise Violation("the link does not come to the end of its input")
        self.tick()

    def frame(self, code: int, fields: bytes) -> None:
        """A sound frame of this session, next in sequence."""
        fields = fields[:200]
        self.deliver(frame(code, self.link.session, self.link.expected, fields))

    def play(self, program: bytes) -> None:
        """Run one input: 0 raw bytes, 1 a sound frame, 2 one of any session and number, 3 a command with its answer."""
        at = 0
        while at + 1 < len(program):
            kind, size = program[at] & 3, program[at + 1]
            body = program[at + 2 : at + 2 + size]
            at += 2 + size
            if kind == 0:
                self.deliver(body)
            elif kind == 1 and body:
                self.frame(body[0], body[1:])
            elif kind == 2 and len(body) > 4:
                session, sequence = struct.unpack_from("<HH", body, 1)
                self.deliver(frame(body[0], session, sequence, body[5:205]))
            elif kind == 3 and len(body) >= 9:
                code, a, b = struct.unpack_from("<Bii", body)
                self.frame(2, b"")
                self._granted = (code, a, b)
                right = answer(KEY, self.link.nonce, code, a, b)
                self.frame(3, body[:9] + struct.pack("<i", right))
                self._granted = None


def run(program: bytes) -> Target:
    """One input on a fresh link, as a rig build and as an ordinary one. Raises what the link raises, and Violation."""
    Target(rig=True).play(program)
    target = Target()
    target.play(program)
    return target


class Guided:
    """The coverage-guided loop: programs that reach a new pair of lines are kept, and varied further. Seeded."""

    def __init__(self, seed: int, corpus: tuple[bytes, ...] = ()):
        self.random = random.Random(seed)
        self.pairs: set[tuple] = set()
        self.corpus: list[bytes] = []
        self.bytes = self.frames = self.runs = 0
        for program in (*SEEDS, *corpus):
            self.run(program)

    def run(self, program: bytes) -> None:
        """Run one input; keep it when it went a new way. Raises what it found."""
        seen: set[tuple] = set()
        last = [0]

        def line(frame, event, _arg):
            here = frame.f_lineno
            seen.add((frame.f_code, last[0], here))
            last[0] = here
            return line

        def call(frame, event, _arg):
            return line if frame.f_code.co_filename in WATCHED else None

        before = sys.gettrace()
        sys.settrace(call)
        try:
            target = run(program)
        finally:
            sys.settrace(before)
        self.runs += 1
        self.bytes += 2 * target.bytes
        self.frames += target.frames
        if seen - self.pairs:
            self.pairs |= seen
            self.corpus.append(program)

    def vary(self, program: bytes) -> bytes:
        """A variation of a program."""
        draw, out = self.random, bytearray(program)
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(out) + 1)
            kind = draw.randrange(7)
            if kind == 0 and out:
                out[at % len(out)] ^= 1 << draw.randrange(8)
            elif kind == 1 and out:
                out[at % len(out)] = draw.choice((0, 1, 2, 3, 4, 5, 7, 8, 12, 63, 64, 127, 128, 191, 192, 254, 255))
            elif kind == 2:
                out[at:at] = draw.randbytes(draw.randrange(1, 9))
            elif kind == 3:
                del out[at : at + draw.randrange(1, 9)]
            elif kind == 4:
                other = draw.choice(self.corpus)
                out[at:] = other[draw.randrange(len(other) + 1) :]
            elif kind == 5:
                out += draw.choice(SEEDS)
            else:
                piece = out[at : at + draw.randrange(1, 40)]
                out[at:at] = piece
        return bytes(out[:1500])

    def search(self, many_bytes: int) -> None:
        """Vary and run until so many bytes more have been delivered."""
        ends = self.bytes + many_bytes
        while self.bytes < ends:
            self.run(self.vary(self.random.choice(self.corpus)))


def main(argv: list[str]) -> int:
    """Fuzz for a while; prints what was reached. What is found ends it with a traceback and the input that did it."""
    parser = Parser(prog="python -m hil.fuzz", description="fuzz the board's end of the link")
    parser.add_argument("--seconds", type=int, default=60, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="of the loop; atheris has its own")
    parser.add_argument("--plain", action="store_true", help="use the loop even when atheris is there")
    arguments = parser.parse_args(argv)
    if not arguments.plain:
        try:
            import atheris
        except ModuleNotFoundError:
            pass
        else:
            with atheris.instrument_imports():
                for module in (frames, log, link):
                    importlib.reload(module)
            atheris.Setup([sys.argv[0], f"-max_total_time={arguments.seconds}", "-max_len=1500"], run)
            atheris.Fuzz()  # ends the process
    guided, ends = Guided(arguments.seed), time.monotonic() + arguments.seconds
    while time.monotonic() < ends:
        guided.search(10_000)
    print(f"runs={guided.runs} bytes={guided.bytes} frames={guided.frames} pairs of lines={len(guided.pairs)}")
    return 0


if __name__ == "__main__":
    from host_sim.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
