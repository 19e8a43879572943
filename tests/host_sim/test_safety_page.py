"""Every safety rule names its tests; a rule without one is found, and so is an old page."""

import ast

from host_sim import safety_page
from host_sim.safety_page import RULES


def test_every_rule_has_a_test_and_the_page_is_up_to_date(capsys):
    assert safety_page.main(["--check"]) == 0, capsys.readouterr().err


def test_a_rule_without_a_test_is_found(tmp_path, monkeypatch, capsys):
    text = "import pytest\n@pytest.mark.safety(2, 17)\ndef test_one():\n    pass\n"
    (tmp_path / "test_x.py").write_text(text)
    found = safety_page.tests_of_rules(tmp_path)
    wrong = safety_page.problems(found)
    assert len(wrong) == len(RULES) and "rule 1 (Precedence) has no test" in wrong[0]
    assert "test_one names safety rule 17, of 16" in wrong[-1]
    monkeypatch.setattr(safety_page, "tests_of_rules", lambda: found)
    monkeypatch.setattr(safety_page, "DOC", tmp_path / "safety.md")
    assert safety_page.main([]) == 1 and not safety_page.DOC.exists()
    assert "has no test" in capsys.readouterr().err


def test_an_old_page_is_noticed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(safety_page, "DOC", tmp_path / "safety.md")
    assert safety_page.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert safety_page.main([]) == 0 == safety_page.main(["--check"])


def test_a_whole_module_may_name_a_rule():
    tree = ast.parse("pytestmark = pytest.mark.safety(5)\n@pytest.mark.safety(7)\ndef test_a(): pass\ndef help(): pass")
    assert list(safety_page._marked(tree)) == [(5, "test_a"), (7, "test_a")]
