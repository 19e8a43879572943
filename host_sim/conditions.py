"""Condition pairs (MC/DC), generated: from the state table, from the limits, and from every decision of the gate.

State table: for every trigger and guard of every transition two situations that differ in it alone, and in what fires.
Gate: each decision of gate.py is taken apart into its conditions, which are recorded while it runs; a condition is
shown when two records differ in it, and in the outcome, and in no other that was asked in both (masking MC/DC:
Chilenski, DOT/FAA/AR-01/18, 2001).
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from relith.states import TABLE

from host_sim.tables import GUARDS, TRIGGERS

FACTS = TRIGGERS + GUARDS


@dataclass(frozen=True)
class Pair:
    """In `state`, `facts` fire pair `place` and lead to `target`; `without` the condition `name` it does not."""

    state: int
    place: int
    name: str
    facts: int
    without: int
    target: int


def state_pairs(table: tuple = TABLE) -> Iterator[Pair]:
    """One for every trigger and every guard of every state."""
    for state, row in enumerate(table):
        for place, (needed, target) in enumerate(zip(row[::2], row[1::2], strict=True)):
            for bit, name in enumerate(FACTS):
                if needed >> bit & 1:
                    yield Pair(state, place, name, needed, needed & ~(1 << bit), target)


class _Apart(ast.NodeTransformer):
    """Every condition of a decision as `_asked(decision, place, condition)`; `self.decisions`: (line, conditions)."""

    def __init__(self):
        self.decisions: list[tuple[int, list[str]]] = []

    def visit_If(self, node):
        """The test of an `if` is a decision; what stands inside follows."""
        test = node.test
        node.test = ast.Constant(None)
        node = self.generic_visit(node)
        node.test = self._decision(test)
        return node

    visit_IfExp = visit_While = visit_If

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """So is every other yes or no, whether it is returned, given a name or handed on; in `a or 1` it is `a`."""
        if not isinstance(node.values[-1], ast.Constant | ast.Name) or not _fixed(node.values[-1]):
            return self._decision(node)
        asked = node.values[:-1]
        node.values[:-1] = [self._decision(ast.BoolOp(node.op, asked, lineno=node.lineno) if asked[1:] else asked[0])]
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """A comparison alone."""
        return self._decision(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """A `not` as well; a minus is none."""
        return self._decision(node) if isinstance(node.op, ast.Not) else self.generic_visit(node)

    def _decision(self, test: ast.expr) -> ast.expr:
        number, names = len(self.decisions), list[str]()
        self.decisions.append((test.lineno, names))

        def part(node: ast.expr) -> ast.expr:
            if isinstance(node, ast.BoolOp):
                node.values = [part(value) for value in node.values]
                return node
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                node.operand = part(node.operand)
                return node
            if isinstance(node, ast.Compare) and len(node.ops) > 1:  # a < b < c
                sides = [node.left, *node.comparators]
                links = [ast.Compare(sides[k], [op], [sides[k + 1]]) for k, op in enumerate(node.ops)]
                return ast.BoolOp(ast.And(), [part(link) for link in links])
            names.append(ast.unparse(node))
            return _call("_asked", number, len(names) - 1, node)

        return _call("_decided", number, part(test))


def _fixed(node: ast.Constant | ast.Name) -> bool:
    return isinstance(node, ast.Constant) or node.id.isupper()


def _call(name: str, *arguments) -> ast.Call:
    wrapped = [value if isinstance(value, ast.expr) else ast.Constant(value) for value in arguments]
    return ast.Call(ast.Name(name, ast.Load()), wrapped, [])


class Recorder:
    """A module's functions that record their decisions: `decisions`, and what was seen of each in `records`."""

    def __init__(self, module: ModuleType):
        apart = _Apart()
        tree = ast.fix_missing_locations(apart.visit(ast.parse(inspect.getsource(module))))
        self.decisions = apart.decisions
        self.records: list[set[tuple[tuple[bool | None, ...], bool]]] = [set() for _ in self.decisions]
        self._now: dict[int, dict[int, bool]] = {}
        self.namespace = {"_asked": self._asked, "_decided": self._decided, "__name__": module.__name__}
        exec(compile(tree, module.__file__ or "", "exec"), self.namespace)

    def _asked(self, decision: int, place: int, value):
        self._now.setdefault(decision, {})[place] = bool(value)
        return value

    def _decided(self, decision: int, outcome):
        seen = self._now.pop(decision)
        conditions = tuple(seen.get(place) for place in range(len(self.decisions[decision][1])))
        self.records[decision].add((conditions, bool(outcome)))
        return outcome

    def unshown(self) -> list[str]:
        """Conditions without a pair: `line: condition`."""
        found = []
        for (line, names), records in zip(self.decisions, self.records, strict=True):
            for place, name in enumerate(names):
                if not any(_pair(one, two, place) for one in records for two in records):
                    found.append(f"{line}: {name}")
        return found


def _pair(one, two, place: int) -> bool:
    """The outcome turns with this condition; every other is the same, or was not asked in one of the two."""
    if one[1] == two[1] or None in (one[0][place], two[0][place]) or one[0][place] == two[0][place]:
        return False
    others = [k for k in range(len(one[0])) if k != place]
    return all(one[0][k] == two[0][k] or None in (one[0][k], two[0][k]) for k in others)
