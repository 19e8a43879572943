"""Frames out, commands in (catalogue.py has the messages, frames.py their form), over any byte stream.

A frame is taken only when it is whole, known, of this boot's session and the next in sequence; any other is counted and
refused, with one frame that says why and which number is expected. A dangerous command must answer a challenge: it asks
for a nonce, and the very next frame carries 30 bits of SHA-256 over key, nonce, command, a and b. There is none before
this start is in the journal: a session comes back after 65 536 starts (or when the journal is lost), a nonce, made of
clock and counter, hardly ever: so a stray, recorded or repeated byte stream cannot arm. The key lies open in the
profile, so somebody who means to arm can.

Receiving and telemetry allocate nothing; a challenge, an upload or a download may.
"""

from array import array
from binascii import crc32
from hashlib import sha256
from struct import pack, unpack

from relith import VERSION, const
from relith.catalogue import COMMANDS, CRC16, TO_BOARD, TO_HOST
from relith.frames import LONGEST, MOST, close, is_sound, pack_fields, unpack_fields

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
_LEDGER = const(7)
_ESTIMATE = const(8)
_OUTLOOK = const(9)
_COMMIT = const(12)

_AT_ONCE = const(256)  # bytes looked at in one tick
_SHARE = const(64)  # bytes of a download in one frame
_MOST_UPLOAD = const(8192)
_TELEMETRY_MS = const(1000)


class Link:
    """`stream`: read() -> bytes or None, write(buffer), neither waiting, both may raise OSError; None: nobody listens.

    write must have done with the buffer when it returns. What `bms` must offer: docs/interfaces.md, "Link".
    """

    version = VERSION
    catalogue = CRC16

    def __init__(self, stream):
        self.stream = stream
        self.injector = None  # a rig build's board puts one here (boards/inject.py)
        self.rig = 0
        self.session = -1  # none yet
        self.expected = 0  # sequence number of the next frame to take
        self.counts = array("i", [0] * 6)  # stream errors; frames refused as malformed, unknown, of another session, …
        # what the last frame that was taken was, and got; why the last one that was not was not
        self.message = self.refusal = self.field = self.reason = self.cause = 0
        self.profile_crc30 = self.current_lsb_na = self.nominal_capacity_uah = self.cells = self.boots = 0
        self.nonce = self.area = self.offset = self.total = 0
        self.data = None  # what is being downloaded
        self._rx = bytearray(LONGEST + 4)
        self._n = 0  # bytes of a frame in it; more than LONGEST: too long
        self._chunk = None  # what the stream gave
        self._at = 0  # how much of it was looked at
        self._end = 0  # of the fields in the frame being read
        self._values = array("i", [0] * 4)  # they, as far as they are numbers
        self._damaged = 0  # a malformed frame is to be reported
        self._reply = -1  # place in TO_HOST of the reply to send
        self._tx = []  # one buffer for each message
        self._sequence = 0
        self._open = 0  # 1: `nonce` waits for its answer, which must be the next frame
        self._waiting = 0  # the same, while that frame is looked at
        self._asked = 0  # nonces given out in this session
        self._upload = None
        self._got = self._crc30 = 0
        self._fresh = 0  # 1: `inject` filled the readings
        self._sent_ms = 0
        self._cell = 0

    # ---- in
    def poll(self, bms):
        """At the start of a tick: take at most one sound frame; what came behind it waits for the next tick."""
        if self.stream is not None and self.injector is None:
            self._receive(bms)

    def inject(self, bms):
        """For a rig build's board, before each tick: commands as they come; 1 once its readings have been filled."""
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
                rx[n] = byte
                if n <= LONGEST:
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
        profile = bms.profile
        self.profile_crc30 = profile.crc30
        self.current_lsb_na = profile.current_lsb_na
        self.nominal_capacity_uah = profile.nominal_capacity_uah
        self.rig = 0 if self.injector is None else 1
        scratch = bytearray(LONGEST + 8)
        self.data = scratch[:_SHARE]
        for place in range(len(TO_HOST)):  # now, while there is memory
            source = self
            if place == _READINGS:
                source = bms.readings
            elif place == _OUTPUTS:
                source = bms.outputs
            elif place == _LEDGER:
                source = bms.ledger
            elif place >= _ESTIMATE:
                source = bms.estimates[0]
            end = pack_fields(scratch, TO_HOST[place][0], TO_HOST[place][1], source)
            self._tx.append(bytearray(end + 5))
        self.data = b""

    def _count(self, cause):
        self.counts[cause] = (self.counts[cause] + 1) & MOST

    def _frame(self, bms, n):
        """An encoded frame of n bytes: take it or refuse it."""
        rx = self._rx
        if not is_sound(rx, n):
            self._damaged = 1
            self._count(_MALFORMED)
            bms.refused(0, _MALFORMED, 0)
            return
        message = rx[1]
        behind = (self.expected - rx[4] - (rx[5] << 8)) & 0xFFFF
        if message == _HELLO:
            self._reply = _WELCOME
        elif message >= len(TO_BOARD):
            self._refuse(bms, message, _UNKNOWN)
        elif rx[2] | rx[3] << 8 != self.session:
            self._refuse(bms, message, _SESSION)
        elif behind:
            self._refuse(bms, message, _REPLAYED if behind < 0x8000 else _MISPLACED)
        else:
            self.expected = (self.expected + 1) & 0xFFFF
            self.message = message
            self.reason = 0
            self.refusal = _CONTROLLER  # stands when the controller raises
            self._reply = _DONE
            self._end = n - 4
            self._waiting = self._open
            self._open = 0
            self.refusal = self._act(bms, message)
            if self.refusal:
                bms.refused(message, self.refusal, self.reason)

    def _refuse(self, bms, message, cause):
        self.cause = cause
        self._count(cause)
        self._reply = _REFUSED
        bms.refused(message, cause, 0)

    def _act(self, bms, message):
        """Do what a sound frame asks. Returns why not, 0 when done."""
        if message == _INJECT:
            return self._inject()
        values = self._values
        self.field = unpack_fields(self._rx, self._end, TO_BOARD[message], values)
        if self.field:
            return _FIELD
        if message == _ASK:
            self.reason = bms.recorded()
            if self.reason:
                return _CONTROLLER
            self._asked = (self._asked + 1) & 0x3FFF
            self.nonce = ((bms.readings.now_ms ^ self.session) & 0xFFFF) << 14 | self._asked
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

    def _inject(self):
        if self.injector is None:
            return _RIG
        self.field = self.injector.take(self._rx, self._end)
        if self.field:
            return _FIELD
        self._fresh = 1
        self._reply = -1  # the outputs of the tick are the reply
        return _ACCEPTED

    def _command(self, bms, answered):
        number, a, b = self._values[0], self._values[1], self._values[2]
        if number >= len(COMMANDS):
            self.field = 1
            return _FIELD
        row = COMMANDS[number]
        if not row[1] <= a <= row[2]:
            self.field = 2
            return _FIELD
        if not row[3] <= b <= row[4]:
            self.field = 3
            return _FIELD
        if answered:
            right = sha256(bms.profile.link_key + pack("<iBii", self.nonce, number, a, b)).digest()
            if not self._waiting or self._values[3] != unpack("<I", right[:4])[0] & MOST:
                return _ANSWER
        elif row[0] == 1 or row[0] and a:
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
        if crc32(upload) & MOST != self._crc30:
            return _CHECKSUM
        self.reason = bms.profile_commit(upload)
        return _CONTROLLER if self.reason else _ACCEPTED

    def _download(self, bms, area, offset):
        record = bms.record(area)
        self.total = 0 if record is None else len(record)
        if not 0 <= offset < self.total:
            return _NOTHING
        self.data = record[offset : offset + _SHARE]
        self.area = area
        self.offset = offset
        self._reply = _DATA
        return _ACCEPTED

    # ---- out
    def send(self, bms):
        """At the end of a tick: the reply; the outputs when they say something new; telemetry when it is due."""
        if self.stream is None:
            return
        self._answer()
        now_ms = bms.readings.now_ms
        due = (now_ms - self._sent_ms) & MOST >= _TELEMETRY_MS
        if bms.news or self._fresh or due:
            self._emit(_OUTPUTS, bms.outputs)
        if due:
            self._sent_ms = now_ms
            self._emit(_READINGS, bms.readings)
            bms.ledger.under_way_ppm = bms.ledger.net_ppm() - bms.booked_ppm
            self._emit(_LEDGER, bms.ledger)
            self._emit(_ESTIMATE, bms.estimates[self._cell])
            self._emit(_OUTLOOK, bms.estimates[self._cell])
            self._cell = self._cell + 1 if self._cell + 1 < self.cells else 0

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
        row = TO_HOST[place]
        buffer = self._tx[place]
        close(buffer, 16 + place, self.session, self._sequence, pack_fields(buffer, row[0], row[1], source))
        self._sequence = (self._sequence + 1) & 0xFFFF
        try:
            self.stream.write(buffer)
        except OSError:
            self._count(0)
