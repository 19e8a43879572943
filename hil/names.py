"""Which short name each name of the firmware gets in an image (hil/shorten.py puts them there).

`plan(sources, fields)` decides once for all modules. Every name that the firmware binds itself (attribute, function,
class, global, argument given by name) gets a short one, the same wherever it stands. Two names share a short one when
no class and no file has both, so that a board has to know few. Kept are names that MicroPython has as well, modules,
and PUBLIC, which people and tools type. Strings are left alone but for the tables of attribute names in TABLES.
"""

import array
import ast
import builtins
import functools
import importlib
import io
import keyword
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from string import ascii_letters, digits
from typing import Any

PUBLIC = {
    "VERSION", "running", "status", "make", "self_test", "run", "build", "watchdog", "ProfileError"
}  # fmt: skip
TABLES = {
    "relith.catalogue": {"READINGS", "TO_HOST"},
    "relith.memory": {"_NUMBERS"},
    "": {"ACTIONS", "SCALARS", "RESULTS"},  # of hil/virtual/player.py
}
HOMES = {  # modules that stand inside another one in an image, in this order before its own: each has a table of names
    "drivers.ina228": "boards.base",
    "drivers.switches": "boards.base",
    "drivers.ads1115": "boards.base",
    "drivers.thermistor": "boards.base",
    "drivers.single_cell": "boards.base",
    "drivers.bq76952": "boards.base",
    "relith.clock": "relith.bms",
    "relith.readings": "relith.bms",
    "relith.profile": "relith.bms",
    "relith.halfcycle": "relith.bms",
    "relith.ledger": "relith.bms",
    "relith.blackbox": "relith.bms",
    "relith.commands": "relith.bms",
    "relith.journal": "relith.bms",
    "relith.log": "relith.bms",
    "relith.memory": "relith.bms",
    "relith.protection": "relith.bms",
    "relith.states": "relith.bms",
    "relith.scheduler": "relith.inventory",
    "relith.extras": "relith.bms",
    "relith.budgets": "relith.bms",
    "relith.pace": "relith.bms",
    "relith.gate": "relith.bms",
    "relith.catalogue": "relith.link",
    "relith.frames": "relith.link",
    "relith.udfilter": "relith.inventory",
    "relith.lossmodel": "relith.inventory",
    "relith.outlook": "relith.inventory",
}
PROBED = "relith.memory"  # asks with hasattr for names of its table: they are shared with no other
MACHINE = Path(__file__).parent / "virtual" / "machine.py"
_MODULES = ("array", "binascii", "gc", "hashlib", "json", "os", "struct", "sys", "time")
_TYPES = (str, bytes, bytearray, list, dict, tuple, int, set, OSError, array.array, io.FileIO)
# Names that every MicroPython has in its own flash, so that they cost no heap, and an .mpy file a byte (the first line)
# or two (static_qstr_list in py/makeqstrdata.py). Those that the firmware says itself are not given to others.
_BUILT_IN = {
    1: "AssertionError BaseException EOFError Ellipsis GeneratorExit KeyError LookupError NameError NoneType TypeError "
    "SyntaxError IndexError StopIteration SystemExit OverflowError ArithmeticError IndentationError ZeroDivisionError "
    "all any args",
    2: "bytecode callable chr dir divmod endswith eval exec find format from_bytes globals hash insert "
    "isalpha islower isspace issubclass isupper iter key lstrip locals map next object ord pop popitem pow remove "
    "replace reverse rfind rsplit rstrip sep sort startswith super throw upper",
}
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
    unread: set[str]  # globals that no module reads: for the host, and in no image
    numbers: dict[int, int] = field(default_factory=dict)  # numbers to replace: checksums of texts that change as well


def module_of(name: str) -> str:
    """ "relith/gate.py" is relith.gate."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def source_name(module: str) -> str:
    """What tracebacks call the file that a module is in: relith.gate is gate, relith.frames is in link."""
    return HOMES.get(module, module).split(".")[-1]


def _foreign(trees, keywords):
    """Names of MicroPython's own: builtins and their methods, its modules, what is asked of a module not ours."""
    names = set(dir(builtins)) | set(keyword.kwlist)
    for thing in (*map(importlib.import_module, _MODULES), *_TYPES):
        names |= set(dir(thing))
    for node in ast.walk(ast.parse(MACHINE.read_text())):
        words = {value for _, value in ast.iter_fields(node) if isinstance(value, str)}
        names |= words & keywords if isinstance(node, ast.arg | ast.Name) else words
    for tree in trees.values():
        nodes = _nodes(tree)
        theirs = {
            alias.name
            for node in nodes
            if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module not in trees)
            for alias in node.names
        }
        names |= theirs
        names |= {x.attr for x in nodes if isinstance(x, ast.Attribute) and getattr(x.value, "id", None) in theirs}
    return names


@functools.lru_cache(4096)
def _nodes(tree) -> list[Any]:
    """A tree's nodes, walked once."""
    return list(ast.walk(tree))


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
        stores = Counter(x.id for x in _nodes(tree) if isinstance(x, ast.Name) and not isinstance(x.ctx, ast.Load))
        for node in _nodes(tree):
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
    return [x for x in _nodes(node) if isinstance(x, ast.FunctionDef | ast.Lambda)]


def stored(node):
    return isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load)


def groups_of(trees, keywords, fields):
    """Sets of names of which no two may share a short one: what a class or a module has; functions of a module and
    all classes, for tracebacks; arguments given by name, as they hide globals. And all globals, and the classes."""
    classes: dict[str, set[str]] = {"Profile": set(fields)}
    bases: dict[str, list[str]] = {"Profile": []}
    owns: dict[str, set[str]] = defaultdict(set)  # of each module with those inside it
    all_functions: dict[str, set[str]] = defaultdict(set)
    for module, tree in trees.items():
        inside = {id(x) for f in _functions(tree) for x in _nodes(f) if x is not f}
        own = {name for x in _nodes(tree) if isinstance(x, ast.Global) for name in x.names}
        functions = {x.name for x in _nodes(tree) if isinstance(x, ast.FunctionDef)}
        for x in _nodes(tree):
            if isinstance(x, ast.ImportFrom) and x.module in trees:
                own |= {alias.name for alias in x.names}
            elif isinstance(x, ast.ClassDef):
                members = classes.setdefault(x.name, set())
                bases[x.name] = [getattr(base, "id", "") for base in x.bases]
                for y in _nodes(x):
                    if isinstance(y, ast.FunctionDef):
                        members.add(y.name)
                    elif isinstance(y, ast.Attribute) and stored(y) and getattr(y.value, "id", "") == "self":
                        members.add(y.attr)
                    elif isinstance(y, ast.Name) and stored(y) and id(y) not in inside:
                        members.add(y.id)
        for x in tree.body:
            if isinstance(x, ast.FunctionDef | ast.ClassDef):
                own.add(x.name)
            else:
                own |= {y.id for y in _nodes(x) if isinstance(y, ast.Name) and stored(y) and id(y) not in inside}
        given = {x.arg for x in _nodes(tree) if isinstance(x, ast.arg)} & keywords
        owns[HOMES.get(module, module)] |= own | given
        all_functions[HOMES.get(module, module)] |= functions
    for name, members in classes.items():
        for base in bases[name]:
            members |= classes.get(base, set())
    groups = [*owns.values(), *all_functions.values(), *classes.values(), set(classes), set(keywords)]
    return groups, set().union(*owns.values()), classes


def _refuse_twins(trees, constants):
    """Modules in one file may not bind one name twice. Raises ValueError."""
    found: dict[tuple[str, str], str] = {}
    for module, tree in trees.items():
        if (home := HOMES.get(module, module)) in HOMES.values():
            for name in groups_of({module: tree}, set(), set())[1] - constants[module].keys() - _imported(tree):
                if (other := found.setdefault((home, name), module)) != module:
                    raise ValueError(f"{name} is in {other} and in {module}, which an image has in one file")


def _imported(tree):
    return {alias.name for x in _nodes(tree) if isinstance(x, ast.Import | ast.ImportFrom) for alias in x.names}


def plan(sources: dict[str, str], fields: set[str]) -> Plan:
    """`sources`: {"relith/gate.py": text}, the whole firmware. `fields`: names of a profile's fields."""
    trees = {module_of(name): ast.parse(text) for name, text in sources.items()}
    constants = _constants(trees)
    keywords = {x.arg for tree in trees.values() for x in _nodes(tree) if isinstance(x, ast.keyword) and x.arg}
    keep = _foreign(trees, keywords) | PUBLIC
    groups, globals_, classes = groups_of(trees, keywords, fields)
    _refuse_twins(trees, constants)
    uses: dict[str, set[str]] = defaultdict(set)  # name -> modules
    for module, tree in trees.items():
        for x in _nodes(tree):
            for _, value in ast.iter_fields(x):
                if isinstance(value, str):
                    uses[value].add(HOMES.get(module, module))
    bound = set().union(*groups) & uses.keys() | fields
    kept_in = {x.attr for t in trees.values() for x in _nodes(t) if isinstance(x, ast.Attribute) and stored(x)}
    homeless = kept_in - bound  # attributes that no class of its own binds
    words = {w for text in tables_of(trees.get(PROBED), PROBED) for w in re.findall(r"\w+", text.value)}
    groups.append(homeless | words)
    renamed = {n for n in bound | homeless if n not in keep and not n.startswith("__")}
    apart: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for name in group:
            apart[name] |= group
    texts = Counter(w for m, tree in trees.items() for x in tables_of(tree, m) for w in re.findall(r"\w+", x.value))
    prices = _prices(keep | (kept_in - renamed), uses.keys() | bound)
    names = _coloured(renamed, uses, apart, homeless | words, texts, prices)
    told = {"": {names.get(name, name): name for name in classes}, ".": {names[n]: n for n in homeless if n in names}}
    for name, members in classes.items():
        told[name + "."] = {names[m]: m for m in members if m in names}
    for module, tree in trees.items():
        functions = [x.name for x in _nodes(tree) if isinstance(x, ast.FunctionDef) and x.name in names]
        told.setdefault(source_name(module), {}).update((names[f], f) for f in functions)
    nodes = [x for tree in trees.values() for x in _nodes(tree) if not stored(x)]
    read = {value for x in nodes for _, value in ast.iter_fields(x) if isinstance(value, str)}
    return Plan(names, constants, keywords, fields, told, globals_ - read)


def _prices(taken, said) -> dict[str, int]:
    """Short names, cheapest first, and what one costs the table of a file, in bytes."""
    prices = {short: price for price, text in _BUILT_IN.items() for short in text.split() if short not in said}
    letters = (*ascii_letters, *(a + b for a, b in product(ascii_letters, ascii_letters + digits)))
    return prices | {short: len(short) + 2 for short in letters if short not in taken}


def _coloured(renamed, uses, apart, alone, texts, prices) -> dict[str, str]:
    """A short name for every name: of those that nobody near it has, the one that adds least to the modules' tables and
    `texts`; those `alone` share with nobody."""
    names: dict[str, str] = {}
    shared: dict[str, set[str]] = defaultdict(set)  # short -> names
    there: dict[str, set[str]] = defaultdict(set)  # short -> modules
    for name in sorted(renamed, key=lambda n: (n not in alone, -len(uses[n]), n)):
        near = apart[name] | alone
        free = (x for x in prices if shared[x].isdisjoint(near) and (name not in texts or prices[x] == len(x) + 2))
        best = min(islice(free, 150), key=lambda short: len(uses[name] - there[short]) * prices[short])
        names[name] = best
        shared[best].add(name)
        there[best] |= uses[name]
    return names


def tables_of(tree, module) -> Iterator[Any]:
    """The strings of a module's tables of attribute names."""
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in TABLES.get(module, ()):
            yield from (x for x in _nodes(node.value) if isinstance(x, ast.Constant) and isinstance(x.value, str))
