"""Many lives: worlds x protocols x cells, over the processes of one machine or a Dask cluster.

Lives are done in chunks; a chunk that is done is on disk as one Parquet file, and a campaign that is run again does
only what is missing. A life's numbers depend on nothing but the plan, so the files are the same whoever computed them.
Where they were computed is checked: each worker sends the fingerprint of a small standard life, and one whose processor
or libraries give other bits is refused.
"""

import hashlib
import json
import logging
import signal
import sys
import threading
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from host_sim import MODEL
from host_sim.cell import load_parameters
from host_sim.cli import Parser, out_folder
from host_sim.cycler import encode, termination_share
from host_sim.errors import InputError
from host_sim.fleet import check_spread, draw, live
from host_sim.formats import parquet
from host_sim.protocol import cycles_of
from host_sim.solution import writing

EXAMPLE = Path(__file__).with_name("campaign_example.toml")
TRIES = 3  # how often a chunk whose worker was lost is given to another
ANSWER_S = 10.0  # how long a scheduler may take to answer
_DEFAULTS = {
    "parameters": "liu21-carbonate", "worlds": ["redealt"], "cells": 1, "seed": 0, "cycles": 100, "termination": None,
    "area_cm2": 100.0, "ambient_degc": 25.0, "step_s": 60.0, "lives_per_chunk": 25, "spread": {}, "protocols": None,
}  # fmt: skip
_RANGES = {
    "cells": (int, 1, 10**6), "seed": (int, 0, 2**63), "cycles": (int, 1, 10**6), "lives_per_chunk": (int, 1, 10**5),
    "area_cm2": (float, 1e-3, 1e6), "ambient_degc": (float, -60, 120), "step_s": (float, 1e-3, 3600),
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A campaign as written in its file, see campaign_example.toml; checked when made by `plan_of`."""

    parameters: str
    worlds: list
    cells: int
    seed: int
    cycles: int
    termination: str | None
    area_cm2: float
    ambient_degc: float
    step_s: float
    lives_per_chunk: int
    spread: dict
    protocols: dict

    @property
    def lives(self):
        """How many lives there are; life k is cell k % cells, then protocol, then world."""
        return len(self.worlds) * len(self.protocols) * self.cells

    @cached_property
    def chunks(self):
        """Chunk c: range of lives. A chunk never spans two worlds or protocols."""
        per = [range(k, min(k + self.lives_per_chunk, self.cells)) for k in range(0, self.cells, self.lives_per_chunk)]
        groups = range(len(self.worlds) * len(self.protocols))
        return [range(g * self.cells + part.start, g * self.cells + part.stop) for g in groups for part in per]

    def fingerprint(self):
        """Twelve hex digits: this plan under this state of the model."""
        text = json.dumps(asdict(self), sort_keys=True) + MODEL
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def plan_of(entries, where="plan"):
    """Plan of a dict (a TOML file's). Raises InputError naming the wrong field."""
    unknown = set(entries) - set(_DEFAULTS)
    if unknown:
        raise InputError(f"{where}: unknown field {sorted(unknown)[0]!r}, known are {', '.join(_DEFAULTS)}")
    values = _DEFAULTS | entries
    for name, (kind, low, high) in _RANGES.items():
        value = values[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, int if kind is int else int | float)
            or not low <= value <= high
        ):
            raise InputError(f"{where}: {name} is {value!r}, allowed is {kind.__name__} {low:g} to {high:g}")
        values[name] = kind(value)
    if not isinstance(values["parameters"], str):
        raise InputError(f"{where}: parameters is {values['parameters']!r}, must be the name of a set")
    worlds = values["worlds"]
    if not isinstance(worlds, list) or not worlds or not all(isinstance(world, str) for world in worlds):
        raise InputError(f"{where}: worlds is {worlds!r}, must be a list of names")
    if not isinstance(values["protocols"], dict) or not values["protocols"]:
        raise InputError(f"{where}: [protocols] needs at least one: name = [steps], e.g. {EXAMPLE.name}")
    if not isinstance(values["spread"], dict):
        raise InputError(f"{where}: spread is {values['spread']!r}, must be a table of name = '10 %' or [low, high]")
    try:
        termination_share(values["termination"])
        for world in values["worlds"]:
            parameters = load_parameters(values["parameters"], world)
            check_spread(values["spread"], parameters)
            for name, protocol in values["protocols"].items():
                for cycle in cycles_of(protocol):
                    encode(cycle, parameters, values["area_cm2"], values["ambient_degc"], f"protocol {name}")
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return Plan(**values)


def read_plan(path):
    """Plan of a TOML file. Raises InputError naming file and field."""
    try:
        return plan_of(tomllib.loads(Path(path).read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise InputError(
            f"{path}: {(error.strerror or str(error)).lower()}; a campaign's TOML file is expected"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text; a campaign's TOML file is expected") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is no TOML ({' '.join(str(error).split())})") from None


def do_chunk(plan, chunk):
    """Live the chunk's lives in this process, one after another -> (columns, about); a row per life and cycle."""
    lives = plan.chunks[chunk]
    group = lives.start // plan.cells
    world, protocol = plan.worlds[group // len(plan.protocols)], list(plan.protocols)[group % len(plan.protocols)]
    cells = range(lives.start % plan.cells, lives.start % plan.cells + len(lives))
    drawn = draw(load_parameters(plan.parameters, world), plan.spread, plan.seed, cells)
    done = live(
        drawn, plan.protocols[protocol], plan.cycles, area_cm2=plan.area_cm2, step_s=plan.step_s,
        ambient_degc=plan.ambient_degc, termination=plan.termination, threads=1,
    )  # fmt: skip
    summaries = [done.summary(k) for k in range(len(lives))]
    columns = {
        "Life": np.repeat(np.array(lives), done.lived),
        "Cell": np.repeat(np.array(cells), done.lived),
        "World": np.repeat(np.array([world] * len(lives), dtype=object), done.lived),
        "Protocol": np.repeat(np.array([protocol] * len(lives), dtype=object), done.lived),
        **{name: np.concatenate([one[name] for one in summaries]) for name in summaries[0]},
    }
    problems = {str(lives[cell]): text for cell, text in done.problems.items()}
    drawn_values = {name: [one.value(name) for one in drawn] for name in sorted(plan.spread)}
    return columns, {"chunk": chunk, "plan": plan.fingerprint(), "problems": problems, "drawn": drawn_values}


@cache
def machine_bits():
    """Fingerprint of a standard life: two machines with the same one compute the same bits."""
    cell = load_parameters()
    protocol = ("Charge at 1C until 4.2 V", "Discharge at 2C for 2 minutes", "Discharge at C/2 until 3.0 V at 40 degC")
    lived = live([cell], protocol, 3, threads=1)
    return hashlib.sha256(lived.counted.tobytes() + lived.final.tobytes()).hexdigest()[:16]


def _work(plan_entries, chunk):
    """What a worker does, in whatever process."""
    return *do_chunk(Plan(**plan_entries), chunk), machine_bits(), MODEL


@contextmanager
def _interrupts_stay_here():
    """Processes begun meanwhile never see Ctrl-C, from their first instant on: it is this one that ends them."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _processes(plan, todo, workers):
    """(chunk, result) as they come, from `workers` processes (1: this one); a dead process's chunk goes to another."""
    if workers == 1:
        for chunk in todo:
            yield chunk, _work(asdict(plan), chunk)
        return
    left, tries = dict.fromkeys(todo, 0), 0
    while left:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            with _interrupts_stay_here():
                futures = {pool.submit(_work, asdict(plan), chunk): chunk for chunk in left}
            try:
                for future in as_completed(futures):
                    result = future.result()
                    del left[futures[future]]
                    yield futures[future], result
            except BrokenProcessPool:
                tries += 1
                if tries > TRIES:
                    raise InputError(
                        f"campaign: worker processes were lost {tries} times, {len(left)} chunks are missing; what is "
                        "done is kept, run it again with fewer --workers"
                    ) from None
            except BaseException:
                for process in list((pool._processes or {}).values()):
                    process.terminate()  # what they are at would not be kept
                raise


def _cluster(plan, todo, address, say):
    """(chunk, result) as they come, from a Dask cluster; a lost worker's chunks are run again by the others."""
    try:
        import distributed
    except ImportError:
        raise InputError("--scheduler needs Dask, which is not installed: pip install -e '.[campaign]'") from None
    for name in list(logging.root.manager.loggerDict):  # its log is for its operators; a user gets one sentence
        if name.split(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        client = distributed.Client(address, timeout=ANSWER_S)
    except (OSError, TimeoutError, ValueError, ImportError) as error:
        raise InputError(
            f"scheduler {address}: does not answer within {ANSWER_S:g} s ({error.__class__.__name__}); start one with "
            "'dask scheduler', or leave --scheduler out to use this machine"
        ) from None
    with client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        say(f"scheduler {address}: {workers} workers" + ("" if workers else ", waiting for the first"))
        run = plan.fingerprint() + f"-{time.time_ns():x}"
        tries = dict.fromkeys(todo, 0)

        def submit(chunk):
            key = f"relith-{run}-{chunk}-{tries[chunk]}"
            future = client.submit(_work, asdict(plan), chunk, key=key, pure=False)
            chunk_of[future.key] = chunk
            return future

        chunk_of = {}
        queue = distributed.as_completed([submit(chunk) for chunk in todo])
        for future in queue:
            chunk = chunk_of[future.key]
            try:
                yield chunk, future.result()
            except distributed.scheduler.KilledWorker:
                tries[chunk] += 1
                if tries[chunk] > TRIES:
                    raise InputError(
                        f"campaign: chunk {chunk} lost its worker again and again; what is done is kept"
                    ) from None
                queue.add(submit(chunk))
            except (distributed.CancelledError, OSError, TimeoutError):
                raise InputError(
                    f"scheduler {address}: stopped answering; what is done is kept, run the same command to go on"
                ) from None
            except (RuntimeError, ImportError, AttributeError) as error:
                cause = error.__cause__ or error  # Dask wraps what it could not load
                raise InputError(
                    f"scheduler {address}: cannot run this project there ({type(cause).__name__}: "
                    f"{' '.join(str(cause).split())[:100]}); install the same relith on scheduler and workers"
                ) from error


def chunk_path(folder, chunk):
    """Where a chunk's file stands."""
    return Path(folder) / f"chunk-{chunk:05d}.parquet"


def read_chunk(folder, chunk, plan):
    """(columns, about) of a done chunk. Raises InputError when the file is damaged or another campaign's."""
    path = chunk_path(folder, chunk)
    try:
        columns, about = parquet.read(path)
    except InputError as error:
        raise InputError(f"{error}; remove it and run again, only it will be done anew") from None
    if about.get("chunk") != chunk or about.get("plan") != plan.fingerprint():
        raise InputError(f"{path}: belongs to another plan or model; give another --out, or remove the folder")
    return columns, about


def run(plan, folder, workers=None, scheduler=None, say=lambda text: None):
    """Do what is missing of the campaign and return its lives (see `collect`), which are also in folder/lives.parquet.

    workers: processes on this machine (default: as many as it has cores). scheduler: address of a Dask scheduler
    instead. say: called with lines of progress. Raises InputError; what is done stays on disk.
    """
    parquet.needed()  # before anything is lived
    folder = Path(folder)
    done = {chunk for chunk in range(len(plan.chunks)) if chunk_path(folder, chunk).exists()}
    for chunk in sorted(done):
        read_chunk(folder, chunk, plan)
    todo = [chunk for chunk in range(len(plan.chunks)) if chunk not in done]
    if done:
        say(f"{len(done)} of {len(plan.chunks)} chunks are done already, going on in {folder}")
    if todo:
        began, finished = time.monotonic(), 0
        before = sum(len(plan.chunks[k]) for k in done)
        with closing(_cluster(plan, todo, scheduler, say) if scheduler else _processes(plan, todo, workers)) as results:
            for chunk, (columns, about, bits, model) in results:
                if model != MODEL:
                    raise InputError(f"worker: has relith's model {model}, here is {MODEL}; install the same on both")
                if bits != machine_bits():
                    raise InputError("worker: computes other bits than this machine (processor or libraries differ)")
                with writing(chunk_path(folder, chunk)):
                    parquet.write(chunk_path(folder, chunk), columns, about)
                finished += len(plan.chunks[chunk])
                rate = finished / (time.monotonic() - began)
                lives = before + finished
                say(f"{lives}/{plan.lives} lives, {rate:.1f} a second, {(plan.lives - lives) / rate:.0f} s to go")
    return collect(plan, folder)


def collect(plan, folder):
    """One line per life, name -> array, from the chunks on disk; written to folder/lives.parquet."""
    lines, problems = {}, {}
    for chunk, lives in enumerate(plan.chunks):
        columns, about = read_chunk(folder, chunk, plan)
        problems |= about["problems"]
        for k, life in enumerate(lives):
            mine = columns["Life"] == life
            retention, loss = columns["Capacity retention [%]"][mine], 100 - columns["CE_Li [%]"][mine]
            group = life // plan.cells
            line = {
                "Life": life,
                "World": plan.worlds[group // len(plan.protocols)],
                "Protocol": list(plan.protocols)[group % len(plan.protocols)],
                "Cell": life % plan.cells,
                **{f"Drawn {name}": about["drawn"][name][k] for name in sorted(plan.spread)},
                "Cycles lived": len(retention),
                "Cycles to 98 %": _first_below(retention, 98),
                "Cycles to 80 %": _first_below(retention, 80),
                "Mean lithium loss per cycle [%]": float(np.mean(loss)) if len(loss) else np.nan,
                "Problem": problems.get(str(life), ""),
            }
            for name, value in line.items():
                lines.setdefault(name, []).append(value)
    columns = {name: np.array(values) for name, values in lines.items()}
    with writing(Path(folder) / "lives.parquet"):
        parquet.write(Path(folder) / "lives.parquet", columns, {"plan": asdict(plan), "model": MODEL})
    return columns


def _first_below(retention, percent):
    below = np.flatnonzero(retention < percent)
    return float(below[0] + 1) if below.size else np.nan


def table(plan, lives):
    """What the campaign says, a line per world and protocol."""
    out = [
        f"{'world':14} {'protocol':14} {'lives':>6} {'cycles to 80 %: 10 %':>21} {'median':>7} {'90 %':>7} {'halt':>7}"
    ]
    for world in plan.worlds:
        for protocol in plan.protocols:
            mine = (lives["World"] == world) & (lives["Protocol"] == protocol)
            cycles = lives["Cycles to 80 %"][mine]
            ended = cycles[np.isfinite(cycles)]
            low, middle, high = np.percentile(ended, [10, 50, 90]) if ended.size == cycles.size else [np.nan] * 3
            stopped = int((lives["Problem"][mine] != "").sum())
            out.append(f"{world:14} {protocol:14} {mine.sum():6} {low:21.0f} {middle:7.0f} {high:7.0f} {stopped:7}")
    return "\n".join(out)


def main(argv):
    """`relith-sim campaign [PLAN.toml]`."""
    parser = Parser(prog="relith-sim campaign", description="Many cells, many protocols, over processes or a cluster.")
    parser.add_argument(
        "plan", nargs="?", default=str(EXAMPLE), help="TOML file: parameters, worlds, spread, protocols"
    )
    parser.add_argument("--out", default="build/campaign", help="folder of the chunks; run again to go on")
    parser.add_argument("--workers", type=int, default=None, help="processes on this machine; all cores if not given")
    parser.add_argument("--scheduler", default=None, help="address of a Dask scheduler, e.g. tcp://127.0.0.1:8786")
    arguments = parser.parse_args(argv)
    if arguments.workers is not None and not 1 <= arguments.workers <= 1024:
        raise InputError(f"--workers is {arguments.workers}, allowed is 1 to 1024")
    if arguments.scheduler == "":
        raise InputError("--scheduler is empty, must be an address such as tcp://127.0.0.1:8786")
    plan = read_plan(arguments.plan)
    out = out_folder("campaign", arguments.out)
    try:
        lives = run(plan, out, arguments.workers, arguments.scheduler, lambda text: print(text, file=sys.stderr))
    except KeyboardInterrupt:
        print(f"interrupted; what is done is kept in {arguments.out}, run the same command to go on", file=sys.stderr)
        return 130
    for life, text in zip(lives["Life"], lives["Problem"], strict=True):
        if text:
            print(f"life {life} stopped: {text}")
    print(table(plan, lives))
    print(f"relith.campaign: lives={plan.lives} chunks={len(plan.chunks)} -> {arguments.out}/lives.parquet")
    return 0
