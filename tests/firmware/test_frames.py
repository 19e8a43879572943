"""Fields of a frame, each kind by itself and at its ends."""

import struct
from array import array
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import frames
from relith.frames import BEYOND, FIRST, MOST


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_number_of_31_bits(value):
    read = frames.i32(struct.pack("<xi", value), 1, 5)
    assert read == (value if -(1 << 30) <= value < 1 << 30 else BEYOND)


@pytest.mark.parametrize("value", [(1 << 30) - 1, -(1 << 30) + 1, 0x3FFFFFFF, -0x3F000000, -1, 0, 255, 1 << 24])
def test_numbers_at_the_ends(value):
    assert frames.i32(struct.pack("<i", value), 0, 4) == value


@pytest.mark.parametrize("value", [1 << 30, -(1 << 30) - 1, (1 << 31) - 1, -(1 << 31)])
def test_numbers_beyond_the_ends(value):
    assert frames.i32(struct.pack("<i", value), 0, 4) == BEYOND


def test_what_no_number_is_allocates_nothing():
    """The least small int of a board whose words have 32 bits."""
    assert BEYOND == -(1 << 30)


def test_a_number_that_is_not_whole():
    assert frames.i32(bytes(8), 5, 8) == BEYOND and frames.i32(bytes(8), 4, 8) == 0


def packed(kinds, values, room=80):
    """The fields as packed over noise, and where they end."""
    buffer = bytearray(b"\xa5" * room)
    names = [f"n{k}" for k in range(len(kinds))]
    end = frames.pack_fields(buffer, names, kinds, SimpleNamespace(**dict(zip(names, values, strict=True))))
    assert buffer[:7] == b"\xa5" * 7 and set(buffer[end:]) <= {0xA5}
    return bytes(buffer[7:end])


@given(st.lists(st.booleans(), max_size=20))
def test_bits_stand_eight_to_a_byte_lowest_first(bits):
    number = sum(bit << k for k, bit in enumerate(bits))
    assert packed(b"?" * len(bits), [int(bit) for bit in bits]) == number.to_bytes((len(bits) + 7) // 8, "little")


@pytest.mark.parametrize("value, said", [(0, 0), (1, 1), (255, 255), (256, 255), (-1, 255)])
def test_a_byte(value, said):
    assert packed(b"B", [value]) == bytes([said])


@pytest.mark.parametrize("value, said", [(0, 0), (65_535, 65_535), (65_536, 65_535), (-1, 65_535), (256, 256)])
def test_two_bytes(value, said):
    assert packed(b"H", [value]) == struct.pack("<H", said)


@pytest.mark.parametrize("value, said", [(MOST, MOST), (MOST + 1, MOST), (-MOST, -MOST), (-MOST - 5, -MOST), (7, 7)])
def test_four_bytes(value, said):
    assert packed(b"i", [value]) == struct.pack("<i", said)


def test_lists_accounts_and_bytes():
    account = SimpleNamespace(cycles=3, ppm=-9)
    fields = packed(b"[A*?", [array("i", [5, -6, MOST]), account, b"end", 1])
    assert fields == struct.pack("<B3i2i", 3, 5, -6, MOST, 3, -9) + b"end\x01"
    assert packed(b"[", [[]]) == b"\0" and packed(b"B?", [9, 0]) == b"\x09\0"


@pytest.mark.parametrize("kinds, body, wanted", [
    (b"", b"", (0,)), (b"", b"x", (1,)), (b"B", b"", (1,)), (b"B", b"\x07", (0, 7)), (b"B", b"\x07\x08", (2, 7)),
    (b"i", b"\1\0\0", (1,)), (b"i", struct.pack("<i", -5), (0, -5)), (b"Bi", b"\1\0\0\0\x40", (2, 1)),
    (b"Bii", struct.pack("<Bii", 4, 5, -6), (0, 4, 5, -6)), (b"Bii", struct.pack("<Bi", 4, 5), (3, 4, 5)),
    (b"i*", struct.pack("<i", 8) + b"rest", (0, 8, FIRST + 4)), (b"i*", struct.pack("<i", 8), (0, 8, FIRST + 4)),
])  # fmt: skip
def test_fields_of_a_received_frame(kinds, body, wanted):
    values = array("i", [0] * 4)
    refused = frames.unpack_fields(bytes(FIRST) + body, FIRST + len(body), kinds, values)
    assert (refused, *values[: len(wanted) - 1]) == wanted


def closed(fields):
    """A frame as received: without its delimiters, with room behind it; and how long it is."""
    buffer = bytearray(7) + fields + bytes(9)
    frames.close(buffer, 3, 0x1234, 7, 7 + len(fields))
    body = bytes(buffer).strip(b"\0")
    return bytearray(body + bytes(8)), len(body)


@pytest.mark.parametrize("fields", [b"", b"\0\0", b"abc", bytes(range(30))])
def test_a_frame_with_any_byte_wrong_is_refused(fields):
    whole, n = closed(fields)
    assert frames.is_sound(bytearray(whole), n) is True
    for at in range(n):
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        assert frames.is_sound(damaged, n) is False, at
    assert frames.is_sound(bytearray(whole), n - 1) is False
    short, n = closed(b"")
    assert n == 10 and frames.is_sound(short, 9) is False


@pytest.mark.parametrize("room, sound", [(243, True), (244, True), (245, False)])
def test_the_longest_frame(room, sound):
    """254 bytes: one more, and COBS would need a second code byte."""
    whole, n = closed(b"x" * room)
    assert n == room + 10 and frames.is_sound(whole, n) is sound
