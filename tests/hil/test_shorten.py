"""Short names in an image: nothing that MicroPython or a person says is lost, and nobody finds another's attribute."""

import ast
import json
from itertools import combinations
from types import SimpleNamespace

import pytest

from hil import image
from hil.names import _BUILT_IN, plan
from hil.shorten import pooled, readable, shorten, sorted_first, together

SOURCES = {
    "relith/__init__.py": "",
    "relith/limits.py": '''
"""Says much."""
from micropython import const
_STEP = const(1 << 3)
WIDE = _STEP * 2 - 1
HUGE = 123456789
words = ("for", "people")
seen = 0
class Profile:
    pass
class Cell:
    """Says much."""
    kind = "cell"
    def __init__(self, profile, start=5):
        self.first_uv, self.second_uv = profile.max_uv, start
        self._hidden = [profile.max_uv + k for k in range(3)]
    def widened(self, by=WIDE):
        global seen
        seen += 1
        def inner(number):
            return number + by
        return inner(self.second_uv) + HUGE
class Other:
    def __init__(self):
        self.only_here = _STEP
        self.append = 1
''',
    "relith/user.py": """
from relith.limits import WIDE, Cell, HUGE, Other
from relith import limits
def total(profile):
    cell = Cell(profile, start=2)
    try:
        print(cell.nothing)
    except AttributeError as error:
        pass
    return [cell.widened(), cell.widened(by=3), limits.seen, WIDE, HUGE, Other().only_here, Other().append,
            sum(cell._hidden), cell.first_uv, max([(lambda x: -x)(k) for k in (1, 2)]), cell.kind]
""",
}


@pytest.fixture(scope="module")
def short():
    return plan(SOURCES, {"max_uv", "min_uv"})


def execute(sources):
    """The modules of SOURCES, by hand: relith.limits, then relith.user."""
    limits, user = {}, {}
    exec(sources["relith/limits.py"].replace("from micropython import const", "const = int"), limits)
    lines = sources["relith/user.py"].splitlines()
    user |= {name: value for name, value in limits.items() if not name.startswith("__")}
    user["limits"] = SimpleNamespace(**{name: value for name, value in limits.items() if not name.startswith("__")})
    exec("\n".join(line for line in lines if not line.startswith("from")), user)
    return limits, user


def test_the_same_results_with_short_names(short):
    made = {name: shorten(name, text, short) for name, text in SOURCES.items()}
    limits, user = execute(made)
    seen = user["limits"]
    real = user[short.names["total"]]
    told = real(SimpleNamespace(**{short.names["max_uv"]: 7}))
    _, plain = execute(SOURCES)
    assert told == plain["total"](SimpleNamespace(max_uv=7))
    assert "Says" not in made["relith/limits.py"] and "const" not in made["relith/limits.py"]
    assert "words" not in made["relith/limits.py"], "nobody reads it"
    assert "_STEP" not in made["relith/limits.py"] and "first_uv" not in made["relith/limits.py"]
    assert limits and seen


def test_names_are_shared_between_classes_but_not_within(short):
    told = {place: names for place, names in short.told.items() if place[-1:] == "."}
    assert set(told["Cell."].values()) >= {"first_uv", "second_uv", "_hidden", "widened"}
    assert set(told["Cell."]) & set(told["Other."]), "nothing is shared, so nothing is saved"
    assert "append" not in short.names, "lists have it"


@pytest.fixture(scope="module")
def firmware():
    return image.firmware_plan()


def test_no_class_and_no_module_of_the_firmware_has_two_names_that_became_one(firmware):
    for path in [*image.FIRMWARE.glob("*/*.py"), image.FIRMWARE / "main.py"]:
        tree = ast.parse(path.read_text())
        places = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)] + [tree]
        for place in places:
            nodes = list(ast.walk(place)) if isinstance(place, ast.ClassDef) else tree.body
            names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            names -= {getattr(place, "name", "")}
            if isinstance(place, ast.ClassDef):
                stored = (node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
                names |= {node.attr for node in stored if getattr(node.value, "id", "") == "self"}
            for one, other in combinations(sorted(names), 2):
                assert firmware.names.get(one, one) != firmware.names.get(other, other), (path.name, one, other)
    fields = [firmware.names.get(name, name) for name in sorted(firmware.fields)]
    assert len(fields) == len(set(fields))


def test_what_is_given_to_micropython_keeps_its_name(firmware):
    """Keywords of its constructors, attributes of its modules, in every board file."""
    asked = set()
    for path in (image.FIRMWARE / "boards").glob("*.py"):
        tree = ast.parse(path.read_text())
        theirs = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in ("machine", "pyb")
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in theirs:
                asked |= {word.arg for word in node.keywords}
    assert {"sda", "rxbuf", "timeout", "value", "duty_u16"} <= asked
    assert not asked & firmware.names.keys()
    assert not {"status", "running", "VERSION", "self_test", "relith"} & firmware.names.keys()


def test_a_traceback_is_read_back(firmware):
    apply, gate = firmware.names["apply"], firmware.names["Gate"]
    printed = f"""Traceback (most recent call last):
  File "main.py", line 3, in <module>
  File "bms", line 1, in {apply}
AttributeError: '{gate}' object has no attribute '{firmware.names["crc30"]}'"""
    said = readable(printed, firmware.told).splitlines()
    assert said[1].endswith("in <module>") and said[2] == '  File "bms", line 1, in apply'
    assert said[3].startswith("AttributeError: 'Gate' object has no attribute '") and "crc30" in said[3]


def test_a_traceback_by_hand(tmp_path, capsys, monkeypatch, firmware):
    monkeypatch.setattr(image, "NAMES", tmp_path / "build" / "names.json")
    image.keep_names()
    assert json.loads(image.NAMES.read_text()) == firmware.told
    (tmp_path / "seen").write_text(f'  File "bms", line 1, in {firmware.names["apply"]}\n')
    words = ["--traceback", str(tmp_path / "seen"), "--names", str(image.NAMES)]
    assert image.main(words) == 0
    assert capsys.readouterr().out == '  File "bms", line 1, in apply\n'
    assert image.main([*words[:3], str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/none: cannot be read (No such file or directory)\n"
    (tmp_path / "none").write_text("{")
    assert image.main([*words[:3], str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/none: holds no names of a firmware\n"


def test_text_beside_an_image_keeps_its_own_names(firmware):
    code = "from relith.bms import Bms\nclass Stream:\n    def take(self):\n        return self.take\nr = Bms(r.gate)\n"
    said = image.at_prompt(code)
    assert f"import {firmware.names['Bms']} as Bms" in said and f"r = Bms(r.{firmware.names['gate']})" in said
    assert "class Stream:" in said and ".take" in said


def test_two_values_are_swapped_without_a_tuple(short):
    """MicroPython makes one of `a, b = (b, a)`, which is how ast writes it."""
    text = "def f(x, y):\n    x, y = y, x\n    z = (x, y)\n    return z\n"
    said = shorten("relith/user.py", text, short).splitlines()
    assert said[1] == "    a, b = b, a" and said[2] == "    c = (a, b)"


def test_modules_of_one_file_may_not_bind_a_name_twice():
    twins = {"relith/link.py": "from array import array\ndef load():\n    pass\n", "relith/frames.py": "load = [1]\n"}
    with pytest.raises(
        ValueError, match=r"load is in relith.link and in relith.frames, which an image has in one file"
    ):
        plan(SOURCES | twins, set())


def test_modules_of_one_file_stand_in_it_in_order():
    texts = {
        "relith/link.py": "from array import array\nLAST = array('i', FIRST)\n",
        "relith/frames.py": "from array import array\nFIRST = array('i', [1])\n",
        "relith/schema.py": "x = 1\n",
    }
    assert together(texts) == {
        "relith/link.py": "from array import array\nFIRST = array('i', [1])\nLAST = array('i', FIRST)\n",
        "relith/schema.py": "x = 1\n",
    }


def test_names_of_micropythons_own_cost_a_file_what_they_are_said_to():
    def size(name):
        return len(image._compiled({"relith/x.py": f"x.{name}\n"})["relith/x.py"])

    for price, text in _BUILT_IN.items():
        assert {size(name) - size("q") for name in text.split()} == {price - 3}


def test_no_name_becomes_one_that_the_firmware_says_of_micropython(firmware):
    said = set()
    for path in [*image.FIRMWARE.glob("*/*.py"), image.FIRMWARE / "main.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            said |= {value for _, value in ast.iter_fields(node) if isinstance(value, str)}
    given = {name for names in _BUILT_IN.values() for name in names.split()} & set(firmware.names.values())
    assert len(given) > 40 and not given & said


def test_numbers_that_stand_in_a_file_often_are_bound_once():
    line = "    x = x // 1000 + 5 - (-1000 * 3)\n"
    head = "class Z:\n    pass\ny = 1000\n\ndef f(x, z=1000):\n    x, z = z, x\n"
    text = head + 12 * line + "    return x\n"
    said = pooled(text)
    bound = "    x = x // Y + 5 - -1000 * 3\n"  # what the compiler works out, and what stands in no function, stays
    assert said == "Y = 1000\n" + head + 12 * bound + "    return x\n"
    assert pooled(text.replace(line, "", 4)) == text.replace(line, "", 4), "eight do not pay"


def test_a_number_takes_no_name_that_stands_for_something_else():
    """A class, a function, an argument, an import: though nothing in the file reads it."""
    line = "    x = x // 1000\n"
    text = "from a import Z\n\nclass Y:\n    pass\n\ndef X(W):\n    x = 1\n" + 12 * line
    assert pooled(text).startswith("V = 1000\nfrom a import Z\n")


def test_tables_of_the_link_are_short_in_an_image_and_say_the_same(firmware):
    text = (image.FIRMWARE / "relith" / "catalogue.py").read_text()
    plain, short = {}, {}
    exec(text, plain)
    exec(shorten("relith/catalogue.py", text, firmware), short)
    commands = short[firmware.names.get("COMMANDS", "COMMANDS")]
    assert [tuple(row) for row in commands] == list(plain["COMMANDS"])
    assert isinstance(commands[0], bytes) and isinstance(commands[3], tuple)
    rows = short[firmware.names.get("TO_HOST", "TO_HOST")]
    for (names, kinds), (said, as_well) in zip(plain["TO_HOST"], rows, strict=True):
        assert [firmware.names.get(name, name) for name in names] == list(said) and kinds == as_well


def test_names_that_stand_in_a_file_most_come_first_and_do_nothing():
    lines = [f"    a{k} = g{k}.x{k}\n" * (1 + (k > 60)) for k in range(70)]
    text = "def f():\n" + "".join(lines) + "    return a1\n"
    said = sorted_first(text)
    first = said.splitlines()[2].strip().split(".")
    assert said.endswith(text) and set(first[:19]) == {f"{c}{k}" for c in "gx" for k in range(61, 70)} | {"f"}
    assert len(image._compiled({"relith/x.py": said})["relith/x.py"]) < len(
        image._compiled({"relith/x.py": text})["relith/x.py"]
    )
    exec(said, {})
    assert sorted_first("x = y.z\n") == "x = y.z\n"
