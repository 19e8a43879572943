"""The direction of the house: firmware knows nothing of the host, the host knows the firmware, the rig may use both."""

import ast
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


def test_firmware_does_not_even_name_the_host():
    """What an import check cannot see: `__import__` or a path in a string."""
    for path in (ROOT / "firmware").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
                raise AssertionError(f"{path} calls __import__")


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


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_between_pages_lead_somewhere(page):
    import re

    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / target).exists(), target
