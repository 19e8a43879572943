"""The mutator: it changes what it says, nothing else; survivors and equivalents are counted as they are."""

import ast
import json
import os
import sys
from dataclasses import replace

import pytest

from host_sim import mutant_judge, mutants, mutator
from host_sim.errors import InputError
from host_sim.mutant_judge import FAULT, Watch, apart
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


def made_of(source):
    return {text_of(source, one.number): one.what.split(" | ")[2] for one in mutator.mutants("gate", source)}


def test_every_link_of_a_chain_is_compared_wrongly():
    made = made_of("def f(a):\n    return 0 < a <= b\n")
    kinds = {text.rpartition("return ")[2]: kind.partition(":")[0] for text, kind in made.items()}
    assert kinds["0 <= a <= b"] == "compare 1" and kinds["0 < a < b"] == "compare 2"
    assert kinds["0"] == "return"


def test_what_is_added_may_be_forgotten():
    made = made_of("def f(a):\n    a |= b\n    a ^= b\n")
    texts = {text for text, kind in made.items() if kind.startswith("drop")}
    assert texts == {"def f(a):\n    pass\n    a ^= b", "def f(a):\n    a |= b\n    pass"}


def test_rows_that_read_the_same_are_not_swapped():
    made = made_of("TABLE = (1, 1, 2, 3, 4, 5)\n")
    assert "swap rows 0 and 1" not in made.values() and "swap rows 1 and 2" in made.values()
    made = made_of("TABLE = ((1, 2, 1, 3, 4, 3), (1, 2, 1, 2))\n")
    assert sorted(kind for kind in made.values() if kind.startswith("swap")) == [
        "swap rows 0 and 1",  # and what they lead to, swapped, is the same
        "swap rows 1 and 2",  # so here
    ]


def test_a_row_of_pairs_is_dropped_and_swapped_in_pairs():
    rows = {text_of(SOURCE, one.number).splitlines()[3] for one in mutator.mutants("gate", SOURCE)}
    for row in ("(3, 4)", "(3, 4, 1, 2)", "(1, 4, 3, 2)"):
        assert any(line.startswith(f"TABLE = ({row}, (3, 4)") for line in rows)


def test_the_tables_are_mutated_row_by_row_and_word_by_word():
    found = mutator.every(("states", "protection"))
    assert sum("drop row" in one.what for one in found if one.room == "states") >= 40
    lines = [one.what for one in found if one.file == "protection.txt"]
    text = (mutator.RELITH / "protection.txt").read_text().splitlines()
    assert sum(what.endswith("| drop row") for what in lines) == sum(bool(line) and line[0] != "#" for line in text)
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


def some_mutants(count):
    return [Mutant("gate", "gate.py", line, "f", f"line {line}", line, "as it was") for line in range(count)]


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    asked = []

    def judge(todo, jobs, cache, version):
        asked.extend(todo)
        return iter([(one.key, "" if one.line == 2 else "a test") for one in todo])

    monkeypatch.setattr(mutants, "every", lambda rooms: some_mutants(40))
    monkeypatch.setattr(mutants, "judge", judge)
    out = ["--out", str(tmp_path / "m.json")]
    assert mutants.main([*out, "--sample", "30"]) == 0 and len(asked) == 30
    assert mutants.main(out) == 0 and len(asked) == 40
    assert mutants.main(out) == 0 and len(asked) == 40
    said = capsys.readouterr().out
    assert "39 of 40 killed" in said and "gate: 39 of 40 killed, 0 equivalent" in said
    monkeypatch.setattr(mutants, "version_of", lambda: "other tests")
    assert mutants.main(out) == 0 and len(asked) == 41  # only the survivor
    monkeypatch.setattr(mutants, "judge", lambda todo, *rest: iter([(one.key, "") for one in todo]))
    assert mutants.main(["--out", str(tmp_path / "n.json")]) == 1


def test_a_changed_function_or_a_changed_test_is_judged_anew():
    test = "tests/host_sim/test_mutants.py::test_an_equivalent_needs_a_reason"
    (mutant,) = some_mutants(1)
    result = {"by": test, "of": "as it was", "test": mutants.print_of(test), "version": "1"}
    assert (
        result["test"] and mutants.print_of(f"{test}[one]") == mutants.print_of(f"timeout in {test}") == result["test"]
    )
    assert mutants.holds(result, mutant, "2")
    assert not mutants.holds(result, replace(mutant, print="changed"), "1")
    assert not mutants.holds(result | {"test": "changed"}, mutant, "1")
    assert not mutants.holds(result | {"by": "tests/gone.py::test_that_is_gone"}, mutant, "1")
    assert mutants.holds(result | {"by": ""}, mutant, "1") and not mutants.holds(result | {"by": ""}, mutant, "2")


def test_a_fault_of_the_harness_kills_nothing(tmp_path, monkeypatch, capsys):
    """It is told, not kept, and the run does not pass."""

    def judge(todo, jobs, cache, version):
        return iter([(one.key, mutant_judge.FAULT + "broke" if one.line == 7 else "a test") for one in todo])

    monkeypatch.setattr(mutants, "every", lambda rooms: some_mutants(40))
    monkeypatch.setattr(mutants, "judge", judge)
    path = tmp_path / "m.json"
    assert mutants.main(["--out", str(path)]) == 1
    said = capsys.readouterr()
    assert "39 of 39 killed" in said.out
    assert "gate: f: line 7: fault: broke" in said.err and "1 not judged" in said.err
    assert "gate: f: line 7" not in json.loads(path.read_text())["results"]


def test_the_interval_of_a_sample():
    low, high = mutants.interval(95, 100)
    assert low == pytest.approx(0.888, abs=1e-3) and high == pytest.approx(0.978, abs=1e-3)
    assert mutants.interval(0, 0) == (0.0, 1.0)


def test_what_a_process_of_its_own_comes_to(monkeypatch):
    monkeypatch.setattr(mutant_judge, "LONGEST_S", 0.1)

    def spin(watch):
        watch.pytest_runtest_logstart("a_test", None)
        while True:
            pass

    watch = Watch()
    assert apart(lambda: {"a": 1}) == {"a": 1}
    assert apart(lambda: 1 // 0).startswith(FAULT) and "ZeroDivisionError" in apart(lambda: 1 // 0)
    assert apart(lambda: os._exit(3)) == f"{FAULT}the process ended with 3"
    assert apart(lambda: os.kill(os.getpid(), 9)) == f"{FAULT}the process ended with -9"
    assert apart(sys.exit, 0).startswith(FAULT)
    assert apart(spin, watch, watch=watch) == "timeout in a_test"


class Broken:
    """A plugin that fails inside pytest, not inside a test."""

    def pytest_runtest_logreport(self, report):
        raise RuntimeError("harness")


def test_only_a_failing_test_kills(tmp_path, monkeypatch):
    """Not pytest giving up, not a file that is not there."""
    (tmp_path / "test_fine.py").write_text("def test_it():\n    pass\n")
    (tmp_path / "test_fails.py").write_text("def test_fine():\n    pass\n\n\ndef test_it():\n    assert False\n")
    (tmp_path / "test_broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)

    def told(name, watch):
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(nothing, stream)
        return mutant_judge.run([name], watch)

    assert apart(told, "test_fine.py", Watch()) == ""
    assert apart(told, "test_fails.py", Watch()) == "test_fails.py::test_it"
    assert apart(told, "test_broken.py", Watch()) == "import of test_broken.py"
    assert "pytest gave up with exit 4" in apart(told, "test_gone.py", Watch())
    monkeypatch.setattr(Watch, "pytest_runtest_logreport", Broken.pytest_runtest_logreport)
    broken = apart(told, "test_fine.py", Watch())
    assert broken.startswith(FAULT) and "pytest gave up with exit 3" in broken


def chosen(file, part):
    return next(one for one in mutator.every(("journal", "protection")) if one.file == file and part in one.what)


def test_mutants_are_judged_by_the_tests_that_reach_them(tmp_path, monkeypatch):
    """In a function: exchanged in place; a constant: imported anew; and one that nobody tells."""
    journal = "tests/firmware/test_journal.py"
    monkeypatch.setattr(mutant_judge, "tests_of", lambda *parts: [journal])
    todo = [
        chosen("journal.py", "end = _HEAD + size | col 4 | drop"),
        chosen("journal.py", "_HEAD = 8"),
        next(one for one in mutator.every(("journal",)) if one.key in mutants.equivalents()),
    ]
    found = mutant_judge.surveyed(tmp_path / "m.map", "1")["reach"]
    assert [bool(mutant_judge.in_place(one, found)) for one in todo] == [True, False, True]
    told = dict(mutant_judge.judge(todo, 1, tmp_path / "m.map", "1"))
    assert [told[one.key].partition("::")[0] for one in todo] == [journal, journal, ""]


def test_a_row_of_the_table_is_read_anew():
    row = chosen("protection.txt", "row hot_hard hot_cdegc hard_high_cdegc 500 hard all 0 0 1000 yes | 500 -> 501")
    test, watch = "tests/firmware/test_protection.py::test_the_table_is_what_is_demanded", Watch()
    assert mutant_judge.in_place(row, {}) == []
    assert apart(mutant_judge.judged_anew, row, [test], watch, watch=watch) == test


def test_a_baseline_that_fails_judges_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mutant_judge, "survey", lambda: {"failed": "tests/a.py::test_b"})
    with pytest.raises(InputError, match=r"without a mutant: tests/a.py::test_b"):
        list(mutant_judge.judge(some_mutants(1), 1, tmp_path / "m.map", "1"))
    assert not (tmp_path / "m.map").exists()


def test_code_is_exchanged_only_where_nothing_else_changes():
    found = mutator.functions(SOURCE, "made_up.py")
    assert {name for codes in found.values() for name, _ in codes} == {"f"}
    for one in mutator.mutants("gate", SOURCE):
        assert (one.number in found) == (one.place == "f"), one.what
    namespace = {}
    exec(compile(SOURCE, "made_up.py", "exec"), namespace)
    dropped = next(one for one in mutator.mutants("gate", SOURCE) if "operator: a += 1 -> a -= 1" in one.what)
    assert namespace["f"](1, 0) == 0
    namespace["f"].__code__ = found[dropped.number][0][1]
    assert namespace["f"](1, 5) == -5 and namespace["f"](1, -9) == 1 and namespace["f"](4, 0) == 0


def test_the_tests_of_a_mutant_are_those_that_reach_it():
    own, slow, other = (
        f"tests/firmware/{name}" for name in ("test_gate_pulse.py::a", "test_gate.py::b", "test_bms.py::b")
    )
    survey = {"took_s": {own: 0.2, slow: 0.4, other: 0.02}, "reach": {"gate.py": {"50": [other, own, slow]}}}
    line_50, line_51 = some_mutants(52)[50:]
    assert mutant_judge.tests_for(line_50, survey) == [own, other]
    assert mutant_judge.tests_for(line_51, survey) == [own, other]  # none known: all
    reach = {"gate.py": {"50": ["", own]}, "bms.py": {"1": [other]}}
    assert mutant_judge.tests_for(line_50, {**survey, "reach": reach}) == [own]


def test_tests_that_told_a_neighbour_go_first():
    names = [f"tests/firmware/test_gate_pulse.py::{name}" for name in "abc"]
    survey = {
        "took_s": {name: k / 100 for k, name in enumerate(names)},
        "reach": {"gate.py": {"0": names, "1": names[1:]}},
    }
    order, (first, second) = mutant_judge.Order(survey), some_mutants(2)
    assert order.tests(first) == names
    order.note(first, names[2])
    order.note(first, f"timeout in {names[0]}")
    order.note(second, "import: TypeError")
    assert order.tests(first) == [names[0], names[2], names[1]] and order.tests(second) == [names[2], names[1]]
