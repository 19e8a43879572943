"""Drivers, boards, main and boot: whole numbers only, and nothing that a stock board lacks."""

import ast
import json
from pathlib import Path

import pytest

from hil import image

FIRMWARE = Path(__file__).parents[3] / "firmware"
FILES = sorted([*FIRMWARE.glob("*/*.py"), FIRMWARE / "main.py", FIRMWARE / "boot.py"])
ABSENT = {"enum", "typing", "dataclasses", "contextlib", "collections.abc", "abc", "host_sim", "hil"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(FIRMWARE)))
def test_no_float_and_no_module_that_a_board_lacks(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), node.lineno
        assert not isinstance(node, (ast.Div, ast.JoinedStr, ast.Match))
        assert not (isinstance(node, ast.Name) and node.id == "float"), node.lineno
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & ABSENT
        if isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] not in ABSENT and not node.level


def test_the_mip_package_lists_every_file():
    text = (FIRMWARE / "package.json").read_text()
    assert text == image.mip_package(), "python -m hil.image writes it"
    listed = dict(json.loads(text)["urls"])
    there = {str(p.relative_to(FIRMWARE)) for p in FIRMWARE.glob("*/*.*") if p.suffix in (".py", ".txt")} | {"main.py"}
    assert listed.keys() == there
    assert all(target == source for target, source in listed.items())


def test_the_manifest_freezes_every_package():
    asked = []
    source = (FIRMWARE / "manifest.py").read_text()
    exec(source, {"package": asked.append, "module": asked.append})
    assert asked == ["relith", "drivers", "boards", "main.py"]
    assert all((FIRMWARE / name).exists() for name in asked)
