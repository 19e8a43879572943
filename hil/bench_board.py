"""Bench section `board`: what the firmware costs a board, and that it is the same firmware there.

Heap is measured as differences of `gc.mem_alloc()` between two commands on the virtual board, code included; with
UF2=file (a MicroPython for the Raspberry Pi Pico) on an emulated Pico as well.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hil import flash, image, pulls
from hil.emulated import emulated
from hil.virtual import trace
from hil.virtual.bench import Bench
from hil.virtual.board import VirtualBoard
from hil.virtual.processor import PICO_HEAP_BYTES, Processor
from hil.virtual.recorder import record
from host_sim import tables

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
bms.commission()
r = Readings(profile.cell_count)
r.current_ok = r.cell_ok = r.temp_ok = r.clock_known = 1
r.cell_uv[0] = r.pack_uv = 3700000

def rest(ticks):
    for _ in range(ticks):
        r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = (r.now_ms + 60000) & 0x3FFFFFFF
        r.cell_uv[0] = 3700000 + (r.now_ms // 60000 & 15)  # a voltage that never moves is a broken sensor
        bms.tick(r)
"""

# The same for the end of a half-cycle: what one of them leaves behind, and how long it takes.
HALF_CYCLE = """
import gc, time
from relith.halfcycle import HalfCycle
from relith.inventory import Inventory
from relith.profile import load
from relith.udfilter import Filter

cell = Inventory(load("profile.json"), 0)
h = HalfCycle()

def half_cycle(number):
    charging = number & 1
    h.kind = 1 if charging else -1
    h.index = number
    h.charge_ppm = 950000
    h.duration_s = 12000 if charging else 34000
    h.rate_permille = h.early_rate_permille = 300 if charging else 100
    h.temp_cdegc = 2500
    h.end = 2 if charging else 1
    h.end_uv = 4300000 if charging else 3000000
    h.end_permille = 100
    h.rest_before_s = h.rest_after_s = 7200
    h.ocv_before_uv, h.ocv_after_uv = (3400000, 4280000) if charging else (4280000, 3400000)
    h.resistance_uohm = 900000
    moments = [gc.mem_alloc()]
    Filter.tidy = lambda: moments.append(gc.mem_alloc())
    began = time.ticks_us()
    cell.half_cycle(h)
    took = time.ticks_diff(time.ticks_us(), began)
    Filter.tidy()
    print(max([b - a for a, b in zip(moments, moments[1:])]), took)
"""
# The same on a port: all that main.py makes, and some turns of its loop.
TURNS = """
import gc, main
made = main.build()
for _ in range(20):
    made[0].read(made[1].readings)
    made[0].apply(made[1].tick(made[1].readings))
    gc.collect()
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


@contextlib.contextmanager
def _beside(text: str) -> Iterator[Processor]:
    """MicroPython with an image of the firmware on its flash, `text` loaded beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image.write(image.build("virtual", PROFILE), folder)
        with Processor(folder) as mp:
            mp.exec(image.at_prompt("import sys\nsys.path.insert(0, '/')\n" + text))
            yield mp


def growth_in_a_year() -> tuple[int, float]:
    """Bytes that the heap grows by from the third to the last day of a year at rest; and ticks/s."""
    with _beside(REST) as mp:
        mp.exec("rest(2880)")  # the first record of a day is made at its end
        first, began = _heap(mp.exec), time.perf_counter()
        for _ in range(363):
            mp.exec("rest(1440)")
        took = time.perf_counter() - began
        return _heap(mp.exec) - first, 363 * 1440 / took


def half_cycle() -> tuple[int, float]:
    """(most bytes between two of the points where main.py collects garbage, median ms) of the estimator's update at the
    end of a half-cycle."""
    with _beside(HALF_CYCLE) as mp:
        seen = [tuple(map(int, mp.exec(f"half_cycle({number})").split())) for number in range(1, 17)]
    return max(one[0] for one in seen[2:]), statistics.median(one[1] for one in seen[2:]) / 1000


def heap_on_port(port: str, profile: Path) -> int:
    """As heap_after_start, on an empty board: from its bare prompt to firmware that has been flashed and ticks."""
    board = flash.Board(port)
    board.clear()
    before = _heap(board.run)
    board.close()
    flash.flash(port, profile, None, lambda text: None)
    board = flash.Board(port)
    board.clear()
    board.run(f"os.chdir({flash.chosen(board)[1]!r})")
    board.run(image.at_prompt(TURNS))
    return _heap(board.run) - before


def pulled() -> tuple[int, int]:
    """Of ten pulls of the plug while flashing: how many boards ran neither old nor new firmware; had a switch on."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = []
        for which in ("old", "new"):
            made.append(
                _profile(folder, name=which, sources={"padding": which * 8000}).rename(folder / f"{which}.json")
            )
        seen = pulls.pull(folder / "flash", made[0], made[1], points=10)
    return sum(one.starts not in (one.old, one.new) for one in seen), sum(one.on for one in seen)


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
            steady = trace.quiet(brief)
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
    one_cell, sixteen = heap_after_start(1), heap_after_start(16)
    garbage, update_ms = half_cycle()
    first, again = flash_times()
    lost, on = pulled()
    bits = same_bits(TICKS)
    growth, rate = growth_in_a_year()
    speed = bits["micropython"]

    def row(name, value, unit, target=None, **more):
        return {"name": name, "value": value, "unit": unit, "target": target, **more}

    pico = []
    if os.environ.get("UF2"):
        with emulated(Path(os.environ["UF2"])) as port:
            pico = [row("heap after start, 1 cell, emulated Pico", heap_on_port(port, PROFILE) / 1000, "kB", "<= 80")]
    else:
        print("board: no UF2=file was given, so nothing is measured on an emulated Pico", file=sys.stderr)
    return [
        row("heap after start, 1 cell", one_cell / 1000, "kB", "<= 80"),
        *pico,
        row("heap after start, 16 cells", sixteen / 1000, "kB", "<= 112"),
        row(
            "the same and the garbage of a half-cycle update, in a Pico's heap",
            (sixteen + garbage) / 1000,
            "kB",
            f"<= {PICO_HEAP_BYTES / 1000:.4g}",
        ),
        row("half-cycle update on MicroPython for WebAssembly", update_ms, "ms"),
        row(".mpy files of one board", mpy / 1000, "kB", "<= 45"),
        row("make flash, empty board", first, "s", "< 30"),
        row("make flash, nothing changed", again, "s", "< 5"),
        row("ten pulls while flashing: neither old nor new starts", lost, "boards", "== 0"),
        row("ten pulls while flashing: a switch was on", on, "boards", "== 0"),
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
