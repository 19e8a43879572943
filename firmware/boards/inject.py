"""Readings that come over the link, for a rig build: a board file that takes them has no switch to enable."""

from relith import const
from relith.catalogue import READINGS, READINGS_KINDS
from relith.frames import BEYOND, FIRST, i32

_BIT = const(63)  # ?
_U16 = const(72)  # H
_LIST = const(91)  # [


class Injector:
    """Fills `readings` from `inject` frames, whole or not at all."""

    def __init__(self, readings):
        self.readings = readings

    def take(self, buffer, end):
        """Fields that end before `end`. Returns 0, or the number (from 1) of the first that is missi."""
        return self._walk(buffer, end, False) or self._walk(buffer, end, True)

    def _walk(self, buffer, end, store):
        readings = self.readings
        at = FIRST
        bits = 0
        for k in range(len(READINGS_KINDS)):
            kind = READINGS_KINDS[k]
            name = READINGS[k]
            if kind == _BIT:
                byte = at + (bits >> 3)
                value = buffer[byte] >> (bits & 7) & 1 if byte < end else BEYOND
                bits += 1
            elif kind == _U16:
                value = buffer[at] | buffer[at + 1] << 8 if at + 2 <= end else BEYOND
                at += 2
            elif kind == _LIST:
                held = getattr(readings, name)
                if at >= end or buffer[at] != len(held):
                    return k + 1
                at += 1
                for cell in range(len(held)):
                    value = i32(buffer, at, end)
                    if value == BEYOND:
                        return k + 1
                    if store:
                        held[cell] = value
                    at += 4
                continue
            else:
                value = i32(buffer, at, end)
                at += 4
            if value == BEYOND:
                return k + 1
            if store:
                setattr(readings, name, value)
        return 0 if at + (bits + 7 >> 3) == end else len(READINGS_KINDS) + 1
