"""The mutator: it changes what it says, nothing else; survivors and equivalents are counted as they are."""

import ast

import pytest

from host_sim import mutants, mutator
from host_sim.errors import InputError
from host_sim.mutator import Mutant

SOURCE = '''"""Text is left alone."""
import os
LIMIT = 5
TABLE = ((1, 2, 3, 4), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12))


def f(a, b):
    """So is this."""
    if a < LIMIT and not b:
        a += 1
    return min(a, -b)
'''


def text_of(source, number):
    return ast.unparse(mutator.mutated(source, number))


def test_every_kind_is_made_and_every_mutant_differs():
    found = mutator.mutants("gate", SOURCE)
    plain = ast.unparse(ast.parse(SOURCE))
    made = [text_of(SOURCE, one.number) for one in found]
    assert plain not in made and len(set(made)) == len(made)
    assert len({one.key for one in found}) == len(found)
    said = " ".join(one.what for one in found)
    for kind in ("+1", "-1", "compare", "and-or", "not", "sign", "operator", "min-max", "drop", "never", "always"):
        assert f"| {kind}" in said
    assert "drop row 5" in said and "swap rows 4 and 5" in said and "what they lead to" in said
    assert not any("Text" in one.what or "import" in one.what for one in found)
    with pytest.raises(InputError, match="fewer"):
        mutator.mutated(SOURCE, 10**6)


def test_a_row_of_pairs_is_dropped_and_swapped_in_pairs():
    rows = {text_of(SOURCE, one.number).splitlines()[3] for one in mutator.mutants("gate", SOURCE)}
    for row in ("(3, 4)", "(3, 4, 1, 2)", "(1, 4, 3, 2)"):
        assert any(line.startswith(f"TABLE = ({row}, (3, 4)") for line in rows)


def test_the_tables_are_mutated_row_by_row_and_word_by_word():
    found = mutator.every(("states", "protection"))
    assert sum("drop row" in one.what for one in found if one.room == "states") >= 40
    lines = [one.what for one in found if one.file == "protection.txt"]
    assert sum(what.endswith("| drop row") for what in lines) == 25 + 30
    assert sum("row cell_high_hard" in what for what in lines) >= 15
    assert len({one.key for one in found}) == len(found)


def test_a_table_of_words_differs_in_one():
    one, two = "row one a hard_max_uv 10 hard all 0 0 5 yes", "row two b -low_uv 0 soft none 1 2 3 no"
    text = f"# kept\nquantity a x\nquantity b y\n{one}\n{two}\n"
    made = mutator.table_mutants("protection", text)
    assert len({new for _, new in made}) == len(made) and text not in {new for _, new in made}
    first = {new.splitlines()[3] for _, new in made if new.count("\n") == 5}
    assert {"row one a -hard_max_uv 10 hard all 0 0 5 yes", "row one a hard_max_uv 11 hard all 0 0 5 yes"} <= first
    assert {"row one a hard_max_uv 10 lockout all 0 0 5 yes", "row one a -low_uv 10 hard all 0 0 5 yes"} <= first


def test_results_are_counted_without_equivalents():
    assert mutants.summary({"a": "test", "b": "", "c": ""}, {"c": "why"}) == (1, 2, ["b"])


def test_an_equivalent_needs_a_reason(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("mutant,reason\ngate: x,\n")
    with pytest.raises(InputError, match="gate: x: reason"):
        mutants.equivalents(path)


def test_the_reasons_that_are_kept_belong_to_mutants():
    assert mutants.equivalents().keys() <= {one.key for one in mutator.every(tuple(mutants.ROOMS))}


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    asked = []

    def judge(todo, jobs, cache):
        asked.extend(todo)
        return iter([(one.key, "" if one.line == 2 else "a test") for one in todo])

    some = [Mutant("gate", "gate.py", line, f"line {line}", line) for line in range(40)]
    monkeypatch.setattr(mutants, "every", lambda rooms: some)
    monkeypatch.setattr(mutants, "judge", judge)
    out = ["--out", str(tmp_path / "m.json")]
    assert mutants.main([*out, "--sample", "30"]) == 0 and len(asked) == 30
    assert mutants.main(out) == 0 and len(asked) == 40
    assert mutants.main(out) == 0 and len(asked) == 40
    assert "39 of 40 killed" in capsys.readouterr().out
    monkeypatch.setattr(mutants, "version_of", lambda: "other tests")
    assert mutants.main(out) == 0 and len(asked) == 41  # only the survivor
    monkeypatch.setattr(mutants, "judge", lambda todo, jobs, cache: iter([(one.key, "") for one in todo]))
    assert mutants.main(["--out", str(tmp_path / "n.json")]) == 1


def test_the_interval_of_a_sample():
    low, high = mutants.interval(95, 100)
    assert low == pytest.approx(0.888, abs=1e-3) and high == pytest.approx(0.978, abs=1e-3)
    assert mutants.interval(0, 0) == (0.0, 1.0)


def chosen(file, part):
    return next(one for one in mutator.every(("journal", "protection")) if one.file == file and part in one.what)


@pytest.mark.parametrize(
    "mutant, test",
    [
        (chosen("journal.py", "_HEAD = 8"), "tests/firmware/test_journal.py"),
        (chosen("protection.txt", "row hot_hard hot_cdegc hard_high_cdegc 500 hard all 0 0 1000 yes | 500 -> 501"),
         "tests/firmware/test_protection.py::test_the_table_is_what_is_demanded"),
    ],
)  # fmt: skip
def test_a_mutant_is_killed_in_a_process_of_its_own(mutant, test):
    files = {f"tests/firmware/{name}.py" for name in ("test_journal", "test_protection")}
    by = mutants._apart(only, mutant, sorted(files))
    assert by.startswith(test)
    assert mutants._apart(only, None, ["tests/firmware/test_journal.py"]) == ""


def only(mutant, files):
    if mutant:
        mutants._plant(mutant)
    return mutants._run(files, mutants._Watch(None))


def test_the_tests_of_a_mutant_are_those_that_reach_it():
    own, other = "tests/firmware/test_gate_pulse.py::a", "tests/firmware/test_bms.py::b"
    survey = {"took_s": {own: 2.0, other: 1.0}, "reach": {"gate.py": {"50": [other, own]}}}
    assert mutants.tests_for(Mutant("gate", "gate.py", 50, "", 0), survey) == [own, other]
    assert mutants.tests_for(Mutant("gate", "gate.py", 51, "", 0), survey) == [own, other]  # none known: all
    reach = {"gate.py": {"50": [own]}, "bms.py": {"1": [other]}}
    assert mutants.tests_for(Mutant("gate", "gate.py", 50, "", 0), {**survey, "reach": reach}) == [own]
