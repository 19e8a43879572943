"""Telemetry on a CAN bus (extra `can`): a DBC made from the message catalogue, and a bridge from the link to a bus.

    python -m hil.candbc                                    # writes docs/relith.dbc; --check says whether it is current
    python -m hil.candbc PORT --interface socketcan --channel can0   # puts a board's telemetry on the bus, for good

A message of the link becomes as many CAN frames of up to 8 bytes as it needs, fields in order, none split,
little-endian; a list becomes one frame id whose first byte says which element it is; so does a message about one cell.
Values are the firmware's own whole numbers, in the units that the names end in.
"""

from __future__ import annotations

from collections.abc import Iterator

from cantools.database import load_string
from cantools.database.can import Database, Message, Signal
from cantools.database.conversion import LinearConversion

from hil.catalogue import TO_HOST
from hil.codec import Client
from hil.codec import Message as Telemetry
from hil.messages import ROOT, meanings, said, unit
from host_sim.cli import Parser
from host_sim.errors import InputError

DBC = ROOT / "docs/relith.dbc"
FIRST_ID = 0x500
TELEMETRY = ("readings", "outputs", "ledger", "estimate", "outlook")
BITS = {"B": 8, "H": 16, "i": 32, "?": 1, "[": 32, "A": 64}
SIGNED = "i[A"
ASCII = str.maketrans({"µ": "u", "°": "deg", "Ω": "ohm", "‰": "permille", "σ": "sigma", "…": "...", "·": "*", "−": "-"})


def _plan() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(CAN message, link message, its fields as (name, kind)) in the order of their ids."""
    plan = []
    entries = {name: (names, kinds) for name, names, kinds in TO_HOST.values()}
    for name in TELEMETRY:
        names, kinds = entries[name]
        fields = [(field, chr(kind)) for field, kind in zip(names, kinds, strict=True)]
        key = [field for field in fields if field[0] == "cell_index"]
        parts: list[list[tuple[str, str]]] = [list(key)]
        for field in fields:
            if field in key:
                continue
            if field[1] == "[":
                plan.append((f"{name}_{field[0]}", name, [(f"{field[0].split('_')[0]}_index", "B"), field]))
            elif sum(BITS[kind] for _, kind in [*parts[-1], field]) > 64:
                parts.append([*key, field])
            else:
                parts[-1].append(field)
        plan += [(f"{name}_{number}", name, part) for number, part in enumerate(parts)]
    return plan


def database() -> Database:
    """The DBC as cantools has it."""
    text, messages = meanings(), []
    for number, (name, link_name, fields) in enumerate(_plan()):
        signals, at = [], 0
        for field, kind in fields:
            signals.append(
                Signal(
                    field,
                    at,
                    BITS[kind],
                    "little_endian",
                    kind in SIGNED,
                    conversion=LinearConversion(1, 0, is_float=False),
                    unit=unit(field).replace("° ", "deg").translate(ASCII) or None,
                    comment=text.get(field, "which one, from 0").translate(ASCII),
                )
            )
            at += BITS[kind]
        messages.append(Message(FIRST_ID + number, name, (at + 7) // 8, signals, comment=said("TO_HOST")[link_name]))
    return Database(messages)


def dbc(base: Database | None = None) -> str:
    """The text of docs/relith.dbc, or of another database."""
    return (base or database()).as_dbc_string().replace("\r\n", "\n")


def is_current() -> bool:
    """Whether docs/relith.dbc says what the catalogue says (another cantools may write it otherwise)."""
    if not DBC.exists():
        return False
    kept, current = (load_string(text, "dbc") for text in (DBC.read_text(encoding="utf-8"), dbc()))
    assert isinstance(kept, Database) and isinstance(current, Database)  # no diagnostics file
    return dbc(kept) == dbc(current)


def frames(message: Telemetry, base: Database) -> Iterator[tuple[int, bytes]]:
    """The CAN frames, (id, data), of one message of the link; none when it is no telemetry."""
    for name, link_name, fields in _plan():
        if link_name != message.name:
            continue
        definition = base.get_message_by_name(name)
        last = fields[-1][0]
        if fields[-1][1] == "[":
            for index, value in enumerate(message[last]):
                yield definition.frame_id, definition.encode({fields[0][0]: index, last: value})
        else:
            yield definition.frame_id, definition.encode({field: message[field] for field, _ in fields})


def bridge(client: Client, bus, messages: int = -1) -> None:
    """Put telemetry on a python-can bus: so many messages of the link, or (-1) until interrupted."""
    import can

    base = database()
    while messages:
        for message in client.pump():
            for frame_id, data in frames(message, base):
                bus.send(can.Message(arbitration_id=frame_id, data=data, is_extended_id=False))
            messages -= 1
            if not messages:
                return


def main(argv: list[str]) -> int:
    """Write or check the DBC; with a port, bridge it."""
    parser = Parser(prog="python -m hil.candbc", description="telemetry on a CAN bus")
    parser.add_argument("port", nargs="?", help="serial port of a board; without one the DBC is written")
    parser.add_argument("--interface", default="socketcan", help="python-can interface")
    parser.add_argument("--channel", default="can0", help="python-can channel")
    parser.add_argument("--check", action="store_true", help="exit 1 when the DBC is not current")
    arguments = parser.parse_args(argv)
    if arguments.port:
        import can

        from hil.serialport import SerialPort

        try:
            bus = can.Bus(interface=arguments.interface, channel=arguments.channel)
        except (can.CanError, OSError, ValueError) as error:
            raise InputError(f"--interface {arguments.interface} --channel {arguments.channel}: {error}") from None
        with bus, SerialPort(arguments.port) as port:
            bridge(Client(port), bus)
    elif not arguments.check:
        DBC.write_text(dbc(), encoding="utf-8")
    elif not is_current():
        raise InputError(f"{DBC.relative_to(ROOT)} is not current; run python -m hil.candbc")
    return 0


if __name__ == "__main__":
    import sys

    from host_sim.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
