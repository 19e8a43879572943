"""What else could know the anode's lithium from the same records: the running product of CE, the loss model alone, a
causal batch estimator in floating point, and a smoother that sees the future.
"""

from __future__ import annotations

import numpy as np
from relith.halfcycle import END_LOW
from relith.inventory import Inventory

from host_sim.estimator_lives import lasts, records
from host_sim.half_cycles import SensorClass

STORES = ("cathode", "active", "isolated", "sei")
SEEN = (
    *(name + part for name in (*STORES, "loss") for part in ("_ppm", "_sigma_ppm")),
    "cathode_capacity_ppm", "cycles_left", "limited_by", "pulse_trials", "rest_trials", "resets", "short_suspected",
)  # fmt: skip
RECENT = 10  # cycles over which the batch takes the loss per cycle
BOOKED = (0, 1, 2, 3, 4)  # states of the firmware's filter: cathode, SEI, isolated, all lithium, cathode capacity


class OpenLoop(Inventory):
    """The loss model alone: the same priors and coulombs, no anchor of the loss."""

    def _limit(self, h):
        return 0

    def _dead_layer(self, h):
        """Nor what the resistance says of it."""


def follow(halves, profile, sensors: SensorClass, seed=0, estimator=Inventory):
    """The estimate after every discharge: dict of arrays (cycles, n), ppm made nominal capacities; `booked`: (cycles,
    n, 5), the filter's BOOKED. A cell at its end of life is left alone."""
    inventories = [estimator(profile, 0) for _ in range(halves[0][1]["cathode"].size)]
    rows: dict[str, list] = {}
    alive = np.ones(len(inventories), bool)
    for totals, _, seen, hourly_uv in records(halves, sensors, seed):
        for k in np.flatnonzero(alive):
            for hour, uv in enumerate(hourly_uv):
                inventories[k].rest(int(uv[k]), 3600 * (hour + 1))
            inventories[k].half_cycle(seen[k])
        if totals["kind"] < 0:
            alive &= lasts(totals)
            for name in SEEN:
                rows.setdefault(name, []).append(
                    [getattr(x if name == "resets" else x.estimate, name) for x in inventories]
                )
            rows.setdefault("booked", []).append([[x.filter.x[i] for i in BOOKED] for x in inventories])
    return {k: np.array(v) / (1e6 if k.endswith("_ppm") else 1e9 if k == "booked" else 1) for k, v in rows.items()}


def product_of_ce(halves, sensors: SensorClass, seed=0):
    """Loss (cycles, n) by the running product of discharge over charge, of the first full capacity."""
    n = halves[0][1]["cathode"].size
    kept, first, charged, out = np.ones(n), None, np.ones(n), []
    for totals, _, seen, _ in records(halves, sensors, seed):
        amount = np.array([record.charge_ppm for record in seen]) / 1e6
        if totals["kind"] > 0:
            charged = amount
            continue
        first = amount if first is None else first
        kept = kept * amount / np.maximum(charged, 1e-6)
        out.append(first * (1.0 - kept))
    return np.array(out)


class LossLine:
    """Active lithium is linear in what a maker does not know of a cell: its reservoir r and its factors on the two
    losses, A(k) = spare(k) + r - isolated(k)*i - bound(k)*s. What is left when the cathode is full is `room` instead of
    `spare`. All arrays (cycles, n), from what the open loop booked; `moved`: charge delivered so far."""

    def __init__(self, profile, open_loop, moved, ends_low, anode_limited):
        cathode, self.bound, self.isolated, lithium, swing = np.moveaxis(open_loop["booked"], 2, 0)
        hidden = profile.cathode_hidden_permille / 1e3
        self.spare = lithium - profile.reservoir_ppm / 1e6 - hidden * swing - cathode
        self.room = self.spare + cathode - swing
        self.moved = moved
        self.bare = ends_low & anode_limited
        self.full = ends_low & ~anode_limited
        self.mean = np.array([profile.reservoir_ppm / 1e6, 1.0, 1.0])
        spreads = (profile.reservoir_sigma_ppm / 1e6, profile.loss_isolated_spread_permille / 1e3,
                   profile.loss_sei_spread_permille / 1e3)  # fmt: skip
        self.sigma = np.array(spreads)

    @staticmethod
    def of(halves, profile, open_loop):
        """Which electrode ended a discharge is told by the truth; the firmware has to find out."""
        low = [(np.asarray(t["end"]) == END_LOW) & np.ones(x["cathode"].size, bool) for t, x in halves if t["kind"] < 0]
        moved = np.cumsum([t["charge"] for t, _ in halves if t["kind"] < 0], axis=0)
        limited = [truth["anode_limited"] for totals, truth in halves if totals["kind"] < 0]
        alive = np.logical_and.accumulate([lasts(totals) for totals, _ in halves if totals["kind"] < 0], axis=0)
        return LossLine(profile, open_loop, moved, np.array(low) & alive, np.array(limited))

    def rates(self):
        """What an equivalent full cycle isolated and bound of late, (cycles, n) each."""
        early = np.maximum(np.arange(len(self.bound)) - RECENT, 0)
        moved = np.maximum(self.moved - self.moved[early], 1e-6)
        return (self.isolated - self.isolated[early]) / moved, (self.bound - self.bound[early]) / moved

    def batch(self, seed=0, samples=1500):
        """Causal batch: active lithium and equivalent full cycles until the reservoir is spent, (cycles, n) each, while
        it hides the loss. Every sample of the unknown figures is carried through the whole life so far; one whose anode
        would have run out although the cathode ended the discharge is dropped. The mean of those left is the answer."""
        rng = np.random.default_rng((seed, 13))
        r, i, s = (m + sigma * rng.standard_normal(samples) for m, sigma in zip(self.mean, self.sigma, strict=True))
        rate_i, rate_s = self.rates()
        active_mean, left_mean = np.zeros((2, *self.spare.shape))
        for n in range(self.spare.shape[1]):
            alive = np.ones(samples, bool)
            for k in range(len(self.spare)):
                kept = r - self.isolated[k, n] * i - self.bound[k, n] * s
                active = self.spare[k, n] + kept
                if self.full[k, n] and (alive & (active > 0.0)).any():
                    alive &= active > 0.0
                active_mean[k, n] = active[alive].mean()
                rate = np.maximum(rate_i[k, n] * i + rate_s[k, n] * s, 1e-5)[alive]
                left_mean[k, n] = np.median(np.maximum(self.room[k, n] + kept[alive], 0.0) / rate)
        return active_mean, left_mean

    def smoother(self, sigma=0.003):
        """Active lithium (cycles, n) by one who sees the future: least squares over every anode-limited end of the
        whole life, and the prior."""
        out = np.zeros_like(self.spare)
        for n in range(self.spare.shape[1]):
            rows = np.stack([np.ones(len(self.spare)), -self.isolated[:, n], -self.bound[:, n]], axis=1)
            seen = self.bare[:, n]
            weights = np.concatenate([1.0 / self.sigma, np.full(seen.sum(), 1.0 / sigma)])
            left = np.concatenate([np.eye(3), rows[seen]]) * weights[:, None]
            right = np.concatenate([self.mean, -self.spare[seen, n]]) * weights
            out[:, n] = self.spare[:, n] + rows @ np.linalg.lstsq(left, right, rcond=None)[0]
        return out
