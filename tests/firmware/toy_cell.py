"""A book-keeper's lithium cell for the tests of estimator and scheduler: exact stores, half-cycle totals, a sensor
with gain and offset.

Not the simulator: loss per half-cycle is a share of the charge, with this cell's own factor and some scatter.
"""

import math
import random
from types import SimpleNamespace

from relith.halfcycle import END_HIGH, END_LOW, END_STOPPED
from relith.inventory import Inventory

RESERVOIR = {"reservoir_ppm": 1_500_000, "reservoir_sigma_ppm": 75_000}

PROFILE = {
    "nominal_capacity_uah": 100_000,
    "one_c_ua": 100_000,
    "ocv_content_ppm": [0, 100000, 200000, 400000, 600000, 800000, 900000, 950000, 1000000],
    "ocv_uv": [4200000, 4100000, 4000000, 3850000, 3720000, 3600000, 3520000, 3400000, 3000000],
    "cathode_capacity_ppm": 1000000,
    "cathode_sigma_ppm": 20000,
    "cathode_fade_ppm": 50,
    "cathode_hidden_permille": 0,
    "reservoir_ppm": 0,
    "reservoir_sigma_ppm": 10000,
    "resistance_uohm": 100000,
    "min_uv": 3000000,
    "max_uv": 4200000,
    "taper_permille": 50,
    "voltage_sigma_uv": 2000,
    "offset_sigma_ppm_per_h": 100,
    "gain_sigma_ppm": 1000,
    "loss_isolated_ppm": 8000,
    "loss_sei_ppm": 4000,
    "loss_isolated_spread_permille": 300,
    "loss_sei_spread_permille": 300,
    "loss_plate_rate_permille": [0, 1000],
    "loss_plate_factor_permille": [1000, 1000],
    "loss_strip_rate_permille": [0, 1000],
    "loss_strip_factor_permille": [1000, 1000],
    "loss_depth_permille": [0, 1000],
    "loss_depth_factor_permille": [1000, 1000],
    "loss_temp_cdegc": [0, 2500],
    "loss_temp_factor_permille": [1000, 1000],
    "corrosion_ppm_per_day": 0,
    "pulse_rate_permille": [0, 300, 1000, 2000],
    "pulse_speed_permille": [0, 0, 1000, 3000],
    "pulse_early_ppm": 200000,
    "pulse_way_s": [0, 40, 110, 300],
    "pulse_share_permille": [0, 20, 150, 200],
    "pulse_corroded_permille": [0, 4, 11, 30],
    "dead_layer_uohm": 0,
    "rest_recover_permille": 150,
    "rest_tau_s": 10000,
    "rest_local_permille": 1000,
    "recover_spread_permille": 700,
    "charge_max_permille": 1000,
    "discharge_max_permille": 2000,
    "policy": 4,
    "pulse_fixed_permille": 1000,
    "pulse_fixed_s": 120,
    "pulse_max_s": 300,
    "full_charge_s": 18000,
    "pulse_max_permille": 2000,
    "storage_after_s": 172800,
    "rest_fixed_s": 21600,
    "rest_period_s": 0,
    "weight_hour_ppm": 2000,
    "weight_charge_permille": 50,
}


def profile(**changes):
    return SimpleNamespace(**{**PROFILE, **changes})


class ToyCell:
    """Stores in units of nominal capacity. `recoverable`: 0 for a cell whose isolated lithium never comes back."""

    def __init__(self, prof, seed, recoverable=1.0):
        self.p = prof
        self.rested_s = 0
        self.rng = random.Random(seed)
        gauss = self.rng.gauss
        self.q = self.cathode = 1 + gauss(0, prof.cathode_sigma_ppm / 1e6)
        self.active = (
            max(0.0, prof.reservoir_ppm / 1e6 + gauss(0, prof.reservoir_sigma_ppm / 1e6)) if prof.reservoir_ppm else 0.0
        )
        self.isolated = self.sei = 0.0
        self.total = self.cathode + self.active
        self.isolated_factor = math.exp(gauss(0, prof.loss_isolated_spread_permille / 1e3))
        self.sei_factor = math.exp(gauss(0, prof.loss_sei_spread_permille / 1e3))
        self.recover = 0.15 * recoverable * math.exp(gauss(0, prof.recover_spread_permille / 2e3))
        self.offset_per_h = gauss(0, prof.offset_sigma_ppm_per_h / 1e6)
        self.gain = gauss(0, prof.gain_sigma_ppm / 1e6)
        self.index = 0
        self.anode_limited = False

    def ocv_uv(self):
        content, ppm, uv = self.cathode / self.q * 1e6, self.p.ocv_content_ppm, self.p.ocv_uv
        k = next((k for k in range(1, len(ppm) - 1) if content < ppm[k]), len(ppm) - 1)
        exact = uv[k - 1] + (uv[k] - uv[k - 1]) * (content - ppm[k - 1]) / (ppm[k] - ppm[k - 1])
        return round(exact + self.rng.gauss(0, self.p.voltage_sigma_uv))

    def _record(self, kind, charge, rate, end, **more):
        hours = charge / rate
        self.index += 1
        fields = {
            "kind": kind,
            "charge_ppm": round((charge * (1 + self.gain) + kind * self.offset_per_h * hours) * 1e6),
            "duration_s": round(hours * 3600),
            "rate_permille": round(1000 * rate),
            "early_rate_permille": round(1000 * rate),
            "temp_cdegc": 2500,
            "end": end,
            "end_uv": self.p.max_uv + 5000 if kind > 0 else self.p.min_uv - round(rate * 10000),
            "end_permille": self.p.taper_permille if kind > 0 else round(1000 * rate),
            "pulse_ppm": 0,
            "pulse_permille": 0,
            "pulse_s": 0,
            "rest_before_s": 0,
            "ocv_before_uv": 0,
            "rest_after_s": 0,
            "ocv_after_uv": 0,
            "gap_ppm": 0,
            "index": self.index,
            "resistance_uohm": 0,
        }
        return SimpleNamespace(**{**fields, **more})

    def charge(self, depth=9.0, rate=0.2, rest_s=0):
        """Charge by at most `depth`; a rest in the empty state before it brings isolated lithium back."""
        self.rested_s += rest_s
        if rest_s and self.anode_limited:
            self._reconnect(self.recover * (1 - math.exp(-rest_s / self.p.rest_tau_s)))
        charge = min(depth, self.cathode)
        lost = charge * self.p.loss_sei_ppm / 1e6 * self.sei_factor * self.rng.uniform(0.8, 1.2)
        self.cathode -= charge
        self.active += charge - lost
        self.sei += lost
        end = END_HIGH if self.cathode <= 0 else END_STOPPED
        return self._record(1, charge, rate, end, rest_before_s=rest_s)

    def discharge(self, depth=9.0, rate=0.2, rested=False, pulse=False):
        """Discharge by at most `depth`, until cathode full or anode bare; `rested`: the voltage after it qualifies."""
        if pulse:
            self._reconnect(self.recover)
        share = self.p.loss_isolated_ppm / 1e6 * self.isolated_factor * self.rng.uniform(0.8, 1.2)
        bare, full = self.active / (1 + share), self.q - self.cathode
        charge = min(depth, bare, full)
        self.anode_limited = charge == bare
        self.cathode += charge
        self.active -= charge * (1 + share)
        self.isolated += charge * share
        self.q -= self.p.cathode_fade_ppm / 1e6 * charge
        more = (
            {"pulse_ppm": 33333, "pulse_permille": 1000, "pulse_s": 120, "early_rate_permille": 1000} if pulse else {}
        )
        end = END_LOW if charge < depth else END_STOPPED
        rest = {"ocv_after_uv": self.ocv_uv(), "rest_after_s": 28800} if rested else {}
        return self._record(-1, charge, rate, end, **rest, **more)

    def _reconnect(self, share):
        back = share * self.isolated
        self.isolated -= back
        self.active += back


def live(cell, inventory, cycles, rest_every=10, pulse_every=0):
    """Full cycles; after each discharge yields (truth, estimate)."""
    for k in range(cycles):
        inventory.half_cycle(cell.charge())
        pulse = pulse_every > 0 and k % pulse_every == 0
        inventory.half_cycle(cell.discharge(rested=k % rest_every == 0, pulse=pulse))
        yield cell, inventory.estimate


def settled(prof, seed, cycles, **how):
    """(cell, inventory) after so many cycles."""
    cell, inventory = ToyCell(prof, seed), Inventory(prof, 0)
    for _ in live(cell, inventory, cycles, **how):
        pass
    return cell, inventory


def rms(values):
    return math.sqrt(sum(v * v for v in values) / len(values))
