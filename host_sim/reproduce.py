"""`make reproduce`: every published experiment on the simulated cell, in every world, beside what was published.

Leaves in build/: `reproduction.csv` (default world), `reproduction-<world>.csv` (the others), `reproduction.png`,
`reproduction.html`. Exit status 1 when a row of any world is outside its tolerance. `low` and `high` are the interval
that equally good parameter sets give (`relith-sim fit`): a single optimum is not an answer.
"""

import base64
import csv
import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from host_sim.cell import WORLDS, load_parameters
from host_sim.cli import Parser, Progress, out_folder
from host_sim.errors import InputError
from host_sim.experiments import EXPERIMENTS, Target, targets
from host_sim.experiments.isolated_stripping import RATES
from host_sim.fit import USED, load_ensemble

DEFAULT = "redealt"
HEADER = (
    *("id", "value", "target", "tolerance", "ok", "op", "unit", "low", "high"),
    *("used_in_fit", "world", "members", "cell", "quantity", "source"),
)
FITTED = {row for rows in USED.values() for row in rows}


@dataclass(frozen=True)
class Row:
    """One published figure in one world: value of the default set, interval over the equally good sets."""

    target: Target
    world: str
    value: float
    low: float
    high: float
    members: int

    @property
    def ok(self) -> bool:
        """Within tolerance."""
        return self.target.ok(self.value)

    def cells(self):
        """In the order of HEADER."""
        t = self.target
        tolerance = "" if t.tolerance is None else f"{t.tolerance:g}"
        numbers = [f"{x:.6g}" for x in (self.value, t.target)]
        interval = [f"{x:.6g}" for x in (self.low, self.high)]
        used = "yes" if t.id in FITTED else "no"
        told = [self.world, self.members, t.cell, f"{t.experiment}: {t.quantity}", t.source]
        return [t.id, *numbers, tolerance, str(self.ok).lower(), t.op, t.unit, *interval, used, *told]


def measure(load):
    """All experiments with one choice of sets: {row id: value as reported}."""
    known = targets()
    found = {}
    for experiment in EXPERIMENTS:
        found.update(experiment.run(load))
    return {row: known[row].shown(float(found[row])) for row in known}


def reproduce(world, say=lambda text: None):
    """Rows of one world, in the order of targets.csv."""
    default = measure(lambda electrolyte: load_parameters(electrolyte, world))
    members = load_ensemble(world)
    spread = []
    for k, member in enumerate(members):
        spread.append(measure(member.__getitem__))
        say(f"{world}: equally good set {k + 1} of {len(members)}")
    ranges = {row: (min(m[row] for m in spread), max(m[row] for m in spread)) for row in default}
    return [Row(t, world, default[t.id], *ranges[t.id], len(members)) for t in targets().values()]


def write_csv(path, rows):
    """The rows as CSV; the first columns are id,value,target,tolerance,ok."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(row.cells() for row in rows)


def draw(path, worlds):
    """Left: every row in tolerances, default and interval, each world. Right: Liu21's stripping figure, both."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 9), width_ratios=(1.25, 1), layout="constrained")
    shown = [target for target in targets().values() if target.op == "within"]
    known = targets()
    left.axvspan(-1, 1, color="0.92")
    for k, (world, found) in enumerate(worlds.items()):
        rows = {row.target.id: row for row in found}
        style = {"color": f"C{k}"}
        y = np.arange(len(shown)) + 0.18 * (k - 1.5)
        low, value, high = (
            [(getattr(rows[t.id], part) - t.target) / t.tolerance for t in shown] for part in ("low", "value", "high")
        )
        left.hlines(y, low, high, lw=2, alpha=0.5, **style)
        left.plot(value, y, ".", label=world, **style)
        for family in ("L2", "L3"):
            line = [rows[family + letter] for letter in RATES]
            x = list(RATES.values())
            right.fill_between(x, [row.low for row in line], [row.high for row in line], alpha=0.15, **style)
            right.plot(x, [row.value for row in line], lw=1, **style)
    left.set_yticks(range(len(shown)), [t.id if t.id in FITTED else f"({t.id})" for t in shown])
    left.invert_yaxis()
    left.set_xlabel("(simulated − published) / tolerance; bar: equally good sets; (…): not used in the fit")
    left.legend(loc="lower right")
    for family, label, marker in (("L2", "with isolated lithium", "o"), ("L3", "without", "s")):
        published = [known[family + letter] for letter in RATES]
        values, errors = [t.target for t in published], [t.tolerance for t in published]
        style = {"fmt": marker, "color": "k", "mfc": "none", "capsize": 3}
        right.errorbar(list(RATES.values()), values, errors, label=f"Liu21, {label}", **style)
    right.axhline(100, color="0.7", lw=0.8)
    right.set_xlabel("stripping current / mA cm⁻²")
    right.set_ylabel("CE of 1 mAh cm⁻² / %")
    right.set_title("Liu21 Fig 4d")
    right.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_html(path, worlds, picture):
    """One page that needs no network: the figure and a table per world."""
    image = base64.b64encode(Path(picture).read_bytes()).decode()
    parts = [
        "<!doctype html><meta charset='utf-8'><title>Published experiments, simulated</title>",
        "<style>body{font:14px/1.4 sans-serif;max-width:75em;margin:2em auto}td,th{padding:2px 8px;text-align:right;",
        "border-bottom:1px solid #ddd}td:last-child,th:last-child{text-align:left}.no{background:#fbb}",
        "img{max-width:100%}</style><h1>Published experiments on the simulated cell</h1>",
        "<p>One set of equations, one parameter set per electrolyte and world; no experiment has one of its own.",
        "<i>interval</i>: what equally good sets give. Worlds differ in what the data leave open (docs/cell.md).</p>",
        f"<img alt='rows in tolerances' src='data:image/png;base64,{image}'>",
    ]
    for world, rows in worlds.items():
        good = sum(row.ok for row in rows)
        parts.append(f"<h2>World {world}: {good} of {len(rows)} rows within tolerance</h2><table><tr>")
        titles = ("row", "simulated", "interval", "published", "tolerance", "unit", "in fit", "experiment")
        parts.append("".join(f"<th>{title}</th>" for title in titles) + "</tr>")
        for row in rows:
            t = row.target
            sign = {"within": "", "gt": "&gt; ", "lt": "&lt; "}[t.op]
            tolerance = "" if t.tolerance is None else f"± {t.tolerance:g}"
            told = html.escape(f"{t.experiment}: {t.quantity} ({t.source})")
            numbers = (f"{row.value:.5g}", f"{row.low:.5g} … {row.high:.5g}", f"{sign}{t.target:g}", tolerance)
            texts = (t.id, *numbers, html.escape(t.unit), "yes" if t.id in FITTED else "no", told)
            mark = "" if row.ok else " class='no'"
            parts.append(f"<tr{mark}>" + "".join(f"<td>{text}</td>" for text in texts) + "</tr>")
        parts.append("</table>")
    Path(path).write_text("\n".join(parts), encoding="utf-8")


def main(argv=None):
    """`relith-sim reproduce`: returns the exit status."""
    parser = Parser(prog="relith-sim reproduce", description=__doc__.split("\n")[0])
    parser.add_argument("--world", default="all", help=f"one of {', '.join(WORLDS)}, or all")
    parser.add_argument("--out", default="build", help="folder for the results")
    options = parser.parse_args(argv)
    if options.world not in ("all", *WORLDS):
        raise InputError(f"reproduce: --world is {options.world!r}, allowed are all, {', '.join(WORLDS)}")
    out = out_folder("reproduce", options.out)
    names = list(WORLDS) if options.world == "all" else [options.world]
    worlds = {}
    for world in names:
        progress = Progress()
        rows = worlds[world] = reproduce(world, progress.show)
        progress.end()
        write_csv(out / ("reproduction.csv" if world == DEFAULT else f"reproduction-{world}.csv"), rows)
        outside = [row.target.id for row in rows if not row.ok]
        print(f"{world}: {len(rows) - len(outside)} of {len(rows)} rows within tolerance")
        for row in rows:
            if not row.ok or world == DEFAULT:
                t = row.target
                within = f"± {t.tolerance:g}" if t.tolerance is not None else t.op
                print(f"  {t.id:4} {row.value:9.5g}  {t.target:6g} {within:7} {'ok' if row.ok else 'OUTSIDE'}")
    if DEFAULT in worlds:
        draw(out / "reproduction.png", worlds)
        write_html(out / "reproduction.html", worlds, out / "reproduction.png")
        print(f"report: {out / 'reproduction.html'}")
    return int(any(not row.ok for rows in worlds.values() for row in rows))
