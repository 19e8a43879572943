"""The mutants: every small wrong in a module's functions, tables and constants, and in the words of a table of text.

`mutants` and `table_mutants` list them; `functions` has their code where a function is all they change; `plant` lets
the firmware be imported with one.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType

from host_sim.errors import InputError

RELITH = Path(__file__).resolve().parents[1] / "firmware" / "relith"
TABLES = {"protection": "protection.txt"}  # room -> its table
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
    """`file` of firmware/relith; `place`: function, statement or row it is in, `print`: fingerprint of its text; `what`
    says line, kind, before and after; `number`: in the order in which they are made."""

    room: str
    file: str
    line: int
    place: str
    what: str
    number: int
    print: str = ""

    @property
    def key(self) -> str:
        """The same as long as the line reads the same."""
        return f"{self.room}: {self.place}: {self.what}"


def fingerprint(text: str) -> str:
    """Of a piece of source."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def places(source: str) -> list[tuple[int, int, str]]:
    """(first line, last line, name) of every function, and of every other statement of modules and classes."""
    found: list[tuple[int, int, str]] = []

    def into(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
            if isinstance(node, ast.ClassDef):
                into(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                found.append((first, node.end_lineno or first, f"{prefix}{node.name}"))
            else:
                name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else type(node).__name__.lower()
                found.append((first, node.end_lineno or first, f"{prefix}{name}"))

    into(ast.parse(source).body, "")
    return found


def prints(source: str) -> dict[str, str]:
    """Name of a place -> fingerprint of its text."""
    lines = source.splitlines()
    return {name: fingerprint("\n".join(lines[first - 1 : last])) for first, last, name in places(source)}


def _wrongs(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """(what stands in its place, kind) for one node."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value), "flip"
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1), "+1"
            yield ast.Constant(value - 1), "-1"
        case ast.Compare(ops=ops):
            for k, op in enumerate(ops):  # each link of a chain
                other = ast.Compare(node.left, [*ops[:k], COMPARE[type(op)](), *ops[k + 1 :]], node.comparators)
                yield other, "compare" if len(ops) == 1 else f"compare {k + 1}"
        case ast.BoolOp(op=op):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), node.values), "and-or"
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand, "not"
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield node.operand, "sign"
        case ast.BinOp(op=op) if type(op) in ARITHMETIC and not isinstance(node.left, ast.Constant | ast.JoinedStr):
            yield ast.BinOp(node.left, ARITHMETIC[type(op)](), node.right), "operator"
        case ast.AugAssign(op=op):
            if type(op) in ARITHMETIC:
                yield ast.AugAssign(node.target, ARITHMETIC[type(op)](), node.value), "operator"
            yield ast.Pass(), "drop"
        case ast.Assign() | ast.Expr(value=ast.Call()):
            yield ast.Pass(), "drop"
        case ast.Return(value=ast.AST() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(0)), "return"
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            yield ast.Call(ast.Name("max" if name == "min" else "min", ast.Load()), node.args, node.keywords), "min-max"
        case ast.If():
            yield ast.If(ast.Constant(False), node.body, node.orelse), "never"
            yield ast.If(ast.Constant(True), node.body, node.orelse), "always"


def _table_wrongs(node: ast.Tuple, width: int) -> Iterator[tuple[ast.AST, str]]:
    """Rows of a table, `width` elements each, dropped, or swapped with the next; in pairs also what they lead to."""
    rows = [node.elts[k : k + width] for k in range(0, len(node.elts), width)]
    for k in range(len(rows)):
        others = [(rows[:k] + rows[k + 1 :], f"drop row {k}")]
        if k + 1 < len(rows):
            here, there = rows[k], rows[k + 1]
            others.append(([*rows[:k], there, here, *rows[k + 2 :]], f"swap rows {k} and {k + 1}"))
            if width == 2:
                crossed = [[here[0], there[1]], [there[0], here[1]]]
                others.append(([*rows[:k], *crossed, *rows[k + 2 :]], f"swap rows {k} and {k + 1}, what they lead to"))
        made = {ast.dump(node)}  # rows that read the same, swapped, are the table as it was
        for some, kind in others:
            other = ast.Tuple([one for row in some for one in row], node.ctx)
            if ast.dump(other) not in made:
                made.add(ast.dump(other))
                yield other, kind


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
        width = 0  # of a row, when this is a table, or a row of pairs in one
        if isinstance(node, ast.Tuple) and isinstance(parent, ast.Assign) and len(node.elts) > 5:
            width = 1
        elif isinstance(node, ast.Tuple) and isinstance(parent, ast.Tuple):
            width = 2
        for other, kind in _table_wrongs(node, width) if width else _wrongs(node):  # type: ignore[arg-type]
            _put(parent, field, place, ast.copy_location(other, node))
            yield node, other, kind
            _put(parent, field, place, node)


def mutants(room: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    lines, found = source.splitlines(), []
    place_of = {line: name for first, last, name in places(source) for line in range(first, last + 1)}
    print_of = prints(source)
    for number, (node, other, kind) in enumerate(_changes(ast.parse(source))):
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        if not kind.startswith(("drop row", "swap rows")):
            kind += f": {_short(ast.unparse(node))} -> {_short(ast.unparse(ast.fix_missing_locations(other)))}"
        what = f"{lines[line - 1].strip()[:100]} | col {column} | {kind}"
        place = place_of.get(line, "class")
        found.append(Mutant(room, f"{room}.py", line, place, what, number, print_of.get(place, "")))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def mutated(source: str, number: int) -> ast.Module:
    """The module as that mutant has it."""
    tree = ast.parse(source)
    for count, _ in enumerate(_changes(tree)):
        if count == number:
            return ast.fix_missing_locations(tree)
    raise InputError(f"mutant {number}: there are fewer in this source")


def changed(old: CodeType, new: CodeType) -> list[tuple[str, CodeType]] | None:
    """(name, new code) of the functions in which two modules differ; None when they differ outside of functions too."""
    if old == new:
        return []
    if old.co_flags & 1:  # CO_OPTIMIZED: a function, not a module or a class
        return [(old.co_qualname, new)]
    inner = [(a, b) for a, b in zip(old.co_consts, new.co_consts, strict=False) if isinstance(a, CodeType)]
    plain = [repr([one for one in code.co_consts if not isinstance(one, CodeType)]) for code in (old, new)]
    if old.co_code != new.co_code or old.co_names != new.co_names or plain[0] != plain[1]:
        return None
    found: list[tuple[str, CodeType]] = []
    for a, b in inner:
        some = changed(a, b)
        if some is None:
            return None
        found += some
    return found


def functions(source: str, path: str) -> dict[int, list[tuple[str, CodeType]]]:
    """Number of a mutant -> (name, code) of the functions that it changes; those that change nothing else."""
    tree = ast.parse(source)
    top = {
        line: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }

    def compiled(node: ast.stmt) -> CodeType:
        return compile(ast.fix_missing_locations(ast.Module([node], [])), path, "exec")

    plain = {id(node): compiled(node) for node in top.values()}
    found: dict[int, list[tuple[str, CodeType]]] = {}
    for number, (node, _, _) in enumerate(_changes(tree)):
        whole = top.get(getattr(node, "lineno", 0))
        if whole is not None and (some := changed(plain[id(whole)], compiled(whole))):
            found[number] = some
    return found


def table_mutants(room: str, text: str) -> list[tuple[Mutant, str]]:
    """(mutant, the text as it has it) of a table of words: rows dropped or swapped with the next, numbers and words."""
    lines = text.splitlines()
    words = {w for line in lines for w in line.split()[3:7] if not line.startswith("#") and not w.isdigit()}
    found: list[tuple[Mutant, str]] = []

    def add(k: int, kind: str, changed: list[str]) -> None:
        place, what = " ".join(lines[k].split()[:2]), f"{' '.join(lines[k].split())[:100]} | {kind}"
        one = Mutant(room, TABLES[room], k + 1, place, what, len(found), fingerprint(lines[k]))
        found.append((one, "\n".join(changed) + "\n"))

    for k, line in enumerate(lines):
        if not line or line.startswith("#"):
            continue
        add(k, "drop row", lines[:k] + lines[k + 1 :])
        if k + 1 < len(lines) and lines[k + 1].split()[0] == line.split()[0]:
            add(k, "swap with the next", [*lines[:k], lines[k + 1], line, *lines[k + 2 :]])
        row = line.split()
        for at in range(3, len(row) if row[0] == "row" else 0):
            for other in _other_words(row[at], words):
                changed = " ".join([*row[:at], other, *row[at + 1 :]])
                add(k, f"{row[at]} -> {other}, word {at}", [*lines[:k], changed, *lines[k + 1 :]])
    return found


def _other_words(word: str, words: set[str]) -> list[str]:
    """What may stand wrongly for a word of a table."""
    if word.lstrip("-").isdigit():
        return [str(int(word) + 1), str(int(word) - 1)]
    for group in (("warning", "soft", "hard", "lockout"), ("none", "charge", "discharge", "all"), ("yes", "no")):
        if word in group:
            return [other for other in group if other != word]
    limits = sorted(one for one in words if "_" in one and one.lstrip("-") != word.lstrip("-"))
    return [word[1:] if word[0] == "-" else "-" + word, next(one for one in limits if one > word or one == limits[-1])]


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


def plant(mutant: Mutant) -> None:
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


def every(rooms: tuple[str, ...]) -> list[Mutant]:
    """The mutants of these rooms; one whose line reads like an earlier one's says which of them it is."""
    found: list[Mutant] = []
    for room in rooms:
        found += mutants(room, (RELITH / f"{room}.py").read_text(encoding="utf-8"))
        if room in TABLES:
            found += [one for one, _ in table_mutants(room, (RELITH / TABLES[room]).read_text(encoding="utf-8"))]
    seen: Counter[str] = Counter()
    for k, one in enumerate(found):
        seen[one.key] += 1
        if seen[one.key] > 1:
            found[k] = replace(one, what=f"{one.what} | no. {seen[one.key]}")
    return found


def _put(parent: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[place] = node


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."
