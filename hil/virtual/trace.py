"""Recorded ticks (hil/virtual/recorder.py makes them), and what they give on CPython and on MicroPython.

`on_host` and `on_micropython` play the same trace; equal bytes are the proof that it is the same firmware.
"""

import ast
import io
from dataclasses import dataclass, field
from pathlib import Path

from relith.readings import Outputs, Readings

from hil import image
from hil.virtual import player
from hil.virtual.processor import Processor
from host_sim import tables

PLAYER = Path(player.__file__)
SCALARS = sorted(name for name, value in vars(Readings()).items() if isinstance(value, int))
RESULTS = sorted(name for name, value in vars(Outputs()).items() if isinstance(value, int))
CHUNK = 5000  # ticks in one command; garbage is collected between two


@dataclass
class Trace:
    """`rows`: 32-bit, as in hil/virtual/player.py. `frames`: {tick: bytes on the link}. `states`: by tick."""

    profile: Path
    width: int
    rows: bytes = b""
    frames: dict[int, bytes] = field(default_factory=dict)
    states: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.states)

    def head(self, ticks: int) -> "Trace":
        """Its first ticks."""
        frames = {tick: data for tick, data in self.frames.items() if tick < ticks}
        return Trace(self.profile, self.width, self.rows[: 4 * ticks * self.width], frames, self.states[:ticks])


@dataclass
class Played:
    """What came out: outputs of every tick (32-bit, in the order of their names); journal and telemetry, in order."""

    outputs: bytes
    events: bytes


def on_host(trace: Trace) -> Played:
    """Play it on this interpreter."""
    outputs, events = io.BytesIO(), io.BytesIO()
    host = player.Player(str(trace.profile), trace.frames, SCALARS, RESULTS)
    host.play(io.BytesIO(trace.rows), outputs, events, len(trace))
    return Played(outputs.getvalue(), events.getvalue())


def load_player(mp: Processor, trace: Trace, profile: str = "profile.json") -> None:
    """Put trace and player on a MicroPython whose flash holds an image of the firmware."""
    mp.put("/flash/trace.bin", trace.rows)
    mp.exec(image.at_prompt(f"{PLAYER.read_text()}\nSCALARS = {SCALARS}\nRESULTS = {RESULTS}"))
    mp.exec(f"p = Player({profile!r}, {trace.frames!r}, SCALARS, RESULTS)\ntrace = open('trace.bin', 'rb')")


def on_micropython(trace: Trace, mp: Processor) -> Played:
    """Play it on MicroPython."""
    load_player(mp, trace)
    outputs, events = b"", b""
    for start in range(0, len(trace), CHUNK):
        count = min(CHUNK, len(trace) - start)
        mp.exec(f"with open('o.bin', 'wb') as o:\n with open('e.bin', 'wb') as e:\n  p.play(trace, o, e, {count})")
        outputs += mp.get("/flash/o.bin")
        events += mp.get("/flash/e.bin")
    return Played(outputs, events)


def allocations(trace: Trace, mp: Processor, locked: set[int] = frozenset()) -> list[int]:  # type: ignore[assignment]
    """Bytes that each tick allocates on MicroPython. Ticks in `locked` (counted from 1) run under
    `micropython.heap_lock()`: MicroPythonError (MemoryError) when one allocates.
    """
    load_player(mp, trace)
    mp.exec("import gc, micropython")
    found: list[int] = []
    for start in range(0, len(trace), 500):
        count = min(500, len(trace) - start)
        some = {tick for tick in locked if start < tick <= start + count}
        tools = "gc.mem_alloc, micropython.heap_lock, micropython.heap_unlock"
        found += ast.literal_eval(mp.exec(f"print(p.measure(trace, {count}, {tools}, {some or '()'}))"))
    return found


def steady(trace: Trace, each: int = 3) -> dict[str, list[int]]:
    """For every state that the trace visits, some ticks (counted from 1) in the middle of a stay there."""
    found: dict[str, list[int]] = {}
    runs: dict[str, list[tuple[int, int]]] = {}
    first = 0
    for k in range(1, len(trace) + 1):
        if k == len(trace) or trace.states[k] != trace.states[first]:
            runs.setdefault(tables.STATES[trace.states[first]], []).append((first, k))
            first = k
    for name, stays in runs.items():
        longest = sorted(stays, key=lambda stay: stay[0] - stay[1])[:each]
        found[name] = sorted((a + b) // 2 + 1 for a, b in longest)
    return found


def quiet(trace: Trace) -> set[int]:
    """Steady ticks of every state (counted from 1) in which no journal record is written, for that may allocate."""
    written = memoryview(on_host(trace).outputs).cast("i")[RESULTS.index("journal_due") :: len(RESULTS)]
    return {tick for some in steady(trace).values() for tick in some if not written[tick - 1]}
