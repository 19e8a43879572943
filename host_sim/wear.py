"""How often the journal is written, and for how long the flash bears it: `python -m host_sim.wear`, from the firmware's
own numbers. docs/safety.md says the same.

Two classes of records are bounded by construction. Those that charge and time bring about keep APART_S from the last
one and from the start. All others are counted in the journal itself and stop at MOST in a day of power (failed ticks at
FAILED_MOST), but for four:
the last one counted may stand in both slots, a pulse that has begun ends, each latching row may still latch once
(a person must clear it before it can again, which is counted), and what was given may be withdrawn (an arming, consent,
the leave to run, in both slots: to give it again is counted). While a latch stands, a start writes both slots unless
they are alike.
A record that the power cuts off is not counted; then nothing but a latch and a failed tick is written for APART_S.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from relith.bms import APART_S, SAVE_PPM, Bms
from relith.clock import DAY_S
from relith.journal import FAILED_MOST, MOST, OWN_MOST, encode
from relith.memory import pack_all
from relith.profile import Profile

from host_sim.loop import MemoryStore
from host_sim.tables import TABLE

PROFILES = Path(__file__).resolve().parents[1] / "firmware" / "profiles"
ERASURES = 100_000  # that a block of NOR flash bears: W25Q16JV (the Pico's), data sheet, features
BLOCKS, BLOCK_BYTES = 100, 4096  # free ones of littlefs, which are written in turn
YEAR_D = 365.25
WITHDRAWN = 3  # arming, consent, leave to run
LATCHING = sum(row.level >= 2 for row in TABLE)  # hard and lockout


def apart() -> int:
    """Most records in a day that charge and time bring about."""
    return DAY_S // APART_S


def counted() -> int:
    """Most of all others in a day of power: starts, pulses, rests, failures, persons, latches."""
    return FAILED_MOST + 1 + 1 + 2 * LATCHING + 2 * WITHDRAWN


def worst() -> int:
    """Most records in a day of power, whatever host, world and resets do between two of them: a latch stands, and a
    start after each that kept its distance writes both slots."""
    return 3 * apart() + counted()


def cycle() -> int:
    """Most records of a full cycle: by charge, two half-cycles, begin and end of a pulse, a rest."""
    return 2 * 1_000_000 // SAVE_PPM + 2 + 2 + 1


def raw_years(records_a_day: float) -> float:
    """Life of a raw slot, which has its block to itself: every second record erases it."""
    return ERASURES / (records_a_day / 2) / YEAR_D


def littlefs_years(records_a_day: float, cells: int) -> float:
    """Life of BLOCKS blocks in turn: a record erases its file's, and about one more for the folder."""
    return ERASURES * BLOCKS / (records_a_day * (1 + -(-size(cells) // BLOCK_BYTES))) / YEAR_D


@cache
def size(cells: int) -> int:
    """Bytes of a record."""
    fields = json.loads((PROFILES / "liu21_nmc532.json").read_text(encoding="utf-8"))
    bms = Bms(Profile(json.dumps(fields | {"cell_count": cells}), "wear"), MemoryStore())
    bms.black_box.kept = bytes(512)
    return len(encode(0, pack_all(bms)))


TEXT = """**Wear of the flash** (rule 11; figures by `python -m host_sim.wear`). A record has {one:.1f} kB for one cell,
{sixteen:.0f} kB for sixteen. In use one is written for every {percent} % of nominal capacity moved, for every
half-cycle, at the beginning and end of a pulse, for a rest, a start, a latch, and once a day: {usual} a day with a full
cycle in it. At worst, whatever charger, sensors, host and resets do, {worst} a day (`test_wear.py`). Those that charge
brings about keep {apart_s} s from each other and from the start, at most {apart} a day (while a latch stands, a start
after one of them writes both slots anew). All others are counted in the
journal itself, at most {counted} in a day of power, latches included: after {own} a start brings no record and no
pulse and no rest begins, after {most} a command is refused with the reason, after {failed} a failed tick finds no room
either (the first since a person cleared is kept by then). A latch is written always, and so is what a
person withdraws: an arming, consent, the leave to run. Power that fails within
a record may add one each time, once in {apart_s} s at most, or with each latch or failed tick.
"""
TABLE_TEXT = """
Years that a flash whose blocks bear {erasures} erasures then lasts:

| | records a day | raw slots | littlefs, {blocks} free blocks, one cell | sixteen cells |
|---|---|---|---|---|
| a full cycle a day | {usual} | {usual_raw:.1f} | {usual_one:.0f} | {usual_sixteen:.0f} |
| worst case, day and night | {worst} | {worst_raw:.1f} | {worst_one:.0f} | {worst_sixteen:.0f} |
"""


def text() -> str:
    """The paragraph of docs/safety.md."""
    usual = cycle() + 1
    return (TEXT + TABLE_TEXT).format(
        one=size(1) / 1000, sixteen=size(16) / 1000, percent=SAVE_PPM // 10_000, usual=usual, worst=worst(),
        apart_s=APART_S, apart=apart(), counted=counted(), own=OWN_MOST, most=MOST, failed=FAILED_MOST,
        erasures=ERASURES, blocks=BLOCKS, usual_raw=raw_years(usual),
        usual_one=littlefs_years(usual, 1), usual_sixteen=littlefs_years(usual, 16),
        worst_raw=raw_years(worst()), worst_one=littlefs_years(worst(), 1), worst_sixteen=littlefs_years(worst(), 16),
    )  # fmt: skip


def main() -> int:
    """Print it."""
    print(text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
