"""`relith-sim sensitivity`: every assumed parameter to both ends of its range, one at a time; which conclusions move.

Conclusions are what the project says of reactivation, on the cells of one world: does a pulse lengthen life, by how
much, does a discharged rest regain lithium, does a charged one cost, which rate pair is better. A conclusion *moves*
when it turns, or when its distance from turning changes by more than MOVES. Rows of targets.csv that leave their
tolerance are named too: there the data speak against that end. Beside each conclusion stands its interval over the
equally good sets of `relith-sim fit`. Leaves `sensitivity.csv` and `.png` in build/.
"""

import csv

from host_sim.cell import SETS, WORLDS, load_parameters
from host_sim.cell.table import ROWS
from host_sim.cli import Parser, Progress, out_folder
from host_sim.errors import InputError
from host_sim.experiments import targets
from host_sim.experiments.common import below
from host_sim.experiments.full_cell_activation import ONE_C, PULSE_S, capacities
from host_sim.fit import FREE, load_ensemble
from host_sim.reproduce import measure

MOVES = 0.25
MOST = 200  # cycles; a longer life counts as this long
REST_H = 6.0


def conclusions(load):
    """{conclusion: (value, value at which it turns)} with one choice of sets, and the rows outside their tolerance."""
    parameters = load("liu21-carbonate")
    plain = life(parameters)
    rows = measure(load)
    return {
        "cycles to 80 % without": (plain, 0.0),
        "life gain of the 2 min 1C pulse": (life(parameters, pulse_s=PULSE_S) / plain, 1.0),
        "life gain of a 6 h discharged rest": (life(parameters, rest_h=REST_H) / plain, 1.0),
        "life gain of discharging at 1C": (life(parameters, rate=ONE_C) / plain, 1.0),
        "CE after a discharged rest / %": (rows["Z2a"], 100.0),
        "CE with a charged rest / without": (rows["Z2b"], 1.0),
        "slow/fast over fast/slow cycle life": (rows["Z1c"] / rows["Z1d"], 1.0),
    }, [row for row, value in rows.items() if not targets()[row].ok(value)]


def life(parameters, **changes):
    """Cycles of Liu21's full cell to 80 %, at most MOST; `changes` as `capacities` takes them."""
    found = capacities(parameters, most=MOST, **changes)
    return min(below(found, 0.8), float(MOST)) if found[0] > 0.0 else 0.0


def assumed():
    """The assumed parameters: {name: {electrolyte: (low, high)}}; the range that the fit searches, else the table's."""
    return {
        name: {electrolyte: FREE[electrolyte].get(name, (low, high)) for electrolyte in SETS}
        for name, _, _, low, high, source in ROWS
        if "assumed" in source or "world" in source
    }


def sweep(world, say=lambda text: None):
    """Default conclusions, and [(parameter, end, its value per electrolyte, conclusions, rows outside)] over both
    ends."""
    base = {electrolyte: load_parameters(electrolyte, world) for electrolyte in SETS}
    default = conclusions(base.__getitem__)
    found = []
    todo = assumed()
    for k, (name, ranges) in enumerate(todo.items()):
        say(f"{k + 1} of {len(todo)} assumed parameters")
        for place, end in enumerate(("low", "high")):
            at = {electrolyte: ranges[electrolyte][place] for electrolyte in SETS}
            sets = {electrolyte: base[electrolyte].replace(**{name: value}) for electrolyte, value in at.items()}
            found.append((name, end, at, *conclusions(sets.__getitem__)))
    return default, found


def moved(value, default, turn):
    """How a conclusion moves: "sign" when it turns, "size" by more than MOVES of its distance from turning, else ""."""
    if (value - turn) * (default - turn) <= 0.0 and value != default:
        return "sign"
    return "size" if abs(value - default) > MOVES * abs(default - turn) else ""


def write(path, default, found):
    """One line per parameter, end and conclusion."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("parameter", "end", *SETS, "conclusion", "default", "value", "moves", "rows_outside"))
        for name, end, at, values, outside in found:
            for conclusion, (value, turn) in values.items():
                start = default[0][conclusion][0]
                how = moved(value, start, turn)
                numbers = (f"{start:.6g}", f"{value:.6g}")
                writer.writerow(
                    (name, end, *(f"{at[e]:g}" for e in SETS), conclusion, *numbers, how, " ".join(outside))
                )


def draw(path, default, found):
    """One panel per conclusion: the twelve parameters that move it most, hollow where rows leave their tolerance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(default[0])
    figure, axes = plt.subplots(2, 4, figsize=(20, 10), layout="constrained")
    for axis, conclusion in zip(axes.flat, names, strict=False):
        start, turn = default[0][conclusion]
        by_name = {}
        for name, end, _, values, outside in found:
            by_name.setdefault(name, {})[end] = (values[conclusion][0], bool(outside))
        order = sorted(by_name, key=lambda name: -max(abs(value - start) for value, _ in by_name[name].values()))[:12]
        for y, name in enumerate(order):
            axis.plot([by_name[name]["low"][0], by_name[name]["high"][0]], [y, y], color="0.8", lw=4, zorder=1)
            for end, color in (("low", "C0"), ("high", "C3")):
                value, outside = by_name[name][end]
                axis.plot(value, y, "o", color=color, mfc="none" if outside else color)
        axis.axvline(start, color="k", lw=1)
        axis.axvline(turn, color="C1", lw=1, ls="--") if turn else None
        axis.set_yticks(range(len(order)), order)
        axis.invert_yaxis()
        axis.set_title(conclusion)
    axes.flat[-1].axis("off")
    axes.flat[-1].text(
        0.0, 0.6, "blue: low end of the range, red: high end\nhollow: published rows leave their tolerance there\n"
        "black: default set, dashed: where the conclusion turns",
    )  # fmt: skip
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(argv=None):
    """`relith-sim sensitivity`: returns the exit status."""
    parser = Parser(prog="relith-sim sensitivity", description=__doc__.split("\n")[0])
    parser.add_argument("--world", default="redealt", help=f"one of {', '.join(WORLDS)}")
    parser.add_argument("--out", default="build", help="folder for the results")
    options = parser.parse_args(argv)
    if options.world not in WORLDS:
        raise InputError(f"sensitivity: --world is {options.world!r}, allowed are {', '.join(WORLDS)}")
    out = out_folder("sensitivity", options.out)
    progress = Progress()
    default, found = sweep(options.world, progress.show)
    progress.end()
    good = [conclusions(member.__getitem__)[0] for member in load_ensemble(options.world)]
    write(out / "sensitivity.csv", default, found)
    draw(out / "sensitivity.png", default, found)
    for conclusion, (start, turn) in default[0].items():
        ways = {"sign": [], "size": []}
        for name, end, _, values, outside in found:
            how = moved(values[conclusion][0], start, turn)
            if how:
                ways[how].append(f"{name} {end}" + ("*" if outside else ""))
        among = [one[conclusion][0] for one in good]
        print(f"{conclusion}: {start:.4g}, {min(among):.4g} … {max(among):.4g} over {len(good)} equally good sets")
        print(f"  turns with: {', '.join(ways['sign']) or 'nothing'}")
        print(f"  changes by more than {MOVES:.0%} with: {', '.join(ways['size']) or 'nothing'}")
    print("* published rows leave their tolerance there")
    print(f"wrote {out / 'sensitivity.csv'}, {out / 'sensitivity.png'}")
    return 0
