"""`relith-sim replay FILE…`: recorded cycler data through the firmware; where the lithium was, cycle by cycle.

Reads BDF (CSV, Parquet), plain CSV, Neware .nda/.ndax, Biologic .mpr and Arbin .res. Leaves inventory.csv, report.html
and run.json in one folder, which appears whole or not at all. What `relith-hil record` kept of a rig is another thing:
`relith-hil replay` compares it bit for bit.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path

from host_sim import folder
from host_sim.cli import Parser, Progress
from host_sim.errors import InputError
from host_sim.formats import columns, recording
from host_sim.history import History, check, joined
from host_sim.player import NAMES, Player
from host_sim.profiles import changed, load
from host_sim.report.page import doubted
from host_sim.version import ROOT, version

PROFILE = ROOT / "firmware" / "profiles" / "liu21_nmc532.json"
MARK = "run.json"


def add_columns(p: argparse.ArgumentParser) -> None:
    """The options about files that `replay` and `profile` share."""
    p.add_argument("files", nargs="+", metavar="FILE", help="of one cell or string, in order of time")
    p.add_argument(
        "--columns", metavar="MAP", default=argparse.SUPPRESS,
        help="a TOML file, or such as 'time=t [h], voltage=U [mV], current=I [mA], sign=step-type' (docs/replay.md)",
    )  # fmt: skip


def parser() -> Parser:
    """The options of `relith-sim replay`."""
    p = Parser(
        prog="relith-sim replay", description=__doc__.splitlines()[0],
        epilog="A rig's recording (*.rec.gz of relith-hil record) is compared bit for bit by relith-hil replay.",
    )  # fmt: skip
    add_columns(p)
    p.add_argument(
        "--profile", metavar="FILE", default=argparse.SUPPRESS, help=f"of this cell (JSON; default: {PROFILE.name})"
    )
    p.add_argument(
        "--capacity", type=float, metavar="MAH", default=argparse.SUPPRESS,
        help="nominal capacity of this cell in mAh; the profile is scaled to it (default: the profile's own)",
    )  # fmt: skip
    p.add_argument(
        "--set", action="append", default=[], metavar="FIELD=N", help="another figure for a field of the profile"
    )
    p.add_argument(
        "--temperature", type=float, metavar="DEGC", default=argparse.SUPPRESS,
        help="where the files have none (default: 25)",
    )  # fmt: skip
    p.add_argument(
        "--gap", type=float, metavar="S", default=argparse.SUPPRESS,
        help="rows farther apart are a gap (default: five times what is usual around them)",
    )  # fmt: skip
    p.add_argument("--used", action="store_true", help="the cell was not new: nothing is known of its past")
    p.add_argument("--out", default="build/replay", metavar="FOLDER", help="replaced as a whole at the end")
    return p


def main(argv: list[str]) -> int:
    """Exit status: 0. Raises InputError before anything is written."""
    a = parser().parse_args(argv)
    told_degc, gap_s = getattr(a, "temperature", None), getattr(a, "gap", None)
    for name, value, low, high in (("temperature", told_degc, -45, 125), ("gap", gap_s, 1, 1e8)):
        if value is not None and not low <= value <= high:
            raise InputError(f"relith-sim replay: --{name} is {value:g}, allowed is {low:g} to {high:g}")
    out = Path(a.out)
    folder.refuse("relith-sim replay", out, MARK)
    recordings = read_all(a)
    history = joined(recordings, told_degc)
    path = Path(getattr(a, "profile", PROFILE))
    profile = load(path)
    profile = changed(profile, path, capacity_mah=getattr(a, "capacity", None), settings=a.set,
                      cells=history.voltage_v.shape[1])  # fmt: skip
    notes = list(history.notes)
    if not hasattr(a, "profile"):
        notes.append(f"no --profile given: {path.name} is taken ({profile.name})")
    if a.used:
        notes.append("--used: nothing is known of the cell's past; the inventory is unknown until an anchor shows it")
    else:
        notes.append("the cell is taken as new when the first file begins, as the profile says (else: --used)")
    check(history, profile)

    player = Player(profile, history, gap_s, new=not a.used)
    screen = Progress()
    player.play(played(screen))
    screen.end()
    notes += told_afterwards(player)
    write(out, player, notes, facts(a, path, player))
    for note in notes:
        print(note)
    print(f"report: {out / 'report.html'}")
    print(line(player))
    return 0


def read_all(a: argparse.Namespace) -> list[recording.Recording]:
    """Every file, checked. Raises InputError."""
    told = columns.parse(getattr(a, "columns", None))
    return [recording.read(name, told) for name in a.files]


def played(screen: Progress) -> Callable[[int, int], None]:
    """Tells `screen` how many rows are played; where every line stays, at every tenth."""
    tenth = 0

    def show(done: int, rows: int) -> None:
        nonlocal tenth
        if screen.live or done * 10 // max(rows, 1) > tenth:
            tenth = done * 10 // max(rows, 1)
            screen.show(f"replay {done:,} of {rows:,} rows")

    return show


def told_afterwards(player: Player) -> list[str]:
    """What the reader of the result must know of how it came about."""
    notes, nominal = [], player.nominal_mah
    if player.gaps:
        text = f"{player.gaps} gap{'s' * (player.gaps > 1)}, {player.gap_s / 3600.0:.3g} h, where rows are missing: "
        if player.bridged:
            notes.append(text + "the cycler's charge counter bridges them")
        else:
            notes.append(text + f"no charge is booked for them, {player.gap_mah:.4g} mAh may be missing")
    if player.repeated:
        notes.append(f"{player.repeated} rows repeat the one before; they carry no charge")
    if not player.rows:
        notes.append("no discharge of at least 0.5 % of nominal capacity has ended: no cycle to tell of")
    elif max(row["discharge_mah"] for row in player.rows) < 0.2 * nominal:
        notes.append(f"no discharge moves 20 % of {nominal:g} mAh; is this the cell's capacity (--capacity MAH)?")
    for alarm in player.alarms.values():
        notes.append(
            f"the firmware would have raised {alarm.name!r} {alarm.times} times, first at {alarm.place} "
            f"({alarm.time_h:.2f} h)"
        )
    return notes


def line(player: Player) -> str:
    """The last line on the screen: the inventory at the end of the last discharge, of the weakest cell."""
    if not player.rows:
        return "relith.replay: cycles=0"
    cells = len(player.bms.estimates)
    cycles = len(player.rows) // cells
    last = player.rows[-cells:]
    row = min(last, key=lambda r: (r["capacity_mah"] is not None, r["capacity_mah"] or 0.0))
    text = f"relith.replay: cycles={cycles}" + (f" cell={row['cell']}" if cells > 1 else "") + f" {row['known']}"
    if row["known"] != NAMES["known"][0]:
        for store in ("active", "isolated", "sei"):
            text += f" {store}={doubted(row[f'{store}_mah'], row[f'{store}_sigma_mah']).replace(' ', '')}mAh"
        text += f" soh={row['soh']:.3f} stage={row['stage']} cycles_left={row['cycles_left']}"
    return text


def facts(a: argparse.Namespace, path: Path, player: Player) -> dict:
    """run.json: no time stamp and no path, so the same files and version give the same bytes."""
    h, last = player.history, player.rows[-len(player.bms.estimates) :]
    return {
        "line": line(player),
        "version": version(),
        "files": [
            {"name": r.path.name, "sha256": r.sha256, "rows": len(r.time_s), "temperature": bool(r.temperature_degc)}
            for r in h.recordings
        ],
        "profile": {"name": path.name, "crc30": player.profile.crc30},
        "parameters": {
            "columns": getattr(a, "columns", None), "capacity_mah": getattr(a, "capacity", None), "set": a.set,
            "temperature_degc": getattr(a, "temperature", None), "gap_s": getattr(a, "gap", None), "used": a.used,
        },
        "results": {
            "cycles": len(player.rows) // len(player.bms.estimates),
            "hours": float(h.time_s[-1]) / 3600.0,
            "charged_mah": player.charged_mah,
            "discharged_mah": player.discharged_mah,
            "gaps": player.gaps,
            "gap_h": player.gap_s / 3600.0,
            "gap_mah": player.gap_mah,
            "repeated_rows": player.repeated,
            "charge_from": "samples" if h.net_ah is None else "the cycler's counter",
            "last": last,
            "alarms": {alarm.name: [alarm.times, round(alarm.time_h, 4)] for alarm in player.alarms.values()},
        },
    }  # fmt: skip


def write(out: Path, player: Player, notes: list[str], about: dict) -> None:
    """inventory.csv, report.html with its numbers, run.json: all together."""
    from host_sim.report import replay_page  # matplotlib takes a second: not for `--help` or a refusal

    with folder.whole(out) as beside:
        write_rows(beside / "inventory.csv", player.names(), player.rows)
        replay_page.write(beside, player, notes, about)
        text = json.dumps(about | {"notes": notes}, indent=1, sort_keys=True, ensure_ascii=False)
        (beside / MARK).write_text(text + "\n", encoding="utf-8")


def write_rows(path: Path, names: list[str], rows: list[dict]) -> None:
    """Rows of these names as CSV with seven significant digits; nothing stands for what is not known."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow(["" if v is None else f"{v:.7g}" if isinstance(v, float) else v for v in row.values()])


def described(history: History) -> str:
    """How much data it was, for the report."""
    hours, rows, files = float(history.time_s[-1]) / 3600.0, len(history.time_s), len(history.recordings)
    return f"{files} file{'s' * (files > 1)}, {rows:,} rows, {hours:,.1f} h"
