"""The page of messages says everything, and is current."""

import pytest
from relith import catalogue

from hil import messages
from host_sim.errors import InputError


def test_everything_is_explained_and_nothing_else():
    assert set(messages.MESSAGES) == {name for name, *_ in (*catalogue.TO_BOARD, *catalogue.TO_HOST)}
    assert set(messages.COMMANDS) == {name for name, *_ in catalogue.COMMANDS}
    assert set(messages.RECORDS) == set(catalogue.AREAS)
    used = {name for _, names, _ in (*catalogue.TO_BOARD, *catalogue.TO_HOST) for name in names}
    assert set(messages.meanings()) == used
    assert set(messages.FIELDS) <= used
    assert all(messages.meanings().values())


def test_an_unexplained_field_is_noticed(monkeypatch):
    monkeypatch.delitem(messages.FIELDS, "nonce")
    with pytest.raises(KeyError, match="nonce"):
        messages.meanings()


def test_the_page_is_current():
    assert messages.main(["--check"]) == 0


def test_a_stale_page_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    monkeypatch.setattr(messages, "PAGE", tmp_path / "messages.md")
    monkeypatch.setattr(messages, "page", lambda: "the page\n")
    with pytest.raises(InputError, match=r"messages\.md is not current; run python -m hil\.messages"):
        messages.main(["--check"])
    assert messages.main([]) == 0
    assert messages.main(["--check"]) == 0
