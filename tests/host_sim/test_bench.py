"""`ok` comes from value and target alone; a section merges into the file that is there."""

import json
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim import bench
from host_sim.errors import InputError


@pytest.mark.parametrize(
    ("value", "target", "ok"),
    [
        (1.0, "<= 1.0", True), (1.01, "<= 1.0", False), (20, ">= 20", True), (19.9, ">= 20", False), (3, "< 3", False),
        (2.9, "< 3", True), (100, "> 100", False), (0, "== 0", True), (1, "== 0", False), (93, "93..97", True),
        (97.0, "93..97", True), (97.1, "93..97", False), (-0.5, "-1..0", True), (None, "<= 1", False),
        (float("nan"), ">= 0", False), (float("nan"), "0..1", False), (5, "", None), (5, None, None), (1, "== 1", True),
    ],
)  # fmt: skip
def test_meets(value, target, ok):
    assert bench.meets(value, target) is ok


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_exactly_one_of_below_and_not_below(value, limit):
    assert bench.meets(value, f"< {limit!r}") != bench.meets(value, f">= {limit!r}")


@pytest.mark.parametrize("target", ["about 3", "<= x", "1..", "=> 3", "3"])
def test_a_target_that_cannot_be_judged_is_an_error(target):
    with pytest.raises(ValueError, match="target"):
        bench.meets(1.0, target)


def test_ok_cannot_be_written_by_hand():
    with pytest.raises(ValueError, match="ok"):
        bench.judged("x", {"name": "a", "value": 1, "target": "> 2", "ok": True})


def test_a_section_replaces_its_own_rows_only(tmp_path, monkeypatch, capsys):
    one, two = types.ModuleType("one"), types.ModuleType("two")
    one.rows = lambda: [{"name": "a", "value": 1.0, "unit": "s", "target": "<= 2"}]
    two.rows = lambda: [{"name": "b", "value": 9, "unit": "1", "target": "<= 2", "peer": 3, "ratio": 3.0}]
    monkeypatch.setitem(sys.modules, "one", one)
    monkeypatch.setitem(sys.modules, "two", two)
    monkeypatch.setattr(bench, "sections", lambda: {"one": "one", "two": "two"})
    path = tmp_path / "bench.json"
    assert bench.run("", path) == 1
    two.rows = lambda: [{"name": "b", "value": 2, "target": "<= 2"}]
    assert bench.run("two", path) == 0
    data = json.loads(path.read_text())
    assert set(data) == {"version", "machine", "rows"}
    assert [(r["section"], r["name"], r["ok"]) for r in data["rows"]] == [("one", "a", True), ("two", "b", True)]
    assert all(set(row) == set(bench.COLUMNS) for row in data["rows"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("relith.bench: rows=1 not_ok=0")


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="no bench section"):
        bench.run("nonsense", tmp_path / "b.json")
