"""The page of messages says everything, and is current."""

import pytest
from relith import catalogue

from hil import messages
from hil.catalogue import TO_BOARD, TO_HOST
from host_sim.errors import InputError


def test_everything_is_explained_and_nothing_else():
    for rows, count in (
        ("TO_BOARD", len(catalogue.TO_BOARD)),
        ("TO_HOST", len(catalogue.TO_HOST)),
        ("COMMANDS", len(catalogue.COMMANDS)),
        ("AREAS", 6),
    ):
        assert len(messages.said(rows)) == count
        assert all(messages.said(rows).values())
    used = {name for _, names, _ in (*TO_BOARD.values(), *TO_HOST.values()) for name in names}
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
