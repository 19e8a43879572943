"""Frames on a byte stream: COBS, CRC-32, fields packed and unpacked by catalogue.py's kinds. Allocates nothing.

An encoded frame is at most LONGEST bytes, so that COBS needs one code byte in front of it and none in between.
"""

from array import array
from struct import pack_into

from relith import const

LONGEST = 254
FIRST = 6  # where the fields begin in a received frame, after COBS byte, code, session and sequence
MOST = 0x3FFFFFFF  # greatest magnitude of an i
BEYOND = -0x40000000  # no number that an i can hold

_BIT = const(63)  # ?
_U8 = const(66)  # B
_U16 = const(72)  # H
_LIST = const(91)  # [
_BYTES = const(42)  # *
_ACCOUNT = const(65)  # A
_HEAD = const(7)  # where the fields begin in a frame to send: delimiter, COBS byte, code, session, sequence

# CRC-32 of a nibble, upper and lower half: a whole one does not fit a small int
_HI = array("H", b"\0\0\xb7\x1dn;\xd9&\xdcvkk\xb2M\x05P\xb8\xed\x0f\xf0\xd6\xd6a\xcbd\x9b\xd3\x86\n\xa0\xbd\xbd")
_LO = array("H", b"\0\0d\x10\xc8 \xac0\x90A\xf4QXa<q \x83D\x93\xe8\xa3\x8c\xb3\xb0\xc2\xd4\xd2x\xe2\x1c\xf2")


def write_crc(buffer, at, end, to):
    """The CRC-32 (zlib's) of buffer[at:end] into the four bytes at `to`."""
    hi = lo = 0xFFFF
    while at < end:
        byte = buffer[at]
        k = (lo ^ byte) & 15
        lo = (lo >> 4 | (hi & 15) << 12) ^ _LO[k]
        hi = hi >> 4 ^ _HI[k]
        k = (lo ^ byte >> 4) & 15
        lo = (lo >> 4 | (hi & 15) << 12) ^ _LO[k]
        hi = hi >> 4 ^ _HI[k]
        at += 1
    pack_into("<H", buffer, to, lo ^ 0xFFFF)
    pack_into("<H", buffer, to + 2, hi ^ 0xFFFF)


def is_sound(buffer, n):
    """Undo COBS in place in the n bytes of an encoded frame; True when it is whole. Needs room for 4 bytes more."""
    if not 10 <= n <= LONGEST:
        return False
    at = 0
    while at < n:  # each code byte is the way to the next zero
        code = buffer[at]
        buffer[at] = 0
        at += code
    if at != n:
        return False
    write_crc(buffer, 1, n - 4, n)
    for k in range(n - 4, n):
        if buffer[k] != buffer[k + 4]:
            return False
    return True


def i32(buffer, at, end):
    """The i at a place before `end`; BEYOND when it is not whole or needs more than 31 bits."""
    if at + 4 > end:
        return BEYOND
    top = buffer[at + 3]
    if top >= 0xC0:
        top -= 256
    elif top >= 0x40:
        return BEYOND
    return buffer[at] | buffer[at + 1] << 8 | buffer[at + 2] << 16 | top << 24


def unpack_fields(buffer, end, kinds, values):
    """Fields B, i and * of a received frame, which ends before `end`, into the array `values`; a * as where it begins.

    Returns 0, or the number (from 1) of the first field that is missing, too long or out of range.
    """
    at = FIRST
    for k in range(len(kinds)):
        kind = kinds[k]
        if kind == _BYTES:
            values[k] = at
            at = end
        elif kind == _U8:
            if at >= end:
                return k + 1
            values[k] = buffer[at]
            at += 1
        else:
            value = i32(buffer, at, end)
            if value == BEYOND:
                return k + 1
            values[k] = value
            at += 4
    return 0 if at == end else len(kinds) + 1


def pack_fields(buffer, names, kinds, source):
    """Attributes of `source` into a frame to send. Returns where they end."""
    at = _HEAD
    bits = 0
    for k in range(len(kinds)):
        kind = kinds[k]
        value = getattr(source, names[k])
        if kind == _BIT:
            byte = at + (bits >> 3)
            if not bits & 7:
                buffer[byte] = 0
            if value:
                buffer[byte] |= 1 << (bits & 7)
            bits += 1
        elif kind == _U8:
            buffer[at] = value if 0 <= value < 256 else 255
            at += 1
        elif kind == _U16:
            pack_into("<H", buffer, at, value if 0 <= value < 65536 else 65535)
            at += 2
        elif kind == _LIST:
            buffer[at] = len(value)
            at += 1
            for cell in range(len(value)):
                at = _pack_i32(buffer, at, value[cell])
        elif kind == _BYTES:
            for byte in range(len(value)):
                buffer[at] = value[byte]
                at += 1
        elif kind == _ACCOUNT:
            at = _pack_i32(buffer, _pack_i32(buffer, at, value.cycles), value.ppm)
        else:
            at = _pack_i32(buffer, at, value)
    return at + (bits + 7 >> 3)


def _pack_i32(buffer, at, value):
    pack_into("<i", buffer, at, max(-MOST, min(MOST, value)))
    return at + 4


def close(buffer, code, session, sequence, at):
    """Head, CRC and COBS of a frame whose fields end before `at`.

    What is left of the buffer becomes zeros: empty frames, which nobody minds, so that it may be written whole.
    """
    buffer[2] = code
    pack_into("<H", buffer, 3, session)
    pack_into("<H", buffer, 5, sequence)
    write_crc(buffer, 2, at, at)
    at += 4
    code = 1
    for k in range(2, at):
        if not buffer[k]:
            buffer[code] = k - code
            code = k
    buffer[code] = at - code
    for k in range(at, len(buffer)):
        buffer[k] = 0
