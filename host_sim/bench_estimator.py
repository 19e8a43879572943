"""`make bench SECTION=estimator`: how well the firmware knows the anode's lithium, beside what else could know it.

Cells with spread parameters live in every world under four uses; their half-cycle totals, with a sensor's errors, go to
the firmware's `Inventory`, whose profile knows the mean of the `redealt` world only. Truth is the simulator's. The
default
is a stratified sample; FULL=1 runs 64 cells of every class.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from relith.halfcycle import END_LOW
from relith.inventory import Inventory

from host_sim.cell import load_parameters
from host_sim.half_cycles import GOOD, POOR, Lives, Sensor, SensorClass
from host_sim.priors import build

WORLDS = ("redealt", "static", "accumulating", "other")
USES = ("full", "partial", "drive", "mixed")
WINDOW = {"NMC811": (3.0, 4.2), "LFP": (2.5, 3.6)}
NOMINAL_MAH_CM2 = 4.0
TAPER_PERMILLE = 50
RATE = 0.3
# 1 sigma of the cells about the mean: of the logarithm, and relative
LOG_SPREAD = {
    "isolation_base": 0.25,
    "isolation_slow": 0.25,
    "sei_share": 0.2,
    "gap_median_um": 0.25,
    "barrier_share": 0.4,
    "corrosion_per_h": 0.3,
    "cathode_fade": 0.4,
    "ohmic_ohm_cm2": 0.15,
    "dead_layer_ohm_cm2_per_mah": 0.3,
}
SPREAD = {"cathode_capacity_mah_cm2": 0.015, "first_cycle_loss": 0.04, "reservoir_mah_cm2": 0.03}
PRIOR_SPREADS = {
    "cathode_sigma_ppm": 15000,
    "loss_isolated_spread_permille": 300,
    "loss_sei_spread_permille": 250,
    "recover_spread_permille": 600,
}


@dataclass(frozen=True)
class Life:
    """One class of lives. `np_ratio`: lithium on the anode as built over cathode capacity, 0 = anode-free."""

    world: str = "redealt"
    np_ratio: float = 0.0
    use: str = "full"
    cathode: str = "NMC811"
    pulse_every: int = 0
    cells: int = 8
    cycles: int = 300
    seed: int = 0


def mean_cell(life: Life, world: str):
    """Parameters of the mean cell of a class."""
    parameters = load_parameters("anode-free", world)
    return parameters.replace(cathode=life.cathode, reservoir_mah_cm2=life.np_ratio * NOMINAL_MAH_CM2)


def spread_cells(mean, n, seed):
    """n parameter sets about `mean`."""
    rng = np.random.default_rng((seed, 11))
    cells = []
    for _ in range(n):
        changed = {name: mean.value(name) * np.exp(rng.normal(0.0, s)) for name, s in LOG_SPREAD.items()}
        changed |= {name: mean.value(name) * (1.0 + rng.normal(0.0, s)) for name, s in SPREAD.items()}
        cells.append(
            mean.replace(**{name: min(max(v, mean[name].low), mean[name].high) for name, v in changed.items()})
        )
    return cells


def profile_of(life: Life, sensors: SensorClass):
    """What the maker knows: the mean cell of `redealt`, spreads, and the sensor's class."""
    mean = mean_cell(life, "redealt")
    lives = Lives([mean], NOMINAL_MAH_CM2, *WINDOW[life.cathode], TAPER_PERMILLE)
    sigma = 1e6 * np.hypot(life.np_ratio * SPREAD["reservoir_mah_cm2"], 0.006)
    return build(mean, lives, sensors, PRIOR_SPREADS | {"reservoir_sigma_ppm": round(sigma)})


def play(life: Life):
    """A class of lives: list of (totals, truth) per half-cycle, to `cycles` or until all cells are below 30 %."""
    rng = np.random.default_rng((life.seed, 12))
    cells = spread_cells(mean_cell(life, life.world), life.cells, life.seed)
    lives = Lives(cells, NOMINAL_MAH_CM2, *WINDOW[life.cathode], TAPER_PERMILLE)
    out = []
    for k in range(life.cycles):
        tenth = k % 10 == 0
        if life.use == "mixed":
            lives.ambient_degc[:] = rng.uniform(-10.0, 45.0)
        t = lives.truth()
        partial = life.use == "partial" and not (tenth and life.cathode == "LFP")
        charge = lives.charge(RATE, np.maximum(t["cathode"] - 0.2 * t["swing"], 0.02) if partial else 9.0)
        out.append((charge, lives.truth()))
        t = lives.truth()
        if life.use == "partial":
            discharge = lives.discharge([(RATE, 99.0)], np.maximum(0.8 * t["swing"] - t["cathode"], 0.02))
        elif life.use == "drive":
            discharge = lives.discharge([(rate, 0.1) for rate in rng.uniform(0.1, 1.2, 20)], rng.uniform(0.5, 1.3))
        else:
            pulse_s = 120.0 if life.pulse_every and k % life.pulse_every == 0 else 0.0
            discharge = lives.discharge([(RATE, 99.0)], 9.0, np.full(lives.n, 1.5), np.full(lives.n, pulse_s))
        out.append((discharge, lives.truth()))
        if life.use == "drive":
            lives.rest(8 * 3600.0, True)
        else:
            lives.rest(7200.0 if tenth else 600.0, tenth)
        t = lives.truth()
        if np.all(np.minimum(t["swing"], t["cathode"] + t["active"]) < 0.3):
            break
    return out


def records(halves, sensors: SensorClass, seed):
    """(totals, truth, complete records (n)) per half-cycle; firmware and peers all read these.

    Complete: the estimator is told when the next half-cycle begins, and so of the rest between as well.
    """
    sensor = Sensor(sensors, halves[0][1]["cathode"].size, seed)
    for k, (totals, truth) in enumerate(halves):
        after = halves[k + 1][0] if k + 1 < len(halves) else {"rest_before_s": 0.0, "ocv_before_v": np.zeros(1)}
        complete = totals | {"rest_after_s": after["rest_before_s"], "ocv_after_v": after["ocv_before_v"]}
        yield totals, truth, sensor.fill(complete)


def follow(halves, profile, sensors: SensorClass, seed=0, estimator=Inventory):
    """The firmware's estimate after every discharge: dict of arrays (cycles, n) beside the truth's, ppm made nominal
    capacities."""
    inventories = [estimator(profile, 0) for _ in range(halves[0][1]["cathode"].size)]
    rows: dict[str, list] = {}
    for totals, truth, seen in records(halves, sensors, seed):
        for inventory, record in zip(inventories, seen, strict=True):
            inventory.half_cycle(record)
        if totals["kind"] > 0:
            continue
        estimates = [inventory.estimate for inventory in inventories]
        for name, values in truth.items():
            rows.setdefault("true_" + name, []).append(values)
        for name in vars(estimates[0]):
            rows.setdefault(name, []).append([getattr(e, name) for e in estimates])
    arrays = {name: np.array(values) for name, values in rows.items()}
    return {k: v / 1e6 if k.endswith("_ppm") else v for k, v in arrays.items()}


# -- peers -------------------------------------------------------------------------------------------------------------


class OpenLoop(Inventory):
    """The loss model alone: the same priors and coulombs, no anchor of the loss."""

    def _limit(self, h):
        return 0


def product_of_ce(halves, sensors: SensorClass, seed=0):
    """Loss (cycles, n) by the running product of discharge over charge, of the first full capacity."""
    n = halves[0][1]["cathode"].size
    kept, first, charged, out = np.ones(n), None, np.ones(n), []
    for totals, _, seen in records(halves, sensors, seed):
        amount = np.array([record.charge_ppm for record in seen]) / 1e6
        if totals["kind"] > 0:
            charged = amount
            continue
        first = amount if first is None else first
        kept = kept * amount / np.maximum(charged, 1e-6)
        out.append(first * (1.0 - kept))
    return np.array(out)


def causal_batch(halves, profile, sensors: SensorClass, seed=0, samples=1500):
    """Active lithium (cycles, n) before any anchor of the anode: all data so far, the same priors, in floating point.

    Every sample of (reservoir, loss factors) is carried through the whole life; those whose anode would have run out
    while the cathode still ended the discharge are dropped. It is told by the truth which electrode that was, which the
    firmware has to find out. Cathode content and capacity come from the same coulombs and rested voltages.
    """
    n = halves[0][1]["cathode"].size
    follower = [OpenLoop(profile, 0) for _ in range(n)]
    rng = np.random.default_rng((seed, 13))
    p = profile
    iso = 1.0 + rng.standard_normal(samples) * p.loss_isolated_spread_permille / 1e3
    sei = 1.0 + rng.standard_normal(samples) * p.loss_sei_spread_permille / 1e3
    spare = p.reservoir_ppm / 1e6 + rng.standard_normal(samples) * p.reservoir_sigma_ppm / 1e6
    alive = np.ones((n, samples), bool)
    isolated, bound, out = np.zeros(n), np.zeros(n), []
    for totals, truth, seen in records(halves, sensors, seed):
        for k, (inventory, record) in enumerate(zip(follower, seen, strict=True)):
            d, s = inventory.filter.x[2], inventory.filter.x[1]
            inventory.half_cycle(record)
            isolated[k] += (inventory.filter.x[2] - d) / 1e9  # what was isolated less what came back
            bound[k] += (inventory.filter.x[1] - s) / 1e9
        if totals["kind"] > 0:
            continue
        cathode = np.array([inventory.filter.x[0] for inventory in follower]) / 1e9
        swing = np.array([inventory.filter.x[4] for inventory in follower]) / 1e9
        active = (swing - cathode)[:, None] + spare - isolated[:, None] * iso - bound[:, None] * sei
        full = ~truth["anode_limited"][:, None] & (np.asarray(totals["end"]) == END_LOW).reshape(-1, 1)
        survivors = alive & (~full | (active > 0.0))
        alive = np.where(survivors.any(axis=1)[:, None], survivors, alive)
        out.append((active * alive).sum(axis=1) / alive.sum(axis=1))
    return np.array(out)


# -- figures -----------------------------------------------------------------------------------------------------------


def rms(values):
    """Root mean square; NaN of nothing."""
    return float(np.sqrt(np.mean(np.square(values)))) if np.size(values) else float("nan")


def interval(per_cell, seed=0):
    """95 % bootstrap interval of the RMS over cells, as text. `per_cell`: list of arrays, one per cell."""
    rng = np.random.default_rng((seed, 14))
    squares = np.array([np.mean(np.square(x)) for x in per_cell if np.size(x)])
    if squares.size < 2:
        return None
    draws = np.sqrt(squares[rng.integers(0, squares.size, (1000, squares.size))].mean(axis=1))
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{low:.4f}..{high:.4f}"


def measure(life: Life):
    """One class of lives, seen through both sensor classes."""
    halves = play(life)
    return [measured(life, halves, sensors) for sensors in (GOOD, POOR)]


def measured(life: Life, halves, sensors: SensorClass):
    """Everything the rows are made of, for one sensor class."""
    profile = profile_of(life, sensors)
    r = follow(halves, profile, sensors, life.seed)
    loss = r["true_isolated"] + r["true_sei"]
    anode = r["true_anode_limited"] & (r["limited_by"] == 1)
    missing = (r["cathode_capacity_ppm"] - r["cathode_ppm"]) - (r["true_swing"] - r["true_cathode"])
    result = {
        "life": life,
        "sensors": sensors.name,
        "anode": anode,
        "hidden": ~r["true_anode_limited"],
        "loss_error": r["loss_ppm"] - loss if life.np_ratio == 0.0 else missing,
        "product_error": product_of_ce(halves, sensors, life.seed) - loss,
        "active_error": r["active_ppm"] - r["true_active"],
        "resets": int(r["resets"][-1].sum()),
        "covered": {},
    }
    truth = {name: r["true_" + name] for name in ("cathode", "active", "isolated", "sei")} | {"loss": loss}
    for name, true in truth.items():
        result["covered"][name] = np.abs(r[name + "_ppm"] - true) <= 1.96 * r[name + "_sigma_ppm"] + 5e-4
    if life.np_ratio > 0.0:
        open_loop = follow(halves, profile, sensors, life.seed, OpenLoop)
        result["open_error"] = open_loop["active_ppm"] - r["true_active"]
        result["batch_error"] = causal_batch(halves, profile, sensors, life.seed) - r["true_active"]
    if life.pulse_every:
        share = profile.loss_isolated_ppm / (profile.loss_isolated_ppm + profile.loss_sei_ppm)
        seen = (r["pulse_trials"] >= 3) & anode
        result["split"] = (
            (r["isolated_ppm"] - r["true_isolated"])[seen],
            (share * r["loss_ppm"] - r["true_isolated"])[seen],
        )
    return result


def lives():
    """The classes of this run."""
    full = os.environ.get("FULL") == "1"
    cells, cycles = (64, 300) if full else (4, 240)
    ratios = (0.0, 0.5, 1.0, 2.0) if full else (0.0, 0.5)
    jobs = [Life("redealt", 0.0, "full", "NMC811", 4, cells, cycles)]
    for world in WORLDS:
        jobs += [Life(world, ratio, use, "NMC811", 0, cells, cycles) for use in USES for ratio in ratios]
        jobs.append(Life(world, 0.0, "full", "LFP", 0, cells, cycles))
    return jobs


def rows():
    """The rows of section `estimator`."""
    with ProcessPoolExecutor(2) as pool:
        results = [x for pair in pool.map(measure, lives()) for x in pair]
    plain = [x for x in results if not x["life"].pulse_every]
    return [*loss_rows(plain), *reservoir_rows(plain), *coverage_rows(plain), *split_rows(results)]


def loss_rows(results):
    """Error of the loss where anchors show it, and whether it grows."""
    out = []
    for cathode, sensors, limit in (
        ("NMC811", "good", 0.01),
        ("NMC811", "poor", 0.02),
        ("LFP", "good", 0.03),
        ("LFP", "poor", 0.03),
    ):
        for home in (True, False):
            some = [x for x in results if x["life"].cathode == cathode and x["sensors"] == sensors]
            some = [x for x in some if (x["life"].world == "redealt") == home]
            cells = [x["loss_error"][x["anode"][:, k], k] for x in some for k in range(x["anode"].shape[1])]
            peer = [x["product_error"][x["anode"]] for x in some]
            value, other = rms(np.concatenate(cells)), rms(np.concatenate(peer))
            where = "redealt" if home else "other worlds"
            out.append(
                {
                    "name": f"loss RMS, {cathode}, {sensors} sensors, {where}",
                    "value": value,
                    "unit": "nominal",
                    "target": f"<= {limit if home else 2 * limit}",
                    "peer": f"product of CE {other:.4f}",
                    "ratio": value / other,
                    "spread": interval(cells),
                }
            )
    return out


def reservoir_rows(results):
    """Active lithium while the reservoir hides the loss, against the causal batch and the open-loop model."""
    some = [x for x in results if "batch_error" in x]
    value, batch, open_loop = (
        rms(np.concatenate([x[key][x["hidden"]] for x in some]))
        for key in ("active_error", "batch_error", "open_error")
    )
    after = [(x["active_error"][x["anode"]], x["open_error"][x["anode"]]) for x in some]
    seen, unseen = (rms(np.concatenate([pair[k] for pair in after])) for k in (0, 1))
    phase = "active lithium in the reservoir phase, over the "
    figures = (
        (phase + "causal batch", value / batch, "<= 1.3", batch),
        (phase + "open loop", value / open_loop, "<= 1.05", open_loop),
        ("active lithium once an anchor was seen, over the open loop", seen / unseen, "< 1", unseen),
    )
    return [
        {"name": name, "value": ratio, "unit": "1", "target": target, "peer": f"RMS {peer:.4f}"}
        for name, ratio, target, peer in figures
    ]


def coverage_rows(results):
    """How often the truth lies in the 95 % interval, by world and phase."""
    out = []
    worst = 100.0
    for world in WORLDS:
        some = [x for x in results if x["life"].world == world]
        pooled = [c.ravel() for x in some for c in x["covered"].values()]
        target = "93..97" if world == "redealt" else ">= 88"
        value = 100 * float(np.concatenate(pooled).mean())
        out.append({"name": f"95 % intervals, {world}", "value": value, "unit": "%", "target": target})
        for phase in ("anode", "hidden"):
            parts = [c[x[phase]] for x in some for c in x["covered"].values()]
            value = 100 * float(np.concatenate(parts).mean())
            out.append({"name": f"95 % intervals, {world}, {phase} phase", "value": value, "unit": "%"})
        for x in some:
            worst = min(worst, 100 * float(np.concatenate([c.ravel() for c in x["covered"].values()]).mean()))
    out.append({"name": "95 % intervals, worst class", "value": worst, "unit": "%", "target": ">= 85"})
    return out


def split_rows(results):
    """Isolated lithium told from SEI after three measurable interventions, against the prior's share of the known
    loss.
    """
    pairs = [x["split"] for x in results if "split" in x]
    value, prior = (rms(np.concatenate([pair[k] for pair in pairs])) for k in (0, 1))
    name = "isolated lithium after three interventions, over the prior alone"
    return [{"name": name, "value": value / prior, "unit": "1", "target": "<= 0.7", "peer": f"prior {prior:.4f}"}]
