"""The mutants: every small wrong in a module's functions, tables and constants, and in the words of a table of text."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

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
    """`what` says line, kind, before and after; `number`: its place in the order in which they are made; `file`: its
    place in firmware/relith."""

    room: str
    file: str
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
        for some, kind in others:
            yield ast.Tuple([one for row in some for one in row], node.ctx), kind


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
    for number, (node, other, kind) in enumerate(_changes(ast.parse(source))):
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        if not kind.startswith(("drop row", "swap rows")):
            kind += f": {_short(ast.unparse(node))} -> {_short(ast.unparse(ast.fix_missing_locations(other)))}"
        what = f"{lines[line - 1].strip()[:100]} | col {column} | {kind}"
        found.append(Mutant(room, f"{room}.py", line, what, number))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def mutated(source: str, number: int) -> ast.Module:
    """The module as that mutant has it."""
    tree = ast.parse(source)
    for count, _ in enumerate(_changes(tree)):
        if count == number:
            return ast.fix_missing_locations(tree)
    raise InputError(f"mutant {number}: there are fewer in this source")


def table_mutants(room: str, text: str) -> list[tuple[Mutant, str]]:
    """(mutant, the text as it has it) of a table of words: rows dropped or swapped with the next, numbers and words."""
    lines = text.splitlines()
    words = {w for line in lines for w in line.split()[3:7] if not line.startswith("#") and not w.isdigit()}
    found: list[tuple[Mutant, str]] = []

    def add(k: int, kind: str, changed: list[str]) -> None:
        what = f"{' '.join(lines[k].split())[:100]} | {kind}"
        found.append((Mutant(room, TABLES[room], k + 1, what, len(found)), "\n".join(changed) + "\n"))

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
