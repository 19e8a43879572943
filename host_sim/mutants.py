"""Mutation testing of the safety rooms: small wrongs in functions, table rows and limits; a test must see each.

One mutant at a time is written into a copy of the firmware, and the tests of its room run against it until one fails.
Results are kept in build/mutants.json by what the mutant is, so that an interrupted run goes on, and a changed line is
judged anew. A mutant that cannot be told from the original stands in mutants_equivalent.csv with the reason.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from host_sim.cli import Parser
from host_sim.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.csv")
SHARE = 0.95  # of those that differ
TIMEOUT_S = 300  # a mutant that loops is killed
# room -> the tests that know it, quickest first
ROOMS = {
    "protection": ("test_protection", "test_safety_rules", "test_gate", "test_bms"),
    "gate": ("test_gate", "test_conditions", "test_safety_rules", "test_bms"),
    "journal": ("test_journal", "test_bms"),
    "link": ("test_link", "test_commands"),
    "states": ("test_states", "test_conditions", "test_gate", "test_bms"),
    "ledger": ("test_ledger", "test_halfcycle", "test_protection"),
}
TESTS = "tests/firmware"
COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """`what` says line, kind, before and after; `number`: its place in the order in which they are made."""

    room: str
    line: int
    what: str
    number: int

    @property
    def key(self) -> str:
        """The same as long as the line reads the same."""
        return f"{self.room}: {self.what}"


def _wrongs(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """(what stands in its place, kind) for one node."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value), "flip"
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1), "+1"
            yield ast.Constant(value - 1), "-1"
        case ast.Compare(ops=[op]) if type(op) in COMPARE:
            yield ast.Compare(node.left, [COMPARE[type(op)]()], node.comparators), "compare"
        case ast.BoolOp(op=op):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), node.values), "and-or"
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand, "not"
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield node.operand, "sign"
        case ast.BinOp(op=op) if type(op) in ARITHMETIC and not isinstance(node.left, ast.Constant | ast.JoinedStr):
            yield ast.BinOp(node.left, ARITHMETIC[type(op)](), node.right), "operator"
        case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield ast.AugAssign(node.target, ARITHMETIC[type(op)](), node.value), "operator"
        case ast.Assign() | ast.Expr(value=ast.Call()):
            yield ast.Pass(), "drop"
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            yield ast.Call(ast.Name("max" if name == "min" else "min", ast.Load()), node.args, node.keywords), "min-max"
        case ast.If():
            yield ast.If(ast.Constant(False), node.body, node.orelse), "never"
            yield ast.If(ast.Constant(True), node.body, node.orelse), "always"


def _table_wrongs(node: ast.Tuple) -> Iterator[tuple[ast.AST, str]]:
    """Rows of a table dropped, or swapped with the next."""
    for k in range(len(node.elts)):
        yield ast.Tuple(node.elts[:k] + node.elts[k + 1 :], node.ctx), f"drop row {k}"
        if k + 1 < len(node.elts):
            swapped = [*node.elts[:k], node.elts[k + 1], node.elts[k], *node.elts[k + 2 :]]
            yield ast.Tuple(swapped, node.ctx), f"swap rows {k} and {k + 1}"


def _places(tree: ast.Module) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """(parent, field, place in a list, node) of everything that may be changed: no text, no import, no name of it."""
    stack: list[ast.AST] = [tree]
    while stack:
        parent = stack.pop()
        for field, value in ast.iter_fields(parent):
            for place, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(node, ast.AST) or isinstance(node, ast.Import | ast.ImportFrom):
                    continue
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    continue
                stack.append(node)
                yield parent, field, place, node


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """(node, what stands in its place, kind) of every mutant; `tree` is the mutant until the next is asked for."""
    for parent, field, place, node in list(_places(tree)):
        table = isinstance(node, ast.Tuple) and isinstance(parent, ast.Assign) and len(node.elts) > 5
        for other, kind in _table_wrongs(node) if table else _wrongs(node):  # type: ignore[arg-type]
            _put(parent, field, place, ast.copy_location(other, node))
            yield node, other, kind
            _put(parent, field, place, node)


def mutants(room: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    lines, found = source.splitlines(), []
    for number, (node, other, kind) in enumerate(_changes(ast.parse(source))):
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        if not kind.startswith(("drop row", "swap rows")):
            kind += f": {_short(ast.unparse(node))} -> {_short(ast.unparse(ast.fix_missing_locations(other)))}"
        found.append(Mutant(room, line, f"{lines[line - 1].strip()[:100]} | col {column} | {kind}", number))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def mutated(source: str, number: int) -> str:
    """The module as that mutant has it."""
    tree = ast.parse(source)
    for count, _ in enumerate(_changes(tree)):
        if count == number:
            return ast.unparse(ast.fix_missing_locations(tree))
    raise InputError(f"mutant {number}: there are fewer in this source")


def _put(parent: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[place] = node


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def every(rooms: tuple[str, ...] = tuple(ROOMS)) -> list[Mutant]:
    """The mutants of these rooms."""
    relith = ROOT / "firmware" / "relith"
    return [one for room in rooms for one in mutants(room, (relith / f"{room}.py").read_text(encoding="utf-8"))]


def equivalents(path: Path = EQUIVALENT) -> dict[str, str]:
    """Mutant -> why it cannot be told from the original. Raises InputError when a reason is missing."""
    with path.open(newline="", encoding="utf-8") as file:
        found = {row["mutant"]: row["reason"] for row in csv.DictReader(file)}
    for mutant, reason in found.items():
        if len(reason or "") < 10:
            raise InputError(f"{path.name}: {mutant}: reason is {reason!r}, must say why nothing differs")
    return found


class Copy:
    """The project in a folder of its own, where a mutant can do no harm."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("firmware", "host_sim", "hil", "tests", "docs"):
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "experiments")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)

    def killed_by(self, mutant: Mutant) -> str:
        """The first test that fails, "timeout", or "" when the mutant survives."""
        path = self.folder / "firmware" / "relith" / f"{mutant.room}.py"
        kept = path.read_text(encoding="utf-8")
        path.write_text(mutated(kept, mutant.number), encoding="utf-8")
        try:
            return self.run(ROOMS[mutant.room])
        finally:
            path.write_text(kept, encoding="utf-8")

    def run(self, files: tuple[str, ...]) -> str:
        """The tests in `files` -> the first that fails."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
        command += [f"{TESTS}/{name}.py" for name in files]
        paths = os.pathsep.join([str(self.folder / "firmware"), str(self.folder)])
        settings = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "mutants"}
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env={**os.environ, **settings},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return "timeout"
        if done.returncode == 0:
            return ""
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return failed[0].split(" - ")[0] if failed else f"exit {done.returncode}"


_COPY: list[Copy] = []


def _start(folder: str) -> None:
    os.nice(10)
    _COPY.append(Copy(Path(tempfile.mkdtemp(dir=folder))))


def _judge(mutant: Mutant) -> tuple[str, str]:
    return mutant.key, _COPY[0].killed_by(mutant)


def judge(todo: list[Mutant], jobs: int) -> Iterator[tuple[str, str]]:
    """(key, killed by) of each, as they come. Raises InputError when the tests fail without any mutant."""
    with tempfile.TemporaryDirectory() as folder:
        _start(folder)
        for room in dict.fromkeys(mutant.room for mutant in todo):
            if failed := _COPY[0].run(ROOMS[room]):
                raise InputError(f"relith-sim mutants: {room}: {failed} fails without a mutant")
        with multiprocessing.get_context("fork").Pool(jobs, _restart, (folder,)) as pool:
            yield from pool.imap_unordered(_judge, todo)


def _restart(folder: str) -> None:
    _COPY.clear()
    _start(folder)


def version_of(rooms: tuple[str, ...]) -> str:
    """A fingerprint of the tests that judge: when they change, survivors are judged anew."""
    names = sorted({name for room in rooms for name in ROOMS[room]})
    text = b"".join((ROOT / TESTS / f"{name}.py").read_bytes() for name in names)
    return hashlib.sha256(text).hexdigest()[:16]


def summary(results: dict[str, str], known: dict[str, str]) -> tuple[int, int, list[str]]:
    """(killed, not equivalent, survivors)."""
    survivors = sorted(key for key, by in results.items() if not by and key not in known)
    killed = sum(bool(by) for by in results.values())
    return killed, killed + len(survivors), survivors


def main(argv: list[str] | None = None) -> int:
    """Judge what has not been judged; 0 when enough were killed."""
    parser = Parser(prog="relith-sim mutants", description=__doc__)
    parser.add_argument("--room", choices=ROOMS, action="append", help="only this one (may be given again)")
    parser.add_argument("--sample", type=int, default=0, help="so many, drawn by --seed; 0: all")
    parser.add_argument("--seed", type=int, default=6, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("build/mutants.json"), help="results, to go on from")
    chosen = parser.parse_args(argv)
    rooms = tuple(chosen.room or ROOMS)
    todo = every(rooms)
    if 0 < chosen.sample < len(todo):
        todo = random.Random(chosen.seed).sample(todo, chosen.sample)
    known, version = equivalents(), version_of(rooms)
    kept = json.loads(chosen.out.read_text(encoding="utf-8")) if chosen.out.exists() else {}
    results = kept.get("results", {})
    if kept.get("tests") != version:
        results = {key: by for key, by in results.items() if by}
    wanted = {mutant.key for mutant in todo}
    rest = [mutant for mutant in todo if mutant.key not in results and mutant.key not in known]
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    for count, (key, by) in enumerate(judge(rest, chosen.jobs) if rest else (), 1):
        results[key] = by
        if not by:
            print(f"survives: {key}", flush=True)
        if count % 20 == 0 or count == len(rest):
            chosen.out.write_text(json.dumps({"tests": version, "results": results}, indent=1), encoding="utf-8")
    killed, differing, survivors = summary({key: by for key, by in results.items() if key in wanted}, known)
    share = killed / differing if differing else 1.0
    same = len(wanted & known.keys())
    print(f"{killed} of {differing} killed ({share:.1%}), {same} equivalent, {len(survivors)} survive")
    return int(share < SHARE)


if __name__ == "__main__":
    sys.exit(main())
