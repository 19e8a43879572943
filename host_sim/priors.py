"""Profile priors from a parameter set: what a maker of cells would measure on the mean cell, in the profile's fields.

Each figure is measured on the simulated cell of the `redealt` world as a laboratory would measure it: one cycle more
from a saved
state, one condition changed at a time. Spreads are handed over, not measured.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from host_sim import measured
from host_sim.cell import Control, load_parameters
from host_sim.cell.cathode import ocv
from host_sim.cell.lithium import drift_um_per_h
from host_sim.errors import InputError
from host_sim.half_cycles import AREA_CM2, Lives, SensorClass
from host_sim.version import ROOT

PROFILE = ROOT / "firmware/profiles/liu21_nmc532.json"

PLATE_RATES = (0.15, 0.3, 0.6, 1.0, 2.0)
STRIP_RATES = (0.05, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0)
DEPTHS = (0.1, 0.25, 0.5, 1.0)
TEMPS_DEGC = (-10.0, 0.0, 10.0, 25.0, 35.0, 45.0)
PULSE_RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
PULSE_REFERENCE = 1.0
PULSE_S = (15, 30, 60, 90, 120, 180, 240, 480, 1200, 3600)


def measured_priors(lives, reference=0.3, cycles=12):
    """Loss and recovery priors of `lives` (one mean cell, as built): dict of profile fields.

    `reference`: rate of 1C of charge and discharge for the base figures; `cycles`: age at which recovery is measured.
    """
    for _ in range(3):
        lives.charge(reference)
        lives.discharge([(reference, 99.0)])
    empty = lives.cells.state()

    def cycle(plate=reference, strip=reference, depth=9.0, degc=25.0, pulse=(0.0, 0)):
        """Shares isolated of stripped and bound of plated, and reconnected of what was isolated before."""
        c = lives.cells
        c.restore(empty)
        lives.ambient_degc[:] = degc
        sei, plated = c.total("sei"), c.total("plated")
        lives.charge(plate, depth)
        isolated, stripped, back = (c.total(name) for name in ("isolated", "stripped", "reconnected"))
        dead = c.isolated_mah_cm2
        lives.discharge([(strip, 99.0)], depth, np.array([pulse[0]]), np.array([pulse[1]]))
        lives.ambient_degc[:] = 25.0
        return (
            float((c.total("isolated") - isolated)[0] / (c.total("stripped") - stripped)[0]),
            float((c.total("sei") - sei)[0] / (c.total("plated") - plated)[0]),
            float((c.total("reconnected") - back)[0] / dead[0]),
        )

    base, sei, _ = cycle()
    resistance = int(lives.resistance_uohm[0])
    lost = float((lives.cells.isolated_mah_cm2 + lives.cells.sei_mah_cm2)[0]) / lives.nominal

    def factors(name, points):
        return [round(1000 * cycle(**{name: point})[0] / base) for point in points]

    fields = {
        "resistance_uohm": resistance,
        "loss_isolated_ppm": round(base * 1e6),
        "loss_sei_ppm": round(sei * 1e6),
        "loss_plate_rate_permille": _permille(PLATE_RATES),
        "loss_plate_factor_permille": factors("plate", PLATE_RATES),
        "loss_strip_rate_permille": _permille(STRIP_RATES),
        "loss_strip_factor_permille": factors("strip", STRIP_RATES),
        "loss_depth_permille": _permille(DEPTHS),
        "loss_depth_factor_permille": [*factors("depth", DEPTHS[:-1]), 1000],
        "loss_temp_cdegc": [round(t * 100) for t in TEMPS_DEGC],
        "loss_temp_factor_permille": factors("degc", TEMPS_DEGC),
    }
    lives.cells.restore(empty)
    for _ in range(cycles):
        lives.charge(reference)
        lives.discharge([(reference, 99.0)])
    empty = lives.cells.state()
    grown = float(lives.resistance_uohm[0]) - resistance
    lost = float((lives.cells.isolated_mah_cm2 + lives.cells.sei_mah_cm2)[0]) / lives.nominal - lost
    fields["dead_layer_uohm"] = round(max(0.0, grown / lost))
    slow = cycle(strip=0.05)[2]
    shares = [max(0.0, cycle(strip=0.05, pulse=(PULSE_REFERENCE, seconds))[2] - slow) for seconds in PULSE_S]
    lives.cells.restore(empty)
    lives.charge(reference)
    full = lives.cells.state()

    def corroded(rate, seconds):
        """Share of the isolated lithium that corrodes so long at `rate`, with what time corrodes of the deposit."""
        lives.cells.restore(full)
        before, dead = lives.cells.total("corroded"), lives.cells.isolated_mah_cm2
        lives.advance(Control.current(-rate * lives.one_c_a, v_min=lives.v_min), seconds)
        return float((lives.cells.total("corroded") - before)[0] / dead[0])

    worn = [max(0.0, corroded(PULSE_REFERENCE, seconds) - corroded(0.0, seconds)) for seconds in PULSE_S]
    ma_cm2 = lives.nominal * np.array(PULSE_RATES)
    speed = np.array([drift_um_per_h(lives.cells._p[0], j, 1.0) for j in ma_cm2])
    early = lives.cells.parameters[0].value("early_mah_cm2") / lives.nominal
    fade_s = early / PULSE_REFERENCE * 3600.0
    way_s = [round(fade_s * -np.expm1(-seconds / fade_s)) for seconds in PULSE_S]
    fields |= {
        "pulse_rate_permille": _permille(PULSE_RATES),
        "pulse_speed_permille": _permille(speed / speed[PULSE_RATES.index(PULSE_REFERENCE)]),
        "pulse_early_ppm": round(1e6 * early),
        "pulse_way_s": [0, *way_s],
        "pulse_share_permille": [0, *_permille(shares)],
        "pulse_corroded_permille": [0, *_permille(np.maximum.accumulate(worn))],
    }
    lives.cells.restore(empty)
    lives.charge(reference)
    c = lives.cells
    corroded, fresh = c.total("corroded"), c.cathode_sites_mah_cm2 - c.cathode_mah_cm2
    lives.advance(Control.rest(), 86400.0)
    fields["corrosion_ppm_per_day"] = round(1e6 * float((c.total("corroded") - corroded)[0] / fresh[0]))
    return fields


def _permille(values):
    return [round(1000 * float(value)) for value in values]


def build(parameters, lives, sensors: SensorClass, spreads: dict, **changes):
    """The profile of a class of cells: `parameters` its mean, `lives` one mean cell as built, `spreads` 1 sigma fields.

    Returns a namespace with the fields that estimator and scheduler read (docs/interfaces.md).
    """
    low, high = lives.swing_limits
    content_ppm, table_uv = measured.table_of(lambda content: ocv(parameters.cathode, low + content * (high - low)))
    built = lives.truth()
    lithium = (
        float((built["cathode"] + built["active"])[0])
        + low * float(lives.cells.cathode_sites_mah_cm2[0]) / lives.nominal
    )
    lives.charge(0.3)  # the first charge forms the cathode
    lives.discharge([(0.3, 99.0)])
    swing = float(lives.truth()["swing"][0])
    sites = float(lives.cells.cathode_sites_mah_cm2[0]) / lives.nominal
    learned = measured_priors(lives)
    fields = {
        "nominal_capacity_uah": round(lives.nominal * AREA_CM2 * 1e3),
        "one_c_ua": round(lives.nominal * AREA_CM2 * 1e3),
        "charge_max_permille": 2000,
        "discharge_max_permille": 4000,
        "min_uv": round(lives.v_min * 1e6),
        "max_uv": round(lives.v_max * 1e6),
        "taper_permille": lives.taper_permille,
        "ocv_content_ppm": content_ppm,
        "ocv_uv": table_uv,
        "cathode_capacity_ppm": round(1e6 * swing),
        "cathode_fade_ppm": round(1e6 * parameters.value("cathode_fade") * (high - low)),
        "cathode_hidden_permille": round(1e3 * low / (high - low)),
        "reservoir_ppm": round(1e6 * (lithium - low * sites - swing)),
        "voltage_sigma_uv": round(1e6 * (sensors.voltage_v**2 + sensors.voltage_noise_v**2) ** 0.5),
        "offset_sigma_ppm_per_h": round(1e6 * sensors.offset),
        "gain_sigma_ppm": round(1e6 * sensors.gain),
        "rest_recover_permille": round(1000 * parameters.value("barrier_share")),
        "rest_tau_s": round(3600 * parameters.value("barrier_tau_h")),
        "rest_local_permille": round(1000 * parameters.value("local_stripping")),
    }
    return SimpleNamespace(**{**fields, **learned, **spreads, **changes})


# -- the committed profile of Liu21's full cell ------------------------------------------------------------------------

CELL_SPREAD = 0.2  # 1 sigma of cells of one make, assumed; the spread over equally good parameter sets is added


def profile_figures(data: dict) -> dict:
    """What `relith-sim`'s Liu21 profile says of loss, recovery and resistance: `data` (the profile's JSON) with those
    fields measured anew on the fitted cell of the `redealt` world, their spreads over its equally good sets.

    Rates are of the profile's 1C, which is more than its nominal capacity in an hour.
    """
    nominal = data["nominal_capacity_uah"] * 1e-3 / AREA_CM2
    window = data["min_uv"] * 1e-6, data["max_uv"] * 1e-6
    one_c = data["one_c_ua"] / data["nominal_capacity_uah"]
    from host_sim.fit import load_ensemble

    sets = [load_parameters("liu21-carbonate"), *(one["liu21-carbonate"] for one in load_ensemble("redealt"))]
    taper = round(data["taper_permille"] * one_c)
    members = [measured_priors(Lives([one], nominal, *window, taper)) for one in sets]
    figures = dict(members[0])
    for name in figures:
        if name.endswith("_rate_permille"):
            figures[name] = [round(rate / one_c) for rate in figures[name]]
    figures["pulse_corroded_permille"] = [round(share * one_c) for share in figures["pulse_corroded_permille"]]

    def spread(values):
        return round(1000 * np.hypot(CELL_SPREAD, np.std(np.log(values))))

    figures["loss_isolated_spread_permille"] = spread([m["loss_isolated_ppm"] for m in members])
    figures["loss_sei_spread_permille"] = spread([m["loss_sei_ppm"] + m["corrosion_ppm_per_day"] / 2 for m in members])
    shares = [np.interp(118, m["pulse_way_s"], m["pulse_share_permille"]) for m in members]
    figures["recover_spread_permille"] = max(700, spread(np.maximum(shares, 1.0)))
    return figures


def main(argv: list[str]) -> int:
    """`python -m host_sim.priors [PROFILE]`: measure and write the profile's figures; say what changed."""
    path = Path(argv[0] if argv else PROFILE)
    text = path.read_text()
    for name, value in profile_figures(json.loads(text)).items():
        text, found = re.subn(rf'("{name}": )(\[[^\]]*\]|-?\d+)', rf"\g<1>{json.dumps(value)}", text)
        if found != 1:
            raise InputError(f"{path}: field {name} must be there once")
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
