"""`make bench SECTION=scheduler`: what the firmware's decisions are worth, beside every fixed protocol, the best fixed
choice found by search on the same cells, and a clairvoyant.

Value of a life = equivalent full cycles to 80 % - w_h * hours of delay for the user - w_q * charge spent in pulses, for
three weightings. Cells with spread parameters live in every world, under four uses, anode-free and with a reservoir of
1.5 capacities; the last `HOPELESS` of each class never get isolated lithium back and are a class of their own. The
firmware's profile knows the mean cell of `redealt` only. The default is a stratified sample; FULL=1 lives 48 cells of
every class, CELLS=n so many; each class is kept in build/scheduler/ and not lived again.
"""

from __future__ import annotations

import os
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from host_sim.cell import load_parameters
from host_sim.estimator_lives import (
    NOMINAL_MAH_CM2,
    TAPER_PERMILLE,
    WINDOW,
    WORLDS,
    Life,
    mean_cell,
    profile_of,
    spread_cells,
)
from host_sim.firmware import load_profile
from host_sim.fit import load_ensemble
from host_sim.half_cycles import GOOD
from host_sim.policy_lives import GATE_FIELDS, LIVES, Firmware, Fixed, Result, Threshold, play
from host_sim.run import PROFILE as LIU21_PROFILE
from host_sim.version import version

# w_h in EFC per hour, w_q in EFC per capacity of charge
WEIGHTS = {"free": (0.0, 0.05), "normal": (0.01, 0.05), "dear": (0.1, 0.2)}
RATIOS = (0.0, 1.5)
CYCLES = 900
HOPELESS = 8  # one cell in so many
# (pulse: rate of 1C, seconds, every so many cycles; rest: hours, every)
NO_PULSE, NO_REST = (0.0, 0, 1), (0.0, 1)
LIU21, ZHANG24 = (1.0, 120, 1), (6.0, 1)
PUBLISHED = {
    "none": NO_PULSE + NO_REST,
    "liu21": LIU21 + NO_REST,
    "zhang24": NO_PULSE + ZHANG24,
    "both": LIU21 + ZHANG24,
}
STRENGTHS = ((0.5, 300), (0.5, 600), (1.0, 120), (1.0, 300), (1.0, 600), (1.5, 120), (1.5, 300), (2.0, 120))
PULSES = [(rate, seconds, every) for rate, seconds in STRENGTHS for every in (1, 3, 9)]
RESTS = [(hours, every) for hours in (2.0, 4.0, 8.0) for every in (1, 3, 9)]
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)  # of true isolated lithium, above which the clairvoyant acts


@dataclass(frozen=True)
class Kind:
    """One class of cells: world, life, lithium on the anode over capacity, number of cells."""

    world: str
    life: str
    ratio: float
    cells: int
    seed: int = 0

    def parameters(self):
        """The cells (n)."""
        return spread_cells(mean_cell(Life(self.world, self.ratio), self.world), self.cells, self.seed)

    def hopeless(self):
        """Which of them (n, bool) never get lithium back: one in HOPELESS, at least the last of several."""
        share = min(HOPELESS, max(2, self.cells))
        return np.arange(self.cells) % share == share - 1


def profile(ratio: float, weighting: str):
    """The maker's profile of the class, with the user's weighting."""
    w_hour, w_charge = WEIGHTS[weighting]
    weights = {"weight_hour_ppm": round(w_hour * 1e6), "weight_charge_permille": round(w_charge * 1e3)}
    return SimpleNamespace(**{**vars(profile_of(Life("redealt", ratio), GOOD)), **GATE_FIELDS, **weights})


def lived(kind: Kind, policy, columns: int) -> Result:
    """Every cell of the class under `columns` policies, cell by cell: results are (cells * columns,)."""
    cells = [p for p in kind.parameters() for _ in range(columns)]
    hopeless = np.repeat(kind.hopeless(), columns)
    window = WINDOW["NMC811"]
    return play(cells, policy, kind.life, NOMINAL_MAH_CM2, window, TAPER_PERMILLE, CYCLES, kind.seed, hopeless)


def values(result: Result, columns: int) -> dict[str, np.ndarray]:
    """Value (cells, columns) by weighting."""
    return {name: result.value(*w).reshape(-1, columns) for name, w in WEIGHTS.items()}


def fixed(kind: Kind, choices) -> dict[str, np.ndarray]:
    """Values of fixed choices [(rate, seconds, every, hours, every)]."""
    return values(lived(kind, Fixed(*np.tile(np.array(choices, float), (kind.cells, 1)).T), len(choices)), len(choices))


def best_of(found, weighting, count):
    """Places of the `count` choices that are best on average."""
    return np.argsort(-found[weighting].mean(axis=0))[:count]


def clairvoyant(kind: Kind, choices) -> dict[str, np.ndarray]:
    """Values of the same actions where the true isolated lithium is above a level."""
    rows = [(level, level, *choice) for choice in choices for level in LEVELS]
    columns = np.tile(np.array(rows, float), (kind.cells, 1)).T
    return values(lived(kind, Threshold(*columns), len(rows)), len(rows))


def firmware(kind: Kind, wrong=0.0, knows=False) -> tuple[Result, Firmware]:
    """`adaptive` on every cell, once for each weighting (columns in the order of WEIGHTS)."""
    profiles = [profile(kind.ratio, name) for _ in range(kind.cells) for name in WEIGHTS]
    board = Firmware(profiles, GOOD, kind.seed, wrong, knows)
    return lived(kind, board, len(WEIGHTS)), board


def own_values(result: Result) -> dict[str, np.ndarray]:
    """Value (cells,) by weighting of a result of `firmware`."""
    found = values(result, len(WEIGHTS))
    return {name: found[name][:, k] for k, name in enumerate(WEIGHTS)}


def measure(kind: Kind) -> dict:
    """All policies on one class."""
    single = [*PUBLISHED.values(), *(p + NO_REST for p in PULSES), *(NO_PULSE + r for r in RESTS)]
    found = fixed(kind, single)
    pairs = set()
    for weighting in WEIGHTS:
        ranked = best_of(found, weighting, len(single))
        pulses = [single[k][:3] for k in ranked if single[k][1] and not single[k][3]][:3]
        rests = [single[k][3:] for k in ranked if single[k][3] and not single[k][1]][:2]
        pairs |= {p + r for p in pulses for r in rests}
    both = sorted(pairs)
    found = {name: np.hstack([found[name], more]) for name, more in fixed(kind, both).items()}
    choices = single + both
    top = sorted({int(k) for name in WEIGHTS for k in best_of(found, name, 4)})
    seer = clairvoyant(kind, [choices[k] for k in top if choices[k][1] or choices[k][3]] or [LIU21 + NO_REST])
    own, board = firmware(kind)
    oracle = own_values(firmware(kind, knows=True)[0])
    out = {"kind": kind, "hopeless": kind.hopeless(), "choices": choices, "values": {}, "tuned": {}}
    mine = own_values(own)
    for name in WEIGHTS:
        best = int(best_of(found, name, 1)[0])
        top_value = np.max(np.column_stack([found[name], seer[name], mine[name], oracle[name]]), axis=1)
        out["tuned"][name] = choices[best]
        out["values"][name] = {
            **{policy: found[name][:, k] for k, policy in enumerate(PUBLISHED)},
            "tuned": found[name][:, best],
            "adaptive": mine[name],
            "oracle": top_value,
        }
    out["adaptive"] = own
    out["late"], out["refused"] = board.late, board.refused
    out["trials"] = np.array([(i.estimate.pulse_trials, i.estimate.rest_trials) for i in board.inventories])
    fewer = replace(kind, cells=max(2, kind.cells // 4))  # the first of them
    out["wrong_none"] = {name: v[:, 0] for name, v in fixed(fewer, [PUBLISHED["none"]]).items()}
    out["wrong"] = {sigmas: firmware(fewer, wrong=sigmas)[0] for sigmas in (-3.0, 3.0)}
    return out


# -- kept, side by side, with progress ---------------------------------------------------------------------------------


def kinds():
    """The classes of this run."""
    cells = 48 if os.environ.get("FULL") == "1" else int(os.environ.get("CELLS", "8"))
    return [Kind(world, life, ratio, cells) for ratio in RATIOS for life in LIVES for world in WORLDS]


def kept(kind: Kind, folder: Path) -> dict:
    """`measure`, or what an interrupted run of the same sources has left of it."""
    path = folder / f"{kind.world}-{kind.life}-{kind.ratio:g}-{kind.cells}-{kind.seed}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())
    result = measure(kind)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(pickle.dumps(result))
    temporary.replace(path)
    return result


def measured() -> list[dict]:
    """All classes."""
    folder = Path("build") / "scheduler" / version().partition("+")[2]
    jobs = kinds()
    results = []
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for k, result in enumerate(pool.map(kept, jobs, [folder] * len(jobs))):
            results.append(result)
            normal = {name: x[~result["hopeless"]].mean() for name, x in result["values"]["normal"].items()}
            print(
                f"  {k + 1}/{len(jobs)} {label(jobs[k])}: " + " ".join(f"{n} {v:.1f}" for n, v in normal.items()),
                file=sys.stderr,
                flush=True,
            )
    return results


# -- figures -----------------------------------------------------------------------------------------------------------


def label(kind: Kind) -> str:
    """As a row names it."""
    return f"{kind.world}, {kind.life}, " + (f"N/P {kind.ratio:g}" if kind.ratio else "anode-free")


def cells_of(result) -> str:
    """How many cells a row rests on."""
    return f"{int((~result['hopeless']).sum())} cells"


def bootstrap(numerator, denominator, seed=0):
    """(value, low, high) of sum(numerator) / sum(denominator) over the same cells, 95 % paired bootstrap interval."""
    rng = np.random.default_rng((seed, 22))
    draws = rng.integers(0, numerator.size, (2000, numerator.size))
    ratios = numerator[draws].sum(axis=1) / denominator[draws].sum(axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(numerator.sum() / denominator.sum()), float(low), float(high)


def bootstrap_mean(pairs, seed=0):
    """(value, low, high) of the mean over classes of the ratio that `bootstrap` takes of one; cells are drawn anew
    within each class."""
    rng = np.random.default_rng((seed, 23))
    draws = []
    for numerator, denominator in pairs:
        cells = rng.integers(0, numerator.size, (2000, numerator.size))
        draws.append(numerator[cells].sum(axis=1) / denominator[cells].sum(axis=1))
    low, high = np.percentile(np.mean(draws, axis=0), (2.5, 97.5))
    return float(np.mean([n.sum() / d.sum() for n, d in pairs])), float(low), float(high)


def row(name, value, unit, target, spread=None, peer=None):
    """One row of build/bench.json."""
    return {"name": name, "value": value, "unit": unit, "target": target, "spread": spread, "peer": peer}


def rows():
    """The rows of section `scheduler`."""
    results = measured()
    return [*class_rows(results), *world_rows(results), *hopeless_rows(results), *limit_rows(results), *liu21_rows()]


def class_rows(results):
    """Per class and weighting: over the best published policy, and share of the tuned fixed one."""
    out = []
    for r in results:
        good = ~r["hopeless"]
        for weighting, found in r["values"].items():
            name = f"{label(r['kind'])}, time {weighting}"
            mine = found["adaptive"][good]
            published = {policy: found[policy][good] for policy in PUBLISHED}
            worst = min(
                ((policy, *bootstrap(mine - v, np.abs(v))) for policy, v in published.items()), key=lambda x: x[2]
            )
            spread = f"{100 * worst[2]:.2f}..{100 * worst[3]:.2f}"
            value = published[worst[0]].mean()
            peer = f"{worst[0]}: {100 * worst[1]:+.2f} %, its value {value:.1f} EFC, {cells_of(r)}"
            out.append(row(name + ": lower bound over published", 100 * worst[2], "%", "> -1", spread, peer))
            share, low, high = bootstrap(mine, found["tuned"][good])
            peer = f"{r['tuned'][weighting]}: {found['tuned'][good].mean():.1f} EFC, {cells_of(r)}"
            spread = f"{100 * low:.1f}..{100 * high:.1f}"
            out.append(row(name + ": share of the tuned fixed policy", 100 * share, "%", ">= 95", spread, peer))
    return out


def world_rows(results):
    """Per world: over the best published policy on average, share of the clairvoyant's gain, lithium and hours."""
    out = []
    for world in WORLDS:
        some = [r for r in results if r["kind"].world == world]
        for weighting in WEIGHTS:
            pairs = []
            for r in some:
                found, good = r["values"][weighting], ~r["hopeless"]
                best = max((found[policy][good] for policy in PUBLISHED), key=np.mean)
                pairs.append((found["adaptive"][good] - best, np.abs(best)))
            mean, low, high = bootstrap_mean(pairs)
            name = f"{world}, time {weighting}: over the best published policy, mean of lives and cells"
            out.append(row(name, 100 * mean, "%", "> 0", f"{100 * low:.1f}..{100 * high:.1f}"))
        gains = [
            (v["adaptive"][g] - v["none"][g], v["oracle"][g] - v["none"][g])
            for r in some
            for g in (~r["hopeless"],)
            for v in r["values"].values()
        ]
        share, low, high = bootstrap(*(np.concatenate([pair[k] for pair in gains]) for k in (0, 1)))
        target = ">= 85" if world == "redealt" else ">= 70"
        spread = f"{100 * low:.1f}..{100 * high:.1f}"
        out.append(row(f"{world}: share of the clairvoyant's gain", 100 * share, "%", target, spread))
        for weighting, k in zip(WEIGHTS, range(len(WEIGHTS)), strict=True):
            own = [r["adaptive"] for r in some]
            for name, unit in (("regained", "nominal"), ("hours", "h"), ("charge", "nominal")):
                mean = np.mean([getattr(x, name)[k :: len(WEIGHTS)].mean() for x in own])
                out.append(row(f"{world}, time {weighting}: {name} per life", float(mean), unit, None))
            for name, column in (("pulses", 0), ("rests", 1)):
                trials = np.concatenate([r["trials"][k :: len(WEIGHTS), column] for r in some])
                title = f"{world}, time {weighting}: {name} that could be measured"
                out.append(row(title, float(trials.mean()), "1", None, f"{trials.min()}..{trials.max()}"))
    return out


def hopeless_rows(results):
    """Cells that never get lithium back, per world: what trying costs, and whether it stops."""
    out = []
    for world in WORLDS:
        some = [r for r in results if r["kind"].world == world and r["hopeless"].any()]
        pairs = [
            (v["none"][r["hopeless"]] - v["adaptive"][r["hopeless"]], v["none"][r["hopeless"]])
            for r in some
            for v in r["values"].values()
        ]
        cost, low, high = bootstrap(*(np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)))
        late = sum(int(r["late"][np.repeat(r["hopeless"], len(WEIGHTS))].sum()) for r in some)
        name, spread = f"{world}: cells that recover nothing", f"{100 * low:.2f}..{100 * high:.2f}"
        out.append(row(name + ", value lost against none", 100 * cost, "%", "< 1", spread))
        out.append(row(name + ", interventions after ten measurable trials", late, "1", "== 0"))
    return out


def limit_rows(results):
    """Limits and deadlines, with right and with wrong estimates."""
    out = []
    for name, runs in (
        ("estimates as they are", [r["adaptive"] for r in results]),
        ("estimates off by 3 sigma", [x for r in results for x in r["wrong"].values()]),
    ):
        out.append(row(f"limits broken, {name}", int(sum(x.limits.sum() for x in runs)), "1", "== 0"))
        out.append(row(f"deadlines broken, {name}", int(sum(x.deadlines.sum() for x in runs)), "1", "== 0"))
    refused = sum(int(r["refused"].sum()) for r in results)
    asked = sum(int((r["adaptive"].pulses + r["adaptive"].rests).sum()) for r in results)
    out.append(row("requests that the gate refused", 100 * refused / max(1, asked + refused), "%", None))
    for sigmas in (-3.0, 3.0):
        pairs = []
        for r in results:
            for weighting, v in own_values(r["wrong"][sigmas]).items():
                pairs.append((v - r["wrong_none"][weighting], r["wrong_none"][weighting]))
        gain, low, high = bootstrap(*(np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)))
        name = f"estimates off by {sigmas:+.0f} sigma: value over none"
        out.append(row(name, 100 * gain, "%", "> -2", f"{100 * low:.1f}..{100 * high:.1f}"))
    return out


def liu21_rows():
    """Liu21's cell under its own profile: the fixed pulse, and `adaptive`; spread: range of the equally good sets."""
    cells = [load_parameters("liu21-carbonate", "redealt")]
    cells += [one["liu21-carbonate"] for one in load_ensemble("redealt")]
    prof = load_profile(str(LIU21_PROFILE))
    fields = {name: getattr(prof, name) for name in dir(prof) if not name.startswith("_")}
    own = SimpleNamespace(**{**GATE_FIELDS, **fields})
    how = "liu21", 2.39, (3.0, 4.2), prof.taper_permille, CYCLES
    n, one_c = len(cells), prof.one_c_ua / prof.nominal_capacity_uah
    pulse = Fixed(np.tile((0.0, one_c), n), np.tile((0, 120), n), np.ones(2 * n), np.zeros(2 * n), np.ones(2 * n))
    none, liu21 = play([cell for cell in cells for _ in range(2)], pulse, *how).efc.reshape(n, 2).T
    adaptive = play(cells, Firmware([own] * n, GOOD), *how).efc

    def ratio_row(name, ratio, target):
        return row(
            f"Liu21's cell, redealt: {name}", float(ratio[0]), "1", target, f"{ratio.min():.2f}..{ratio.max():.2f}"
        )

    return [
        ratio_row("life with its pulse over none", liu21 / none, "1.21..1.37"),
        ratio_row("life with adaptive over its pulse", adaptive / liu21, "> 1"),
    ]
