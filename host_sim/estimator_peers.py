"""What else could know the anode's lithium from the same records: the running product of CE, the loss model alone, a
causal batch estimator in floating point, and a smoother that sees the future.
"""

from __future__ import annotations

import numpy as np
from relith import outlook
from relith.halfcycle import END_LOW
from relith.inventory import Inventory
from relith.udfilter import ONE

from host_sim.estimator_lives import LOG_SPREAD, lasts, records
from host_sim.half_cycles import SensorClass

STORES = ("cathode", "active", "isolated", "sei")
SEEN = (
    *(name + part for name in (*STORES, "loss") for part in ("_ppm", "_sigma_ppm")),
    "cathode_capacity_ppm", "cycles_left", "limited_by", "pulse_trials", "rest_trials", "short_suspected",
)  # fmt: skip
RECENT = 10  # cycles over which the batch takes the loss per cycle
LEAST = 0.05  # of the mean: no sample of the batch has a smaller factor on a loss
# states of the firmware's filter: cathode, SEI, isolated, all lithium, cathode capacity
BOOKED = (outlook.C, outlook.S, outlook.D, outlook.N, outlook.Q)
# 1 sigma of the resistance's logarithm as built and of the layer's share, as cells are drawn; and of one about its law
OHM_SPREAD, LAYER_SPREAD, OHM_NOISE = LOG_SPREAD["ohmic_ohm_cm2"], LOG_SPREAD["dead_layer_ohm_cm2_per_mah"], 0.1


class OpenLoop(Inventory):
    """The loss model alone: the same priors and coulombs, no anchor of the loss."""

    grown = np.nan  # logarithm of the resistance over the profile's, for the batch; NaN: not told

    def half_cycle(self, h):
        self.grown = np.nan
        super().half_cycle(h)

    def _limit(self, h):
        return 0

    def _dead_layer(self, h):
        """Nor what the resistance says of it; what it would be told is kept."""
        f = self.filter

        def told(weights, z, r):
            loss = f.mean(((outlook.S, ONE), *self.dead()))
            self.grown = (z - weights[0][1] * loss // ONE) / ONE

        f.update = told
        super()._dead_layer(h)
        del f.update


def follow(halves, profile, sensors: SensorClass, seed=0, estimator=Inventory):
    """The estimate after every discharge: dict of arrays (cycles, n), ppm made nominal capacities; `booked`: (cycles,
    n, 5), the filter's BOOKED. A cell at its end of life is left alone.
    """
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
            told = {name: [getattr(x.estimate, name) for x in inventories] for name in SEEN}
            told["resets"] = [x.resets for x in inventories]
            told["booked"] = [[x.filter.x[i] / ONE for i in BOOKED] for x in inventories]
            if estimator is OpenLoop:
                told["grown"] = [x.grown for x in inventories]
            for name, values in told.items():
                rows.setdefault(name, []).append(values)
    return {k: np.array(v) / (1e6 if k.endswith("_ppm") else 1) for k, v in rows.items()}


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
    `spare`. All arrays (cycles, n), from what the open loop booked; `moved`: charge delivered so far; `grown`: the
    logarithm of the resistance over the profile's, NaN where none was told."""

    def __init__(self, profile, open_loop, moved, ends_low, anode_limited):
        cathode, self.bound, self.isolated, lithium, swing = np.moveaxis(open_loop["booked"], 2, 0)
        self.grown = open_loop["grown"]
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
        self.layer = profile.dead_layer_uohm / profile.resistance_uohm

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
        """Causal batch: active lithium and equivalent full cycles until the reservoir is spent, (cycles, n) each, until
        it is. Samples of the unknown figures are carried through the whole life so far and weighed by all of its
        evidence: one whose anode would have run out although the cathode ended the discharge weighs nothing, and the
        others what they make of the resistance (`_resistance`). Their weighed mean is the answer."""
        rng = np.random.default_rng((seed, 13))
        r, i, s = self.mean[:, None] + self.sigma[:, None] * rng.standard_normal((3, samples))
        i, s = np.maximum(i, LEAST), np.maximum(s, LEAST)
        rate_i, rate_s = self.rates()
        active_mean, left_mean = np.zeros((2, *self.spare.shape))
        for n in range(self.spare.shape[1]):
            loss = self.isolated[:, n, None] * i + self.bound[:, n, None] * s
            active = self.spare[:, n, None] + r - loss
            gone = np.logical_or.accumulate(self.full[:, n, None] & (active <= 0.0), axis=0)
            weight = self._resistance(loss, n) + np.where(gone, -1e3, 0.0)
            weight = np.exp(weight - weight.max(axis=1, keepdims=True))
            weight /= weight.sum(axis=1, keepdims=True)
            active_mean[:, n] = (active * weight).sum(axis=1)
            rate = np.maximum(rate_i[:, n, None] * i + rate_s[:, n, None] * s, 1e-5)
            left = np.maximum(self.room[:, n, None] + r - loss, 0.0)
            left_mean[:, n] = (left * weight).sum(axis=1) / (rate * weight).sum(axis=1)
        return active_mean, left_mean

    def _resistance(self, loss, n):
        """Logarithm of how likely each sample's loss (cycles, samples) makes the resistances seen until then, told to
        be z + l * layer * loss: z and l as the cells are drawn, integrated over in closed form (a fitted line)."""
        seen = np.isfinite(self.grown[:, n, None])
        x = np.where(seen, self.layer * loss, 0.0)
        v = np.where(seen, self.grown[:, n, None], 0.0)
        count, sum_x, sum_xx, sum_v, sum_xv = (
            np.cumsum(part, axis=0) / OHM_NOISE**2 for part in (seen + 0.0 * x, x, x * x, v, x * v)
        )
        zz, zl, ll = count + 1.0 / OHM_SPREAD**2, sum_x, sum_xx + 1.0 / LAYER_SPREAD**2
        bz, bl = sum_v, sum_xv + 1.0 / LAYER_SPREAD**2
        det = zz * ll - zl * zl
        return 0.5 * ((ll * bz * bz - 2.0 * zl * bz * bl + zz * bl * bl) / det - np.log(det))

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
