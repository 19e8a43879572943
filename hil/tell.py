"""`relith-hil tell PORT COMMAND [NUMBER …]`: have a board on the link do something, and hear what it answers.

Commands and numbers are those of docs/messages.md; for minutes of the day, 22:00 by this machine's clock will do, and
`now` for the numbers of set_clock. The key that a dangerous one needs is read from the board's own
profile: it keeps stray and repeated frames out, not a person who means it.
"""

from __future__ import annotations

import argparse
import time
import zlib
from pathlib import Path

from hil.catalogue import COMMANDS, ROWS
from hil.codec import MOST, Client, LinkError, Refused
from hil.monitor import connect
from hil.serialport import BAUD, SerialPort
from host_sim import profiles
from host_sim.cli import Parser
from host_sim.errors import InputError

UPLOAD = "profile"  # with a file; a command of this program, for begin, chunks and commit_profile
DAY_S = 86400
MEANT = {name: meaning for name, _, meaning in ROWS["COMMANDS"] if name != "commit_profile"}


def listed() -> str:
    """The commands, as --help tells them."""
    lines = [f"  {name:12} {' '.join(_numbers(name)):22} {meaning}" for name, meaning in MEANT.items()]
    return "\n".join(
        ["commands:", *lines, f"  {UPLOAD:12} {'FILE':22} Uploads a profile, to be in force from a restart."]
    )


def checked(command: str, words: list[str]) -> list[int]:
    """The numbers of a command, before anything is sent. Raises InputError."""
    where = f"relith-hil tell: {command}"
    if command == UPLOAD:
        if len(words) != 1:
            raise InputError(f"{where} takes one FILE, {len(words)} words were given")
        return []
    if command not in MEANT:
        raise InputError(f"{where} is no command; there are {', '.join(MEANT)}, {UPLOAD}")
    names, asked = _numbers(command), COMMANDS[command]
    if command == "set_clock" and words == ["now"]:
        return list(divmod(int(time.time()), DAY_S))
    if len(words) != len(names):
        raise InputError(f"{where} takes {' and '.join(names) or 'no number'}, {len(words)} were given")
    numbers = []
    for name, word, (low, high) in zip(names, words, (asked.a_range, asked.b_range), strict=False):
        word = _in_utc(word) if name.endswith("_min") else word
        if not word.removeprefix("-").isdecimal() or not low <= int(word) <= high:
            time_too = ", or a time as 22:00" if name.endswith("_min") else ""
            raise InputError(f"{where}: {name} is {word!r}, must be a whole number from {low} to {high}{time_too}")
        numbers.append(int(word))
    return numbers


def carry_out(client: Client, port: str, command: str, words: list[str]) -> None:
    """Raises InputError before anything is sent, Refused when the board says no, LinkError when it says nothing."""
    numbers = checked(command, words)
    profile = profiles.load(words[0]) if command == UPLOAD else None
    welcome = connect(client, port).welcome
    if profile or COMMANDS[command].challenged((*numbers, 0)[0]):
        own = client.download("profile")
        if zlib.crc32(own) & MOST != welcome["profile_crc30"]:
            raise LinkError(f"PORT {port}: the board keeps a profile that is not yet in force; restart it first")
        client.key = profiles.made(own, f"PORT {port}: the board's profile").link_key
    if profile:
        client.upload_profile(Path(words[0]).read_bytes())
    else:
        client.command(command, *numbers)


def _in_utc(word: str) -> str:
    """HH:MM of this machine's day today as a minute of the day in UTC; any other word as it is."""
    try:
        here = time.strptime(word, "%H:%M")
    except ValueError:
        return word
    east_s = time.localtime().tm_gmtoff
    return str((here.tm_hour * 60 + here.tm_min - east_s // 60) % 1440)


def _numbers(command: str) -> list[str]:
    return [name for name in (COMMANDS[command].a, COMMANDS[command].b) if name]


def main(argv: list[str]) -> int:
    """0 done, 1 when the board refuses."""
    parser = Parser(prog="relith-hil tell", description=__doc__.split("\n")[0], epilog=listed())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("port", help="serial port or pseudo-terminal of the board's link")
    parser.add_argument("command", help="see below")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="NUMBER", help="what it takes, see below")
    parser.add_argument("--baud", type=int, default=BAUD, help=f"of a real serial line (default: {BAUD})")
    a = parser.parse_args(argv)
    checked(a.command, a.words)
    with SerialPort(a.port, a.baud) as port:
        try:
            carry_out(Client(port), a.port, a.command, a.words)
        except Refused as error:
            print(error)
            return 1
    print("done")
    return 0
