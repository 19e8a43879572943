"""`relith-hil calibrate`: offset and gain of a board's current path against a meter, stored on the board, dated.

First nothing flows and the board's own reading is its offset. Then a source pushes a steady current through board and
meter, and what the meter says is true. Both go to the board over the link, which notes the day; a file keeps the rest.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from relith.profile import Profile

from hil import rigs
from hil.boards import Board
from hil.instruments import loopback
from hil.instruments.bench import Bench
from hil.instruments.errors import InstrumentError
from hil.live import SILENT_S, board_of, instrument_of
from hil.rigs import Rig
from hil.scenario import read_profile
from hil.units import quantity
from host_sim.cli import Parser, out_folder
from host_sim.errors import InputError
from host_sim.loop import NEW_BOARD
from host_sim.sensors import SensorModel

SETTLE_S = 2.0  # after every change of current
MOST_OFFSET_SHARE = 0.01  # of 1C: more is no offset but a wrong wire
MOST_GAIN_PPM = 50_000
CELL_V = 3.7  # what the emulator holds meanwhile


@dataclass
class Calibration:
    """Offset in counts of the profile's `current_lsb_na`, gain correction in ppm, and the 1-sigma errors of both."""

    offset_count: float
    offset_sigma_count: float
    gain_ppm: float
    gain_sigma_ppm: float
    meter: str
    date: str


def measure(board: Board, bench: Bench, lsb_a: float, current_a: float, samples: int, settle_s: float) -> Calibration:
    """Read the board at no current and at `current_a`. Raises InputError when what is seen cannot be a calibration."""
    source, meter = bench["source"], bench["meter"]
    one_c_count = board.profile.one_c_count
    source.off()
    _wait(board, bench, settle_s)
    zero = _readings(board, bench, samples)
    offset = float(np.mean(zero))
    if abs(offset) > MOST_OFFSET_SHARE * one_c_count:
        raise InputError(
            f"calibrate: the board reads {offset * lsb_a * 1e3:.2f} mA with nothing flowing; check the wiring"
        )
    source.set_voltage_v(min(CELL_V + 0.3, source.limits.voltage_v if source.limits else CELL_V))
    source.set_current_a(current_a)
    source.on()
    _wait(board, bench, settle_s)
    true_a: list[float] = []
    loaded = _readings(board, bench, samples, lambda: true_a.append(meter.measure_current_a()))
    source.off()
    reference = float(np.mean(true_a)) / lsb_a
    if reference < 0.5 * current_a / lsb_a:
        seen_a = f"{np.mean(true_a):.4f} A where {current_a:g} A was pushed"
        raise InputError(f"calibrate: the meter sees {seen_a}; is the board's switch open?")
    seen = float(np.mean(loaded)) - offset
    gain_ppm = (reference / seen - 1.0) * 1e6 if seen > 0 else np.inf
    if not abs(gain_ppm) <= MOST_GAIN_PPM:
        both = f"the board reads {seen * lsb_a:.4f} A where the meter reads {np.mean(true_a):.4f} A"
        raise InputError(f"calibrate: {both}; is the shunt right?")
    sigma = float(np.std(loaded, ddof=1) / np.sqrt(samples) / seen * 1e6)
    spread = float(np.std(zero, ddof=1) / np.sqrt(samples))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Calibration(offset, spread, gain_ppm, sigma, meter.identity, today)


def store(board: Board, found: Calibration) -> str:
    """Send it to the board; what the board answers."""
    return board.command("calibrate", round(found.offset_count * 1e3), round(found.gain_ppm))


def _wait(board: Board, bench: Bench, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        board.client.pump()
        bench.keep_alive()


def _readings(board: Board, bench: Bench, samples: int, between: Any = None) -> list[int]:
    """So many fresh current counts from the board's telemetry."""
    counts: list[int] = []
    last_ms = board.latest().get("readings", {}).get("current_ms", -1)  # what has come already is of another current
    heard = time.monotonic()
    while len(counts) < samples:
        board.client.pump()
        bench.keep_alive()
        told = board.latest().get("readings")
        if told is not None and told["current_ms"] != last_ms:
            last_ms, heard = told["current_ms"], time.monotonic()
            counts.append(told["current_count"])
            if between:
                between()
        if time.monotonic() - heard > SILENT_S:
            raise InputError(f"calibrate: the board has sent no reading for {SILENT_S:g} s")
    return counts


def run(rig: Rig, profile: Profile, text: str, current_a: float, samples: int, settle_s: float = SETTLE_S,
        sensors: SensorModel | None = None) -> tuple[Calibration, str]:  # fmt: skip
    """Calibrate the board of a rig; every output is off afterwards. Returns what was found and the board's answer."""
    for role in ("source", "meter"):
        if role not in rig.instruments:
            raise InputError(f"{rig.path.name}: instruments.{role} is missing: calibration needs a source and a meter")
    assert rig.limits is not None
    if not 0.0 < current_a <= rig.limits.source_current_a:
        allowed = f"more than 0 A, up to {rig.limits.source_current_a:g} A"
        raise InputError(
            f"calibrate: --current is {current_a:g} A, allowed is {allowed} (limits.source of {rig.path.name})"
        )
    with rigs.naming(rig, "calibrate:"), contextlib.ExitStack() as stack:
        node = loopback.Node()
        units = {one.role: instrument_of(one, node, stack) for one in rig.instruments.values()}
        bench = stack.enter_context(Bench(units))
        board = board_of(rig, profile, text, node, sensors)
        stack.callback(board.close)
        board.probe()
        for role in ("emulator", "source"):
            if role in bench.instruments:
                bench[role].program_limits(rig.limits)
                bench[role].sign_test()
        if "emulator" in bench.instruments:
            bench["emulator"].priority("voltage")
            bench["emulator"].set_voltage_v(CELL_V)
            bench["emulator"].on()
        board.start(NEW_BOARD)
        found = measure(board, bench, profile.current_lsb_na * 1e-9, current_a, samples, settle_s)
        return found, store(board, found)


def main(argv: list[str]) -> int:
    """0 when the board has taken it, 1 when it refused or an instrument failed."""
    p = Parser(prog="relith-hil calibrate", description=(__doc__ or "").splitlines()[0])
    p.add_argument("--rig", default="bench", metavar="FILE", help="rig file with a board, a source and a meter")
    p.add_argument("--profile", default="liu21_nmc532", metavar="NAME", help="the board's profile")
    p.add_argument("--current", default="0.1 A", metavar="CURRENT", help="pushed through board and meter")
    p.add_argument("--samples", type=int, default=30, metavar="N", help="readings at each current")
    p.add_argument("--out", default="build/calibration.json", type=Path, metavar="FILE", help="keeps what was found")
    a = p.parse_args(argv)
    if not 3 <= a.samples <= 10_000:
        raise InputError(f"relith-hil calibrate: --samples is {a.samples}, allowed is 3 to 10000")
    rig = rigs.load(rigs.find(a.rig))
    profile, text = read_profile(a.profile, {}, Path("relith-hil calibrate"))
    if a.out.is_dir():
        raise InputError(f"relith-hil calibrate: --out is {a.out}, which is a folder; name a file")
    out_folder("relith-hil calibrate", a.out.parent)
    current_a = quantity(a.current, "current", "relith-hil calibrate: --current")
    try:
        found, answer = run(rig, profile, text, current_a, a.samples)
    except InstrumentError as error:
        print(f"{error}; nothing was stored", file=sys.stderr)
        return 1
    a.out.write_text(json.dumps(asdict(found) | {"answer": answer}, indent=1) + "\n", encoding="utf-8")
    lsb_ua = profile.current_lsb_na * 1e-3
    print(f"offset {found.offset_count * lsb_ua:+.2f} ± {found.offset_sigma_count * lsb_ua:.2f} uA, "
          f"gain {found.gain_ppm:+.0f} ± {found.gain_sigma_ppm:.0f} ppm against {found.meter}: {answer}")  # fmt: skip
    return 0 if answer == "done" else 1
