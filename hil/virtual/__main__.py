"""`python -m hil.virtual`: a virtual board on a pseudo-terminal, until Ctrl-C."""

import argparse
import signal
import sys
from pathlib import Path

from hil.virtual.bench import Bench
from hil.virtual.board import VirtualBoard
from hil.virtual.processor import interpreter
from host_sim.errors import InputError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hil.virtual", description=__doc__)
    parser.add_argument("--files", type=Path, default=Path("build/virtual/flash"), help="folder that is its flash")
    parser.add_argument("--capacity", type=int, default=1408 * 1024, help="size of the flash, bytes")
    parser.add_argument("--readonly", action="store_true", help="write-protect the flash")
    parser.add_argument("--missing", type=lambda s: int(s, 0), action="append", default=[], help="absent bus address")
    args = parser.parse_args(argv)
    args.files.mkdir(parents=True, exist_ok=True)
    bench = Bench()
    bench.hardware.bus.unpowered.update(args.missing)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, frame: stopped.append(signum))
    try:
        interpreter()
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    with VirtualBoard(args.files, bench.hardware, capacity_bytes=args.capacity, readonly=args.readonly) as board:
        port = board.open_terminal()
        assert board.link
        print(f"port {port} link {board.link.port}", flush=True)
        board.start()
        board.serve(lambda: bool(stopped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
