"""`make bench SECTION=estimator`: how well the firmware knows the anode's lithium, beside what else could know it.

64 cells with spread parameters live in every world, under four uses, anode-free and with three reservoirs; their
half-cycle totals, with a sensor's errors, go to the firmware's `Inventory`, whose profile knows the mean of the
`redealt` world only. Truth is the simulator's. `python -m host_sim.bench_estimator --cells 8` is a quick look.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np

from host_sim import estimator_faults
from host_sim.bench import judged
from host_sim.estimator_lives import END_OF_LIFE, USES, WORLDS, Life, lasts, play, profile_of
from host_sim.estimator_peers import STORES, LossLine, OpenLoop, follow, product_of_ce
from host_sim.half_cycles import GOOD, POOR, SensorClass

CELLS = 64
RATIOS = (0.0, 0.5, 1.0, 2.0)
FIRST = 5  # cycles until a forecast is asked for
GROWTH = Life(mild=0.12, cycles=300)  # which all end at the anode; the only lives that are cut
SLOW = 0.1  # at this rate isolated lithium stays where it is until a pulse or a rest brings it back
RECOVERABLE = (Life(strip=SLOW, pulse_every=10), Life(strip=SLOW, rest_every=10))
RESERVED = (Life(np_ratio=0.5, strip=SLOW, pulse_every=10), Life(np_ratio=0.5, strip=SLOW, rest_every=10))
HELPLESS = Life("other", strip=SLOW, pulse_every=10)  # little comes back
PHASES = ("anode", "hidden")


def classes(cells, seed=0):
    """Every class of lives of this run, each with cells and sensors of its own; another seed: others."""
    plain = [Life(w, r, u) for w, u, r in product(WORLDS, USES, RATIOS)]
    lfp = [Life(w, 0.0, u, "LFP") for w, u in product(WORLDS, USES)]
    special = [GROWTH, *RECOVERABLE, HELPLESS, *RESERVED]
    lives = plain + lfp + special
    return [Life(**{**vars(life), "cells": cells, "seed": 1000 * seed + k}) for k, life in enumerate(lives)]


# -- one class: sums over its cycles, cell by cell ---------------------------------------------------------------------


def squares(error, mask):
    """(n, 2): sum of squares and number of what the mask (cycles, n) lets through, per cell."""
    return np.stack([np.sum(np.square(error) * mask, axis=0), mask.sum(axis=0)], axis=1)


def measure(life: Life):
    """One class of lives, seen through both sensor classes."""
    halves = play(life)
    return [measured(life, halves, sensors) for sensors in (GOOD, POOR)]


def measured(life: Life, halves, sensors: SensorClass):
    """Everything the rows are made of, for one sensor class."""
    profile = profile_of(life, sensors)
    ends = [truth for totals, truth in halves if totals["kind"] < 0]
    true = {name: np.array([truth[name] for truth in ends]) for name in (*STORES, "swing", "anode_limited")}
    true["loss"] = true["isolated"] + true["sei"]
    alive = np.logical_and.accumulate([lasts(totals) for totals, _ in halves if totals["kind"] < 0], axis=0)
    limited = true["anode_limited"]
    masks = {"anode": limited & alive, "hidden": ~limited & alive}
    masks["anchored"] = np.logical_or.accumulate(limited, axis=0) & alive
    seen = follow(halves, profile, sensors, life.seed)
    missing = (seen["cathode_capacity_ppm"] - seen["cathode_ppm"]) - (true["swing"] - true["cathode"])
    error = missing if life.np_ratio else seen["loss_ppm"] - true["loss"]
    third = np.arange(len(ends))[:, None] // 100
    days = (sum(np.mean(t["duration_s"]) + np.mean(t["rest_before_s"]) for t, _ in halves)) / 86400.0
    result = {
        "life": life,
        "sensors": sensors.name,
        "loss": squares(error, masks["anode"]),
        "loss_early": squares(error, masks["anode"] & (third == 0)),
        "loss_late": squares(error, masks["anode"] & (third == 2)),
        "product": squares(product_of_ce(halves, sensors, life.seed) - true["loss"], masks["anode"]),
        "covered": {},
        "alarms": int(seen["short_suspected"][-1].sum()),
        "doubted": int((seen["resets"][-1] > 0).sum()),
        "ended": ~alive[-1],
        "cycles": alive.sum(axis=0),
        "cell_months": alive.mean(axis=0).sum() * days / 30.4,
    }
    strain = (seen["active_ppm"] - true["active"]) / np.maximum(seen["active_sigma_ppm"], 1e-6)
    result["strain"] = squares(strain, masks["hidden"] & ~masks["anchored"])
    for name in (*STORES, "loss"):
        inside = np.abs(seen[name + "_ppm"] - true[name]) <= 1.96 * seen[name + "_sigma_ppm"]
        for phase in PHASES:
            result["covered"][name, phase] = np.stack([(inside & masks[phase]).sum(0), masks[phase].sum(0)], axis=1)
    if life.np_ratio:
        result |= reservoir(life, halves, sensors, profile, seen, true, masks)
    if life.pulse_every or life.rest_every:
        open_loop = follow(halves, profile, sensors, life.seed, OpenLoop)
        prior = seen["loss_ppm"] * open_loop["isolated_ppm"] / np.maximum(open_loop["loss_ppm"], 1e-6)
        after = masks["anode"] & (seen["pulse_trials"] + seen["rest_trials"] >= 3)
        result["split"] = squares(seen["isolated_ppm"] - true["isolated"], after)
        result["split_prior"] = squares(prior - true["isolated"], after)
    return result


def reservoir(life, halves, sensors, profile, seen, true, masks):
    """Active lithium and the foreseen exhaustion while the reservoir hides the loss for the first time: firmware, open
    loop, causal batch, smoother. And active lithium once the anode has been seen empty: at all, and where what came
    back hides the loss again."""
    open_loop = follow(halves, profile, sensors, life.seed, OpenLoop)
    line = LossLine.of(halves, profile, open_loop)
    batch, batch_left = line.batch(life.seed)
    cycle = np.arange(len(batch))[:, None]
    spent = np.where(true["anode_limited"].any(axis=0), np.argmax(true["anode_limited"], axis=0), -1)
    left = np.take_along_axis(line.moved, spent[None, :], axis=0) - line.moved
    first = masks["hidden"] & ~masks["anchored"]
    foreseeable = first & (cycle < spent) & (cycle >= FIRST)
    result = {}
    for who, active, cycles_left in (
        ("firmware", seen["active_ppm"], seen["cycles_left"]),
        ("open", open_loop["active_ppm"], open_loop["cycles_left"]),
        ("batch", batch, batch_left),
        ("smoother", line.smoother(), None),
    ):
        error = active - true["active"]
        result["active", who] = squares(error, first)
        result["after", who] = squares(error, masks["anchored"])
        result["again", who] = squares(error, masks["anchored"] & masks["hidden"])
        if cycles_left is not None:
            result["spent", who] = squares(cycles_left - left, foreseeable)
    return result


# -- rows --------------------------------------------------------------------------------------------------------------


def rms(sums):
    """Root mean square of pooled sums (n, 2), or of every draw (draws, n, 2); NaN of nothing."""
    total, count = np.moveaxis(np.sum(sums, axis=-2), -1, 0)
    with np.errstate(invalid="ignore"):
        return np.sqrt(total / count)


def pooled(results, key):
    """Sums (n, 2) of all cells of these classes; one seen through both sensor classes is one."""
    by_life: dict[Life, np.ndarray] = {}
    for x in results:
        by_life[x["life"]] = by_life.get(x["life"], 0.0) + x[key]
    return np.concatenate(list(by_life.values()))


def bounds(statistic, *sums, seed=0):
    """95 % bootstrap interval, over cells, of a statistic of sums (n, 2)."""
    rng = np.random.default_rng((seed, 14))
    draws = rng.integers(0, len(sums[0]), (1000, len(sums[0])))
    return np.nanpercentile(statistic(*(some[draws] for some in sums)), (2.5, 97.5))


def interval(sums, over=None, digits=4):
    """That of the RMS, or of its ratio to that of `over`, as text."""
    low, high = bounds(rms, sums) if over is None else bounds(lambda a, b: rms(a) / rms(b), sums, over)
    return f"{low:.{digits}f}..{high:.{digits}f}"


def loss_rows(results):
    """Error of the loss where the anode ends discharges, and whether it grows."""
    out = []
    plain = [x for x in results if vars(x["life"]).items() >= {"pulse_every": 0, "rest_every": 0, "mild": 1.0}.items()]
    for cathode, limits in (("NMC811", {"good": 0.01, "poor": 0.02}), ("LFP", {"good": 0.03, "poor": 0.03})):
        for (sensors, limit), home in product(limits.items(), (True, False)):
            some = [x for x in plain if x["life"].cathode == cathode and x["sensors"] == sensors]
            some = [x for x in some if (x["life"].world == "redealt") == home]
            sums, peer = pooled(some, "loss"), rms(pooled(some, "product"))
            where = "redealt" if home else "other worlds"
            row = {"name": f"loss RMS, {cathode}, {sensors} sensors, {where}", "value": rms(sums), "unit": "nominal"}
            row |= {"target": f"<= {limit if home else 2 * limit:g}", "peer": f"product of CE {peer:.4f}"}
            out.append(row | {"ratio": rms(sums) / peer, "spread": interval(sums)})
            for world in () if home else WORLDS[1:]:
                value = rms(pooled([x for x in some if x["life"].world == world], "loss"))
                name = f"loss RMS, {cathode}, {sensors} sensors, {world}"
                out.append({"name": name, "value": value, "unit": "nominal", "target": f"<= {2 * limit:g}"})
            worst = max(some, key=lambda x: np.nan_to_num(rms(x["loss"])))
            name = f"loss RMS, {cathode}, {sensors} sensors, {where}, worst class ({label(worst['life'])})"
            out.append({"name": name, "value": rms(worst["loss"]), "unit": "nominal"})
    for x in results:
        if x["life"].mild == GROWTH.mild:
            late, early = x["loss_late"], x["loss_early"]
            low, high = bounds(lambda a, b: rms(a) - rms(b), late, early)
            name = f"growth of the loss RMS from cycles 0-100 to 200-300, {x['sensors']} sensors"
            row = {"name": name, "value": rms(late) - rms(early), "unit": "nominal", "target": "<= 0"}
            peer = f"RMS {rms(early):.4f} -> {rms(late):.4f}"
            out.append(row | {"peer": peer, "spread": f"{low:.4f}..{high:.4f}"})
    return out


def label(life):
    special = " pulses" * (life.pulse_every > 0) + " rests" * (life.rest_every > 0) + " mild" * (life.mild < 1.0)
    return f"{life.world} {life.use} N/P {life.np_ratio:g}{special}"


def reservoir_rows(results):
    """While the reservoir hides the loss: active lithium and foreseen exhaustion, over the causal batch and the open
    loop, in all worlds, in the one the profile knows, and in the worst class; and active lithium once the anode has
    been seen empty."""
    every = [x for x in results if x["life"].np_ratio]
    out = []
    for where, some in (("", every), (", redealt", [x for x in every if x["life"].world == "redealt"])):
        for key, what, unit in (
            ("active", "active lithium while the reservoir hides the loss", "nominal"),
            ("spent", "cycle of exhaustion foreseen", "full cycles"),
        ):
            for peer, target in (("batch", "<= 1.3"), ("open", "<= 1.05")):
                out.append(
                    beside(some, (key, peer), f"{what}{where}, RMS over the {peer}'s", unit) | {"target": target}
                )
        for key, what in (("after", "seen"), ("again", "seen, what came back hiding the loss again")):
            name = f"active lithium once an anchor was {what}{where}, RMS over the open loop's"
            out.append(beside(some, (key, "open"), name, "nominal") | {"target": "< 1"})
    for key, what, unit in (
        ("active", "active lithium while the reservoir hides the loss", "nominal"),
        ("spent", "cycle of exhaustion foreseen", "full cycles"),
    ):
        known = [x for x in every if x[key, "open"][:, 1].any()]
        for worst in sorted(known, key=lambda x: rms(x[key, "firmware"]) / rms(x[key, "open"]))[-1:]:
            row = beside([worst], (key, "open"), f"{what}, worst class over the open loop's", unit)
            peer = f"{label(worst['life'])}, {worst['sensors']} sensors; {row['peer']}"
            out.append(row | {"target": "<= 1.05", "peer": peer})
    value = rms(pooled(every, ("active", "smoother")))
    row = {"name": "active lithium by a smoother that sees the future, RMS", "value": value, "unit": "nominal"}
    return [*out, row | {"target": None}]


def beside(some, key, name, unit):
    """A row: the firmware's RMS over a peer's."""
    firmware, other = pooled(some, (key[0], "firmware")), pooled(some, key)
    row = {"name": name, "value": rms(firmware) / rms(other), "unit": "1", "spread": interval(firmware, other)}
    return row | {"peer": f"RMS {rms(firmware):.4g}, {key[1]} {rms(other):.4g} {unit}"}


def share(counts):
    """Percent inside, of pooled (n, 2), or of every draw (draws, n, 2)."""
    inside, count = np.moveaxis(np.sum(counts, axis=-2), -1, 0)
    with np.errstate(invalid="ignore"):
        return 100.0 * inside / count


def coverage_rows(results):
    """How often the truth lies in the 95 % interval, by world, phase and store; and in the worst class."""
    out = []
    for world in WORLDS:
        some = [x["covered"] for x in results if x["life"].world == world]
        sums = [{"life": x["life"], "all": sum(x["covered"].values())} for x in results if x["life"].world == world]
        everything = pooled(sums, "all")
        target = "93..97" if world == "redealt" else ">= 88"
        row = {"name": f"95 % intervals, {world}", "value": share(everything), "unit": "%", "target": target}
        low, high = bounds(share, everything)
        out.append(row | {"spread": f"{low:.1f}..{high:.1f}"})
        for phase in PHASES:
            by_store = {name: share(np.concatenate([x[name, phase] for x in some])) for name in (*STORES, "loss")}
            value = share(np.concatenate([c for x in some for key, c in x.items() if key[1] == phase]))
            said = ", ".join(f"{name} {inside:.1f}" for name, inside in by_store.items())
            out.append({"name": f"95 % intervals, {world}, {phase} phase", "value": value, "unit": "%", "peer": said})
        hidden = [x for x in results if x["life"].world == world and x["life"].np_ratio]
        value, worst = rms(pooled(hidden, "strain")), np.nanmax([rms(x["strain"]) for x in hidden])
        name = f"active lithium before the anode was seen empty, {world}: error over its stated sigma, RMS"
        out.append({"name": name, "value": value, "unit": "1", "peer": f"worst class {worst:.2f}"})
    name, value, said = "95 % intervals, worst class, store and phase of at least 100 cycles", 100.0, ""
    for x in results:
        for (store, phase), counts in x["covered"].items():
            if counts[:, 1].sum() >= 100 and share(counts) < value:
                value = share(counts)
                said = f"{store}, {phase} phase, {x['life'].cathode} {label(x['life'])}, {x['sensors']} sensors"
    out.append({"name": name, "value": value, "unit": "%", "target": ">= 85", "peer": said})
    pairs = [(share(np.concatenate(list(x["covered"].values()))), x) for x in results]
    value, worst = min(pairs, key=lambda pair: pair[0])
    peer = f"{worst['life'].cathode} {label(worst['life'])}, {worst['sensors']} sensors"
    out.append({"name": "95 % intervals, worst class", "value": value, "unit": "%", "target": ">= 85", "peer": peer})
    return out


def end_rows(results):
    """Whether lives were played to their end, and how long they were."""
    whole = [x for x in results if x["life"].mild == 1.0]
    ended = np.concatenate([x["ended"] for x in whole])
    row = {"name": f"lives played to their end, {100 * END_OF_LIFE:g} % of nominal", "value": 100.0 * ended.mean()}
    longest = {
        ratio: max([x["cycles"].max() for x in whole if x["life"].np_ratio == ratio], default=0) for ratio in RATIOS
    }
    said = ", ".join(f"N/P {ratio:g} {cycles}" for ratio, cycles in longest.items())
    return [row | {"unit": "%", "target": ">= 100", "peer": f"{ended.sum()} of {ended.size}; longest, cycles: {said}"}]


def split_rows(results):
    """Isolated lithium told from SEI after three measurable interventions, against the same loss split as the loss
    model alone would; and where nothing comes back, the interval."""
    out = []
    recoverable = [x for x in results if "split" in x and x["life"].world == "redealt"]
    for what in ("pulses", "rests"):
        some = [x for x in recoverable if (x["life"].pulse_every > 0) == (what == "pulses")]
        sums, prior = pooled(some, "split"), pooled(some, "split_prior")
        row = {"name": f"isolated lithium after three {what}, RMS over the prior's", "value": rms(sums) / rms(prior)}
        row |= {"unit": "1", "peer": f"RMS {rms(sums):.4f}, prior {rms(prior):.4f} nominal"}
        out.append(row | {"spread": interval(sums, prior)})
    sums, prior = pooled(recoverable, "split"), pooled(recoverable, "split_prior")
    row = {"name": "isolated lithium after three interventions, RMS over the prior's", "value": rms(sums) / rms(prior)}
    row |= {"unit": "1", "target": "<= 0.7", "peer": f"RMS {rms(sums):.4f}, prior {rms(prior):.4f} nominal"}
    out.append(row | {"spread": interval(sums, prior)})
    counts = [x["covered"]["isolated", "anode"] for x in results if "split" in x and x["life"].world != "redealt"]
    value = share(np.concatenate(counts))
    name = "95 % interval of isolated lithium where pulses bring little back"
    return [*out, {"name": name, "value": value, "unit": "%", "target": ">= 88"}]


def rows(cells=CELLS, workers=None, seed=0):
    """The rows of section `estimator`."""
    jobs = classes(int(os.environ.get("CELLS", cells)), seed)
    results = []
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        faults = pool.submit(estimator_faults.rows, jobs[0].cells)
        for k, pair in enumerate(pool.map(measure, jobs), 1):
            results += pair
            print(f"\r  {k}/{len(jobs)} classes", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return [
            *loss_rows(results),
            *reservoir_rows(results),
            *coverage_rows(results),
            *split_rows(results),
            *end_rows(results),
            *estimator_faults.healthy_rows(results),
            *faults.result(),
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for row in rows(arguments.cells, arguments.workers, arguments.seed):
        full = judged("estimator", row)
        print(
            *(
                full[key] if full[key] is not None else ""
                for key in ("ok", "name", "value", "target", "spread", "peer")
            ),
            sep=" | ",
        )
