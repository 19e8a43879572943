"""Mutation testing of the safety rooms: small wrongs in functions, table rows and limits; a test must see each.

A baseline run, under coverage, notes which test reaches which line. Then every mutant has a process of its own, in
which the firmware is imported with that one wrong and the tests that reach it run, quickest first, until one fails.
Results are kept in build/mutants.json by what the mutant is, so that an interrupted run goes on, and a changed line is
judged anew. A mutant that cannot be told from the original stands in mutants_equivalent.csv with the reason.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import importlib
import json
import math
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import traceback
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.mutator import RELITH, Mutant, every, mutated, table_mutants

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.csv")
SHARE = 0.95  # of those that differ
CPU_S = 60  # a mutant that loops is killed
ROOMS = ("protection", "gate", "journal", "link", "states", "ledger")
FOLDER = "tests/firmware"
OTHERS = ("halfcycle", "safety_rules", "commands", "memory", "bms", "stateful")  # tests that reach the rooms too
OURS = ("relith", "host_sim", "hil", "tests")  # imported anew for every mutant


def tests_of(*parts: str) -> list[str]:
    """The test files of these rooms and others: test_gate.py, or test_gate_….py."""
    folder = ROOT / FOLDER
    found = [path for part in parts for path in (folder / f"test_{part}.py", *sorted(folder.glob(f"test_{part}_*.py")))]
    return [f"{FOLDER}/{path.name}" for path in found if path.exists()]


def equivalents(path: Path = EQUIVALENT) -> dict[str, str]:
    """Mutant -> why it cannot be told from the original. Raises InputError when a reason is missing."""
    with path.open(newline="", encoding="utf-8") as file:
        found = {row["mutant"]: row["reason"] for row in csv.DictReader(file)}
    for mutant, reason in found.items():
        if len(reason or "") < 10:
            raise InputError(f"{path.name}: {mutant}: reason is {reason!r}, must say why nothing differs")
    return found


# -- one mutant, in a process of its own -------------------------------------------------------------------------


class _Loader(SourceFileLoader):
    """The module with the mutant in it."""

    def __init__(self, name: str, path: str, number: int):
        super().__init__(name, path)
        self.number = number

    def get_code(self, fullname):
        """As `SourceFileLoader.get_code`."""
        return compile(mutated(Path(self.path).read_text(encoding="utf-8"), self.number), self.path, "exec")


class _Finder:
    """Finds that one module."""

    def __init__(self, mutant: Mutant):
        self.mutant = mutant

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        """As a finder of sys.meta_path does."""
        if name != f"relith.{self.mutant.room}":
            return None
        place = str(RELITH / self.mutant.file)
        return spec_from_file_location(name, place, loader=_Loader(name, place, self.mutant.number))


def _plant(mutant: Mutant) -> None:
    """From here on the firmware is imported with this wrong in it."""
    if mutant.file.endswith(".py"):
        sys.meta_path.insert(0, _Finder(mutant))  # type: ignore[arg-type]
        return
    text = table_mutants(mutant.room, (RELITH / mutant.file).read_text(encoding="utf-8"))[mutant.number][1]
    profile = importlib.import_module("relith.profile")
    read = profile.lines  # its checksum would tell at once; the tests are to see what it does

    def lines(name: str, crc: int) -> list[str]:
        return [one for one in text.splitlines() if one and one[0] != "#"] if name == mutant.file else read(name, crc)

    setattr(profile, "lines", lines)  # noqa: B010 (to mypy a module has no such attribute)


class _Watch:
    """A pytest plugin: these tests only, in this order; notes which failed, and how long each took."""

    def __init__(self, wanted: list[str] | None, cover=None):
        self.wanted = wanted
        self.cover = cover
        self.failed = ""
        self.took_s: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items) -> None:
        """Choose and order."""
        if self.wanted is not None:
            by_name = {item.nodeid: item for item in items}
            items[:] = [by_name[name] for name in self.wanted if name in by_name]

    def pytest_runtest_logstart(self, nodeid, location) -> None:
        """What runs now is reached by this test."""
        if self.cover:
            self.cover.switch_context(nodeid)

    def pytest_runtest_logreport(self, report) -> None:
        """Time and outcome."""
        self.took_s[report.nodeid] = self.took_s.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report) -> None:
        """A test module that cannot even be imported."""
        if report.failed and not self.failed:
            self.failed = report.nodeid


def _run(files: list[str], watch: _Watch) -> str:
    """The first test that fails in these files, or an empty text."""
    import pytest

    options = ["-x", "-q", "--no-header", "--tb=no", "--assert=plain", "-p", "no:cacheprovider"]
    status = pytest.main([*options, *files], plugins=[watch])
    return watch.failed or ("" if status in (0, 5) else f"exit {int(status)}")  # 5: none of them is wanted


def _fresh() -> None:
    """As if nothing of ours had been imported."""
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


def _apart(work, *arguments) -> Any:
    """`work(*arguments)` in a process of its own -> what it returns, or None when it did not live to."""
    with tempfile.TemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, -1))  # then SIGXCPU
                _fresh()
                answer.write(json.dumps(work(*arguments)).encode())
            except BaseException:
                answer.write(json.dumps({"failed": traceback.format_exc()}).encode())
            finally:
                answer.flush()
                os._exit(0)
        os.waitpid(child, 0)
        answer.seek(0)
        text = answer.read()
    return json.loads(text) if text else None


def _survey() -> dict:
    """Every test's time and the lines that it reaches: {"took_s", "reach": {file: {line: [tests]}}, "failed"}."""
    import coverage

    resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))
    cover = coverage.Coverage(data_file=None, include=[str(RELITH / "*.py")])
    cover.start()
    watch = _Watch(None, cover)
    failed = _run(tests_of(*ROOMS, *OTHERS), watch)
    cover.stop()
    data = cover.get_data()
    reach = {
        Path(file).name: {
            line: [test for test in tests if test] for line, tests in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    return {"took_s": watch.took_s, "reach": reach, "failed": failed}


def tests_for(mutant: Mutant, survey: dict) -> list[str]:
    """The tests that reach it: those of its room first, the quickest first."""
    took_s, reach = survey["took_s"], survey["reach"]
    found: set[str] = set(reach.get(mutant.file, {}).get(str(mutant.line), ()))
    if not found and mutant.file.endswith(".py"):  # a table or a constant: whoever reaches a line that names it
        for name in _bound(mutant.file).get(mutant.line, ()):
            for file in reach:
                for line in _named(file).get(name, ()):
                    found |= set(reach[file].get(str(line), ()))
        found |= {name for name in took_s if found and _own(name, mutant.room)}
    found = found or set(took_s)
    return sorted(found, key=lambda name: (not _own(name, mutant.room), took_s.get(name, 0.0), name))


def _own(test: str, room: str) -> bool:
    """Whether it is one of the room's own tests."""
    return test.startswith((f"{FOLDER}/test_{room}.py", f"{FOLDER}/test_{room}_"))


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


def _judged(mutant: Mutant, wanted: list[str]) -> str:
    _plant(mutant)
    for part in (True, False):  # the others' files are not even imported when the room's own tests tell
        some = [name for name in wanted if _own(name, mutant.room) == part]
        by = _run(sorted({name.partition("::")[0] for name in some}), _Watch(some)) if some else ""
        if by:
            return by
    return ""


def _ready() -> None:
    """What every process needs is imported once."""
    os.nice(10)
    for name in ("pytest", "hypothesis.strategies", "hypothesis.stateful"):
        importlib.import_module(name)


def _judge(task: tuple[Mutant, list[str]]) -> tuple[str, str]:
    mutant, wanted = task
    by = _apart(_judged, mutant, wanted)
    return mutant.key, "timeout" if by is None else str(by)


def judge(todo: list[Mutant], jobs: int, cache: Path) -> Iterator[tuple[str, str]]:
    """(key, killed by) of each, as they come. Raises InputError when the tests fail without any mutant."""
    with multiprocessing.get_context("fork").Pool(jobs, _ready) as pool:  # before there is much to carry along
        survey = _surveyed(cache)
        yield from pool.imap_unordered(_judge, ((mutant, tests_for(mutant, survey)) for mutant in todo))


def _surveyed(cache: Path) -> dict:
    """The baseline run, kept as long as firmware and tests stay as they are. Raises InputError when a test fails."""
    version = version_of()
    survey = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    if survey.get("version") != version:
        survey = _apart(_survey) or {"failed": "the baseline"}
        if survey["failed"]:
            raise InputError(f"relith-sim mutants: {survey['failed']} fails without a mutant")
        survey["version"] = version
        cache.write_text(json.dumps(survey), encoding="utf-8")
    return survey


def version_of() -> str:
    """A fingerprint of firmware and of the tests that judge: when they change, survivors are judged anew."""
    tests = [ROOT / name for name in tests_of(*ROOMS, *OTHERS)]
    shared = [path for path in (ROOT / FOLDER).glob("*.py") if not path.name.startswith("test_")]
    files = [*RELITH.glob("*.*"), *tests, *shared, ROOT / "tests" / "link_stub.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:16]


def summary(results: dict[str, str], known: dict[str, str]) -> tuple[int, int, list[str]]:
    """(killed, not equivalent, survivors)."""
    survivors = sorted(key for key, by in results.items() if not by and key not in known)
    killed = sum(bool(by) for by in results.values())
    return killed, killed + len(survivors), survivors


def interval(killed: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, killed / count
    middle, half = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def main(argv: list[str] | None = None) -> int:
    """Judge what has not been judged; 0 when enough were killed."""
    parser = Parser(prog="relith-sim mutants", description=__doc__)
    parser.add_argument("--room", choices=ROOMS, action="append", help="only this one (may be given again)")
    parser.add_argument("--sample", type=int, default=0, help="so many, drawn by --seed; 0: all")
    parser.add_argument("--seed", type=int, default=6, help="of the sample, and of the order")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("build/mutants.json"), help="results, to go on from")
    chosen = parser.parse_args(argv)
    todo = every(tuple(chosen.room or ROOMS))
    count = len(todo)
    random.Random(chosen.seed).shuffle(todo)  # whatever has been judged is a sample of all
    if 0 < chosen.sample < count:
        todo = todo[: chosen.sample]
    known, version = equivalents(), version_of()
    kept = json.loads(chosen.out.read_text(encoding="utf-8")) if chosen.out.exists() else {}
    results = kept.get("results", {})
    if kept.get("tests") != version:
        results = {key: by for key, by in results.items() if by}
    wanted = {mutant.key for mutant in todo}
    rest = [mutant for mutant in todo if mutant.key not in results and mutant.key not in known]
    chosen.out.parent.mkdir(parents=True, exist_ok=True)

    def save() -> tuple[int, int, list[str]]:
        mine = {key: by for key, by in results.items() if key in wanted}
        killed, differing, survivors = summary(mine, known)
        low, high = interval(killed, differing)
        same = len(wanted & known.keys())
        told = {"mutants": count, "judged": len(mine), "killed": killed, "differing": differing, "equivalent": same}
        document = {"tests": version, "summary": told | {"low": low, "high": high}, "survivors": survivors}
        document["results"] = results
        chosen.out.write_text(json.dumps(document, indent=1), encoding="utf-8")
        return killed, differing, survivors

    for number, (key, by) in enumerate(judge(rest, chosen.jobs, chosen.out.with_suffix(".map")) if rest else (), 1):
        results[key] = by
        if not by:
            print(f"survives: {key}", flush=True)
        if number % 20 == 0:
            save()
    killed, differing, survivors = save()
    share = killed / differing if differing else 1.0
    low, high = interval(killed, differing)
    same = len(wanted & known.keys())
    print(f"{killed} of {differing} killed ({share:.1%}), {same} equivalent, {len(survivors)} survive")
    if len(todo) < count:
        print(f"a sample of {len(todo)} of {count}, seed {chosen.seed}: 95 % interval {low:.1%} to {high:.1%}")
    return int(share < SHARE)


if __name__ == "__main__":
    sys.exit(main())
