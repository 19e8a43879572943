"""The same meaning in fewer bytes of bytecode: what MicroPython's compiler does not do itself.

`squeezed(text)` rewrites the functions of a module. Every rule keeps values, their order and what is raised:

    x = 1 if a < b else 0       x = +(a < b)            two jumps and two numbers less
    a <= x <= b                 a <= x and x <= b       of a local x: nothing to keep on the stack meanwhile
    a is not b, a not in b      not a is b, not a in b  a condition turns its jump instead
    x, y = p, q                 x = p; y = q            where neither minds: nothing to turn on the stack, no tuple
    x = f([y for y in z])       a loop before it        where nothing else comes first: no function for the list
    more than 16 locals         one whose time is over lends its place: a local beyond the 16th takes a byte more
"""

import ast
from itertools import count

from hil.shorten import unparsed

_NEAR = 16  # locals that an instruction of one byte reaches
_INNER = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
_PLAIN = (ast.Constant, ast.Name, ast.Attribute, ast.Tuple, ast.expr_context)  # raises nothing, calls nothing


def squeezed(text: str) -> str:
    """`text`: as hil.shorten writes it, a statement a line."""
    tree = ast.parse(text)
    for function in _functions(tree):
        _Lists(function).generic_visit(function)
    tree = ast.parse(unparsed(tree))
    for function in _functions(tree):
        shared = {y.id for x in ast.walk(function) if isinstance(x, _INNER) and x is not function for y in _names(x)}
        for x in ast.walk(function):
            if isinstance(x, ast.Global):
                shared |= set(x.names)
            elif isinstance(x, ast.ExceptHandler) and x.name:
                shared.add(x.name)
        _lend_places(function, shared)
        squeezer = _Squeezer(shared)
        function.body = [y for x in function.body for y in _listed(squeezer.visit(x))]
    return unparsed(tree)


def _functions(tree):
    return [x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef)]


def _listed(node):
    return node if isinstance(node, list) else [node]


def _names(node):
    return [x for x in ast.walk(node) if isinstance(x, ast.Name)]


def _boolean(node):
    """Is its value True or False, and never another?"""
    if isinstance(node, ast.BoolOp):
        return all(map(_boolean, node.values))
    return isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))


def _still(node):
    """Does working it out do nothing and notice nothing that a function does meanwhile?"""
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Constant)  # a method of a text
    if isinstance(node, ast.List | ast.Tuple):
        return all(map(_still, node.elts))
    return isinstance(node, ast.Constant | ast.Name)


def _first(node):
    """The list comprehension that an expression works out before anything else that does or notices something."""
    if isinstance(node, ast.ListComp):
        return node if len(node.generators) == 1 else None
    if isinstance(node, ast.BoolOp):
        parts = node.values[:1]
    elif isinstance(node, ast.IfExp):
        parts = [node.test]
    elif isinstance(node, ast.Call | ast.Attribute | ast.BinOp | ast.UnaryOp | ast.List | ast.Tuple | ast.Compare):
        parts = [x for x in ast.iter_child_nodes(node) if isinstance(x, ast.expr)]
    else:
        return None
    return next((_first(part) for part in parts if not _still(part)), None)


class _Lists(ast.NodeTransformer):
    """Of one function: list comprehensions as loops before the statement."""

    def __init__(self, function):
        taken = {x.id for x in _names(function)} | {x.arg for x in ast.walk(function) if isinstance(x, ast.arg)}
        self.free = (name for k in count() if (name := f"_{k}") not in taken)

    def visit_FunctionDef(self, node):
        return node  # has its own turn

    def visit_Assign(self, node):
        return self.loop(node, node.value)

    visit_Return = visit_Expr = visit_Assign

    def visit_If(self, node):
        self.generic_visit(node)
        return self.loop(node, node.test)

    def loop(self, node, value):
        """The statement, with loops before it that fill its lists."""
        made = value and _first(value)
        if not made:
            return node
        (turn,), filled = made.generators, next(self.free)
        renamed = {x.id: next(self.free) for x in _names(turn.target)}
        for name in [*_names(turn.target), *_names(made.elt), *(x for test in turn.ifs for x in _names(test))]:
            name.id = renamed.get(name.id, name.id)
        body: ast.stmt = ast.Expr(ast.Call(ast.Attribute(ast.Name(filled), "append"), [made.elt], []))
        for test in reversed(turn.ifs):
            body = ast.If(test, [body], [])
        for parent in (node, *ast.walk(value)):
            for name, child in ast.iter_fields(parent):
                if child is made:
                    setattr(parent, name, ast.Name(filled))
                elif isinstance(child, list):
                    child[:] = [ast.Name(filled) if x is made else x for x in child]
        return [ast.Assign([ast.Name(filled)], ast.List([])), ast.For(turn.target, turn.iter, [body], []), node]


class _Squeezer(ast.NodeTransformer):
    """Of one function; `shared`: names that are not its own alone."""

    def __init__(self, shared):
        self.shared = shared
        self.watched = False  # inside a try: its handlers see what is assigned before something is raised

    def visit_FunctionDef(self, node):
        return node  # has its own turn

    def visit_Try(self, node):
        watched, self.watched = self.watched, True
        self.generic_visit(node)
        self.watched = watched
        return node

    def visit_IfExp(self, node):
        self.generic_visit(node)
        values = [getattr(x, "value", None) for x in (node.body, node.orelse)]
        if any(type(x) is not int for x in values) or sorted(values) != [0, 1]:
            return node
        test = node.test
        if values == [0, 1]:
            test = ast.UnaryOp(ast.Not(), test)
        elif not _boolean(test):
            test = ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), test))
        return ast.UnaryOp(ast.UAdd(), test)

    def visit_Compare(self, node):
        self.generic_visit(node)
        (op, *more), (middle, *right) = node.ops, node.comparators
        if isinstance(op, ast.IsNot | ast.NotIn) and not more:
            turned = ast.Is() if isinstance(op, ast.IsNot) else ast.In()
            return ast.UnaryOp(ast.Not(), ast.Compare(node.left, [turned], [middle]))
        if len(more) == 1 and isinstance(middle, ast.Name) and middle.id not in self.shared:
            return ast.BoolOp(ast.And(), [ast.Compare(node.left, [op], [middle]), ast.Compare(middle, more, right)])
        return node

    def visit_Assign(self, node):
        self.generic_visit(node)
        target, value = node.targets[0], node.value
        if len(node.targets) > 1 or not isinstance(target, ast.Tuple) or not isinstance(value, ast.Tuple):
            return node
        pairs = list(zip(target.elts, value.elts, strict=True))
        if self.watched or any(self.minds(x, pairs[k + 1 :]) for k, (x, _) in enumerate(pairs)):
            return node
        return [ast.Assign([x], y) for x, y in pairs]

    def minds(self, target, later):
        """Would assigning it before the values of the later pairs are worked out change or show anything?"""
        values = [x for _, value in later for x in ast.walk(value)]
        if isinstance(target, ast.Name):
            return target.id in self.shared or any(isinstance(x, ast.Name) and x.id == target.id for x in values)
        if isinstance(target, ast.Attribute) and all(isinstance(x, _PLAIN) for x in values):
            return any(isinstance(x, ast.Attribute) and x.attr == target.attr for x in values)
        return bool(later)


def _lend_places(function, shared):
    """One name for several locals, each needed no more when the next is first assigned."""
    arguments = [x.arg for x in function.args.args]
    own = {x.id for x in _names(function) if isinstance(x.ctx, ast.Store)} - {*arguments, *shared}
    if len(own) + len(arguments) <= _NEAR:
        return
    first, last = {}, dict.fromkeys(arguments, 0)
    loops = [x for x in ast.walk(function) if isinstance(x, ast.For | ast.While)]
    for x in _names(function):
        # of a loop all lines count: a turn may need what the last one left
        around = [loop for loop in loops if loop.lineno <= x.lineno <= loop.end_lineno]
        first[x.id] = min([first.get(x.id, x.lineno), x.lineno, *(loop.lineno for loop in around)])
        last[x.id] = max([last.get(x.id, 0), x.lineno, *(loop.end_lineno for loop in around)])
    ends = {name: last[name] for name in arguments if name not in shared}  # of each place
    lent = {}
    for name in sorted(own, key=lambda name: (first[name], name)):
        free = [place for place in ends if ends[place] < first[name]]
        lent[name] = max(free, key=lambda place: ends[place]) if free else name
        ends[lent[name]] = last[name]
    for x in _names(function):
        x.id = lent.get(x.id, x.id)
