"""Fewer bytes, the same meaning: what a function returns, says, in which order, and what it raises."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import image
from hil.squeeze import squeezed

RULES = {
    "a flag": ("    return 1 if a < b else 0\n", "    return +(a < b)\n"),
    "a flag of anything": ("    return 1 if a else 0\n", "    return +(not not a)\n"),
    "a flag turned": ("    return 0 if a and b else 1\n", "    return +(not (a and b))\n"),
    "within": ("    return 0 <= a <= b\n", "    return 0 <= a and a <= b\n"),
    "not the same": ("    if a is not b:\n        return 1\n", "    if not a is b:\n        return 1\n"),
    "not in it": ("    if a not in b:\n        return 1\n", "    if not a in b:\n        return 1\n"),
    "side by side": ("    c, d = (a, b)\n    return c\n", "    c = a\n    d = b\n    return c\n"),
    "of an object": ("    b.x, b.y = (a.x, a.z)\n", "    b.x = a.x\n    b.y = a.z\n"),
    "a list": (
        "    return sum([c * b for c in a if c])\n",
        "    _0 = []\n    for _1 in a:\n        if _1:\n            _0.append(_1 * b)\n    return sum(_0)\n",
    ),
    "a list to be": (
        "    b.x = ','.join([c for c in a]) or 'none'\n",
        "    _0 = []\n    for _1 in a:\n        _0.append(_1)\n    b.x = ','.join(_0) or 'none'\n",
    ),
}
LEFT = [
    "    return 1 if a else 2\n",
    "    return True if a else False\n",
    "    return 0 <= a.x <= b\n",  # would be asked twice
    "    return 0 <= a <= b <= 9\n",
    "    a, b = b, a\n    return a\n",
    "    a.x, b.y = b.y, b.x\n",
    "    a.x, b.y = 1, max(b)\n",  # max might look at a.x, or raise
    "    a.x, b.y = 1, b[0]\n",
    "    a[0], b = 1, a[1]\n",
    "    try:\n        a, b = 1, b[7]\n    except IndexError:\n        return a\n",
    "    return a.x or max([c for c in b])\n",
    "    return max(b()) + max([c for c in a])\n",
    "    return [c + d for c in a for d in b]\n",
    "    while max([c for c in a]) < 3:\n        a.append(b)\n",
]


def function(lines, head="def f(a, b):\n"):
    return head + lines


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_takes_fewer_bytes(rule):
    before, after = map(function, RULES[rule])
    assert squeezed(before) == after
    sizes = [len(image._compiled({"relith/x.py": text})["relith/x.py"]) for text in (before, after)]
    assert sizes[1] < sizes[0], rule


@pytest.mark.parametrize("lines", LEFT)
def test_what_would_change_its_meaning_is_left(lines):
    assert squeezed(function(lines)) == function(lines)


def test_globals_and_what_an_inner_function_reads_are_nobody_elses():
    for text in (
        "def f(a):\n    global g\n    g, b = 1, h()\n    return b\n",
        "def f(a):\n    b = lambda: c\n    c, d = 1, b()\n    return 0 <= c <= d\n",
    ):
        assert squeezed(text) == text


def test_more_than_sixteen_locals_lend_their_places():
    names = [f"v{k}" for k in range(20)]
    text = (
        "def f(a):\n" + "".join(f"    {n} = a + {k}\n    a = {n} * 2\n" for k, n in enumerate(names)) + "    return a\n"
    )
    said = squeezed(text)
    assert {name for name in names if name in said.split()} == {"v0"}
    loop = "def f(a):\n    for k in a:\n" + "".join(f"        {n} = k\n" for n in names) + "    return k\n"
    assert squeezed(loop) == loop, "a turn may need what the last one left"


# ---- functions made up: 30 statements of locals, an object and a list, that say what they do as they go ----------
def _number(draw, known):
    kind = draw(st.integers(0, 7))
    one, two = (draw(st.sampled_from(known)) for _ in range(2))
    return [
        str(draw(st.integers(-3, 9))), one, f"{one} - {two}", f"say({one})", f"(1 if {one} < {two} else 0)",
        f"(0 if {one} else 1)", f"({one} if {one} <= {two} <= 5 else say({two}))", f"o.{draw(st.sampled_from('xy'))}",
    ][kind]  # fmt: skip


@st.composite
def bodies(draw):
    known, lines = ["a", "b"], []

    def fresh():
        known.append(f"v{len(known)}")
        return known[-1]

    def place(inside):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            return f"o.{draw(st.sampled_from('xy'))}"
        return draw(st.sampled_from(known)) if inside or kind == 1 else None

    def statement(indent, inside):
        kind = draw(st.integers(0, 5))
        if kind < 3:
            values = [_number(draw, known) for _ in range(draw(st.sampled_from([1, 2, 2, 3])))]
            targets = [place(inside) for _ in values]
            lines.append(indent + ", ".join(x or fresh() for x in targets) + " = " + ", ".join(values))
        elif kind == 3:
            one, two = (draw(st.sampled_from(known)) for _ in range(2))
            value = f"max([{_number(draw, [*known, 'w'])} for w in ({one}, {two})])"
            target = place(inside) or fresh()
            lines.append(f"{indent}{target} = {draw(st.sampled_from(['', 'b + ', 'say(1) + ', 'o.x or ']))}{value}")
        elif kind == 4:
            lines.append(f"{indent}if {_number(draw, known)} > 1 or o.y not in (1, {_number(draw, known)}):")
            statement(indent + "    ", True)
        else:
            lines.append(f"{indent}for {draw(st.sampled_from(known)) if inside else fresh()} in range(2):")
            statement(indent + "    ", True)
            statement(indent + "    ", True)

    for _ in range(30):
        statement("    ", False)
    last = ", ".join(draw(st.lists(st.sampled_from(known), min_size=1, max_size=5)))
    return "def f(say, o, a, b):\n" + "\n".join(lines) + f"\n    return ({last},)\n"


def outcome(text, a, b):
    said, names = [], {}
    exec(text, names)
    thing = SimpleNamespace(x=2, y=5)

    def say(number):
        said.append((number, thing.x, thing.y))
        if len(said) > 40 or number > 2000:
            raise OverflowError(number)
        return number

    try:
        result = names["f"](say, thing, a, b)
    except OverflowError as error:
        result = str(error)
    return result, said, thing.x, thing.y


@given(bodies(), st.integers(-4, 9), st.integers(-4, 9))
def test_a_function_says_and_returns_the_same(text, a, b):
    assert outcome(squeezed(text), a, b) == outcome(text, a, b)
