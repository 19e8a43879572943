"""The link on real MicroPython: the same bytes as on CPython, and nothing allocated by telemetry or by receiving."""

import random
import struct
from pathlib import Path

import pytest
from relith.readings import Readings

from hil.codec import encode
from hil.virtual.processor import Processor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def micropython():
    with Processor(heap_bytes=2**20) as processor:
        processor.exec("import os\nos.mkdir('/lib')\nos.mkdir('/lib/relith')\nimport sys\nsys.path.insert(0, '/lib')")
        for path in (ROOT / "firmware/relith").glob("*.py"):
            processor.put(f"/flash/lib/relith/{path.name}", path.read_bytes())
        processor.exec("os.mkdir('/lib/boards')")
        for name in ("__init__", "inject"):
            processor.put(f"/flash/lib/boards/{name}.py", (ROOT / f"firmware/boards/{name}.py").read_bytes())
        processor.put("/flash/lib/link_stub.py", (ROOT / "tests/link_stub.py").read_bytes())
        yield processor


def traffic(seed, frames):
    """Byte chunks as a host and a bad line would deliver them to a rig of two cells and a board of two cells."""
    rng = random.Random(seed)
    readings = Readings(2, 1)
    sequence = 0
    for _ in range(frames):
        readings.now_ms = rng.randrange(2**30)
        readings.current_count = rng.randrange(-(2**19), 2**19)
        readings.cell_uv[rng.randrange(2)] = rng.randrange(-(2**30), 2**30)
        readings.user_consent = rng.randrange(2)
        fields = {"command": rng.randrange(12), "a": rng.choice((0, 1, 30)), "b": 0}
        good = rng.choice((
            encode("inject", readings, 7, sequence),
            encode("command", fields, 7, sequence),
            encode("challenge", {}, 7, sequence),
            encode("answer", fields | {"answer": rng.randrange(2**30)}, 7, sequence),
            encode("begin", {"size": 90, "crc30": 5}, 7, sequence),
            encode("chunk", {"offset": 0, "data": rng.randbytes(90)}, 7, sequence),
            encode("read", {"area": rng.randrange(6), "offset": rng.randrange(250)}, 7, sequence),
        ))  # fmt: skip
        kind = rng.randrange(8)
        if kind == 0:
            yield rng.randbytes(rng.randrange(1, 300))
        elif kind == 1:
            yield good[: rng.randrange(1, len(good) - 1)]  # one byte more, and the next 00 would complete it
        elif kind == 2:
            yield encode("hello", {}, 0, 0)
        else:
            yield good
            sequence = sequence + 1 & 0xFFFF


REPLAY = """
from link_stub import Board, Controller
from hashlib import sha256
def replay(data, rig):
    board = Board(Controller(2), rig=rig)
    digest = sha256()
    at = 0
    while at < len(data):
        size = data[at] | data[at + 1] << 8
        board.arriving.append(data[at + 2 : at + 2 + size])
        at += 2 + size
        for _ in range(3):
            if not rig:
                board.tick(370)
            elif board.link.inject(board.bms):
                board.link.send(board.bms)
            digest.update(board.drain())
    digest.update(repr(board.bms.commands).encode())
    return digest.digest(), len(board.bms.commands), list(board.link.counts)
"""


@pytest.mark.parametrize("rig", [False, True])
def test_the_same_bytes_as_on_cpython(micropython, rig):
    data = b"".join(struct.pack("<H", len(chunk)) + chunk for chunk in traffic(5, 600))
    micropython.put("/flash/traffic.bin", data)
    micropython.exec(REPLAY)
    theirs = eval(micropython.exec(f"print(replay(open('/traffic.bin', 'rb').read(), {rig}))"))
    here: dict = {}
    exec(REPLAY.replace("from link_stub", "from tests.link_stub"), here)
    assert theirs == here["replay"](data, rig)
    _, commands, counts = theirs
    assert commands > 10 and counts[1] > 50


QUIET = """
from link_stub import Controller
from boards.inject import Injector
from relith.link import Link
import micropython
class Stream:
    def __init__(self, chunks):
        self.chunks, self.at = chunks, 0
    def read(self):
        if self.at == len(self.chunks):
            return None
        self.at += 1
        return self.chunks[self.at - 1]
    def write(self, data):
        pass
class Quiet(Controller):
    def command(self, code, a, b):
        return 0
    def refused(self, message, refusal, reason):
        self.events.add(5, 1 << 24 | message << 8 | refusal, reason)
def run(chunks, cells, rig):
    bms = Quiet(cells)
    stream = Stream(chunks)
    link = Link(stream)
    if rig:
        link.injector = Injector(bms.readings)
    now = bms.readings.now_ms = 1000
    def tick():
        if not rig:
            link.poll(bms)
            link.send(bms)
        elif link.inject(bms):
            link.send(bms)
    stream.at = len(chunks)
    tick()
    stream.at = 0
    micropython.heap_lock()
    try:
        for k in range(3 * len(chunks)):
            bms.readings.now_ms += 400
            bms.outputs.state = k & 7
            bms.news = bms.events.watch(bms.outputs, k)
            tick()
    finally:
        micropython.heap_unlock()
    return link.expected, link.counts[1]
"""


@pytest.mark.parametrize("cells", [1, 16])
def test_telemetry_commands_garbage_and_injection_allocate_nothing(micropython, cells):
    rng = random.Random(1)
    micropython.exec(QUIET)
    stop = {"command": 0, "a": 0, "b": 0}
    commands = [encode("command", stop, 7, k) for k in range(20)]
    noise = [rng.randbytes(200) + b"\0" for _ in range(20)]
    chunks = [chunk for pair in zip(commands, noise, strict=True) for chunk in pair]
    expected, malformed = eval(micropython.exec(f"print(run({chunks!r}, {cells}, False))"))
    assert expected == 20 and malformed >= 20
    injections = [encode("inject", Readings(cells, 1), 7, k) for k in range(20)]
    assert eval(micropython.exec(f"print(run({injections!r}, {cells}, True))"))[0] == 20
