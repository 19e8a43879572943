"""Bench section `link`: ten million bytes of noise into the board's end of the link, and what the link costs the board.

Three parts: random bytes; damaged, truncated and replayed frames, both into a real `Bms` beside a twin that nobody
talks to, tick by tick; and the coverage-guided loop of `hil.fuzz`. What has been done is kept in build/link_fuzz.json:
a run that was interrupted goes on from there, other sources begin anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from relith.bms import Bms
from relith.profile import Profile
from relith.readings import Readings

from hil import fuzz, image, names
from hil.boards import BoardEnd, Store
from hil.catalogue import COMMANDS
from hil.codec import MOST, Client, Decoder, encode
from hil.serialport import SerialPort
from hil.virtual.processor import Processor
from host_sim.cli import Progress
from host_sim.loop import NEW_BOARD

ROOT = Path(__file__).resolve().parents[1]
STATE = Path("build/link_fuzz.json")
PROFILE = image.PROFILES / "liu21_nmc532.json"
CHUNK = 100_000  # bytes between two savings
PARTS = {"random": 2_000_000, "damaged": 6_000_000, "guided": 2_000_000}
HEAP_NOISE = 100_000  # bytes that the MicroPython run is given ten times
ASK = {"command": COMMANDS["stop"].code, "a": 0, "b": 0}


class Pair(BoardEnd):
    """A real controller that is talked to, and its twin that is not; the same readings for both, tick by tick."""

    def __init__(self) -> None:
        super().__init__()
        self.bms = Bms(Profile(PROFILE.read_bytes()), Store(NEW_BOARD), self)
        self.twin = Bms(Profile(PROFILE.read_bytes()), Store(NEW_BOARD), None)
        self.readings = Readings()
        self.readings.cell_uv[0] = self.readings.pack_uv = 3_800_000
        self.unasked: list[int] = []
        self.bms.command = self.command  # type: ignore[method-assign]
        self.changed = 0  # ticks whose outputs were not the twin's
        self.decoder = Decoder()
        self.tick()

    def command(self, code: int, a: int, b: int) -> int:
        self.unasked.append(code)
        return Bms.command(self.bms, code, a, b)

    def tick(self) -> None:
        r = self.readings
        r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = (r.now_ms + 100) & MOST
        r.current_ok = r.charge_ok = r.cell_ok = r.temp_ok = 1
        outputs = self.bms.outputs
        r.charge_switch, r.discharge_switch = outputs.charge_enable, outputs.discharge_enable
        told, alone = vars(self.bms.tick(r)), vars(self.twin.tick(r))
        self.changed += told != alone

    def deliver(self, data: bytes) -> None:
        """Put bytes on the wire and tick until they are used up."""
        self.arriving.append(data)
        while self.arriving or self.bms.link._chunk is not None:
            self.tick()

    def is_heard(self) -> bool:
        """Whether a sound question gets its answer now."""
        link = self.bms.link
        self.left.clear()
        self.deliver(encode("read", {"area": 0, "offset": 0}, link.session, link.expected))
        self.tick()
        return any(m.name == "data" for m in self.decoder.feed(bytes(self.left)))


def noise(part: str, draw: random.Random, link: Any) -> bytes:
    """A piece of a part's stream; nothing in it is a frame that should be taken."""
    if part == "random":
        return draw.randbytes(draw.randrange(1, 400))
    code = draw.randrange(len(COMMANDS))
    fields = {"command": code, "a": draw.randrange(3), "b": 0, "answer": draw.randrange(MOST)}
    name, source = draw.choice(
        (
            ("command", fields),
            ("command", ASK),
            ("answer", fields),
            ("chunk", {"offset": 0, "data": draw.randbytes(60)}),
            ("begin", {"size": 500, "crc30": 1}),
            ("inject", Readings()),
        )
    )
    fresh = encode(name, source, link.session, link.expected)
    if draw.randrange(4):
        return fuzz.damaged(draw, fresh)
    session = draw.choice((link.session, draw.randrange(1 << 16)))
    behind = draw.randrange(1, 1 << 16)
    return encode("command", ASK, session, link.expected + behind)  # replayed, or out of place


def campaign(part: str, index: int) -> dict[str, int]:
    """One chunk of a part, always the same for the same index: what was counted in it."""
    if part == "guided":
        guided = fuzz.Guided(index)
        guided.search(CHUNK)
        return {"bytes": guided.bytes, "taken": guided.frames, "pairs": len(guided.pairs)}
    pair, draw = Pair(), random.Random(f"{part} {index}")
    fed = asked = heard = 0
    while fed < CHUNK:
        piece = noise(part, draw, pair.bms.link)
        pair.deliver(piece)
        fed += len(piece)
        if draw.randrange(50) == 0:
            asked += 1
            heard += pair.is_heard()
    refused = sum(pair.bms.link.counts[1:])
    found = {"bytes": fed, "refused": refused, "asked": asked, "heard": heard}
    return found | {"changed": pair.changed, "unasked": len(pair.unasked)}


def fingerprint() -> str:
    """Over all that the campaign depends on."""
    digest = hashlib.sha256()
    for path in [*sorted((ROOT / "firmware/relith").glob("*.py")), Path(fuzz.__file__), Path(__file__), PROFILE]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load() -> dict:
    """What an earlier run of the same sources has done."""
    try:
        state: dict = json.loads(STATE.read_text())
        if state["fingerprint"] == fingerprint():
            return state
    except (OSError, ValueError, KeyError):
        pass
    return {"fingerprint": fingerprint(), "chunks": dict.fromkeys(PARTS, 0), "sums": {}, "exceptions": []}


def run(state: dict) -> dict:
    """Go on until every part has its bytes; saves after every chunk."""
    sums = state["sums"]
    for part, many in PARTS.items():
        progress = Progress()
        while sums.get(f"{part} bytes", 0) < many:
            index = state["chunks"][part]
            try:
                found = campaign(part, index)
            except Exception as error:  # what this is looking for
                state["exceptions"].append(f"{part} {index}: {type(error).__name__}: {error}")
                found = {"bytes": CHUNK}
            for name, value in found.items():
                key = f"{part} {name}"
                sums[key] = max(sums.get(key, 0), value) if name == "pairs" else sums.get(key, 0) + value
            state["chunks"][part] = index + 1
            STATE.parent.mkdir(parents=True, exist_ok=True)
            STATE.with_suffix(".tmp").write_text(json.dumps(state, indent=1))
            STATE.with_suffix(".tmp").replace(STATE)
            progress.show(f"link: {part} {sums[f'{part} bytes']:,} of {many:,} bytes")
        progress.end()
    return state


HEAP = """
import gc
from relith.bms import Bms
from relith.journal import encode
from relith.profile import load
from relith.readings import Readings
class Store:
    def read(self, slot): return encode(0, b"")
    def write(self, slot, data): pass
class Stream:
    at = 0
    def read(self):
        if self.at >= len(noise): return None
        self.at += 256
        return noise[self.at - 256:self.at]
    def write(self, data): pass
stream = Stream()
bms = Bms(load("/profile.json"), Store(), stream)
r = bms.readings
r.current_ok = r.cell_ok = r.temp_ok = 1
r.cell_uv[0] = r.pack_uv = 3800000
def feed():
    stream.at = 0
    while stream.at < len(noise) or bms.link._chunk is not None:
        r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = r.now_ms + 100
        bms.tick(r)
        r.charge_switch, r.discharge_switch = bms.outputs.charge_enable, bms.outputs.discharge_enable
"""
TIMED = """
import time
def timed(count):
    link, start = bms.link, time.ticks_us()
    for k in range(count):
        link._emit(6, bms.outputs)
        stream.at = len(noise) - 256
        link._receive(bms)
        link._answer()
    return time.ticks_diff(time.ticks_us(), start) // count
"""


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """An image in which the link's modules are files of their own, so that they can be measured."""
    homes = dict(names.HOMES)
    for module in homes:
        if module.startswith("relith.") and homes[module] != "relith.link":
            del names.HOMES[module]
    image.forget_names()
    try:
        yield
    finally:
        names.HOMES.clear()
        names.HOMES.update(homes)
        image.forget_names()


def on_micropython(firmware: dict[str, bytes]) -> tuple[int, int, int]:
    """Heap gained while the noise comes nine times more; µs to send outputs and look at 256 bytes; heap of the code."""
    with Processor(heap_bytes=1 << 20) as processor:
        processor.exec("import os\nos.mkdir('/relith')\nimport sys\nsys.path.insert(0, '/')\nimport gc")
        for name, data in firmware.items():
            if name.startswith("relith/"):
                processor.put(f"/flash/{name}", data)
        processor.put("/flash/profile.json", firmware["profile.json"])
        before = _heap(processor, "from relith import inventory, profile, readings")
        code = _heap(processor, "from relith import link") - before
        processor.put("/flash/noise", _noise())
        processor.exec(image.at_prompt("noise = open('/noise', 'rb').read()" + HEAP + TIMED))
        first = _heap(processor, image.at_prompt("feed()"))
        later = [_heap(processor, image.at_prompt("feed()")) for _ in range(9)]
        last = min(later[-3:])  # the collector takes a stale word on the stack for a pointer now and then
        return last - first, int(processor.exec(image.at_prompt("print(timed(300))"))), code


def lockstep(ticks: int = 400) -> tuple[float, float, float]:
    """(median ticks/s, p99 ms, longest ms) of a rig build on MicroPython, in its own process on a pseudo-terminal."""
    with tempfile.TemporaryDirectory(prefix="relith-flash-") as folder:
        image.write(image.build("rig_virtual", PROFILE), Path(folder))
        command = [sys.executable, "-m", "hil.virtual", "--files", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                name = process.stdout.readline().split()[3]
                with SerialPort(name) as port:
                    took = sorted(_steps(Client(port, timeout_s=10.0), ticks))
            finally:
                process.terminate()
    return 1.0 / statistics.median(took), 1e3 * took[int(0.99 * len(took))], 1e3 * took[-1]


def _steps(client: Client, ticks: int) -> Iterator[float]:
    client.hello()
    readings = Readings()
    readings.cell_uv[0] = readings.pack_uv = 3_800_000
    readings.current_ok = readings.charge_ok = readings.cell_ok = readings.temp_ok = 1
    for _ in range(ticks):
        readings.now_ms = readings.current_ms = readings.cell_ms = readings.temp_ms = readings.now_ms + 100
        began = time.perf_counter()
        client.step(readings)
        yield time.perf_counter() - began


def _heap(processor: Processor, code: str) -> int:
    processor.exec(code)
    processor.exec("gc.collect()")
    return int(processor.exec("print(gc.mem_alloc())"))


def _noise() -> bytes:
    """Damaged frames, HEAP_NOISE bytes of them."""
    draw, out, pair = random.Random(3), bytearray(), Pair()
    while len(out) < HEAP_NOISE:
        out += noise("damaged", draw, pair.bms.link)
    return bytes(out)


def rows() -> list[dict]:
    """Measure (see `make bench`)."""
    state = run(load())
    sums = state["sums"]
    for found in state["exceptions"]:
        print(f"link: {found}", file=sys.stderr)

    def total(name: str) -> int:
        return sum(sums.get(f"{part} {name}", 0) for part in PARTS)

    with _apart():
        firmware = image.build("virtual", PROFILE)
        growth, cost_us, heap = on_micropython(firmware)
    rate, p99_ms, most_ms = lockstep()
    size = len(firmware["relith/link.mpy"])  # frames and catalogue are inside it (hil/names.py)

    def row(name: str, value: float, unit: str, target: str | None = None) -> dict:
        return {"name": name, "value": value, "unit": unit, "target": target}

    return [
        row("noise into the link", total("bytes"), "bytes", ">= 10000000"),
        row("exceptions that left it, or what may never happen", len(state["exceptions"]), "", "== 0"),
        row("ticks whose outputs changed", total("changed"), "ticks", "== 0"),
        row("commands nobody gave", total("unasked"), "commands", "== 0"),
        row("sound frames after noise that were answered", total("heard") / max(1, total("asked")), "share", "== 1"),
        row("sound frames after noise", total("asked"), "frames", ">= 1000"),
        row("frames refused", total("refused"), "frames"),
        row("pairs of lines reached by the guided part", total("pairs"), "pairs"),
        row(f"heap gained over {9 * HEAP_NOISE} bytes of noise on MicroPython", growth, "bytes", "<= 0"),
        row("outputs sent and 256 bytes looked at, MicroPython for WebAssembly", cost_us, "us"),
        row("lockstep over a pseudo-terminal, MicroPython for WebAssembly", rate, "ticks/s", ">= 300"),
        row("the same, 99th percentile of a tick", p99_ms, "ms"),
        row("the same, longest tick", most_ms, "ms"),
        row("link, frames and catalogue as .mpy", size, "bytes"),
        row("heap of link, frames and catalogue", heap, "bytes"),
    ]
