"""The mutator: it changes what it says, nothing else; survivors and equivalents are counted as they are."""

import ast

import pytest

from host_sim import mutants
from host_sim.errors import InputError
from host_sim.mutants import Mutant

SOURCE = '''"""Text is left alone."""
import os
LIMIT = 5
TABLE = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12))


def f(a, b):
    """So is this."""
    if a < LIMIT and not b:
        a += 1
    return min(a, -b)
'''


def test_every_kind_is_made_and_every_mutant_differs():
    found = mutants.mutants("gate", SOURCE)
    plain = ast.unparse(ast.parse(SOURCE))
    made = [mutants.mutated(SOURCE, one.number) for one in found]
    assert plain not in made and len(set(made)) == len(made)
    assert len({one.key for one in found}) == len(found)
    said = " ".join(one.what for one in found)
    for kind in ("+1", "-1", "compare", "and-or", "not", "sign", "operator", "min-max", "drop", "never", "always"):
        assert f"| {kind}" in said
    assert "drop row 5" in said and "swap rows 4 and 5" in said
    assert not any("Text" in one.what or "import" in one.what for one in found)


def test_the_state_table_is_mutated_row_by_row():
    found = mutants.every(("states",))
    assert sum("drop row" in one.what for one in found) >= 10


def test_results_are_counted_without_equivalents():
    assert mutants.summary({"a": "test", "b": "", "c": ""}, {"c": "why"}) == (1, 2, ["b"])


def test_an_equivalent_needs_a_reason(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("mutant,reason\ngate: x,\n")
    with pytest.raises(InputError, match="gate: x: reason"):
        mutants.equivalents(path)


def test_the_reasons_that_are_kept_belong_to_mutants():
    assert mutants.equivalents().keys() <= {one.key for one in mutants.every()}


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    asked = []

    def judge(todo, jobs):
        asked.extend(todo)
        return iter([(one.key, "" if one.line == 2 else "a test") for one in todo])

    some = [Mutant("gate", line, f"line {line}", line) for line in range(40)]
    monkeypatch.setattr(mutants, "every", lambda rooms: some)
    monkeypatch.setattr(mutants, "judge", judge)
    out = ["--out", str(tmp_path / "m.json")]
    assert mutants.main([*out, "--sample", "30"]) == 0 and len(asked) == 30
    assert mutants.main(out) == 0 and len(asked) == 40
    assert mutants.main(out) == 0 and len(asked) == 40
    assert "39 of 40 killed" in capsys.readouterr().out
    monkeypatch.setattr(mutants, "version_of", lambda rooms: "other tests")
    assert mutants.main(out) == 0 and len(asked) == 41  # only the survivor
    monkeypatch.setattr(mutants, "judge", lambda todo, jobs: iter([(one.key, "") for one in todo]))
    assert mutants.main(["--out", str(tmp_path / "n.json")]) == 1


def test_the_copy_runs_tests_against_a_mutant(tmp_path):
    copy = mutants.Copy(tmp_path / "copy")
    assert copy.run(("test_reasons",)) == ""
    path = copy.folder / "firmware" / "relith" / "journal.py"
    before = path.read_text()
    one = next(
        one for one in mutants.every(("journal",)) if "return sequence" in one.what or "_VERSION = 1" in one.what
    )
    broken = next(one for one in mutants.every(("journal",)) if "_HEAD = 8" in one.what)
    assert copy.killed_by(broken) != ""
    assert path.read_text() == before != mutants.mutated(before, one.number)
    with pytest.raises(InputError, match="fewer"):
        mutants.mutated(before, 10**6)
