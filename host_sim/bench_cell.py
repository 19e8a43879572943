"""`make bench SECTION=cell`: the simulated cell's speed, memory and accuracy, beside thevenin and PyBaMM in one run.

A row with a peer times both in turn, five times; `value` and `ratio` are the peer's median over ours (seconds) or ours
over the peer's (cycles per second), `spread` is the lowest and highest of the five.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from host_sim.campaign import plan_of
from host_sim.campaign import run as run_campaign
from host_sim.cell import Cell, CellBatch, Control, load_parameters
from host_sim.cell.layout import GAPS
from host_sim.cycler import run
from host_sim.fleet import draw, live
from host_sim.solution import STORES

TIMES = 5
FAST = ("Charge at C/2 until 4.2 V", "Discharge at 1C until 3.0 V")
LIU21 = (
    "Charge at 0.8 mA/cm2 until 4.2 V",
    "Hold at 4.2 V until 0.268 mA/cm2",
    "Discharge at 2.67 mA/cm2 for 2 minutes",
    "Discharge at 0.268 mA/cm2 until 3.0 V",
)
ROOT = Path(__file__).resolve().parents[1]
OUT = Path("build/bench")


def lasting():
    """A cell that keeps its capacity, so that a thousand cycles are a thousand full ones; every mechanism runs."""
    return load_parameters().replace(by="bench", reservoir_mah_cm2=900.0, cathode_fade=0.0)


def row(name, value, unit, target=None, **more):
    return {"name": name, "value": value, "unit": unit, "target": target, **more}


def in_turn(*measures):
    """TIMES rounds of all measures, one after the other -> a list of figures for each."""
    rounds = [[measure() for measure in measures] for _ in range(TIMES)]
    return [list(figures) for figures in zip(*rounds, strict=True)]


def spread(figures, unit, scale=1.0):
    return f"{min(figures) * scale:.3g} to {max(figures) * scale:.3g} {unit}"


# -- speed -------------------------------------------------------------------------------------------------------
def our_step_s(steps=3000):
    """`Cell.advance(control, 1.0)` from Python, the way the firmware is run beside it: seconds per call."""
    cell, control = Cell(load_parameters(), area_cm2=100.0), Control.current(0.05, v_max=4.2)
    cell.advance(control, 1.0)
    began = time.perf_counter()
    for _ in range(steps):
        cell.advance(control, 1.0)
    return (time.perf_counter() - began) / steps


def lockstep_rows():
    from host_sim.peers import timing

    ours, thevenin, pybamm, unsaved = in_turn(
        our_step_s, timing.thevenin_step_s, timing.pybamm_step_s, lambda: timing.pybamm_step_s(save=False)
    )
    rows = [row("lockstep step of one cell", median(ours) * 1e6, "us", spread=spread(ours, "us", 1e6))]
    for name, peer, figures, target in (
        ("lockstep step beside thevenin take_step", timing.THEVENIN, thevenin, ">= 20"),
        ("lockstep step beside PyBaMM step(1.0)", timing.PYBAMM, pybamm, ">= 50"),
        ("lockstep step beside PyBaMM step(1.0, save=False)", timing.PYBAMM, unsaved, None),
    ):
        ratio = median(figures) / median(ours)
        peer = f"{peer}: {median(figures) * 1e6:.4g} us"
        rows.append(row(name, ratio, "times", target, peer=peer, ratio=ratio, spread=spread(figures, "us", 1e6)))
    return rows


class BatchLife:
    """1000 cells through C/2 charges and 1C discharges in steps of 60 s, with isolated lithium in every gap class.

    The steps are timed, so that every cell makes every one: 135 a cycle.
    """

    CYCLE = ("Charge at C/2 for 90 minutes", "Discharge at 1C for 45 minutes")
    STEPS = 135

    def __init__(self, cells=1000):
        drawn = draw(lasting(), {"gap_median_um": "10 %", "cathode_capacity_mah_cm2": "3 %"}, 1, range(cells))
        self.parameters = drawn
        self.batch = CellBatch(drawn, area_cm2=100.0)
        self.batch.advance(Control.current(0.1335), 1800.0)  # room for the cathode's first-cycle loss
        self.lockstep_per_s(minutes=(90, 45))

    def lockstep_per_s(self, minutes=(90, 45)):
        """Cell-steps per second of `CellBatch.advance`, all cells waiting for each other after every step."""
        began = time.perf_counter()
        for control, count in zip((Control.current(0.1335), Control.current(-0.267)), minutes, strict=True):
            for _ in range(count):
                elapsed, _ = self.batch.advance(control, 60.0)
                if (elapsed != 60.0).any():
                    raise RuntimeError("a step was cut short")
        return self.batch.n * sum(minutes) / (time.perf_counter() - began)

    def lives_per_s(self, cycles=4):
        """Cell-steps per second of `fleet.live`, each cell at its own pace."""
        protocol = [("Charge at C/2 for 2 hours", self.CYCLE[1]), *[self.CYCLE] * (cycles - 1)]
        began = time.perf_counter()
        lives = live(self.parameters, protocol, cycles, area_cm2=100.0)
        seconds = time.perf_counter() - began
        if lives.problems or (lives.lived != cycles).any():
            raise RuntimeError("not every cell played every step")
        return len(lives) * (cycles * self.STEPS + 30) / seconds


def life_cycles_per_s(cycles=300):
    """Cycles per second of one cell under the cycler, rows recorded."""
    cell = Cell(lasting(), area_cm2=100.0)
    began = time.perf_counter()
    solution = run(cell, FAST, cycles=cycles)
    seconds = time.perf_counter() - began
    if solution.counted[-1, 2] < 0.8 * solution.counted[0, 2]:
        raise RuntimeError("the cell faded: these are not whole cycles")
    return cycles / seconds


def firmware_cycles_per_s(cycles=5):
    """Cycles per second of one cell with the firmware beside it, every tick."""
    from host_sim.firmware import FirmwareRun
    from host_sim.life import Setup

    setup = Setup(
        str(ROOT / "firmware/profiles/liu21_nmc532.json"), charge_ma_cm2=1.335, discharge_ma_cm2=2.67,
        hold_stop_ma_cm2=1.335,
    )  # fmt: skip
    beside = FirmwareRun(Cell(lasting(), area_cm2=setup.area_cm2), setup, "none")
    began, turns, was = time.perf_counter(), 0, 0.0
    while turns < 2 * cycles:
        beside.step()
        now = beside.loop.cell.current_a
        turns += now * was < 0.0 or (now != 0.0 and was == 0.0 and turns == 0)
        was = now or was
    return cycles / (time.perf_counter() - began)


def speed_rows():
    from host_sim.peers import timing

    batch = BatchLife()
    lives, lockstep = in_turn(batch.lives_per_s, batch.lockstep_per_s)
    rows = [
        row("cell-steps per second, 1000 cells", median(lives), "1/s", ">= 2e6", spread=spread(lives, "1/s")),
        row("the same in lockstep", median(lockstep), "1/s", ">= 2e6", spread=spread(lockstep, "1/s")),
        row("gap classes in that batch", GAPS, "classes", ">= 8"),
        row("isolated lithium in that batch", float(batch.batch.isolated_mah_cm2.min()), "mAh/cm2", "> 0"),
    ]
    peer = timing.PybammLife()
    ours, theirs = in_turn(life_cycles_per_s, peer.cycles_per_s)
    ratio = median(ours) / median(theirs)
    rows += [
        row("life of one cell, C/2 charge and 1C discharge", median(ours), "cycles/s", spread=spread(ours, "cycles/s")),
        row(
            "life beside PyBaMM half-cell SPM",
            ratio,
            "times",
            ">= 10",
            ratio=ratio,
            peer=f"{timing.PYBAMM}: {median(theirs):.4g} cycles/s",
            spread=spread(theirs, "cycles/s"),
        ),
    ]
    figures = in_turn(firmware_cycles_per_s)[0]
    rows.append(
        row("life with the firmware beside it", median(figures), "cycles/s", spread=spread(figures, "cycles/s"))
    )
    drawn = draw(lasting(), {"gap_median_um": "10 %"}, 1, range(1000))
    began = time.perf_counter()
    lives = live(drawn, FAST, 500, area_cm2=100.0)
    seconds = time.perf_counter() - began
    rows.append(row("batch of 1000 cells x 500 cycles", seconds, "s", "< 300", spread="one run"))
    rows.append(row("cycles lived in that batch", int(lives.lived.sum()), "cycles", "== 500000"))
    return rows


_MEMORY = """
import re, sys
from host_sim.bench_cell import FAST, lasting
from host_sim.cell import Cell
from host_sim.cycler import run
solution = run(Cell(lasting(), area_cm2=100.0), FAST, cycles=int(sys.argv[1]))
assert len(solution.counted) == int(sys.argv[1]) and len(solution.rows)
# not getrusage: its maximum is inherited from the process that started this one
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024)
"""


def memory_mb(cycles):
    """Peak resident memory in MB of a process that runs one cell for so many cycles and holds its Solution."""
    done = subprocess.run([sys.executable, "-c", _MEMORY, str(cycles)], capture_output=True, text=True, cwd=ROOT,
                          env=bench_environment(), check=True)  # fmt: skip
    return float(done.stdout)


def memory_rows():
    memory_mb(1)  # leaves the compiled code on disk: compiling takes memory of its own, once
    short, long = memory_mb(2000), memory_mb(10_000)
    return [
        row("memory of 10 000 cycles x 1 cell", long, "MB", "< 300"),
        row("memory from 2000 to 10 000 cycles", long - short, "MB", "< 10"),
    ]


# -- accuracy ----------------------------------------------------------------------------------------------------
def step_difference(cycles=3, coarse_s=60.0, fine_s=0.1):
    """(largest difference of a cycle's capacity in %, of the voltage in mV away from events) of two step lengths."""
    coarse, fine = (
        run(Cell(load_parameters(), area_cm2=100.0), LIU21, cycles=cycles, step_s=seconds, max_rows=None)
        for seconds in (coarse_s, fine_s)
    )
    capacity = np.abs(coarse.counted[:, 1:3] / fine.counted[:, 1:3] - 1).max() * 100
    worst_v = 0.0
    for cycle in range(1, cycles + 1):
        ours, theirs = coarse.cycle(cycle), fine.cycle(cycle)
        for step in range(1, len(LIU21) + 1):
            (time_s, volts), (fine_time_s, fine_volts) = (
                (rows["Time [s]"][rows["Step number"] == step], rows["Voltage [V]"][rows["Step number"] == step])
                for rows in (ours, theirs)
            )
            since, fine_since = time_s - time_s[0], fine_time_s - fine_time_s[0]
            away = since <= since[-1] - 2 * coarse_s  # the two end at their own events
            difference = np.abs(volts - np.interp(since, fine_since, fine_volts))[away]
            worst_v = max(worst_v, difference.max(initial=0.0))
    return capacity, worst_v * 1e3


def convergence_order():
    """(order, errors): isolated lithium after three cycles against sub-steps 1/32 as long, each halving of them."""

    def isolated(accuracy):
        parameters = load_parameters().replace(accuracy=accuracy)
        solution = run(Cell(parameters, area_cm2=100.0), FAST, cycles=3, step_s=3600.0)
        return solution.summary["Isolated lithium [mAh.cm-2]"][-1]

    exact = isolated(1 / 64)
    errors = [abs(isolated(accuracy) / exact - 1) for accuracy in (2.0, 1.0, 0.5)]
    return float(np.log2(errors[0] / errors[2]) / 2), errors


def closure(step_s, cycles=1000):
    """(largest |C + A + D + S - initial| / initial, cycles) of a cell that loses about 0.3 % of what it plates."""
    shares = dict.fromkeys(("sei_share", "isolation_base", "isolation_slow", "isolation_fast"), 1e-3)
    cell = Cell(lasting().replace(reservoir_mah_cm2=12.0, **shares), area_cm2=100.0)
    initial = cell.lithium_mah_cm2
    summary = run(cell, FAST, cycles=cycles, step_s=step_s, max_rows=1000).summary
    total = sum(summary[f"{store} lithium [mAh.cm-2]"] for store in STORES)
    return float(np.abs(total / initial - 1).max()), len(total)


def different_bits(cells=1000, alone=50, cycles=3):
    """How many of `alone` cells out of `cells` differ in any bit from the same cell by itself: through whole cycles in
    a fleet, or through 100 steps in lockstep."""
    drawn = draw(load_parameters(), {"gap_median_um": "20 %", "reservoir_mah_cm2": "10 %"}, 5, range(cells))
    lives = live(drawn, LIU21, cycles, area_cm2=100.0)
    controls = [Control.current(0.1, v_max=3.9)] * 50 + [Control.current(-0.2, v_min=3.5)] * 50

    def lockstep(cell):
        for control in controls:
            cell.advance(control, 60.0)
        return cell.state()

    together = lockstep(CellBatch(drawn, area_cm2=100.0))
    different = 0
    for cell in range(0, cells, cells // alone):
        solution = run(Cell(drawn[cell], area_cm2=100.0), LIU21, cycles=cycles)
        same = solution.state["cell"].tobytes() == lives.final[cell].tobytes()
        same &= solution.counted.tobytes() == lives.counted[cell].tobytes()
        same &= lockstep(Cell(drawn[cell], area_cm2=100.0)).tobytes() == together[cell].tobytes()
        different += not same
    return different


def accuracy_rows():
    from host_sim.peers import voltage

    capacity, volts = step_difference()
    order, errors = convergence_order()
    rows = [
        row("capacity, steps of 0.1 s against 60 s", float(capacity), "%", "<= 0.05"),
        row("voltage away from events, steps of 0.1 s against 60 s", float(volts), "mV", "<= 1"),
        row(
            "observed order of convergence (isolated lithium)",
            order,
            "1",
            spread="errors " + " ".join(f"{error:.2g}" for error in errors),
        ),
        row("different bits, 50 of 1000 cells alone and in the batch", different_bits(), "cells", "== 0"),
    ]
    for step_s in (60.0, 1.0):
        worst, cycles = closure(step_s)
        rows.append(row(f"lithium closure, {cycles} cycles at {step_s:g} s", worst, "relative", "<= 1e-9"))
    comparisons = voltage.loaded()
    OUT.mkdir(parents=True, exist_ok=True)
    picture = voltage.figure(comparisons, OUT / "pybamm_voltage.png")
    slow = [one for one in comparisons if abs(one.c_rate) <= 0.1]
    loaded = max(one.worst_mv(0.2, 0.8) for one in slow)
    whole = max(one.worst_mv(0.0, 1.0) for one in slow)
    peer = "PyBaMM half-cell SPM, same OCV and kinetics"
    return [
        *rows,
        row("rested voltage beside PyBaMM", voltage.rested_mv(), "mV", "<= 0.1", peer=peer),
        row("voltage up to C/10, 20 to 80 %, beside PyBaMM", loaded, "mV", "<= 2", peer=peer, spread=str(picture)),
        row("voltage up to C/10, 0 to 100 %, beside PyBaMM", whole, "mV", peer=peer, spread=str(picture)),
    ]


# -- campaign ----------------------------------------------------------------------------------------------------
def bench_environment():
    """Environment of a process that imports this project from its source."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'firmware'}"}


@contextmanager
def dask_cluster(workers=2):
    """A Dask scheduler and workers on this machine, each a process: (address, scheduler, [workers])."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": bench_environment()}
    dask = [sys.executable, "-m", "dask"]
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    started = [
        subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **options)
    ]
    try:
        started += [subprocess.Popen(worker, **options) for _ in range(workers)]
        yield address, started[0], started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def campaign_rows(cells=500):
    """1000 short lives on a Dask cluster that loses a worker in the middle, against the same in this process alone."""
    plan = plan_of(
        {
            "cells": cells, "cycles": 12, "seed": 9, "lives_per_chunk": 20,
            "spread": {"reservoir_mah_cm2": "10 %", "gap_median_um": "20 %"},
            "protocols": {"plain": list(FAST), "pulsed": list(LIU21)},
        }
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, dask_cluster(3) as (address, _, workers):
        lost = []

        def lose_one(text):
            lives = int(text.partition("/")[0]) if "lives," in text else 0
            if lives >= plan.lives // 2 and not lost:
                workers[0].kill()
                lost.append(lives)

        began = time.perf_counter()
        run_campaign(plan, f"{folder}/dask", scheduler=address, say=lose_one)
        middle = time.perf_counter()
        run_campaign(plan, f"{folder}/alone", workers=1)
        end = time.perf_counter()
        alone, dask = ({f.name: f.read_bytes() for f in Path(folder, name).glob("*")} for name in ("alone", "dask"))
    different = sum(dask.get(name) != data for name, data in alone.items()) + (set(dask) != set(alone))
    return [
        row("campaign on Dask, a worker killed in the middle: lives", plan.lives, "lives", ">= 1000"),
        row("workers lost in that campaign", len(lost), "workers", "== 1", spread=f"after {lost[0]} lives"),
        row("chunks that differ from one process's", different, "files", "== 0"),
        row("time of that campaign", middle - began, "s", peer=f"one process: {end - middle:.3g} s"),
    ]


def rows():
    """All rows of the section; about five minutes on two cores. Needs the `bench` extra."""
    return [*lockstep_rows(), *speed_rows(), *memory_rows(), *accuracy_rows(), *campaign_rows()]


if __name__ == "__main__":
    print(json.dumps(rows(), indent=1))
