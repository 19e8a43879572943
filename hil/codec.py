"""The host's end of the link: frames in and out, and a client that numbers, repeats and answers challenges.

Everything about the messages comes from the firmware's own `relith.catalogue`; only the framing is written a second
time, from its description there, with `cobs` and `zlib`, so that each side checks the other.
"""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cobs import cobs
from relith import VERSION, catalogue

from hil.catalogue import AREAS, COMMANDS, REFUSAL, REFUSALS, TO_BOARD, TO_HOST
from host_sim.errors import InputError
from host_sim.tables import REASONS

MOST = 2**30 - 1  # greatest magnitude of an i
LONGEST = 254  # bytes of an encoded frame
CHUNK = 128  # bytes of an upload in one frame
FORMATS = {ord("B"): "<B", ord("H"): "<H", ord("i"): "<i"}
BIT, LIST, REST, ACCOUNT = ord("?"), ord("["), ord("*"), ord("A")
CYCLE_PPM = 1_000_000  # of an account


class LinkError(InputError):
    """The board did not answer, or is not ours. One sentence."""


class OtherFirmware(LinkError):
    """It is ours, but speaks other messages or has another version than this program."""


class Refused(LinkError):
    """The board said no. `refusal`: name in REFUSALS; `reason`: the controller's, an index into REASONS."""

    def __init__(self, sentence: str, refusal: str, reason: int = 0):
        super().__init__(sentence)
        self.refusal, self.reason = refusal, reason


@dataclass
class Message:
    """One decoded frame. `values`: field name -> int, list of int, or bytes."""

    name: str
    session: int
    sequence: int
    values: dict

    def __getitem__(self, name: str):
        return self.values[name]


def pack_fields(names: Iterable[str], kinds: bytes, source) -> bytes:
    """Fields from a mapping, or from an object's attributes. Raises InputError naming the field that does not fit."""
    out, bits = bytearray(), []
    for name, kind in zip(names, kinds, strict=True):
        value = source[name] if isinstance(source, Mapping) else getattr(source, name)
        try:
            if kind == BIT:
                bits.append(1 if value else 0)
            elif kind == REST:
                out += value
            elif kind == LIST:
                out += struct.pack(f"<B{len(value)}i", len(value), *value)
            elif kind == ACCOUNT:
                out += struct.pack("<ii", *divmod(value, CYCLE_PPM))
            else:
                out += struct.pack(FORMATS[kind], value)
        except struct.error:
            raise InputError(f"link: {name} is {value!r}, which does not fit its {chr(kind)!r} field") from None
    for at in range(0, len(bits), 8):
        out.append(sum(bit << k for k, bit in enumerate(bits[at : at + 8])))
    return bytes(out)


def unpack_fields(names: Iterable[str], kinds: bytes, data: bytes) -> dict:
    """The inverse of `pack_fields`. Raises ValueError when the length is wrong."""
    values: dict = {}
    at = bits = 0
    for name, kind in zip(names, kinds, strict=True):
        if kind == BIT:
            values[name] = data[at + bits // 8] >> (bits % 8) & 1 if at + bits // 8 < len(data) else 0
            bits += 1
        elif kind == REST:
            values[name], at = data[at:], len(data)
        else:
            try:
                if kind == LIST:
                    count = data[at]
                    values[name] = list(struct.unpack_from(f"<{count}i", data, at + 1))
                    at += 1 + 4 * count
                elif kind == ACCOUNT:
                    cycles, ppm = struct.unpack_from("<ii", data, at)
                    values[name] = cycles * CYCLE_PPM + ppm
                    at += 8
                else:
                    (values[name],) = struct.unpack_from(FORMATS[kind], data, at)
                    at += struct.calcsize(FORMATS[kind])
            except (struct.error, IndexError):
                raise ValueError(f"{name} is cut off") from None
    if at + (bits + 7) // 8 != len(data):
        raise ValueError(f"{len(data)} bytes of fields where {at + (bits + 7) // 8} belong")
    return values


def frame(code: int, session: int, sequence: int, fields: bytes) -> bytes:
    """The bytes on the wire. Raises InputError when the frame would be too long."""
    body = struct.pack("<BHH", code, session & 0xFFFF, sequence & 0xFFFF) + fields
    encoded = cobs.encode(body + struct.pack("<I", zlib.crc32(body)))
    if len(encoded) > LONGEST:
        raise InputError(f"link: a frame of {len(encoded)} bytes, more than the {LONGEST} allowed")
    return b"\0" + encoded + b"\0"


def encode(name: str, source, session: int, sequence: int) -> bytes:
    """A frame to the board, its fields from a mapping or an object."""
    code, names, kinds = TO_BOARD[name]
    return frame(code, session, sequence, pack_fields(names, kinds, source))


class Decoder:
    """Bytes in, messages out; what is damaged or unknown is counted in `damaged`."""

    def __init__(self) -> None:
        self.damaged = 0
        self._held = b""

    def feed(self, data: bytes) -> list[Message]:
        """All messages that end in `data`."""
        *frames, self._held = (self._held + data).split(b"\0")
        if len(self._held) > LONGEST:  # noise without an end
            self._held = self._held[-LONGEST - 1 :]
        return [message for piece in frames if piece and (message := self._decode(piece))]

    def _decode(self, piece: bytes) -> Message | None:
        try:
            body = cobs.decode(piece)
            if len(body) < 9 or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
                raise ValueError("damaged")
            code, session, sequence = struct.unpack_from("<BHH", body)
            name, names, kinds = TO_HOST[code]
            return Message(name, session, sequence, unpack_fields(names, kinds, body[5:-4]))
        except (cobs.DecodeError, ValueError, KeyError):
            self.damaged += 1
            return None


def answer(key: bytes, nonce: int, command: int, a: int, b: int) -> int:
    """What a dangerous command must carry: 30 bits of SHA-256 over key, nonce, command and its two numbers."""
    digest = hashlib.sha256(key + struct.pack("<iBii", nonce, command, a, b)).digest()
    return int.from_bytes(digest[:4], "little") & MOST


class Port(Protocol):
    """A byte stream. `read` returns what is there, waiting a little when there is nothing; both may raise OSError."""

    def read(self) -> bytes: ...
    def write(self, data: bytes) -> object: ...


@dataclass
class Client:
    """Talks to one board. `key`: the profile's link key, for dangerous commands; `on_message` sees all that arrives.

    Methods raise Refused when the board says no, LinkError when it does not answer in `tries` times `timeout_s`.
    """

    port: Port
    key: bytes = b""
    timeout_s: float = 1.0
    tries: int = 3
    on_message: Callable[[Message], None] | None = None
    clock: Callable[[], float] | None = None  # seconds, of a port that has a time of its own; else the wall's
    session: int = -1
    sequence: int = 0
    latest: dict[str, dict] = field(default_factory=dict)  # message name -> values as they last came
    lost: int = 0  # frames of the board that never arrived, from the gaps in its numbers
    decoder: Decoder = field(default_factory=Decoder)
    _next: int = 0

    # ---- what a board can be asked
    def hello(self) -> dict:
        """Open the session; the board's welcome. Raises LinkError when its firmware is not this program's."""
        welcome = self._exchange("hello", {}, "welcome")
        self.session, self.sequence = welcome.session, welcome["expected"]
        if (welcome["catalogue"], welcome["version"]) != (catalogue.CRC16, VERSION):
            theirs = f"{number(welcome['version'])} (messages {welcome['catalogue']:04x})"
            ours = f"{number(VERSION)} (messages {catalogue.CRC16:04x})"
            raise OtherFirmware(f"the board runs firmware {theirs}, this program is for {ours}")
        return welcome.values

    def command(self, name: str, a: int = 0, b: int = 0) -> None:
        """Have a command of the catalogue carried out; one that is dangerous answers a challenge with `key`."""
        if name not in COMMANDS:
            raise InputError(f"link: no command {name!r}; there are {', '.join(COMMANDS)}")
        asked = COMMANDS[name]
        fields = {"command": asked.code, "a": a, "b": b}
        if not asked.challenged(a):
            self._exchange("command", fields, "done")
            return
        nonce = self._exchange("challenge", {}, "nonce")["nonce"]
        self._exchange("answer", fields | {"answer": answer(self.key, nonce, asked.code, a, b)}, "done")

    def upload_profile(self, profile: bytes) -> None:
        """Send a profile in two phases: it arrives whole, then it is put in force; on Refused the old one runs on."""
        self._exchange("begin", {"size": len(profile), "crc30": zlib.crc32(profile) & MOST}, "done")
        for at in range(0, len(profile), CHUNK):
            self._exchange("chunk", {"offset": at, "data": profile[at : at + CHUNK]}, "done")
        try:
            self.command("commit_profile")
        except Refused as error:
            if error.refusal != "CONTROLLER":
                raise
            raise Refused(self.download("refusal").decode(errors="replace"), error.refusal, error.reason) from None

    def download(self, area: str) -> bytes:
        """A record of the board, by its name in `AREAS`; empty when there is none."""
        if area not in AREAS:
            raise InputError(f"link: no area {area!r} to download; there are {', '.join(AREAS)}")
        data = b""
        while True:
            try:
                piece = self._exchange("read", {"area": AREAS.index(area), "offset": len(data)}, "data")
            except Refused as error:
                if error.refusal == "NOTHING" and not data:
                    return b""
                raise
            data += piece["data"]
            if len(data) >= piece["total"]:
                return data

    def step(self, readings) -> dict:
        """Rig build: one tick in lockstep. `readings`: mapping or Readings; returns the outputs of that tick."""
        outputs = self._exchange("inject", readings, "outputs")
        self.sequence = self.sequence + 1 & 0xFFFF
        return outputs.values

    # ---- the wire
    def pump(self) -> list[Message]:
        """Read once; take note of telemetry; return all that came."""
        try:
            messages = self.decoder.feed(self.port.read())
        except OSError as error:
            raise LinkError(f"the board's port failed ({error}); is the cable in?") from None
        for message in messages:
            if message.session == self.session:
                self.lost += message.sequence - self._next & 0xFFFF
            self._next = message.sequence + 1 & 0xFFFF
            self.latest[message.name] = message.values
            if self.on_message:
                self.on_message(message)
        return messages

    def _exchange(self, name: str, source, wanted: str) -> Message:
        """Send until `wanted` has come back.

        A command is never carried out twice: a copy is refused, and the refusal carries the first one's result.
        """
        for _ in range(self.tries):
            try:
                self.port.write(encode(name, source, self.session, self.sequence))
            except OSError as error:
                raise LinkError(f"the board's port failed ({error}); is the cable in?") from None
            clock = self.clock or time.monotonic
            ends = clock() + self.timeout_s
            waiting = True
            while waiting:
                waiting = clock() < ends
                for message in self.pump():
                    result = self._judge(message, name, source, wanted)
                    if result is AGAIN:
                        waiting = False
                    elif result is not None:
                        return result
        raise LinkError(f"the board does not answer {name!r} within {self.timeout_s:g} s, {self.tries} times")

    def _judge(self, message: Message, name: str, source, wanted: str):
        """What an arriving message means for the frame just sent: None nothing, AGAIN send it again, else the reply."""
        if name != "hello" and message.session != self.session:
            raise LinkError("the board has restarted in the middle of a session")
        if message.name == wanted and wanted in ("welcome", "outputs"):
            return message
        expected: int = message.values.get("expected", -1)
        taken = expected == self.sequence + 1 & 0xFFFF
        if message.name in ("done", wanted):
            if not taken:
                return None  # the late reply to an earlier copy
            self.sequence = expected
            if message.name == wanted and not message.values.get("refusal"):
                return message
            raise self._refused(name, source, message)
        if message.name != "refused":
            return None
        if message["cause"] == REFUSAL["UNKNOWN"]:
            raise Refused(f"the board refuses {name!r}: {REFUSALS[message['cause']][1]}", "UNKNOWN")
        if taken and wanted != "outputs":  # its reply was lost
            self.sequence = expected
            if wanted != "done":
                return AGAIN
            if message["refusal"]:
                raise self._refused(name, source, message)
            return message
        if expected == self.sequence:
            return AGAIN if message["cause"] == REFUSAL["MALFORMED"] else None
        if taken:
            return None
        self.sequence = expected
        return AGAIN

    def _refused(self, name: str, source, message: Message) -> Refused:
        """The refusal in `message` as one sentence that names field, value and range."""
        refusal, sentence = REFUSALS[message["refusal"]]
        names, place = TO_BOARD[name][1], message["field"]
        known = list(COMMANDS.items())
        if name in ("command", "answer") and source["command"] < len(known):
            what, asked = known[source["command"]]
            if refusal == "FIELD" and place in (2, 3):
                number, (low, high) = (asked.a, asked.a_range) if place == 2 else (asked.b, asked.b_range)
                sentence = f"{number or names[place - 1]} is {source[names[place - 1]]}, allowed {low} to {high}"
            name = what
        elif refusal == "FIELD":
            sentence += f" ({names[place - 1] if 0 < place <= len(names) else 'length'})"
        if refusal == "CONTROLLER" and message["reason"] < len(REASONS):
            sentence += f": {REASONS[message['reason']]}"
        return Refused(f"the board refuses {name!r}: {sentence}", refusal, message["reason"])


AGAIN = object()


def number(version: int) -> str:
    """10203 -> 1.2.3"""
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"
