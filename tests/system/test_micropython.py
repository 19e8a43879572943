"""The firmware on real MicroPython: the same bits as on CPython, no allocation in steady state, every file loads."""

import ast
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from hil import image
from hil.virtual import trace
from hil.virtual.bench import Bench
from hil.virtual.board import VirtualBoard
from hil.virtual.processor import MicroPythonError, Processor
from hil.virtual.recorder import record
from host_sim import tables

TICKS = 2000


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """Liu21's cell with both published protocols, and hours where it has days: a short trace sees every state."""
    path = tmp_path_factory.mktemp("profile") / "brief.json"
    data = json.loads((image.PROFILES / "liu21_nmc532.json").read_text())
    path.write_text(json.dumps(data | {"policy": "both", "storage_after_s": 3600, "rest_fixed_s": 1800}))
    return path


@pytest.fixture(scope="module")
def recorded(profile):
    return record(profile, TICKS)


@pytest.fixture(scope="module")
def built(profile):
    return image.build("virtual", profile)


@pytest.fixture
def micropython(built, tmp_path):
    image.write(built, tmp_path)
    with Processor(tmp_path, capacity_bytes=1 << 28) as processor:
        yield processor


def test_the_trace_covers_every_state_both_directions_and_the_wrap(recorded):
    assert {tables.STATES[k] for k in recorded.states} == set(tables.STATES)
    rows = [recorded.rows[k : k + 4 * recorded.width] for k in range(0, len(recorded.rows), 4 * recorded.width)]

    def column(name):
        place = 4 * (2 + trace.SCALARS.index(name))
        return [int.from_bytes(row[place : place + 4], "little", signed=True) for row in rows]

    now = column("now_ms")
    assert sum(b < a for a, b in pairwise(now)) == 1
    current = column("current_count")
    assert min(current) < -100_000 and max(current) > 30_000
    assert any(a - b > 1 << 19 for a, b in pairwise(column("charge_hi"))), "the accumulator never rolled over"
    assert {0, 1} == set(column("current_ok")) == set(column("hardware_trip")) == set(column("watchdog_reset"))
    assert len(recorded.frames) >= 5
    assert record(recorded.profile, TICKS).rows == recorded.rows


def test_every_output_journal_and_telemetry_byte_is_the_same(recorded, micropython):
    host, board = trace.on_host(recorded), trace.on_micropython(recorded, micropython)
    assert len(host.outputs) == TICKS * 4 * len(trace.RESULTS)
    assert host.outputs == board.outputs
    assert host.events.count(b" J0") >= 5 and host.events.count(b" T") > 100
    assert host.events == board.events


def test_a_different_bit_would_be_seen(recorded, micropython):
    """The comparison can fail: one count of current more, in one tick."""
    part = recorded.head(400)
    rows = bytearray(part.rows)
    place = 2 + trace.SCALARS.index("current_count")
    tick = next(k for k, state in enumerate(part.states) if tables.STATES[state] == "CHARGE") + 5
    rows[4 * (tick * part.width + place)] ^= 0x40
    other = trace.Trace(part.profile, part.width, bytes(rows), part.frames, part.states)
    assert trace.on_micropython(other, micropython).events != trace.on_host(part).events


def test_a_steady_tick_of_every_state_allocates_nothing(recorded, micropython):
    steady = trace.steady(recorded)
    assert steady.keys() == set(tables.STATES)
    ticks = trace.quiet(recorded)
    assert {tables.STATES[recorded.states[tick - 1]] for tick in ticks} == set(tables.STATES)
    allocated = trace.allocations(recorded, micropython, ticks)
    assert [allocated[tick - 1] for tick in sorted(ticks)] == [0] * len(ticks)
    busy = {tick for tick, count in enumerate(allocated, 1) if count}
    moved = {k + 1 for k in range(1, len(recorded)) if recorded.states[k] != recorded.states[k - 1]}
    assert len(busy - moved) < TICKS // 50  # the rest: ends of half-cycles, journal records, persons


def test_the_heap_lock_would_notice(recorded, micropython):
    """A tick that writes the journal allocates, and under the lock it says so."""
    part = recorded.head(400)
    allocated = trace.allocations(part, micropython)
    tick = next(k for k, count in enumerate(allocated, 1) if count and k > 10)
    micropython.boot()
    with pytest.raises(MicroPythonError) as caught:
        trace.allocations(part, micropython, {tick})
    assert caught.value.type == "MemoryError"


@pytest.mark.parametrize("name", ["virtual", "rig_virtual"])
def test_every_mpy_loads(name, profile, tmp_path):
    built = image.build(name, profile)
    image.write(built, tmp_path)
    with VirtualBoard(tmp_path, Bench().hardware, stepped=True) as board:
        board.exec("import sys\nsys.path.insert(0, '/')")
        for file in built:
            if file.endswith(".mpy"):
                module = re.sub("/__init__$", "", file.removesuffix(".mpy")).replace("/", ".")
                board.exec(f"import {module}")
    total = sum(len(data) for file, data in built.items() if file.endswith(".mpy"))
    print(f"{name}: {total} bytes of .mpy")


@pytest.mark.parametrize("name", image.boards())
def test_every_board_compiles(name, profile):
    built = image.build(name, profile)
    assert {"board.mpy", "main.py", "profile.json", "relith/bms.mpy"} <= built.keys()
    assert not any(data[:2] != b"M\x06" for file, data in built.items() if file.endswith(".mpy"))


PYB = """
import sys
class pyb:
    class DAC:
        def __init__(self, number): pass
        def write(self, value): pass
sys.modules["pyb"] = pyb
"""


@pytest.mark.parametrize("name", sorted(set(image.boards()) - {"virtual", "rig_virtual", "rig_pico"}))
def test_the_image_of_every_board_passes_its_self_test(name, profile, tmp_path):
    """What `make flash` runs before it trusts an image; the pins are those of the board, the chips are simulated."""
    image.write(image.build(name, profile), tmp_path)
    with VirtualBoard(tmp_path, Bench().hardware, stepped=True) as board:
        board.exec(PYB + "sys.path.insert(0, '/')\nimport board, main")
        assert board.exec("print(repr(main.self_test()))") == "''\n"
        board.hardware.bus.unpowered = {0x48}
        assert board.exec("print(main.self_test())") == "ADS1115 at 0x48 does not answer\n"


@pytest.mark.parametrize("cells", [1, 4])
def test_drivers_allocate_nothing_when_they_sample(cells, tmp_path):
    """On a bus that answers without allocating, as a board's does; both drivers of strings and single cells."""
    profile = tmp_path / "profile.json"
    data = json.loads((image.PROFILES / "liu21_nmc532.json").read_text())
    profile.write_text(json.dumps(data | {"cell_count": cells}))
    image.write(image.build("virtual", profile), tmp_path)
    with Processor(tmp_path) as processor:
        processor.exec(image.at_prompt(QUIET_BUS + (STRING if cells > 1 else SINGLE)))
        assert processor.exec("print(sampled(monitor), sampled(front))") == "1 1\n"


QUIET_BUS = """
import micropython
from drivers.ina228 import INA228

class Bus:
    kept = 0
    def readfrom_mem_into(self, address, register, buf):
        for k in range(len(buf)):
            buf[k] = 0
        if address == 0x40 and register == 2:
            buf[0] = self.kept >> 8
            buf[1] = self.kept & 255
        elif address == 0x48:
            buf[0] = self.last[0] | 0x80 if register else 0x20 + (self.last[0] >> 4 & 1) * 0x20
    def writeto_mem(self, address, register, buf):
        self.last[0] = buf[0]
    last = bytearray(2)

bus = Bus()
monitor = INA228(bus, 2000, 100000)
bus.kept = monitor.cal

def sampled(thing):
    micropython.heap_lock()
    try:
        return thing.sample()
    finally:
        micropython.heap_unlock()
"""
SINGLE = """
from drivers.ads1115 import ADS1115
from drivers.single_cell import SingleCell
from drivers.thermistor import Thermistor
front = SingleCell(ADS1115(bus, lambda ms: None), Thermistor())
"""
STRING = """
from drivers.bq76952 import BQ76952
front = BQ76952(bus, lambda ms: None, 4, 2500000, 4300000)
front._told = 1  # telling it what it has not acknowledged may allocate
"""


def test_firmware_imports_only_what_a_stock_board_has():
    """Modules that rp2, stm32 and esp32 builds all have, and the firmware's own packages."""
    stock = {
        "array",
        "binascii",
        "gc",
        "hashlib",
        "json",
        "machine",
        "micropython",
        "os",
        "pyb",
        "struct",
        "sys",
        "time",
    }
    own = {"relith", "drivers", "boards", "board", "_host"}
    for path in sorted(Path(image.FIRMWARE).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= stock | own, path.name
