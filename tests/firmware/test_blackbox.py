"""The black box by itself: sixteen ticks, the first event and the newest."""

import struct
from types import SimpleNamespace

import pytest
from relith.blackbox import BlackBox


def moment(k):
    """A tick of which every number is another, and what is to be kept of it."""
    outputs = SimpleNamespace(
        state=k % 10,
        decision=k % 3,
        reason=k % 50,
        pulse_count=100 + k,
        discharge_enable=k & 1,
        charge_enable=k >> 1 & 1,
    )
    belief = SimpleNamespace(count=-k, min_uv=3_000_000 + k, max_uv=4_000_000 + k, max_cdegc=2500 + k)
    clock, protection = SimpleNamespace(seconds=7 * k), SimpleNamespace(alarms=1 << k % 20)
    bms = SimpleNamespace(clock=clock, belief=belief, outputs=outputs, protection=protection)
    said = (k % 10) << 16 | (k % 3) << 8 | k % 50
    granted = (100 + k) * 4 + (k & 1) * 2 + (k >> 1 & 1)
    return bms, (7 * k, -k, 3_000_000 + k, 4_000_000 + k, 2500 + k, said, 1 << k % 20, granted)


def seen(box, first, last):
    """The box sees ticks first … last - 1; the rows of the last sixteen."""
    for k in range(first, last):
        box.note(moment(k)[0])
    return [moment(k)[1] for k in range(max(0, last - 16), last)]


def rows(box):
    return list(struct.iter_unpack("<8i", box.kept))


@pytest.mark.safety(14)
@pytest.mark.parametrize("ticks", [0, 1, 2, 15, 16, 17, 31, 32, 33, 40, 100])
def test_the_last_sixteen_ticks_oldest_first(ticks):
    box = BlackBox()
    wanted = seen(box, 0, ticks)
    box.keep()
    assert rows(box) == wanted and box.first == 32 * len(wanted)


@pytest.mark.safety(14)
@pytest.mark.parametrize("length", [3, 8, 9, 16])
def test_the_first_event_and_the_newest(length):
    box = BlackBox()
    first = seen(box, 0, length)
    box.keep()
    for end in (60, 90):
        newest = seen(box, end - 20, end)
        box.keep()
        assert rows(box) == first[-8:] + newest[-8:] and box.first == 32 * len(first[-8:])
    box.first = 0  # a person has cleared
    newest = seen(box, 100, 120)
    box.keep()
    assert rows(box) == newest and box.first == 512


def test_it_comes_back_or_is_refused():
    box = BlackBox()
    seen(box, 0, 16)
    box.keep()
    again = BlackBox()
    assert again.kept == b"" and again.first == 0
    assert again.unpack(box.pack()) is True and again.kept == box.kept
    for wrong in (b"x", b"x" * 31, b"x" * 33, b"x" * 544):
        assert again.unpack(wrong) is False and again.kept == box.kept
    assert again.unpack(b"") is True and again.kept == b""


def test_what_counts_its_ticks_stays_small():
    box = BlackBox()
    for last in range(1, 101):
        box.note(moment(last)[0])
        assert min(last, 16) <= box._ticks < 32
