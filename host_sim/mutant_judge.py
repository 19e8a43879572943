"""The judge of mutants: which test fails when the firmware has this one wrong in it.

A baseline run, under coverage, notes which test reaches which line. Then a worker collects the tests once and forks for
every mutant: the child puts the mutated function in the place of the original and runs the tests that reach its line,
those first that told its neighbours, then the quickest, until one fails or runs for much longer than it did. What is
not inside a function (a constant, a table) needs firmware and tests imported anew, so it has a test session of its own.

A kill is a test that fails or does not end, or firmware or tests that cannot be imported. Whatever else goes wrong is a
fault of this harness: `Fault`, never a kill.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from host_sim.errors import InputError
from host_sim.mutator import RELITH, Mutant, functions, plant

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {  # module -> whose tests are its own: test_gate.py, or test_gate_….py
    "protection": ("protection",),
    "gate": ("gate",), "budgets": ("gate",), "pace": ("gate",), "extras": ("gate",),
    "journal": ("journal", "wear"), "memory": ("memory", "wear"), "blackbox": ("blackbox", "bms"),
    "link": ("link",), "frames": ("frames", "link"), "commands": ("commands", "wear"),
    "states": ("states",),
    "ledger": ("ledger",),
}  # fmt: skip
FOLDER = "tests/firmware"
OTHERS = ("attributes", "halfcycle", "safety_rules", "stateful")  # tests that reach the rooms too
OURS = ("relith", "boards", "drivers", "host_sim", "hil", "tests")  # imported anew
OWN_S, OTHER_S = 0.3, 0.05  # a test of its room, or another, that takes longer (under coverage) does not judge it
LONGEST_S = 2.0  # of processor time, and ten times what the test took: a mutant that loops is killed
MEMORY = 4 << 30  # bytes of a child
FAULT = "fault: "  # of the harness: begins what is told instead of a test


def tests_of(*parts: str) -> list[str]:
    """The test files of these parts; of all rooms and OTHERS when none are named."""
    parts = parts or tuple(dict.fromkeys([*(part for room in ROOMS.values() for part in room), *OTHERS]))
    folder = ROOT / FOLDER
    found = [path for part in parts for path in (folder / f"test_{part}.py", *sorted(folder.glob(f"test_{part}_*.py")))]
    return [f"{FOLDER}/{path.name}" for path in found if path.exists()]


# -- a process of its own ----------------------------------------------------------------------------------------


class Watch:
    """A pytest plugin: the tests that are `wanted` only, in this order; how long each took, and the first that failed.
    `took_s`: how long each may take, about; `instead`: is given all tests, to run in place of pytest's own loop."""

    def __init__(
        self, wanted: list[str] | None = None, took_s: dict[str, float] | None = None, cover=None, instead=None
    ):
        self.wanted, self.took_s, self.cover, self.instead = wanted, took_s or {}, cover, instead
        self.took_now_s: dict[str, float] = {}
        self.began_s = 0.0
        self.failed = ""
        self.now = "import"

    def pytest_collection_modifyitems(self, items) -> None:
        """Choose and order."""
        if self.wanted is not None:
            by_name = {item.nodeid: item for item in items}
            items[:] = [by_name[name] for name in self.wanted if name in by_name]

    def pytest_runtestloop(self, session) -> bool | None:
        """Ours, or pytest's."""
        if self.instead is None or session.testsfailed:
            return None
        self.instead(session.items)
        return True

    def pytest_runtest_logstart(self, nodeid, location) -> None:
        """What runs now is reached by this test."""
        self.now = nodeid
        self.began_s = time.process_time()
        if self.cover:
            self.cover.switch_context(nodeid)
        else:
            signal.setitimer(signal.ITIMER_PROF, LONGEST_S + 10 * self.took_s.get(nodeid, 0.0))

    def pytest_runtest_logreport(self, report) -> None:
        """Time, of the processor: others may be busy with it too; and outcome."""
        self.took_now_s[report.nodeid] = time.process_time() - self.began_s
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report) -> None:
        """A test module that cannot even be imported."""
        if report.failed and not self.failed:
            self.failed = f"import of {report.nodeid}"


def run(files: list[str], watch: Watch) -> str:
    """The first test that fails in these files, or an empty text. Raises RuntimeError when pytest itself gives up."""
    import pytest

    options = ["-x", "-q", "--no-header", "--tb=no", "--assert=plain", "-s"]
    for plugin in ("cacheprovider", "unraisableexception", "threadexception", "faulthandler", "logging", "junitxml"):
        options += ["-p", f"no:{plugin}"]
    status = int(pytest.main([*options, *files], plugins=[watch]))
    if status not in (0, 1, 2, 5) or (status in (1, 2) and not watch.failed):  # 5: none of them is wanted
        raise RuntimeError(f"pytest gave up with exit {status} in {watch.now}")
    return watch.failed


def apart(work: Callable, *arguments, watch: Watch | None = None) -> Any:
    """`work(*arguments)` in a process of its own -> what it returns. With `watch`, a test that runs for too long is
    "timeout in …". A text that begins with FAULT when the process did not live to answer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)

        def answer(what: Any) -> None:
            left = json.dumps(what).encode()
            while left:
                left = left[os.write(writing, left) :]
            os._exit(0)

        try:
            if watch is not None:
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                signal.signal(signal.SIGPROF, lambda *_: answer(f"timeout in {watch.now}"))
                signal.setitimer(signal.ITIMER_PROF, 10 * LONGEST_S)
            what = work(*arguments)
            signal.setitimer(signal.ITIMER_PROF, 0)
            answer(what)
        except BaseException:
            answer(FAULT + traceback.format_exc())
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else f"{FAULT}the process ended with {os.waitstatus_to_exitcode(status)}"


def _fresh() -> None:
    """As if nothing of ours had been imported; nothing is printed."""
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = False  # what is not mutated is compiled once
    for name in list(sys.modules):
        if name.split(".")[0] in OURS:
            del sys.modules[name]
    sys.path[:0] = [str(ROOT / "firmware"), str(ROOT)]
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


# -- which tests -------------------------------------------------------------------------------------------------


def survey() -> dict:
    """{"took_s": of every test, "reach": {file: {line: [tests, or "" while importing]}}, "failed"}."""
    import coverage

    _fresh()
    cover = coverage.Coverage(data_file=None, include=[str(RELITH / "*.py")])
    cover.start()
    watch = Watch(cover=cover)
    failed = run(tests_of(), watch)
    cover.stop()
    data = cover.get_data()
    reach = {Path(file).name: data.contexts_by_lineno(file) for file in data.measured_files()}
    return {"took_s": watch.took_now_s, "reach": reach, "failed": failed}


def tests_for(mutant: Mutant, survey: dict) -> list[str]:
    """The tests that reach it and do not take too long: those of its room first, the quickest first."""
    took_s, reach = survey["took_s"], survey["reach"]
    found: set[str] = set(reach.get(mutant.file, {}).get(str(mutant.line), ()))
    if not found - {""} and mutant.file.endswith(".py"):  # a table or a constant: who reaches a line that names it
        for name in _bound(mutant.file).get(mutant.line, ()):
            for file in reach:
                for line in _named(file).get(name, ()):
                    found |= set(reach[file].get(str(line), ()))
        found |= {name for name in took_s if found and _own(name, mutant.room)}
    found = found - {""} or set(took_s)
    found = {name for name in found if took_s.get(name, 0.0) < (OWN_S if _own(name, mutant.room) else OTHER_S)}
    return sorted(found, key=lambda name: (not _own(name, mutant.room), took_s.get(name, 0.0), name))


def _own(test: str, room: str) -> bool:
    """Whether it is one of the room's own tests."""
    return test.startswith(tuple(f"{FOLDER}/test_{part}{end}" for part in ROOMS[room] for end in (".py", "_")))


@cache
def _bound(file: str) -> dict[int, set[str]]:
    """Line -> the names that the module's statement there binds."""
    found: dict[int, set[str]] = {}
    for node in ast.parse((RELITH / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names = {one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)}
            found |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), names)
    return found


@cache
def _named(file: str) -> dict[str, set[int]]:
    """Name -> the lines of a module that it stands in."""
    found: dict[str, set[int]] = {}
    for node in ast.walk(ast.parse((RELITH / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            found.setdefault(node.id, set()).add(node.lineno)
    return found


# -- a mutant inside a function: put in its place ------------------------------------------------------------------


def in_place(mutant: Mutant, reach: dict) -> list[tuple[str, CodeType]]:
    """The functions to exchange; none when that is not all that is to be done, or the line was reached by importing."""
    if not mutant.file.endswith(".py") or "" in reach.get(mutant.file, {}).get(str(mutant.line), ()):
        return []
    return _functions(mutant.file).get(mutant.number, [])


@cache
def _functions(file: str) -> dict[int, list[tuple[str, CodeType]]]:
    path = RELITH / file
    return functions(path.read_text(encoding="utf-8"), str(path))


def _exchange(mutant: Mutant, codes: list[tuple[str, CodeType]]) -> None:
    for name, code in codes:
        thing: Any = sys.modules[f"relith.{mutant.room}"]
        for part in name.split("."):
            thing = vars(thing)[part]
        thing.__code__ = code


# -- a mutant outside: imported anew -------------------------------------------------------------------------------


def judged_anew(mutant: Mutant, wanted: list[str], watch: Watch) -> str:
    """The test that tells it, in sessions of their own: the room's own tests, then the others."""
    _fresh()
    plant(mutant)
    try:
        importlib.import_module("relith.bms")
        importlib.import_module("host_sim.tables")
    except Exception as error:
        return f"import: {type(error).__name__}"
    for part in (True, False):  # the others' files are not even imported when the room's own tests tell
        watch.wanted = [name for name in wanted if _own(name, mutant.room) == part]
        by = run(sorted({name.partition("::")[0] for name in watch.wanted}), watch) if watch.wanted else ""
        if by:
            return by
    return ""


# -- all of them ---------------------------------------------------------------------------------------------------


class Order:
    """Tests that told a neighbour go first, the last that did before the others."""

    def __init__(self, survey: dict):
        self.survey = survey
        self.told: dict[str, list[str]] = {}

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that reach it."""
        found = tests_for(mutant, self.survey)
        first = [name for name in self.told.get(f"{mutant.room}.{mutant.place}", ()) if name in set(found)]
        return first + [name for name in found if name not in first]

    def note(self, mutant: Mutant, by: str) -> None:
        """Which test told it."""
        known = self.told.setdefault(f"{mutant.room}.{mutant.place}", [])
        name = by.removeprefix("timeout in ")
        if name in self.survey["took_s"]:
            known[:] = [name, *(one for one in known if one != name)]


def _work(todo: list[Mutant], survey: dict, results) -> None:
    """One worker: first what can be judged in one session, then the others one by one."""
    for name in ("pytest", "hypothesis.strategies", "hypothesis.stateful"):
        importlib.import_module(name)
    gc.freeze()  # children look at little of it
    order, took_s = Order(survey), survey["took_s"]
    codes = {mutant.key: in_place(mutant, survey["reach"]) for mutant in todo}

    def tell(mutant: Mutant, by: Any) -> None:
        order.note(mutant, str(by))
        results.put((mutant.key, str(by)))

    def child(mutant: Mutant, items: list, watch: Watch) -> str:
        _exchange(mutant, codes[mutant.key])
        for item in items:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            if watch.failed:
                break
        return watch.failed

    def session() -> str:
        _fresh()

        def instead(items: list) -> None:
            by_name = {item.nodeid: item for item in items}
            gc.freeze()
            for mutant in todo:
                if codes[mutant.key]:
                    wanted = [by_name[name] for name in order.tests(mutant) if name in by_name]
                    tell(mutant, apart(child, mutant, wanted, watch, watch=watch))

        watch = Watch(took_s=took_s, instead=instead)
        return run(tests_of(), watch)

    told = apart(session)
    if told:
        results.put(("", told))
    for mutant in todo:
        if not codes[mutant.key]:
            watch = Watch(took_s=took_s)
            tell(mutant, apart(judged_anew, mutant, order.tests(mutant), watch, watch=watch))


def judge(todo: list[Mutant], jobs: int, cache: Path, version: str) -> Iterator[tuple[str, str]]:
    """(key, told by) of each, as they come; FAULT and why when the harness failed. Raises InputError when a test fails
    without any mutant, or a worker ends."""
    found = surveyed(cache, version)
    forks = multiprocessing.get_context("fork")
    results = forks.SimpleQueue()
    workers = [forks.Process(target=_work, args=(todo[k::jobs], found, results)) for k in range(min(jobs, len(todo)))]
    for worker in workers:
        worker.start()
    left = len(todo)
    while left:
        while results.empty():
            if not any(worker.is_alive() for worker in workers) and results.empty():
                raise InputError(f"relith-sim mutants: the workers ended with {left} mutants unjudged")
            time.sleep(0.02)
        key, by = results.get()
        if not key:
            raise InputError(f"relith-sim mutants: the session of a worker ended: {by.strip().splitlines()[-1]}")
        left -= 1
        yield key, by
    for worker in workers:
        worker.join()


def surveyed(cache: Path, version: str) -> dict:
    """The baseline run, kept as long as firmware and tests stay as they are. Raises InputError when a test fails."""
    found = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    if found.get("version") != version:
        found = apart(survey)
        wrong = found if isinstance(found, str) else found["failed"]
        if wrong:
            raise InputError(f"relith-sim mutants: without a mutant: {wrong.strip().splitlines()[-1]}")
        found["version"] = version
        cache.write_text(json.dumps(found), encoding="utf-8")
    return found
