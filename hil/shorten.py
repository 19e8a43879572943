"""Short names for the image of the firmware: what a name costs, a board pays in every module and again in its heap.

`plan(sources, fields)` decides once for all modules, `shorten(name, text, plan)` rewrites one of them: docstrings go,
whole-number constants stand in their places, locals become a, b, c, and every other name that the firmware binds itself
(attribute, function, class, global) gets a short one, the same wherever it stands. Two names share a short one when no
class and no module has both, so that a board has to know few. Kept are names that MicroPython has as well, modules, and
PUBLIC, which people and tools type. Strings are left alone but for the tables of attribute names in TABLES.

`readable(text, plan.told)` turns a traceback back.
"""

import array
import ast
import builtins
import contextlib
import importlib
import io
import keyword
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from string import ascii_letters, digits
from typing import Any

PUBLIC = {
    "VERSION", "running", "status", "make", "self_test", "run", "build", "watchdog", "REASONS", "ProfileError"
}  # fmt: skip
TABLES = {
    "relith.catalogue": {"READINGS", "TO_HOST"},
    "relith.memory": {"_NUMBERS"},
    "": {"ACTIONS", "SCALARS", "RESULTS"},  # of hil/virtual/player.py
}
PROBED = "relith.memory"  # asks with hasattr for names of its table: they are shared with no other
MACHINE = Path(__file__).parent / "virtual" / "machine.py"
_MODULES = ("array", "binascii", "gc", "hashlib", "json", "os", "struct", "sys", "time")
_TYPES = (str, bytes, bytearray, list, dict, tuple, int, set, OSError, array.array, io.FileIO)
_LARGE = 1 << 20  # a constant above takes more room than its name
_SIGNS = {
    ast.LShift: int.__lshift__, ast.Sub: int.__sub__, ast.Add: int.__add__, ast.Mult: int.__mul__,
    ast.BitOr: int.__or__, ast.FloorDiv: int.__floordiv__,
}  # fmt: skip


@dataclass
class Plan:
    """`names`: long -> short. `constants`: of each module, imported ones too. `keywords`: names that arguments are
    given by. `fields`: of a profile. `told`: short -> long; functions by file, classes by "", attributes by "class".
    """

    names: dict[str, str]
    constants: dict[str, dict[str, int]]
    keywords: set[str]
    fields: set[str]
    told: dict[str, dict[str, str]]
    numbers: dict[int, int] = field(default_factory=dict)  # numbers to replace: checksums of texts that change as well


def module_of(name: str) -> str:
    """ "relith/gate.py" is relith.gate."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def source_name(module: str) -> str:
    """What tracebacks call a module: relith.gate is gate."""
    return module.split(".")[-1]


def _foreign(trees, keywords):
    """Names of MicroPython's own: builtins and their methods, its modules, what is asked of a module not ours."""
    names = set(dir(builtins)) | set(keyword.kwlist)
    for thing in (*map(importlib.import_module, _MODULES), *_TYPES):
        names |= set(dir(thing))
    for node in ast.walk(ast.parse(MACHINE.read_text())):
        words = {value for _, value in ast.iter_fields(node) if isinstance(value, str)}
        names |= words & keywords if isinstance(node, ast.arg | ast.Name) else words
    for tree in trees.values():
        nodes = list(ast.walk(tree))
        theirs = {
            alias.name
            for node in nodes
            if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module not in trees)
            for alias in node.names
        }
        names |= theirs
        names |= {x.attr for x in nodes if isinstance(x, ast.Attribute) and getattr(x.value, "id", None) in theirs}
    return names


def _value(node, known):
    """Of a whole-number expression; None when it is none."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "const":
        return _value(node.args[0], known)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, known)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        a, b = _value(node.left, known), _value(node.right, known)
        return None if a is None or b is None else _SIGNS[type(node.op)](a, b)
    return None


def _pairs(node):
    """(name, value) of what an assignment binds, as far as that can be read off."""
    first, value = node.targets[0], node.value
    if not isinstance(first, ast.Tuple):
        return [(target, value) for target in node.targets]
    if isinstance(value, ast.Call) and getattr(value.func, "id", None) == "range":
        return [(target, ast.Constant(k)) for k, target in enumerate(first.elts)]
    return list(zip(first.elts, value.elts, strict=True)) if isinstance(value, ast.Tuple) else []


def _constants(trees):
    """Of every module the whole-number globals that are bound once, its own and those it imports."""
    found: dict[str, dict[str, int]] = {}

    def visit(module):
        if module in found or module not in trees:
            return
        known = found[module] = {}
        tree = trees[module]
        stores = Counter(x.id for x in ast.walk(tree) if isinstance(x, ast.Name) and not isinstance(x.ctx, ast.Load))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                visit(node.module)
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                theirs = found.get(node.module, {})
                known.update((alias.name, theirs[alias.name]) for alias in node.names if alias.name in theirs)
            elif isinstance(node, ast.Assign):
                values = {x.id: _value(v, known) for x, v in _pairs(node) if isinstance(x, ast.Name)}
                if all(v is not None and stores[name] == 1 for name, v in values.items()):
                    known.update(values)

    for module in trees:
        visit(module)
    small = {m: {n: v for n, v in c.items() if n[0] == "_" or abs(v) < _LARGE} for m, c in found.items()}
    return small


def _functions(node):
    return [x for x in ast.walk(node) if isinstance(x, ast.FunctionDef | ast.Lambda)]


def _stored(node):
    return isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load)


def _groups(trees, keywords, fields):
    """Sets of names of which no two may share a short one: what a class or a module has; functions of a module and
    all classes, for tracebacks; arguments given by name, as they hide globals. And the globals among them."""
    classes: dict[str, set[str]] = {"Profile": set(fields)}
    bases: dict[str, list[str]] = {"Profile": []}
    groups: list[set[str]] = []
    globals_: set[str] = set()
    for tree in trees.values():
        inside = {id(x) for f in _functions(tree) for x in ast.walk(f) if x is not f}
        own = {name for x in ast.walk(tree) if isinstance(x, ast.Global) for name in x.names}
        functions = {x.name for x in ast.walk(tree) if isinstance(x, ast.FunctionDef)}
        for x in ast.walk(tree):
            if isinstance(x, ast.ImportFrom) and x.module in trees:
                own |= {alias.name for alias in x.names}
            elif isinstance(x, ast.ClassDef):
                members = classes.setdefault(x.name, set())
                bases[x.name] = [getattr(base, "id", "") for base in x.bases]
                for y in ast.walk(x):
                    if isinstance(y, ast.FunctionDef):
                        members.add(y.name)
                    elif isinstance(y, ast.Attribute) and _stored(y) and getattr(y.value, "id", "") == "self":
                        members.add(y.attr)
                    elif isinstance(y, ast.Name) and _stored(y) and id(y) not in inside:
                        members.add(y.id)
        for x in tree.body:
            if isinstance(x, ast.FunctionDef | ast.ClassDef):
                own.add(x.name)
            else:
                own |= {y.id for y in ast.walk(x) if isinstance(y, ast.Name) and _stored(y) and id(y) not in inside}
        given = {x.arg for x in ast.walk(tree) if isinstance(x, ast.arg)} & keywords
        groups += [own | given, functions]
        globals_ |= own
    for name, members in classes.items():
        for base in bases[name]:
            members |= classes.get(base, set())
    groups += [*classes.values(), set(classes), set(keywords)]
    return groups, globals_ | keywords, classes


def plan(sources: dict[str, str], fields: set[str]) -> Plan:
    """`sources`: {"relith/gate.py": text}, the whole firmware. `fields`: names of a profile's fields."""
    trees = {module_of(name): ast.parse(text) for name, text in sources.items()}
    constants = _constants(trees)
    keywords = {x.arg for tree in trees.values() for x in ast.walk(tree) if isinstance(x, ast.keyword) and x.arg}
    keep = _foreign(trees, keywords) | PUBLIC
    groups, _, classes = _groups(trees, keywords, fields)
    uses: dict[str, set[str]] = defaultdict(set)  # name -> modules
    for module, tree in trees.items():
        for x in ast.walk(tree):
            for _, value in ast.iter_fields(x):
                if isinstance(value, str):
                    uses[value].add(module)
    bound = set().union(*groups) & uses.keys() | fields
    stored = {x.attr for t in trees.values() for x in ast.walk(t) if isinstance(x, ast.Attribute) and _stored(x)}
    homeless = stored - bound  # attributes that no class of its own binds
    words = {w for text in _tables(trees.get(PROBED), PROBED) for w in re.findall(r"\w+", text.value)}
    groups.append(homeless | words)
    renamed = {n for n in bound | homeless if n not in keep and not n.startswith("__")}
    apart: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for name in group:
            apart[name] |= group
    names = _coloured(renamed, uses, apart, homeless | words, keep | (stored - renamed))
    told = {"": {names.get(name, name): name for name in classes}, ".": {names[n]: n for n in homeless if n in names}}
    for name, members in classes.items():
        told[name + "."] = {names[m]: m for m in members if m in names}
    for module, tree in trees.items():
        functions = [x.name for x in ast.walk(tree) if isinstance(x, ast.FunctionDef) and x.name in names]
        told[source_name(module)] = {names[f]: f for f in functions}
    return Plan(names, constants, keywords, fields, told)


def _coloured(renamed, uses, apart, alone, taken) -> dict[str, str]:
    """A short name for every name: of those that nobody near it has, the one that adds least to the modules' tables;
    those `alone` share with nobody."""
    letters = [*ascii_letters, *(a + b for a, b in product(ascii_letters, ascii_letters + digits))]
    letters = [short for short in letters if short not in taken]
    names: dict[str, str] = {}
    shared: dict[str, set[str]] = defaultdict(set)  # short -> names
    there: dict[str, set[str]] = defaultdict(set)  # short -> modules
    for name in sorted(renamed, key=lambda n: (n not in alone, -len(uses[n]), n)):
        free = [short for short in letters if not shared[short] & apart[name] and not shared[short] & alone]
        best = min(free[:200], key=lambda short: len(uses[name] - there[short]) * (len(short) + 2))
        names[name] = best
        shared[best].add(name)
        there[best] |= uses[name]
    return names


def _tables(tree, module) -> Iterator[Any]:
    """The strings of a module's tables of attribute names."""
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in TABLES.get(module, ()):
            yield from (x for x in ast.walk(node.value) if isinstance(x, ast.Constant) and isinstance(x.value, str))


class _Shortener(ast.NodeTransformer):
    def __init__(self, plan, module, own):
        self.plan, self.module = plan, module
        self.known = plan.constants.get(module, {})
        self.kept = own | {part for name in plan.constants for part in name.split(".")}
        self.locals = None  # of the outermost function
        self.outside = True  # of any class or function

    def short(self, name):
        return self.plan.names.get(name, name)

    def named(self, name):
        """What stands alone: an attribute may be called like a module, which keeps its name."""
        return name if name in self.kept else self.short(name)

    def local(self, name):
        return (self.locals or {}).get(name) or self.named(name)

    def generic_visit(self, node):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # without docstrings
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
        super().generic_visit(node)
        if isinstance(body, list) and not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node

    def visit_Module(self, node):
        for x in _tables(node, self.module):
            x.value = re.sub(r"\w+", lambda m: self.short(m[0]), x.value)
        return self.generic_visit(node)

    def visit_Assign(self, node):
        if self.outside:
            names = {x.id for t in node.targets for x in ast.walk(t) if isinstance(x, ast.Name)}
            if names and names <= self.known.keys() - PUBLIC:
                return None
        return self.generic_visit(node)

    def visit_Try(self, node):
        if self.outside and any(isinstance(s, ast.ImportFrom) and s.module == "micropython" for s in node.body):
            return None  # where `const` comes from
        return self.generic_visit(node)

    def visit_ImportFrom(self, node):
        gone = self.plan.constants.get(node.module, {}).keys() | {"const"}
        if not self.module:  # text beside an image keeps its own names
            node.names = [ast.alias(self.short(a.name), a.name) for a in node.names if a.name not in gone]
            return node if node.names else None
        node.names = [ast.alias(self.named(a.name)) for a in node.names if a.name not in gone]
        package, _, inside = self.module.partition(".")
        if inside and node.module.split(".")[0] == package != "boards":  # a board file stands alone on its board
            node.module, node.level = node.module[len(package) + 1 :] or None, 1  # shorter than from relith.gate
        return node if node.names else None

    def visit_ClassDef(self, node):
        outside, self.outside = self.outside, False
        node.name = self.named(node.name)
        self.generic_visit(node)
        self.outside = outside
        return node

    def visit_FunctionDef(self, node):
        outside, self.outside = self.outside, False
        outermost = self.locals is None
        if isinstance(node, ast.FunctionDef):
            node.name = self.short(node.name) if outermost and not outside else self.local(node.name)
        if outermost:
            self.locals = self.pool(node)
        self.generic_visit(node)
        if outermost:
            self.locals = None
        self.outside = outside
        return node

    visit_Lambda = visit_FunctionDef

    def pool(self, node):
        """Locals and arguments, of functions inside as well, that no keyword names: a, b, c, ..."""
        found, elsewhere = [], set(self.plan.keywords)
        for x in ast.walk(node):
            if isinstance(x, ast.arg):
                found.append(x.arg)
            elif isinstance(x, ast.Name) and _stored(x):
                found.append(x.id)
            elif (isinstance(x, ast.ExceptHandler) and x.name) or (isinstance(x, ast.FunctionDef) and x is not node):
                found.append(x.name)
            elif isinstance(x, ast.Global):
                elsewhere |= set(x.names)
        found = [n for n in dict.fromkeys(found) if n not in elsewhere]
        used = {self.short(x.id) for x in ast.walk(node) if isinstance(x, ast.Name) and x.id not in found}
        used |= {self.short(name) for name in elsewhere}
        letters = (c for c in (*ascii_letters, *("_" + a for a in ascii_letters)) if c not in used)
        return dict(zip(found, letters, strict=False))

    def visit_arg(self, node):
        node.arg = self.local(node.arg)
        return node

    def visit_ExceptHandler(self, node):
        node.name = node.name and self.local(node.name)
        return self.generic_visit(node)

    def visit_Constant(self, node):
        return ast.Constant(self.plan.numbers.get(node.value, node.value)) if type(node.value) is int else node

    def visit_Global(self, node):
        node.names = [self.short(n) for n in node.names]
        return node

    def visit_Name(self, node):
        if node.id in self.known and node.id not in (self.locals or {}) and isinstance(node.ctx, ast.Load):
            return self.visit_Constant(ast.Constant(self.known[node.id]))
        member = self.locals is None and not self.outside and _stored(node)
        node.id = self.short(node.id) if member else self.local(node.id)
        return node

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id == "const":
            return self.visit(node.args[0])
        return self.generic_visit(node)

    def visit_keyword(self, node):
        node.arg = node.arg and self.short(node.arg)
        node.value = self.visit(node.value)
        return node

    def visit_Attribute(self, node):
        node.attr = self.short(node.attr)
        return self.generic_visit(node)


def shorten(name: str, text: str, plan: Plan) -> str:
    """A module as it stands in the image."""
    return _shortened(module_of(name), text, plan, set())


def _shortened(module: str, text: str, plan: Plan, own: set[str]) -> str:
    tree = _Shortener(plan, module, own).visit(ast.parse(text))
    return "".join(_bare(line) + "\n" for line in ast.unparse(ast.fix_missing_locations(tree)).splitlines())


def _bare(line: str) -> str:
    """`a, b = (c, d)`, as ast writes it, without the brackets: with them MicroPython makes a tuple first."""
    found = re.fullmatch(r"(\s*)([^=]+, .+ = )\((.+)\)", line)
    if found:
        bare = found[2] + found[3]
        with contextlib.suppress(SyntaxError):
            if ast.dump(ast.parse(bare)) == ast.dump(ast.parse(line.strip())):
                return found[1] + bare
    return line


def beside(code: str, plan: Plan) -> str:
    """Text that runs beside an image, in the image's names. What it binds itself, globals and members of its classes,
    is its own and left alone, so it must not ask the firmware for an attribute that its classes have too."""
    tree = ast.parse(code)
    _, own, classes = _groups({"": tree}, set(), set())
    own |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    members = set().union(*classes.values())
    names = {long: short for long, short in plan.names.items() if long not in members}
    return _shortened("", code, replace(plan, names=names), own | classes.keys())


def readable(text: str, told: dict[str, dict[str, str]]) -> str:
    """A traceback with the names of the sources; an attribute that several classes share a name for as a|b."""

    def function(found: re.Match) -> str:
        return found[1] + told.get(found[2], {}).get(found[3], found[3])

    def attribute(found: re.Match) -> str:
        longs = sorted({names[found[2]] for place, names in told.items() if place[-1:] == "." and found[2] in names})
        return f"'{told[''].get(found[1], found[1])}' object has no attribute '{'|'.join(longs) or found[2]}'"

    text = re.sub(r"'(\w+)' object has no attribute '(\w+)'", attribute, text)
    return re.sub(r'(File "(\w+)(?:\.py)?".* in )(\w+)', function, text)
