"""`relith-sim profile FILE…`: a checked profile from a slow cycle and pulses of your own cell.

Every figure says where it is from: measured from lines of a file, given on the command line, or the prior of another
profile. Leaves profile.json, provenance.csv, ocv.csv and profile.png in one folder, whole or not at all.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from host_sim import folder, measured
from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.history import History, check_signs, gaps, joined
from host_sim.measured import Half, Ocv
from host_sim.profiles import changed, checked, load, made, scaled
from host_sim.replay import PROFILE, add_columns, read_all

MARK = "provenance.csv"
LEAST_STEPS = 3  # of current, for a resistance
MIDDLE = (0.2, 0.8)  # cathode content within which it is taken
LARGE = 0.5  # of the largest step: smaller ones show more of the charge transfer
REACHED = 0.03  # content that an anode-limited slow discharge may leave open before its end counts as the anode's
LEAST_CYCLES = 3  # for a loss prior
COMMAND = "relith-sim profile"


@dataclass
class Figure:
    """One field: its value, how it is known (`measured`, `given`, `prior`, `derived`), and from where."""

    value: Any
    how: str
    source: str


def parser() -> Parser:
    """The options of `relith-sim profile`."""
    p = Parser(prog=COMMAND, description=__doc__.splitlines()[0])
    add_columns(p)
    p.add_argument("--like", default=str(PROFILE), metavar="FILE", help="profile whose figures are the priors")
    lithium = p.add_mutually_exclusive_group(required=True)
    lithium.add_argument(
        "--np", type=float, metavar="RATIO", default=argparse.SUPPRESS,
        help="N/P: lithium on the anode of the new, discharged cell, over the cathode's swing",
    )  # fmt: skip
    lithium.add_argument("--reservoir", type=float, metavar="MAH", default=argparse.SUPPRESS, help="the same in mAh")
    lithium.add_argument("--anode-free", action="store_true", help="no reservoir")
    for name, unit, what in (
        ("--max-v", "V", "end of charge (default: that of --like)"),
        ("--min-v", "V", "end of discharge (default: that of --like)"),
        ("--capacity", "MAH", "nominal capacity (default: what the slow discharge delivers)"),
        ("--one-c", "MA", "the current called 1C (default: as in --like, for this capacity)"),
        ("--resistance", "OHM", "where there are no pulses (default: measured)"),
        ("--area", "CM2", "area of the electrodes together (default: as in --like, for this capacity)"),
    ):
        p.add_argument(name, type=float, metavar=unit, help=what, default=argparse.SUPPRESS)
    p.add_argument("--name", default=argparse.SUPPRESS, help="what this cell is, at most 60 characters")
    p.add_argument("--out", default="build/profile", metavar="FOLDER", help="replaced as a whole at the end")
    return p


def main(argv: list[str]) -> int:
    """Exit status: 0. Raises InputError before anything is written."""
    a = parser().parse_args(argv)
    for name, low, high in (("np", 0, 20), ("reservoir", 0, 1e6), ("max_v", 2, 4.6), ("min_v", 1.5, 3.6),
                            ("capacity", 1, 1e6), ("one_c", 0.5, 4e6), ("resistance", 1e-6, 2000),
                            ("area", 0.01, 1e7)):  # fmt: skip
        value = getattr(a, name, None)
        if value is not None and not low <= value <= high:
            raise InputError(f"{COMMAND}: --{name.replace('_', '-')} is {value:g}, allowed is {low:g} to {high:g}")
    out, like = Path(a.out), Path(a.like)
    folder.refuse(COMMAND, out, MARK)
    prior = load(like)
    base = checked(like.read_bytes(), str(like))
    history = joined(read_all(a), None)
    if history.voltage_v.shape[1] != 1:
        raise InputError(
            f"{a.files[0]}: line 1: {history.voltage_v.shape[1]} voltage columns; a profile is of one cell"
        )
    parts = measured.halves(history)
    if parts:
        moved_mah = min(max(1e3 * max(part.moved_ah for part in parts), 1.0), 1e6)
        check_signs(history, changed(prior, like, capacity_mah=moved_mah))
    figures, curve, resistances = build(history, base, like.name, a)
    data = {name: figure.value for name, figure in figures.items()}
    text = _json(data)
    made(text, str(out / "profile.json"))
    write(out, text, figures, curve, resistances)
    _print(figures)
    for note in history.notes:
        if "temperature" not in note:
            print(note)
    print(f"profile: {out / 'profile.json'}; where each figure is from: {out / MARK}; picture: {out / 'profile.png'}")
    print(
        f"relith.profile: capacity={data['nominal_capacity_uah'] * 1e-3:.4g}mAh "
        f"swing={curve.swing_ah * 1e3:.4g}mAh resistance={data['resistance_uohm'] * 1e-6:.4g}ohm "
        f"reservoir={data['reservoir_ppm'] * 1e-4:.4g}%"
    )
    return 0


def build(history: History, base: dict, like: str, a: argparse.Namespace):
    """(figures by field, Ocv, (volts, ohm) of every step of current). Raises InputError where the data do not reach."""
    v_max = getattr(a, "max_v", base["max_uv"] * 1e-6)
    v_min = getattr(a, "min_v", base["min_uv"] * 1e-6)
    parts = measured.halves(history)
    discharge, charge = measured.slow_cycle(history, parts, v_max, v_min)
    _holes(history, discharge, charge)
    curve = measured.ocv(history, discharge, charge, v_max, v_min)
    slow = lines(history, min(discharge.first, charge.first), max(discharge.last, charge.last))
    curve, tail = _reaching(curve, base, like, a, history, discharge)
    nominal_ah = round(getattr(a, "capacity", discharge.moved_ah * 1e3) * 1e3) * 1e-6
    if not 0.3 * nominal_ah <= discharge.moved_ah <= 3.0 * nominal_ah:
        raise InputError(
            f"{history.place(discharge.first)}: the slow discharge that begins here moves "
            f"{discharge.moved_ah * 1e3:.4g} mAh, but --capacity is {nominal_ah * 1e3:g} mAh: another unit (--columns)?"
        )
    data = dict(base)
    scaled(data, nominal_ah * 1e6 / base["nominal_capacity_uah"])
    figures = {name: Figure(value, "prior", f"{like}{_size(name)}") for name, value in data.items()}

    def put(name: str, value, how: str, source: str) -> None:
        figures[name] = Figure(value, how, source)

    capacity = ("given", "--capacity") if hasattr(a, "capacity") else ("measured", f"slow discharge, {slow}")
    put("nominal_capacity_uah", round(nominal_ah * 1e6), *capacity)
    if hasattr(a, "one_c"):
        put("one_c_ua", round(a.one_c * 1e3), "given", "--one-c")
    if hasattr(a, "area"):
        put("electrode_area_mm2", round(a.area * 100), "given", "--area")
    one_c_a = figures["one_c_ua"].value * 1e-6
    put("cathode_capacity_ppm", round(1e6 * curve.swing_ah / nominal_ah), "measured", f"slow cycle, {slow}{tail}")
    ppm, uv = measured.knots(curve)
    put("ocv_content_ppm", ppm, "measured", f"slow cycle, {slow}{tail}")
    put("ocv_uv", uv, "measured", f"slow cycle, {slow}{tail}")
    _windows(put, base, v_max, v_min, a, like)
    _reservoir(put, base, a, curve.swing_ah, nominal_ah)
    resistances = _resistance(put, history, curve, one_c_a, v_min, a)
    _loss(put, history, base, parts, a, v_max, v_min, like)
    put("cell_count", 1, "given", "one voltage column")
    recording = history.recordings[0].path.stem.removesuffix(".bdf")
    put("name", getattr(a, "name", f"built from {recording}")[:60], "given",
        "--name" if hasattr(a, "name") else "file name")  # fmt: skip
    put("sources", _sources(figures), "derived", "this table")
    return figures, curve, resistances


def _holes(h: History, *parts: Half) -> None:
    """Rows that are missing inside the slow cycle. Raises InputError where no counter tells what passed meanwhile."""
    missing = gaps(h, None, 1e-3 * float(np.abs(h.current_a).max()))
    for part in parts:
        for k in (np.flatnonzero(missing[part.first + 1 : part.last + 1]) + part.first + 1).tolist():
            said = (
                f"{h.place(k)}: {(h.time_s[k] - h.time_s[k - 1]) / 3600:.3g} h are missing before it in the slow cycle"
            )
            if h.net_ah is None:
                raise InputError(f"{said}, and no charge counter tells what passed; take a cycle without a hole")
            h.notes.append(f"{said}: the cycler's charge counter bridges them, the OCV is a straight line there")


def _reaching(curve: Ocv, base: dict, like: str, a: argparse.Namespace, h: History, discharge: Half):
    """A discharge that ends at the anode never shows the end of the cathode's curve.

    With --anode-free that part is the prior's curve, moved to fit; else it is refused. Told by the rested voltage:
    where the prior's curve has content left below it.
    """
    ppm, uv = np.array(base["ocv_content_ppm"]) * 1e-6, np.array(base["ocv_uv"]) * 1e-6
    rest = measured.rested_after(h, discharge.last)
    if rest is None:
        return curve, ""
    end = float(np.interp(-rest, -uv, ppm))
    if end > 1.0 - REACHED:
        return curve, ""
    if not a.anode_free:
        raise InputError(
            f"{h.place(discharge.last)}: the slow discharge ends here, but the cell rests at {rest:.3f} V afterwards: "
            "it ended at the anode, and the cathode's curve is not known to its end; take a newer cell, or say "
            "--anode-free"
        )
    moved = discharge.moved_ah
    swing = moved / end
    inside = (curve.content * curve.swing_ah <= moved * 0.98) & (curve.content >= 0.0)
    content = curve.content[inside] * curve.swing_ah / swing
    beyond = ppm > end
    volts = curve.volts[inside]
    keep = volts > rest
    content, volts = content[keep], volts[keep]
    whole = Ocv(
        np.concatenate((content, [end], ppm[beyond])), np.concatenate((volts, [rest], uv[beyond])), swing,
        curve.slow, end,
    )  # fmt: skip
    return whole, f"; beyond content {end:.3f} (anode-limited there) the curve of {like}"


def _windows(put, base: dict, v_max: float, v_min: float, a, like: str) -> None:
    """Ends of charge and discharge, and the limits about them as far away as in the prior."""
    for end, volts, names in (
        ("max_uv", v_max, ("soft_max_uv", "hard_max_uv")),
        ("min_uv", v_min, ("soft_min_uv", "hard_min_uv", "lockout_uv", "rest_floor_uv")),
    ):
        option = f"--{end[:3]}-v"
        if not hasattr(a, option[2:].replace("-", "_")):
            continue
        put(end, round(volts * 1e6), "given", option)
        for name in names:
            put(name, round(volts * 1e6) + base[name] - base[end], "prior", f"{like}: as far from {end} as there")


def _reservoir(put, base: dict, a, swing_ah: float, nominal_ah: float) -> None:
    """Lithium on the anode of the new, discharged cell."""
    if a.anode_free:
        ppm, option = 0, "--anode-free"
    elif hasattr(a, "np"):
        ppm, option = round(1e6 * a.np * swing_ah / nominal_ah), f"--np {a.np:g}"
    else:
        ppm, option = round(1e3 * a.reservoir / nominal_ah), f"--reservoir {a.reservoir:g}"
    put("reservoir_ppm", ppm, "given", option)
    share = base["reservoir_sigma_ppm"] / base["reservoir_ppm"] if base["reservoir_ppm"] else 0.03
    put("reservoir_sigma_ppm", round(ppm * share), "prior", f"{share:.1%} of the reservoir, as in --like")


def _resistance(put, h: History, curve: Ocv, one_c_a: float, v_min: float, a):
    """Of the larger steps of current in the middle of the charge: the median."""
    rows, volts, ohm = measured.steps(h, one_c_a, v_min)
    step_a = np.abs(h.current_a[rows] - h.current_a[rows - 1]) if len(rows) else np.empty(0)
    high, low = (float(np.interp(part, curve.content, curve.volts)) for part in MIDDLE)
    middle = (volts <= high) & (volts >= low)
    if middle.any():
        middle &= step_a >= LARGE * step_a[middle].max()
    if hasattr(a, "resistance"):
        put("resistance_uohm", round(a.resistance * 1e6), "given", "--resistance")
    elif int(middle.sum()) < LEAST_STEPS:
        raise InputError(
            f"{h.recordings[0].path}: {h.recordings[0].unit} {h.recordings[0].lines[0]} and after: {int(middle.sum())} "
            f"steps of current of at least C/20 within 2 s, between {low:.2f} and {high:.2f} V, where a resistance "
            f"needs {LEAST_STEPS}; add a file with pulses, or give --resistance OHM"
        )
    else:
        where = lines(h, int(rows[middle][0]) - 1, int(rows[middle][-1]))
        rates = f"{step_a[middle].min() / one_c_a:.2g} to {step_a[middle].max() / one_c_a:.2g} C"
        put("resistance_uohm", round(float(np.median(ohm[middle])) * 1e6), "measured",
            f"median of {int(middle.sum())} steps of {rates} within 2 s, {where}")  # fmt: skip
    return volts, ohm, middle


def _loss(put, h: History, base: dict, parts: list[Half], a, v_max: float, v_min: float, like: str) -> None:
    """Loss per cycle from the cell's own efficiency: only an anode-limited cell shows it, a reservoir hides it."""
    seen = measured.efficiencies(parts, v_max, v_min)
    fields = ("loss_isolated_ppm", "loss_sei_ppm")
    if not a.anode_free or len(seen) < LEAST_CYCLES:
        why = "a reservoir hides it" if not a.anode_free else f"{len(seen)} full cycles, {LEAST_CYCLES} are needed"
        for name in fields:
            put(name, base[name], "prior", f"{like}; not measurable here: {why}")
        return
    lost = max(0.0, 1.0 - float(np.median([ce for _, ce in seen])))
    where = lines(h, seen[0][0].first, seen[-1][0].last)
    whole = base["loss_isolated_ppm"] + base["loss_sei_ppm"] or 1
    for name in fields:
        put(name, round(1e6 * lost * base[name] / whole), "measured",
            f"median CE of {len(seen)} full cycles, {where}; split as in {like}")  # fmt: skip


def lines(h: History, first: int, last: int) -> str:
    """`file.csv lines 17–260`, or across files `a.csv line 17 – b.csv line 3`."""
    begin, end = h.place(first), h.place(last)
    file, _, row = begin.rpartition(": ")
    other, _, row_last = end.rpartition(": ")
    unit, number = row.split(" ")
    if file == other:
        return f"{Path(file).name} {unit}s {number}–{row_last.split(' ')[1]}"
    return f"{Path(file).name} {row} – {Path(other).name} {row_last}"


def _size(name: str) -> str:
    return ", for this capacity" if re.search(r"_(ua|uah|na|mm2|uohm)$", name) else ""


def _sources(figures: dict[str, Figure]) -> dict[str, str]:
    """The profile's own `sources`: fields that share a source stand together."""
    grouped: dict[str, list[str]] = {}
    for name, figure in figures.items():
        if name not in ("schema", "name", "sources", "link_key", "policy"):
            grouped.setdefault(f"{figure.how}: {figure.source}", []).append(name)
    return {" ".join(names): source for source, names in grouped.items()}


def _json(data: dict) -> str:
    """One field a line, tables on one line."""
    parts = []
    for name, value in data.items():
        indent = 1 if isinstance(value, dict) else None
        text = json.dumps(value, indent=indent, ensure_ascii=False).replace("\n", "\n ")
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _print(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        if figure.how in ("measured", "given"):
            shown = f"{len(figure.value)} points" if isinstance(figure.value, list) else figure.value
            print(f"{name:22} {shown!s:>12}  {figure.how}: {figure.source}")
    priors = sum(figure.how == "prior" for figure in figures.values())
    print(f"{'the other':22} {priors:>12}  prior: {next(f.source for f in figures.values() if f.how == 'prior')}")


def write(out: Path, text: str, figures: dict[str, Figure], curve: Ocv, resistances) -> None:
    """All four files together."""
    with folder.whole(out) as beside:
        (beside / "profile.json").write_text(text, encoding="utf-8")
        with open(beside / MARK, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("field", "value", "how", "source"))
            for name, figure in figures.items():
                if name != "sources":
                    value = " ".join(map(str, figure.value)) if isinstance(figure.value, list) else figure.value
                    writer.writerow((name, value, figure.how, figure.source))
        with open(beside / "ocv.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("content", "ocv_v"))
            for content, volts in zip(curve.content[::4], curve.volts[::4], strict=True):
                writer.writerow((f"{content:.6f}", f"{volts:.6f}"))
        _picture(beside / "profile.png", figures, curve, resistances)


def _picture(path: Path, figures: dict[str, Figure], curve: Ocv, resistances) -> None:
    from matplotlib.figure import Figure as Picture

    volts, ohm, taken = resistances
    picture = Picture(figsize=(10.5, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    ppm, uv = np.array(figures["ocv_content_ppm"].value), np.array(figures["ocv_uv"].value)
    seen = curve.content <= curve.measured_to
    left.plot(curve.content[seen], curve.volts[seen], "-", color="#56B4E9", lw=3, label="slow cycle, both halves")
    left.plot(ppm * 1e-6, uv * 1e-6, "o-", color="#001f3f", ms=3, lw=0.8, label="table of the profile")
    left.set_xlabel("lithium in the cathode, of its swing (0 = full charge)")
    left.set_ylabel("rested voltage (V)")
    left.legend(frameon=False, fontsize=9)
    right.plot(volts[~taken], ohm[~taken], "o", color="#9aa5b1", ms=4, label="steps of current")
    right.plot(volts[taken], ohm[taken], "o", color="#D55E00", ms=5, label="taken: large, middle of the charge")
    right.axhline(figures["resistance_uohm"].value * 1e-6, color="#D55E00", lw=1, label="of the profile")
    right.set_xlabel("voltage before the step (V)")
    right.set_ylabel("resistance (ohm)")
    right.set_ylim(bottom=0)
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.grid(color="#eceff2")
    picture.savefig(path, dpi=110, metadata={"Software": None})
