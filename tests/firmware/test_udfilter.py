"""What a board adds to the filter; its numbers are tested with the inventory (test_inventory*.py)."""

from relith.udfilter import ONE, Filter


def test_a_board_may_collect_garbage_where_an_update_begins(monkeypatch):
    seen = []
    f = Filter(2)
    monkeypatch.setattr(Filter, "tidy", lambda: seen.append(f.x[0]))
    f.update(((0, ONE),), 5, 1)
    f.update(((0, ONE),), 5, 1)
    assert seen[0] == 0 and seen[1] > 0
