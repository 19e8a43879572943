"""Lives of simulated cells for the estimator's bench: cells with spread parameters, in a world, under a use, and what
the maker of their profile knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from relith.halfcycle import COLD_CDEGC

from host_sim.cell import load_parameters
from host_sim.half_cycles import Lives, Sensor, SensorClass
from host_sim.priors import build

WORLDS = ("redealt", "static", "accumulating", "other")
USES = ("full", "partial", "drive", "mixed")
WINDOW = {"NMC811": (3.0, 4.2), "LFP": (2.5, 3.6)}
NOMINAL_MAH_CM2 = 4.0
TAPER_PERMILLE = 50
RATE = 0.3
COLD_DEGC = COLD_CDEGC / 100  # below, a rested voltage does not qualify
END_OF_LIFE = 0.3  # of nominal capacity; a cell that has delivered less in a discharge is not looked at any more
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
    "loss_isolated_spread_permille": 300,
    "loss_sei_spread_permille": 250,
    "recover_spread_permille": 600,
}
LOSSES = ("isolation_base", "isolation_slow", "isolation_fast", "sei_share", "corrosion_per_h")


@dataclass(frozen=True)
class Life:
    """One class of lives. `np_ratio`: lithium on the anode as built over cathode capacity, 0 = anode-free.
    `pulse_every`, `rest_every`: cycles from one intervention to the next, 0 = none. `strip`: rate of discharge. `mild`:
    factor on every loss."""

    world: str = "redealt"
    np_ratio: float = 0.0
    use: str = "full"
    cathode: str = "NMC811"
    pulse_every: int = 0
    rest_every: int = 0
    strip: float = RATE
    mild: float = 1.0
    cells: int = 8
    cycles: int = 1000  # at most; all but the mildest are at their end long before
    seed: int = 0


def mean_cell(life: Life, world: str):
    """Parameters of the mean cell of a class."""
    mean = load_parameters("anode-free", world)
    milder: dict[str, Any] = {name: mean.value(name) * life.mild for name in LOSSES}
    return mean.replace(cathode=life.cathode, reservoir_mah_cm2=life.np_ratio * NOMINAL_MAH_CM2, **milder)


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


def lives_of(life: Life, cells):
    return Lives(cells, NOMINAL_MAH_CM2, *WINDOW[life.cathode], TAPER_PERMILLE)


@cache
def profile_of(life: Life, sensors: SensorClass):
    """What the maker knows: the mean cell of `redealt`, spreads, and the sensor's class."""
    mean = mean_cell(life, "redealt")
    sigma = 1e6 * np.hypot(life.np_ratio * SPREAD["reservoir_mah_cm2"], 0.002)
    profile = build(mean, lives_of(life, [mean]), sensors, PRIOR_SPREADS | {"reservoir_sigma_ppm": round(sigma)})
    profile.cathode_sigma_ppm = round(profile.cathode_capacity_ppm * SPREAD["cathode_capacity_mah_cm2"])
    return profile


def play(life: Life):
    """A class of lives: list of (totals, truth) per half-cycle, to `cycles` or until all cells are at their end."""
    rng = np.random.default_rng((life.seed, 12))
    lives = lives_of(life, spread_cells(mean_cell(life, life.world), life.cells, life.seed))
    out = []
    alive = np.ones(lives.n, bool)
    owed = False  # the qualified rest of these ten cycles
    for k in range(life.cycles):
        tenth = k % 10 == 0
        owed |= tenth
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
            discharge = lives.discharge([(life.strip, 99.0)], 9.0, np.full(lives.n, 1.5), np.full(lives.n, pulse_s))
        out.append((discharge, lives.truth()))
        if life.use == "drive" or (life.rest_every and k % life.rest_every == 0):
            lives.rest(8 * 3600.0, True)
        else:
            rested = owed and lives.ambient_degc[0] >= COLD_DEGC
            lives.rest(7200.0 if rested else 600.0, rested)
            owed &= not rested
        alive &= lasts(discharge)
        if not alive.any():
            break
    return out


def lasts(discharge):
    """Which cells (n,) are not yet at their end, from the totals of a discharge."""
    return discharge["charge"] >= END_OF_LIFE


def records(halves, sensors: SensorClass, seed):
    """(totals, truth, complete records (n), hourly voltages of the rest after (hours, n) in uV) per half-cycle;
    firmware and peers all read these.

    Complete: the estimator is told when the next half-cycle begins, and so of the rest between as well.
    """
    n = halves[0][1]["cathode"].size
    sensor = Sensor(sensors, n, seed)
    last: dict[str, Any] = {"rest_before_s": 0.0, "ocv_before_v": np.zeros(n), "hourly_v": np.zeros((0, n))}
    for k, (totals, truth) in enumerate(halves):
        after = halves[k + 1][0] if k + 1 < len(halves) else last
        complete = totals | {"rest_after_s": after["rest_before_s"], "ocv_after_v": after["ocv_before_v"]}
        yield totals, truth, sensor.fill(complete), np.array([sensor.rested_uv(v) for v in after["hourly_v"]])
