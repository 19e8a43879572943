"""The firmware's sources made short for an image: what a name or a file costs, a board pays in flash and in heap.

`shorten(name, text, plan)` rewrites a module: docstrings go, whole-number constants stand in their places, locals
become a, b, c, and the other names are those of the plan (hil/names.py). `together` puts small modules into one file,
`pooled` binds the numbers that stand in it often, `sorted_first` sorts its names, `readable(text, plan.told)` turns a
traceback back, `beside` makes text that runs beside an image.
"""

import ast
import contextlib
import re
from collections import Counter
from dataclasses import replace
from string import ascii_letters

from hil.names import HOMES, PUBLIC, Plan, groups_of, module_of, stored, tables_of

_SHORT = 122  # names whose place in a file's table takes a byte, but for some that come of themselves
_FIXED = (ast.Constant, ast.UnaryOp, ast.BinOp, ast.Tuple)  # an expression of these alone, the compiler works out
_TABLES = {"COMMANDS", "PERMITS", "READINGS", "TO_HOST"}  # of rows that are asked by place alone


class _Table(ast.NodeTransformer):
    """Rows of small numbers as bytes, rows of names as one text that is split: half as long in a file."""

    def visit_Tuple(self, node):
        self.generic_visit(node)
        values = [x.value if isinstance(x, ast.Constant) else None for x in node.elts]
        if len(values) > 3 and all(type(x) is int and 0 <= x < 256 for x in values):
            return ast.Constant(bytes(values))
        if len(values) > 4 and all(type(x) is str for x in values):
            return ast.Call(ast.Attribute(ast.Constant(" ".join(values)), "split"), [], [])
        return node


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
        for x in tables_of(node, self.module):
            x.value = re.sub(r"\w+", lambda m: self.short(m[0]), x.value)
        return self.generic_visit(node)

    def visit_Assign(self, node):
        if getattr(node.targets[0], "id", None) in _TABLES:
            node.value = _Table().visit(node.value)
        if self.outside:
            names = {x.id for t in node.targets for x in ast.walk(t) if isinstance(x, ast.Name)}
            if names and names <= (self.known.keys() | self.plan.unread) - PUBLIC:
                return None
        return self.generic_visit(node)

    def visit_Try(self, node):
        if self.outside and any(isinstance(s, ast.ImportFrom) and s.module == "micropython" for s in node.body):
            return None  # where `const` comes from
        return self.generic_visit(node)

    def visit_ImportFrom(self, node):
        gone = self.plan.constants.get(node.module, {}).keys() | {"const"}
        names = [a.name for a in node.names if a.name not in gone]
        home, node.module = HOMES.get(self.module, self.module), HOMES.get(node.module, node.module)
        if not names or node.module == home:
            return None
        if not home:  # text beside an image keeps its own names
            node.names = [ast.alias(self.short(name), name) for name in names]
            return node
        node.names = [ast.alias(self.named(name)) for name in names]
        package, _, inside = home.partition(".")
        if inside and node.module.split(".")[0] == package != "boards":  # a board file stands alone on its board
            node.module, node.level = node.module[len(package) + 1 :] or None, 1  # shorter than from relith.gate
        return node

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
            elif isinstance(x, ast.Name) and stored(x):
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
        member = self.locals is None and not self.outside and stored(node)
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
    return unparsed(_Shortener(plan, module, own).visit(ast.parse(text)))


def unparsed(tree):
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


def together(texts: dict[str, str]) -> dict[str, str]:
    """Modules (file name: text as `shorten` gives it) with those of HOMES inside theirs."""
    found = {module_of(name): name for name in texts}
    made = dict(texts)
    for home in dict.fromkeys(HOMES.values()):
        inner = [made.pop(found[module]) for module, place in HOMES.items() if place == home and module in found]
        if inner and home in found:
            lines = "".join([*inner, made[found[home]]]).splitlines(True)
            once = [k for k, line in enumerate(lines) if line[:5] not in ("from ", "impor") or line not in lines[:k]]
            made[found[home]] = "".join(lines[k] for k in once)
    return made


class _Pool(ast.NodeTransformer):
    """Counts the numbers in functions, but for those that the compiler works out together; puts `names` for them."""

    def __init__(self):
        self.found = Counter()
        self.names = {}
        self.inside = False

    def generic_visit(self, node):
        if isinstance(node, _FIXED) and all(isinstance(x, _FIXED) for x in ast.walk(node) if isinstance(x, ast.expr)):
            return node
        return super().generic_visit(node)

    def visit_FunctionDef(self, node):
        inside, self.inside = self.inside, True
        node.body = [self.visit(x) for x in node.body]
        self.inside = inside
        return node

    def visit_Constant(self, node):
        if not self.inside or type(node.value) is not int:
            return node
        self.found[node.value] += 1
        return ast.Name(self.names[node.value]) if node.value in self.names else node


def pooled(text: str) -> str:
    """A module's numbers that stand in it often are globals: a name takes two bytes each time, 1000 takes three."""
    tree = ast.parse(text)
    pool = _Pool()
    pool.visit(tree)
    nodes = [x for x in ast.walk(tree) if not isinstance(x, ast.Attribute)]
    taken = {value for x in nodes for _, value in ast.iter_fields(x) if isinstance(value, str)} | PUBLIC
    there = Counter(x.attr for x in ast.walk(tree) if isinstance(x, ast.Attribute))  # in the table of names already
    names = (*(name for name, _ in there.most_common()), *reversed(ascii_letters), *("_" + c for c in ascii_letters))
    free = (short for short in dict.fromkeys(names) if short not in taken)
    name = next(free)
    for number, places in pool.found.most_common():
        size = 1 + (number.bit_length() + 7) // 7  # with the opcode before it
        if 64 <= number < 1 << 30 and places * (size - 2) > size + (4 if name in there else 6):  # to bind it
            pool.names[number], name = name, next(free)
    bound = "".join(f"{name} = {number}\n" for number, name in pool.names.items())
    return bound + unparsed(pool.visit(tree)) if bound else text


def sorted_first(text: str) -> str:
    """A module that says its names once in code that never runs, the most used first: those are one byte each."""
    tree = ast.parse(text)
    uses: Counter[str] = Counter()

    def count(node, own):
        for x in ast.iter_child_nodes(node):
            inside = own
            if isinstance(x, ast.FunctionDef | ast.Lambda):
                found = {y.id for y in ast.walk(x) if isinstance(y, ast.Name) and stored(y)}
                found -= {name for y in ast.walk(x) if isinstance(y, ast.Global) for name in y.names}
                arguments = [y.arg for y in x.args.args]
                uses.update(arguments)
                inside = own | found | set(arguments)
            if isinstance(x, ast.FunctionDef | ast.ClassDef):
                uses[x.name] += 2
            elif isinstance(x, ast.Attribute):
                uses[x.attr] += 1
            elif isinstance(x, ast.keyword) and x.arg:
                uses[x.arg] += 1
            elif isinstance(x, ast.alias):
                uses[x.name] += 2
            elif isinstance(x, ast.Name) and x.id not in own:
                uses[x.id] += 1
            count(x, inside)

    count(tree, frozenset())
    names = [name for name, _ in uses.most_common() if name.isidentifier()]
    return f"while 1:\n break\n {'.'.join(names[:_SHORT])}\n{text}" if len(names) > _SHORT else text


def beside(code: str, plan: Plan) -> str:
    """Text that runs beside an image, in the image's names. What it binds itself, globals and members of its classes,
    is its own and left alone, so it must not ask the firmware for an attribute that its classes have too."""
    tree = ast.parse(code)
    _, own, classes = groups_of({"": tree}, set(), set())
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
