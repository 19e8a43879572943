"""The numbers that the firmware uses for reasons are the lines of reasons.txt that bear these names."""

from pathlib import Path

import pytest

from host_sim.tables import REASONS

RELITH = Path(__file__).parents[2] / "firmware" / "relith"
NAMES = [line.split()[0] for line in (RELITH / "reasons.txt").read_text().splitlines()]
MODULES = sorted(path for path in RELITH.glob("*.py") if "\n_WHY_" in path.read_text())


def numbers(path, prefix):
    """name -> value of every `PREFIX_NAME = const(value)` in a module."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(" = const(")
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = eval(value.rpartition(")")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_numbers_are_lines(path):
    whys = numbers(path, "_WHY_")
    assert whys
    for name, number in whys.items():
        assert NAMES[number] == name


def test_words():
    assert len(REASONS) == len(NAMES) == len(set(NAMES)) == len(set(REASONS))
    assert REASONS[1] == "the independent cut-off has tripped"
    assert len(REASONS) < 256  # a byte on the wire
