"""The direction of the house: firmware knows nothing of the host, the host knows the firmware, the rig may use both."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {"firmware": {"host_sim", "hil"}, "host_sim": {"hil"}}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_imports_against_the_direction(room):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imports(path)
        if name in FORBIDDEN[room]
    ]
    assert wrong == []


HOST = re.compile(r"\b(host_sim|hil|tests)\b")


def named(tree):
    """What an import check cannot see: code made from text, and a room of the host in a string that is no docstring."""
    texts = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("__import__", "exec", "eval", "compile"):
            yield node.id
        elif isinstance(node, ast.Constant) and id(node) not in texts:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(text, str) and HOST.search(text):
                yield text
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (name for name in modules if name.split(".")[0] in ("importlib", "runpy"))


def test_firmware_does_not_even_name_the_host():
    """`__import__`, code in a string, or a path into the host's rooms."""
    for path in (ROOT / "firmware").rglob("*.py"):
        assert list(named(ast.parse(path.read_text(encoding="utf-8")))) == [], path


@pytest.mark.parametrize(
    "line",
    [
        "__import__('ho' + 'st_sim')", "exec('import x')", "eval(x)", "import importlib", "from importlib import util",
        "open('../host_sim/run.py')", "PATH = 'hil/rig.py'", "PATH = b'tests'", "import runpy as r",
    ],
)  # fmt: skip
def test_naming_the_host_is_found(line):
    assert list(named(ast.parse(line)))


def test_what_is_no_name_of_the_host():
    assert not list(named(ast.parse('"""See host_sim/statechart.py."""\nX = "while"\nimport os\n')))


def test_the_rooms_are_there():
    for room in (
        "firmware/relith",
        "firmware/boards",
        "firmware/drivers",
        "firmware/profiles",
        "host_sim/cell",
        "host_sim/uses",
        "hil",
    ):
        assert any((ROOT / room).iterdir()), room


def test_every_make_target_has_its_module():
    """A command that is advertised exists: each `relith-sim X` and `python -m X` in the Makefile can be found."""
    import importlib.util
    import re

    from host_sim.cli import available

    text = (ROOT / "Makefile").read_text()
    for command in re.findall(r"relith-sim (\w+)", text):
        assert command in available(), command
    for module in re.findall(r"python -m ([\w.]+)", text):
        if module not in ("pip", "venv"):
            assert importlib.util.find_spec(module), module
