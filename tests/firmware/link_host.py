"""What the tests of the link share: a host at the other end, who asks, answers challenges and uploads."""

import zlib

from hil.catalogue import COMMANDS
from hil.codec import MOST, Decoder, answer, encode

COMMAND = {name: command.code for name, command in COMMANDS.items()}
KEY = b"key"
TELEMETRY = ("outputs", "readings", "ledger", "estimate", "outlook")


def ask(name, a=0, b=0):
    return {"command": COMMAND[name], "a": a, "b": b}


class Host:
    """Sends numbered frames to a board and decodes what comes back. `replies` leaves telemetry out."""

    def __init__(self, board):
        self.board, self.decoder, self.sequence = board, Decoder(), board.link.expected
        board.tick()
        self.session = board.link.session
        board.drain()

    def put(self, name, fields=(), sequence=None, session=None):
        board = self.board
        at = self.sequence if sequence is None else sequence
        board.arriving.append(encode(name, dict(fields), self.session if session is None else session, at))
        if sequence is None and session is None:
            self.sequence = self.sequence + 1 & 0xFFFF

    def replies(self, ticks=1):
        for _ in range(ticks):
            self.board.tick()
        got = self.decoder.feed(self.board.drain())
        assert self.decoder.damaged == 0
        return [message for message in got if message.name not in TELEMETRY]

    def reply(self, name, fields=(), **where):
        self.put(name, fields, **where)
        (message,) = self.replies()
        return message

    def dangerous(self, name, a=0, b=0, key=KEY):
        nonce = self.reply("challenge")["nonce"]
        right = answer(key, nonce, COMMAND[name], a, b)
        return self.reply("answer", ask(name, a, b) | {"answer": right})


def upload(host, profile, chunk=100):
    host.reply("begin", {"size": len(profile), "crc30": zlib.crc32(profile) & MOST})
    for at in range(0, len(profile), chunk):
        done = host.reply("chunk", {"offset": at, "data": profile[at : at + chunk]})
        assert done["refusal"] == 0
