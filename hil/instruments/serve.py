"""`relith-hil loopback`: instruments without hardware on TCP ports, with one cell behind all, until Ctrl-C."""

from __future__ import annotations

import contextlib
import time

from hil.instruments.dialects import DIALECTS
from hil.instruments.loopback import MISBEHAVIOURS, LoopbackInstrument, Node, ResistiveCell, Serving
from host_sim.cli import Parser
from host_sim.errors import InputError


def main(argv: list[str]) -> int:
    p = Parser(prog="relith-hil loopback", description=(__doc__ or "").splitlines()[0])
    p.add_argument("dialects", nargs="+", metavar="DIALECT", help=", ".join(DIALECTS))
    p.add_argument("--port", type=int, default=5025, metavar="N", help="of the first; the others follow")
    p.add_argument("--misbehave", choices=MISBEHAVIOURS, help="all of them, to see what the rig does about it")
    a = p.parse_args(argv)
    for name in a.dialects:
        if name not in DIALECTS:
            raise InputError(f"relith-hil loopback: dialect '{name}' is not known (known: {', '.join(DIALECTS)})")
    if not 1024 <= a.port <= 65535 - len(a.dialects):
        raise InputError(f"relith-hil loopback: --port is {a.port}, allowed is 1024 to {65535 - len(a.dialects)}")
    node = Node(ResistiveCell())
    with contextlib.ExitStack() as stack:
        for k, name in enumerate(a.dialects):
            unit = LoopbackInstrument(node, name)
            unit.misbehaviour, unit.delay_s = a.misbehave, 1.0
            try:
                serving = stack.enter_context(Serving(unit, a.port + k))
            except OSError as error:
                raise InputError(
                    f"relith-hil loopback: --port {a.port + k} cannot be used ({error.strerror})"
                ) from None
            print(f"{name:24} {serving.address}", flush=True)
        while True:
            time.sleep(1.0)
