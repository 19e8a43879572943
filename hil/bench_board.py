"""Bench section `board`: what the firmware costs a board, and that it is the same firmware there.

Heap is measured as differences of `gc.mem_alloc()` between two commands on the virtual board, code included.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path

from relith import states as tables

from hil import flash, image
from hil.virtual import trace
from hil.virtual.bench import Bench
from hil.virtual.board import VirtualBoard
from hil.virtual.processor import Processor
from hil.virtual.recorder import record

PROFILE = image.PROFILES / "liu21_nmc532.json"
TICKS = 200_000
# Runs on MicroPython: a cell that rests, a minute at a time.
REST = """
import gc
from relith.bms import Bms
from relith.profile import load
from relith.readings import Readings

class Store:
    def __init__(self):
        self.slots = [None, None]
    def read(self, slot):
        return self.slots[slot]
    def write(self, slot, data):
        self.slots[slot] = data

profile = load("profile.json")
bms = Bms(profile, Store(), None)
r = Readings(profile.cell_count)
r.current_ok = r.cell_ok = r.temp_ok = r.clock_known = 1
r.cell_uv[0] = r.pack_uv = 3700000

def rest(ticks):
    for _ in range(ticks):
        r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = (r.now_ms + 60000) & 0x3FFFFFFF
        r.cell_uv[0] = 3700000 + (r.now_ms // 60000 & 15)  # a voltage that never moves is a broken sensor
        bms.tick(r)
"""


def _profile(folder: Path, **changes) -> Path:
    path = folder / "profile.json"
    path.write_text(json.dumps(json.loads(PROFILE.read_text()) | changes))
    return path


def _heap(run) -> int:
    run("import gc\ngc.collect()")
    return int(run("print(gc.mem_alloc())"))


def heap_after_start(cells: int) -> int:
    """Bytes of heap that main.py has taken after its first ticks: code, objects and buffers."""
    bench = Bench(cells)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image.write(image.build("virtual", _profile(folder, cell_count=cells)), folder)
        with VirtualBoard(folder, bench.hardware, stepped=True) as board:
            board.exec("import sys\nsys.path.insert(0, '/')")
            before = _heap(board.exec)
            board.start()
            for _ in range(20):
                board.advance(100)
                board.step()
            return _heap(board.exec) - before


def growth_in_a_year() -> tuple[int, float]:
    """Bytes that the heap grows by from the second to the last day of a year at rest; and ticks/s."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image.write(image.build("virtual", PROFILE), folder)
        with Processor(folder) as mp:
            mp.exec(image.at_prompt("import sys\nsys.path.insert(0, '/')\n" + REST))
            mp.exec("rest(1440)")
            first, began = _heap(mp.exec), time.perf_counter()
            for _ in range(364):
                mp.exec("rest(1440)")
            took = time.perf_counter() - began
            return _heap(mp.exec) - first, 364 * 1440 / took


def same_bits(ticks: int) -> dict[str, float]:
    """Recorded ticks on CPython and on MicroPython: how many bytes differ, states seen, allocation in steady ticks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        profile = _profile(folder, policy="both", storage_after_s=3600, rest_fixed_s=1800)
        image.write(image.build("virtual", profile), flashed := folder / "flash")
        recorded = record(profile, ticks)
        began = time.perf_counter()
        host = trace.on_host(recorded)
        host_s = time.perf_counter() - began
        with Processor(flashed, capacity_bytes=1 << 30) as mp:
            began = time.perf_counter()
            board = trace.on_micropython(recorded, mp)
            board_s = time.perf_counter() - began
        brief = record(profile, 2000)
        with Processor(flashed, capacity_bytes=1 << 30) as mp:
            steady = {tick for some in trace.steady(brief).values() for tick in some}
            allocated = trace.allocations(brief, mp, steady)
        return {
            "outputs": _different(host.outputs, board.outputs),
            "events": _different(host.events, board.events),
            "states": len(set(recorded.states)),
            "allocated": max(allocated[tick - 1] for tick in steady),
            "host": ticks / host_s,
            "micropython": ticks / board_s,
        }


def _different(a: bytes, b: bytes) -> int:
    return sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b)) if a != b else 0


def flash_times() -> tuple[float, float]:
    """Seconds of `make flash PORT=virtual` from an empty board to running, and again with nothing changed."""
    with tempfile.TemporaryDirectory() as name:
        took = []
        for _ in range(2):
            began = time.perf_counter()
            with flash.virtual(Path(name) / "flash") as port, contextlib.redirect_stdout(io.StringIO()):
                flash.flash(port, PROFILE, None)
            took.append(time.perf_counter() - began)
        return took[0], took[1]


def rows() -> list[dict]:
    """Measure (see `make bench`)."""
    built = image.build("virtual", PROFILE)
    mpy = sum(len(data) for name, data in built.items() if name.endswith(".mpy"))
    first, again = flash_times()
    bits = same_bits(TICKS)
    growth, rate = growth_in_a_year()
    speed = bits["micropython"]

    def row(name, value, unit, target=None, **more):
        return {"name": name, "value": value, "unit": unit, "target": target, **more}

    return [
        row("heap after start, 1 cell", heap_after_start(1) / 1000, "kB", "<= 80"),
        row("heap after start, 16 cells", heap_after_start(16) / 1000, "kB", "<= 112"),
        row(".mpy files of one board", mpy / 1000, "kB", "<= 45"),
        row("make flash, empty board", first, "s", "< 30"),
        row("make flash, nothing changed", again, "s", "< 5"),
        row(f"output bytes that differ, {TICKS} ticks", bits["outputs"], "B", "== 0"),
        row(f"journal and telemetry bytes that differ, {TICKS} ticks", bits["events"], "B", "== 0"),
        row("states in those ticks", bits["states"], "1", f"== {len(tables.STATES)}"),
        row("most that a steady tick allocates", bits["allocated"], "B", "== 0"),
        row("heap growth, a year of rest ticks", growth, "B", "<= 0"),
        row(
            "ticks on MicroPython",
            speed,
            "1/s",
            peer=bits["host"],
            ratio=speed / bits["host"],
        ),
        row("rest ticks on MicroPython", rate, "1/s"),
    ]
