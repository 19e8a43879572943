"""Estimator and scheduler on real MicroPython: the same half-cycles leave the same bits as on CPython."""

from pathlib import Path

import pytest
from relith.inventory import Inventory
from relith.scheduler import Scheduler

from hil.virtual.processor import Processor
from tests.firmware.test_scheduler import gate, user
from tests.firmware.toy_cell import ToyCell, profile

ROOT = Path(__file__).resolve().parents[2]
SETUP = """
import os, sys
os.mkdir('/lib')
os.mkdir('/lib/relith')
sys.path.insert(0, '/lib')
class Plain:
    def __init__(self, fields):
        for name in fields:
            setattr(self, name, fields[name])
"""
RUN = """
from binascii import hexlify
from relith.inventory import Inventory
from relith.scheduler import Scheduler
p = Plain(PROFILE)
inventory, scheduler = Inventory(p, 0), Scheduler(p)
out = []
for fields in RECORDS:
    h = Plain(fields)
    scheduler.after_half_cycle(h, [inventory.estimate], Plain(USER), Plain(GATE))
    inventory.half_cycle(h)
    out.append((scheduler.decision, scheduler.reason, scheduler.pulse_s, scheduler.rest_s))
print(hexlify(inventory.pack()).decode(), hexlify(scheduler.pack()).decode(), out)
"""

LIVED = """
from relith.inventory import Inventory
cell = Inventory(Plain(PROFILE), 0)
e = cell.estimate
for fields in RECORDS:
    cell.half_cycle(Plain(fields))
"""


@pytest.mark.parametrize("changes", [{}, {"reservoir_ppm": 300_000, "corrosion_ppm_per_day": 20_000}])
def test_same_bits_as_on_cpython(changes):
    prof = profile(**changes)
    cell, inventory, scheduler = ToyCell(prof, 4), Inventory(prof, 0), Scheduler(prof)
    records, expected, rest_s = [], [], 0
    for k in range(25):
        for charging in (True, False):
            pulse = scheduler.decision == 1
            h = (
                cell.charge(rest_s=rest_s)
                if charging
                else cell.discharge(0.6 if k % 7 == 3 else 9, 0.2, k % 5 == 0, pulse)
            )
            records.append(vars(h))
            scheduler.after_half_cycle(h, [inventory.estimate], user(), gate())
            inventory.half_cycle(h)
            rest_s = scheduler.rest_s
            expected.append((scheduler.decision, scheduler.reason, scheduler.pulse_s, scheduler.rest_s))
    with Processor(heap_bytes=2**22) as board:
        board.exec(SETUP)
        for path in (ROOT / "firmware/relith").glob("*.py"):
            board.put(f"/flash/lib/relith/{path.name}", path.read_bytes())
        given = {"PROFILE": vars(prof), "RECORDS": records, "USER": vars(user()), "GATE": vars(gate())}
        board.exec("".join(f"{name} = {value!r}\n" for name, value in given.items()))
        printed = board.exec(RUN).strip()
    assert printed == f"{inventory.pack().hex()} {scheduler.pack().hex()} {expected}"


def test_an_estimate_holds_no_big_ints():
    """What comes of big ints stays big on MicroPython and takes room: an Estimate has forty such figures."""
    names = list(vars(Inventory(profile(), 0).estimate))
    cell = ToyCell(profile(), 4)
    records = [vars(cell.discharge() if k % 2 else cell.charge()) for k in range(6)]
    with Processor(heap_bytes=2**22) as board:
        board.exec(SETUP)
        for path in (ROOT / "firmware/relith").glob("*.py"):
            board.put(f"/flash/lib/relith/{path.name}", path.read_bytes())
        board.exec(f"PROFILE = {vars(profile())!r}\nRECORDS = {records!r}\n" + LIVED)
        took = {}
        for name in names:
            heap = []
            for _ in range(2):
                board.exec("import gc\ngc.collect()")
                heap.append(int(board.exec("print(gc.mem_alloc())")))
                board.exec(f"setattr(e, {name!r}, int(str(e.{name})))")
            took[name] = heap[0] - heap[1]
    assert not {name: size for name, size in took.items() if size >= 32}
