"""Frames out, commands in (catalogue.py has the messages), over any byte stream.

A frame is taken only when it is whole (COBS, CRC-32), known, of this boot's session and the next in sequence; any other is counted
and refused, with one frame that says why and which number is expected. A dangerous command must answer a challenge: it asks for a
nonce, and the very next frame carries 30 bits of SHA-256 over key, nonce, command, a and b. No session or nonce comes twice, so a
stray, recorded or repeated byte stream cannot arm; the key lies open in the profile, so somebody who means to arm can.

Receiving and telemetry allocate nothing; a challenge, an upload or a download may.
"""

from array import array
from binascii import crc32
from hashlib import sha256
from struct import pack, pack_into, unpack

from relith import VERSION
from relith.catalogue import COMMANDS, CRC16, TO_BOARD, TO_HOST

try:
    from micropython import const
except ImportError:
    const = int

# why a frame, or what it asked for, was refused
_ACCEPTED = const(0)
_MALFORMED = const(1)
_UNKNOWN = const(2)
_SESSION = const(3)
_REPLAYED = const(4)
_MISPLACED = const(5)
_FIELD = const(6)  # `field`, counted from 1, is missing or out of its range
_CHALLENGE = const(7)  # dangerous: ask for a nonce first
_ANSWER = const(8)  # no nonce was open, or the wrong answer to it
_RIG = const(9)  # injected readings, and this is no rig build
_ORDER = const(10)  # upload: nothing begun, not the next byte, or not complete
_CHECKSUM = const(11)  # upload: complete, but not what was announced
_MEMORY = const(12)  # upload: no room
_NOTHING = const(13)  # download: no such area, or nothing in it from there on
_CONTROLLER = const(14)  # the controller said no: `reason`

# places in the tables of catalogue.py
_HELLO = const(0)
_ASK = const(2)
_ANSWERED = const(3)
_BEGIN = const(4)
_CHUNK = const(5)
_READ = const(6)
_INJECT = const(7)
_WELCOME = const(0)
_DONE = const(1)
_REFUSED = const(2)
_NONCE = const(3)
_DATA = const(4)
_READINGS = const(5)
_OUTPUTS = const(6)
_ESTIMATE = const(7)
_COMMIT = const(10)
_PROFILE = const(4)

# kinds of fields
_BIT = const(63)  # ?
_U8 = const(66)  # B
_U16 = const(72)  # H
_LIST = const(91)  # [
_BYTES = const(42)  # *

_LONGEST = const(254)  # of an encoded frame, so that COBS needs one code byte in front and none between
_AT_ONCE = const(256)  # bytes looked at in one tick
_SHARE = const(64)  # bytes of a download in one frame
_MOST_UPLOAD = const(8192)
_TELEMETRY_MS = const(1000)
_MOST = const(0x3FFFFFFF)
_NONE = const(-0x40000000)  # no number in reach of a field

# CRC-32 of a nibble, upper and lower half: a whole one does not fit a small int
# fmt: off
_CRC_HI = (0, 0x1DB7, 0x3B6E, 0x26D9, 0x76DC, 0x6B6B, 0x4DB2, 0x5005, 0xEDB8, 0xF00F, 0xD6D6, 0xCB61, 0x9B64, 0x86D3, 0xA00A, 0xBDBD)
_CRC_LO = (0, 0x1064, 0x20C8, 0x30AC, 0x4190, 0x51F4, 0x6158, 0x713C, 0x8320, 0x9344, 0xA3E8, 0xB38C, 0xC2B0, 0xD2D4, 0xE278, 0xF21C)
# fmt: on


class Link:
    """`stream`: read() -> bytes or None, write(buffer), neither waiting, both may raise OSError; None: nobody listens.

    write must have done with the buffer when it returns. What `bms` must offer: docs/interfaces.md, "Link".
    """

    version = VERSION
    catalogue = CRC16

    def __init__(self, stream):
        self.stream = stream
        self.readings = None  # a rig build's board puts its Readings here, for `inject` to fill
        self.rig = 0
        self.session = -1  # none yet
        self.expected = 0  # sequence number of the next frame to take
        self.counts = array("i", [0] * 6)  # stream errors; frames refused as malformed, unknown, of another session, …
        # what the last frame that was taken was, and got; why the last one that was not was not
        self.message = self.refusal = self.field = self.reason = self.cause = 0
        self.profile_crc30 = self.cells = self.boots = self.nonce = self.area = self.offset = self.total = 0
        self.data = None  # what is being downloaded
        self._rx = bytearray(256)
        self._n = 0  # bytes of a frame in it; more than _LONGEST: too long
        self._chunk = None  # what the stream gave
        self._at = 0  # how much of it was looked at
        self._end = 0  # of the fields in the frame being read
        self._values = array("i", [0] * 4)  # they, as far as they are numbers
        self._damaged = 0  # a malformed frame is to be reported
        self._reply = -1  # place in TO_HOST of the reply to send
        self._tx = [None] * len(TO_HOST)  # one buffer for each message, made when it is first sent
        self._sequence = 0
        self._hi = self._lo = 0  # CRC
        self._open = 0  # 1: `nonce` waits for its answer
        self._asked = 0  # nonces given out in this session
        self._upload = None
        self._got = self._crc30 = 0
        self._fresh = 0  # 1: `inject` filled the readings
        self._told = array("i", [-1] * 4)  # state, decision, reason, alarms as last sent
        self._sent_ms = 0
        self._cell = 0

    # ---- in
    def poll(self, bms):
        """At the start of a tick: take at most one sound frame; what came behind it waits for the next tick."""
        if self.stream is not None and self.readings is None:
            self._receive(bms)

    def inject(self, bms):
        """For a rig build's board, before each tick: commands as they come, then 1 when its readings have been filled."""
        self._fresh = 0
        self._receive(bms)
        self._answer()
        return self._fresh

    def _receive(self, bms):
        if self.session < 0:
            self._start(bms)
        if self._reply >= 0:  # not yet sent
            return
        if self._chunk is None:
            self._at = 0
            try:
                self._chunk = self.stream.read()
            except OSError:
                self._count(0)
            if self._chunk is None:
                return
        chunk = self._chunk
        rx = self._rx
        end = min(len(chunk), self._at + _AT_ONCE)
        while self._at < end and self._reply < 0 and not self._fresh:
            byte = chunk[self._at]
            self._at += 1
            n = self._n
            if byte:
                if n <= _LONGEST:
                    rx[n] = byte
                    self._n = n + 1
            elif n:
                self._n = 0  # before acting: if the controller raises, the frame is gone
                self._frame(bms, n)
        if self._at >= len(chunk):
            self._chunk = None

    def _start(self, bms):
        self.boots = bms.boots
        self.session = (self.boots if self.boots else bms.readings.now_ms) & 0xFFFF
        self.cells = len(bms.estimates)
        self.rig = 0 if self.readings is None else 1

    def _count(self, cause):
        self.counts[cause] = (self.counts[cause] + 1) & _MOST

    def _frame(self, bms, n):
        """An encoded frame of n bytes: take it or refuse it."""
        rx = self._rx
        at = 0
        self._hi = 0
        if 10 <= n <= _LONGEST:
            while at < n:  # COBS: each code byte is the way to the next zero
                code = rx[at]
                rx[at] = 0
                at += code
            self._crc(rx, 1, n)
        if at != n or self._hi != 0xDEBB or self._lo != 0x20E3:  # what a CRC-32 over itself leaves
            self._damaged = 1
            self._count(_MALFORMED)
            return
        message = rx[1]
        behind = (self.expected - rx[4] - (rx[5] << 8)) & 0xFFFF
        if message == _HELLO:
            self.profile_crc30 = crc32(bms.record(_PROFILE) or b"") & _MOST
            self._reply = _WELCOME
        elif message >= len(TO_BOARD):
            self._refuse(_UNKNOWN)
        elif rx[2] | rx[3] << 8 != self.session:
            self._refuse(_SESSION)
        elif behind:
            self._refuse(_REPLAYED if behind < 0x8000 else _MISPLACED)
        else:
            self.expected = (self.expected + 1) & 0xFFFF
            self.message = message
            self.reason = 0
            self.refusal = _CONTROLLER  # stands when the controller raises
            self._reply = _DONE
            self._end = n - 4
            self.refusal = self._act(bms, message)
            if message != _ASK:
                self._open = 0

    def _refuse(self, cause):
        self.cause = cause
        self._count(cause)
        self._reply = _REFUSED

    def _act(self, bms, message):
        """Do what a sound frame asks. Returns why not, 0 when done."""
        if message == _INJECT and self.readings is None:
            return _RIG
        if not self._walk(message, None):
            return _FIELD
        values = self._values
        if message == _INJECT:
            self._walk(message, self.readings)
            self._fresh = 1
            self._reply = -1  # the outputs of the tick are the reply
        elif message == _ASK:
            self._asked = (self._asked + 1) & 0x3FFF
            self.nonce = self.session << 14 | self._asked
            self._open = 1
            self._reply = _NONCE
        elif message == _BEGIN:
            return self._begin(values[0], values[1])
        elif message == _CHUNK:
            return self._append(values[0], values[1])
        elif message == _READ:
            return self._download(bms, values[0], values[1])
        else:
            return self._command(bms, message == _ANSWERED)
        return _ACCEPTED

    def _walk(self, message, target):
        """Through the fields: numbers into `_values`, or all into `target`. Returns 1 when each is there and in range."""
        names = TO_BOARD[message][1]
        kinds = TO_BOARD[message][2]
        at = 6
        bits = 0
        for k in range(len(kinds)):
            self.field = k + 1
            kind = kinds[k]
            if kind == _BIT:
                value = self._number(_U8, at + (bits >> 3)) >> (bits & 7)
                if value < 0:
                    return 0
                value &= 1
                bits += 1
            elif kind == _LIST:
                held = getattr(self.readings, names[k])
                if self._number(_U8, at) != len(held):
                    return 0
                at += 1
                for cell in range(len(held)):
                    value = self._number(0, at)
                    if value == _NONE:
                        return 0
                    if target:
                        held[cell] = value
                    at += 4
                continue
            elif kind == _BYTES:
                value = at
                at = self._end
            else:
                value = self._number(kind, at)
                if value == _NONE:
                    return 0
                at += 1 if kind == _U8 else 2 if kind == _U16 else 4
            if target:
                setattr(target, names[k], value)
            elif k < 4:
                self._values[k] = value
        self.field += 1
        if at + (bits + 7 >> 3) != self._end:
            return 0
        self.field = 0
        return 1

    def _number(self, kind, at):
        """The number at a place of the frame; _NONE when it is not there or needs more than 31 bits."""
        rx = self._rx
        end = self._end
        if kind == _U8:
            return rx[at] if at < end else _NONE
        if kind == _U16:
            return rx[at] | rx[at + 1] << 8 if at + 2 <= end else _NONE
        if at + 4 > end:
            return _NONE
        top = rx[at + 3]
        if top >= 0xC0:
            top -= 256
        elif top >= 0x40:
            return _NONE
        return rx[at] | rx[at + 1] << 8 | rx[at + 2] << 16 | top << 24

    def _command(self, bms, answered):
        number, a, b = self._values[0], self._values[1], self._values[2]
        if number >= len(COMMANDS):
            self.field = 1
            return _FIELD
        row = COMMANDS[number]
        if not row[3] <= a <= row[4]:
            self.field = 2
            return _FIELD
        if not row[6] <= b <= row[7]:
            self.field = 3
            return _FIELD
        if answered:
            right = sha256(bms.link_key + pack("<iBii", self.nonce, number, a, b)).digest()
            if not self._open or self._values[3] != unpack("<I", right[:4])[0] & _MOST:
                return _ANSWER
        elif row[1]:
            return _CHALLENGE
        if number == _COMMIT:
            return self._commit(bms)
        self.reason = bms.command(number, a, b)
        return _CONTROLLER if self.reason else _ACCEPTED

    # ---- a profile arrives: begin, chunks, commit
    def _begin(self, size, crc30):
        self._upload = None
        if not 0 < size <= _MOST_UPLOAD:
            self.field = 1
            return _FIELD
        try:
            self._upload = bytearray(size)
        except MemoryError:
            return _MEMORY
        self._got = 0
        self._crc30 = crc30
        return _ACCEPTED

    def _append(self, offset, at):
        upload = self._upload
        end = offset + self._end - at
        if upload is None or offset != self._got or end > len(upload):
            return _ORDER
        upload[offset:end] = self._rx[at : self._end]
        self._got = end
        return _ACCEPTED

    def _commit(self, bms):
        upload = self._upload
        if upload is None or self._got != len(upload):
            return _ORDER
        self._upload = None
        if crc32(upload) & _MOST != self._crc30:
            return _CHECKSUM
        self.reason = bms.profile_commit(upload)
        return _CONTROLLER if self.reason else _ACCEPTED

    def _download(self, bms, area, offset):
        self.data = bms.record(area)
        self.total = 0 if self.data is None else len(self.data)
        if not 0 <= offset < self.total:
            return _NOTHING
        self.area = area
        self.offset = offset
        self._reply = _DATA
        return _ACCEPTED

    # ---- out
    def send(self, bms):
        """At the end of a tick: the reply; the outputs when they say something new; telemetry when it is due."""
        if self.stream is None:
            return
        if self.session < 0:
            self._start(bms)
        self._answer()
        now_ms = bms.readings.now_ms
        due = (now_ms - self._sent_ms) & _MOST >= _TELEMETRY_MS
        if self._is_news(bms.outputs) or self._fresh or due:
            self._emit(_OUTPUTS, bms.outputs)
        if due:
            self._sent_ms = now_ms
            self._emit(_READINGS, bms.readings)
            self._emit(_ESTIMATE, bms.estimates[self._cell])
            self._cell = self._cell + 1 if self._cell + 1 < self.cells else 0

    def _is_news(self, outputs):
        told = self._told
        if (
            told[0] == outputs.state
            and told[1] == outputs.decision
            and told[2] == outputs.reason
            and told[3] == outputs.alarms
        ):
            return False
        told[0] = outputs.state
        told[1] = outputs.decision
        told[2] = outputs.reason
        told[3] = outputs.alarms
        return True

    def _answer(self):
        if self._damaged:
            self._damaged = 0
            cause = self.cause
            self.cause = _MALFORMED
            self._emit(_REFUSED, self)
            self.cause = cause
        if self._reply >= 0:
            self._emit(self._reply, self)
            self._reply = -1
            self.data = None

    def _emit(self, place, source):
        """Pack a message from the attributes of `source`, close the frame, write it."""
        names = TO_HOST[place][1]
        kinds = TO_HOST[place][2]
        buffer = self._tx[place]
        if buffer is None:
            buffer = self._tx[place] = bytearray(_room(names, kinds, source))
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
                for byte in range(self.offset, min(self.total, self.offset + _SHARE)):
                    buffer[at] = value[byte]
                    at += 1
            else:
                at = _pack_i32(buffer, at, value)
        self._close(buffer, 16 + place, at + (bits + 7 >> 3))
        try:
            self.stream.write(buffer)
        except OSError:
            self._count(0)

    def _close(self, buffer, code, at):
        """Head, CRC and COBS of a frame whose fields end before `at`. Zeros behind it are empty frames, which nobody minds."""
        buffer[2] = code
        pack_into("<H", buffer, 3, self.session)
        pack_into("<H", buffer, 5, self._sequence)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._crc(buffer, 2, at)
        pack_into("<H", buffer, at, self._lo ^ 0xFFFF)
        pack_into("<H", buffer, at + 2, self._hi ^ 0xFFFF)
        at += 4
        code = 1
        for k in range(2, at):
            if not buffer[k]:
                buffer[code] = k - code
                code = k
        buffer[code] = at - code
        for k in range(at, len(buffer)):
            buffer[k] = 0

    def _crc(self, buffer, at, end):
        hi = lo = 0xFFFF
        while at < end:
            byte = buffer[at]
            k = (lo ^ byte) & 15
            lo = (lo >> 4 | (hi & 15) << 12) ^ _CRC_LO[k]
            hi = hi >> 4 ^ _CRC_HI[k]
            k = (lo ^ byte >> 4) & 15
            lo = (lo >> 4 | (hi & 15) << 12) ^ _CRC_LO[k]
            hi = hi >> 4 ^ _CRC_HI[k]
            at += 1
        self._hi = hi
        self._lo = lo


def _pack_i32(buffer, at, value):
    pack_into("<i", buffer, at, max(-_MOST, min(_MOST, value)))
    return at + 4


def _room(names, kinds, source):
    """Bytes of the longest frame of these fields, with two delimiters, code byte, head and CRC."""
    room = 12
    bits = 7
    for k in range(len(kinds)):
        kind = kinds[k]
        if kind == _BIT:
            bits += 1
        elif kind == _LIST:
            room += 1 + 4 * len(getattr(source, names[k]))
        else:
            room += 1 if kind == _U8 else 2 if kind == _U16 else _SHARE if kind == _BYTES else 4
    return room + (bits >> 3)
