"""Frames on a byte stream: COBS, CRC-32, fields packed and unpacked by catalogue.py's tables. Allocates nothing.

An encoded frame is at most LONGEST bytes, so that COBS needs one code byte in front of it and none in between.
"""

from struct import pack_into

from relith import const

LONGEST = 254
FIRST = 6  # where the fields begin in a received frame, after COBS byte, code, session and sequence
MOST = 0x3FFFFFFF  # greatest magnitude of an i
SHARE = 64  # most bytes of a "*" that the board sends

_BIT = const(63)  # ?
_U8 = const(66)  # B
_U16 = const(72)  # H
_LIST = const(91)  # [
_BYTES = const(42)  # *
_NONE = const(-0x40000000)  # no number that a field can hold

# CRC-32 of a nibble, upper and lower half: a whole one does not fit a small int
# fmt: off
_HI = (0, 0x1DB7, 0x3B6E, 0x26D9, 0x76DC, 0x6B6B, 0x4DB2, 0x5005,
       0xEDB8, 0xF00F, 0xD6D6, 0xCB61, 0x9B64, 0x86D3, 0xA00A, 0xBDBD)
_LO = (0, 0x1064, 0x20C8, 0x30AC, 0x4190, 0x51F4, 0x6158, 0x713C,
       0x8320, 0x9344, 0xA3E8, 0xB38C, 0xC2B0, 0xD2D4, 0xE278, 0xF21C)
# fmt: on


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


def close(buffer, code, session, sequence, at):
    """Head, CRC and COBS of a frame whose fields (from place 7 on) end before `at`.

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


def room(names, kinds, source):
    """Bytes of the longest frame of these fields, with two delimiters, code byte, head and CRC."""
    most = 12
    bits = 7
    for k in range(len(kinds)):
        kind = kinds[k]
        if kind == _BIT:
            bits += 1
        elif kind == _LIST:
            most += 1 + 4 * len(getattr(source, names[k]))
        else:
            most += 1 if kind == _U8 else 2 if kind == _U16 else SHARE if kind == _BYTES else 4
    return most + (bits >> 3)


def pack_fields(buffer, names, kinds, source):
    """Attributes of `source` into the buffer from place 7 on. Returns where they end."""
    at = 7
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
        else:
            at = _pack_i32(buffer, at, value)
    return at + (bits + 7 >> 3)


def _pack_i32(buffer, at, value):
    pack_into("<i", buffer, at, max(-MOST, min(MOST, value)))
    return at + 4


def number(buffer, kind, at, end):
    """The number at a place before `end`; less than -MOST when it is not whole or needs more than 31 bits."""
    if kind == _U8:
        return buffer[at] if at < end else _NONE
    if kind == _U16:
        return buffer[at] | buffer[at + 1] << 8 if at + 2 <= end else _NONE
    if at + 4 > end:
        return _NONE
    top = buffer[at + 3]
    if top >= 0xC0:
        top -= 256
    elif top >= 0x40:
        return _NONE
    return buffer[at] | buffer[at + 1] << 8 | buffer[at + 2] << 16 | top << 24


def unpack_fields(buffer, end, names, kinds, values, target, store):
    """Fields before `end` into the array `values`; or, with a `target`, into its attributes when `store` is true.

    Returns 0, or the number (from 1) of the first field that is missing or out of range. A "*" is where it begins.
    """
    at = FIRST
    bits = 0
    for k in range(len(kinds)):
        kind = kinds[k]
        if kind == _BIT:
            value = number(buffer, _U8, at + (bits >> 3), end) >> (bits & 7)
            if value < 0:
                return k + 1
            value &= 1
            bits += 1
        elif kind == _LIST:
            held = getattr(target, names[k])
            if number(buffer, _U8, at, end) != len(held):
                return k + 1
            at += 1
            for cell in range(len(held)):
                value = number(buffer, 0, at, end)
                if value == _NONE:
                    return k + 1
                if store:
                    held[cell] = value
                at += 4
            continue
        elif kind == _BYTES:
            value = at
            at = end
        else:
            value = number(buffer, kind, at, end)
            if value == _NONE:
                return k + 1
            at += 1 if kind == _U8 else 2 if kind == _U16 else 4
        if target is None:
            values[k] = value
        elif store:
            setattr(target, names[k], value)
    return 0 if at + (bits + 7 >> 3) == end else len(kinds) + 1
