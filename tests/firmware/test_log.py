"""The log keeps the last events, in order, and a flood of the same takes one place."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from relith.log import CHANGE, REFUSAL, Log
from relith.readings import Outputs

ROOM = 32


def events(log):
    head, *rest = struct.iter_unpack("<iii", log.pack(9, -1, -1))
    assert head == (9, -1, -1)
    return rest


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=120))
def test_the_last_ones_are_kept(given_events):
    log, kept = Log(), []
    for now_s, (code, detail) in enumerate(given_events):
        log.add(now_s, code, detail)
        if kept and kept[-1][1:] == (code, detail):
            kept[-1] = (now_s, code, detail)
        else:
            kept.append((now_s, code, detail))
    assert events(log) == kept[-ROOM:]
    assert log.count == len(kept)


@given(st.lists(st.sampled_from(("state", "decision", "reason", "alarms", "")), max_size=40))
def test_changes_are_seen_once(changes):
    log, outputs = Log(), Outputs()
    assert log.watch(outputs, 0)
    for now_s, name in enumerate(changes):
        if name:
            setattr(outputs, name, getattr(outputs, name) + 1)
        assert log.watch(outputs, now_s) == bool(name)
        assert not log.watch(outputs, now_s)
    code = outputs.state << 16 | outputs.decision << 8 | outputs.reason
    assert events(log)[-1][1:] == (code, outputs.alarms)


def test_the_count_wraps():
    log = Log()
    log.count = 2**30 - 2
    for k in range(4):
        log.add(k, REFUSAL << 24 | k, CHANGE)
    assert log.count == 2
    assert [code & 255 for _, code, _ in events(log)] == [2, 3]
