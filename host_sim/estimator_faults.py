"""Soft shorts, swapped cells and slow drift, for the estimator's bench: shorts injected into resting and into cycled
cells, cells put in another's place, healthy cells that must raise no alarm, and ten years of standby through the
firmware's ledger.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from relith.inventory import Inventory
from relith.ledger import Ledger
from relith.outlook import UNKNOWN
from relith.profile import load
from relith.readings import LIMB, TICKS_PERIOD_MS, Belief, Readings

from host_sim.cell.layout import P
from host_sim.estimator_lives import (
    NOMINAL_MAH_CM2,
    RATE,
    WINDOW,
    Life,
    lives_of,
    mean_cell,
    profile_of,
    records,
    spread_cells,
)
from host_sim.half_cycles import GOOD, POOR, Sensor

LEAKS = (1.05, 1.5, 3.0, 10.0)  # of C/500
REST_H = 48
DIFFERENT = 0.1  # of nominal: capacities further apart are another cell's
PROFILE = Path(__file__).parents[1] / "firmware/profiles/liu21_nmc532.json"
TICK_MS = 60_000
YEARS = 10


def started(life, leak=0.0):
    """Cells of a class after one full charge; `leak`: of C/500, at the lowest voltage of the window."""
    lives = lives_of(life, spread_cells(mean_cell(life, life.world), life.cells, life.seed))
    charge = lives.charge(RATE)
    short(lives, life, leak)
    return lives, charge


def short(lives, life, leak):
    """From now on every cell leaks."""
    lives.cells._p[:, P.short_s_cm2] = leak * NOMINAL_MAH_CM2 / 500.0 * 1e-3 / WINDOW[life.cathode][0]


def alarm_hours(life, sensors, leak, hours):
    """Hours of rest after which each cell (n,) is suspected, NaN when never: at a charge between 20 and 100 %, days
    10 degC warmer than nights."""
    rng = np.random.default_rng((life.seed, 21))
    lives, charge = started(life, leak)
    part = rng.uniform(0.0, 0.8, lives.n)
    discharge = lives.discharge([(RATE, 99.0)], np.maximum(part, 0.01))
    profile = profile_of(life, sensors)
    sensor = Sensor(sensors, lives.n, life.seed)
    inventories = [Inventory(profile, 0) for _ in range(lives.n)]
    for totals in (charge, discharge):
        for inventory, record in zip(inventories, sensor.fill(totals), strict=True):
            inventory.half_cycle(record)
    found = np.full(lives.n, np.nan)
    for hour in range(1, hours + 1):
        lives.ambient_degc[:] = 20.0 + 5.0 * np.sin(2.0 * np.pi * hour / 24.0)
        lives.rest(3600.0)
        for k, uv in enumerate(sensor.rested_uv(lives.cells.voltage_v)):
            if inventories[k].rest(int(uv), 3600 * hour) and np.isnan(found[k]):
                found[k] = hour
    return found


def cycles_to_alarm(life, sensors, leak, before=12, after=3):
    """Full charges after which each cell (n,) is suspected, counted from the full charge at which the short begins;
    negative: too early, NaN: never. One cycle a day, a qualified rest at either end."""
    lives = lives_of(life, spread_cells(mean_cell(life, life.world), life.cells, life.seed))
    halves = []
    for cycle in range(before + after):
        halves.append((lives.charge(RATE), lives.truth()))
        if cycle == before - 1:
            short(lives, life, leak)
        lives.rest(8 * 3600.0, True)
        halves.append((lives.discharge([(RATE, 99.0)]), lives.truth()))
        lives.rest(8 * 3600.0, True)
    inventories = [Inventory(profile_of(life, sensors), 0) for _ in range(lives.n)]
    found, full = np.full(lives.n, np.nan), -before
    for totals, _, seen, _ in records(halves, sensors, life.seed):
        full += totals["kind"] > 0
        for k, inventory in enumerate(inventories):
            inventory.half_cycle(seen[k])
            if inventory.estimate.short_suspected and np.isnan(found[k]):
                found[k] = full
    return found


def short_rows(cells):
    out = []
    for cathode, sensors in product(("NMC811", "LFP"), (GOOD, POOR)):
        life = Life(cathode=cathode, cells=cells)
        if cathode == "LFP":
            found = np.concatenate([cycles_to_alarm(life, sensors, leak) for leak in LEAKS])
            good, what = (found >= 1) & (found <= 3), "within three full cycles of a day each"
        else:
            found = np.concatenate([alarm_hours(life, sensors, leak, REST_H) for leak in LEAKS])
            good, what = found <= REST_H, f"within {REST_H} h of rest"
        leaks = f"shorts of {LEAKS[0]:g} to {LEAKS[-1]:g} times C/500 at the lowest voltage"
        name = f"{leaks} found {what}, {cathode}, {sensors.name} sensors"
        row = {"name": name, "value": 100.0 * good.mean(), "unit": "%", "target": ">= 100"}
        late = f"latest {np.nanmax(found):g}" if np.isfinite(found).any() else "none"
        out.append(row | {"peer": f"{good.size} injected, {late}"})
    return out


def lived(life, cycles, depth=9.0):
    """Cells of a class after so many full cycles, the last discharge by at most `depth`, then rested; and what they
    lived through."""
    lives = lives_of(life, spread_cells(mean_cell(life, life.world), life.cells, life.seed))
    halves = []
    for k in range(cycles):
        halves.append((lives.charge(RATE), lives.truth()))
        halves.append((lives.discharge([(RATE, 99.0)], depth if k == cycles - 1 else 9.0), lives.truth()))
        lives.rest(7200.0, k % 10 == 0 or k == cycles - 1)
    return lives, halves


def delivered(halves, sensors, seed):
    """Charge of every discharge as measured (cycles, n), of nominal."""
    seen = [
        [r.charge_ppm for r in cells] for totals, _, cells, _ in records(halves, sensors, seed) if totals["kind"] < 0
    ]
    return np.array(seen) / 1e6


def could_be_told(life, sensors, age, other_age, errs=0.01):
    """Which swaps at the same state of charge (n,) the charge of one full discharge would tell, by a test that errs on
    `errs` of the cells that stay: what there is to know, however little of it the firmware makes."""
    same = delivered(lived(life, age + 1)[1], sensors, life.seed)
    other = delivered(lived(replace(life, seed=life.seed + 1), other_age + 1)[1], sensors, life.seed)
    return np.abs(other[-1] - same[-2]) > np.quantile(np.abs(same[-1] - same[-2]), 1.0 - errs)


def swapped(life, sensors, age, other_age, depth=9.0, after=3):
    """Another cell in the place of one known for `age` cycles (0: of a new one): (which cells (n,) are told to be
    unknown within so many full cycles, by how much the capacities differ (n,), of nominal)."""
    other, others = lived(replace(life, seed=life.seed + 1), other_age, depth)
    for _ in range(after + 1):
        others += [(other.charge(RATE), other.truth()), (other.discharge([(RATE, 99.0)]), other.truth())]
        other.rest(7200.0, True)
    first = lived(life, age)[1] if age else []
    capacity = first[-1][0]["charge"] if age else mean_capacity(life)
    inventories = [Inventory(profile_of(life, sensors), 0) for _ in range(life.cells)]
    told = np.zeros(life.cells, bool)
    for _, _, seen, _ in records(first, sensors, life.seed) if age else ():
        for inventory, record in zip(inventories, seen, strict=True):
            inventory.half_cycle(record)
    for k, (_, _, seen, _) in enumerate(records(others, sensors, life.seed)):
        for j, inventory in enumerate(inventories):
            if k >= 2 * other_age:
                inventory.half_cycle(seen[j])
                told[j] |= k >= 2 * other_age + (not age) and inventory.estimate.known == UNKNOWN
    return told, np.abs(others[2 * other_age + 1][0]["charge"] - capacity)


def mean_capacity(life):
    """What the profile's maker says a new cell delivers, of nominal."""
    return profile_of(life, GOOD).cathode_capacity_ppm / 1e6


def swap_rows(cells):
    """Whether a cell that is not the one believed to be there is told to be unknown."""
    out = []
    free, reserved = Life(cells=cells), Life(np_ratio=1.0, cells=cells)
    for what, life, ages, depth, target in (
        ("another cell at the same state of charge, anode-free", free, ((5, 40), (40, 5), (20, 40)), 9.0, ">= 99"),
        ("a used cell taken as new, anode-free", free, ((0, 20), (0, 40)), 9.0, ">= 99"),
        ("another cell half charged, N/P 1", reserved, ((5, 20), (20, 5)), 0.5, ">= 99"),
        ("another cell at the same state of charge, N/P 1", reserved, ((5, 20), (20, 5)), 9.0, None),
    ):
        told, differ = [], []
        for sensors, (age, other_age) in product((GOOD, POOR), ages):
            found, by = swapped(life, sensors, age, other_age, depth)
            told.append(found)
            differ.append(by)
        seen = np.concatenate(told)
        if target:
            seen = seen[(np.concatenate(differ) > DIFFERENT) | (depth < 9.0)]
            what += ", capacity 10 % off" * (depth >= 9.0)
        name = f"{what}: told to be unknown within three full cycles"
        row = {"name": name, "value": 100.0 * seen.mean(), "unit": "%", "target": target}
        out.append(row | {"peer": f"{int(seen.sum())} of {seen.size}"})
    told = np.concatenate([could_be_told(life, s, *pair) for s, pair in product((GOOD, POOR), ages)])
    name = f"{what}: that the charge of one discharge would tell, erring on 1 % of those that stay"
    return [
        *out,
        {"name": name, "value": 100.0 * told.mean(), "unit": "%", "peer": f"{int(told.sum())} of {told.size}"},
    ]


def healthy_rows(results, cells=64):
    """False alarms: of all healthy lives of the bench, and of a month's rest."""
    alarms, months = sum(x["alarms"] for x in results), sum(x["cell_months"] for x in results)
    for sensors in (GOOD, POOR):
        found = alarm_hours(Life(cells=cells, seed=1), sensors, 0.0, 730)
        alarms, months = alarms + int(np.isfinite(found).sum()), months + cells
    name = "false soft-short alarms in 1000 healthy cell-months"
    row = {"name": name, "value": 1000.0 * alarms / months, "unit": "1", "target": "< 1"}
    out = [row | {"peer": f"{alarms} in {months:.0f} cell-months"}]
    doubted, lives = sum(x["doubted"] for x in results), sum(x["life"].cells for x in results)
    row = {"name": "healthy lives in which another cell was suspected", "value": 100.0 * doubted / lives, "unit": "%"}
    return [*out, row | {"target": "<= 1", "peer": f"{doubted} of {lives}"}]


def standby(years, seed=0):
    """Ten years of standby and small currents through the ledger, in ticks of 60 s, twice: from the monitor's
    accumulator and from its samples. Returns (own error of each in ppm of throughput, whole error of each over 1 ppm
    and what the sensor states, ticks). All charge in count·s."""
    profile = load(str(PROFILE))
    rng = np.random.default_rng((seed, 22))
    ticks = int(years * 365.25 * 86400 * 1000 / TICK_MS)
    hourly = rng.choice([-1.3, -0.4, -40.0, 35.0, 0.0], ticks // 60 + 1, p=[0.5, 0.3, 0.08, 0.1, 0.02])
    offset, gain = 0.25, 1e-3  # counts, and 1
    true = np.repeat(hourly, 60)[:ticks]
    seen = true * (1.0 + gain) + offset
    register = np.floor(np.cumsum(seen) * TICK_MS / 1000.0).astype(np.int64) & (LIMB * LIMB - 1)
    samples = np.rint(seen + rng.normal(0.0, 0.6, ticks)).astype(np.int64)
    unit = (profile.ppm_count_ms * 1000 + profile.ppm_count_us) / 1e6
    seconds = TICK_MS / 1000.0
    net = []
    for by_register in (True, False):
        ledger, belief, r = Ledger(profile), Belief(), Readings(1)
        r.current_ok, r.charge_ok = 1, int(by_register)
        now = 0
        for k in range(ticks):
            r.now_ms = r.current_ms = now
            r.current_count = int(samples[k])
            if by_register:
                r.charge_hi, r.charge_lo = divmod(int(register[k]), LIMB)
            belief.update(r)
            ledger.count(r, belief, False)
            now = (now + TICK_MS) % TICKS_PERIOD_MS
        part = [(a.ms + a.us / 1000.0) / 1000.0 for a in (ledger.charged, ledger.discharged)]
        net.append(ledger.net_ppm() * unit + part[0] - part[1])
    throughput = np.abs(true).sum() * seconds
    told = (np.cumsum(seen)[-1] - seen[0]) * seconds
    summed = float((samples[1:] + samples[:-1]).sum()) * seconds / 2.0
    own = [1e6 * abs(net[0] - told) / throughput, 1e6 * abs(net[1] - summed) / throughput]
    stated = gain * throughput + offset * ticks * seconds
    between = (true[1:] + true[:-1]).sum() * seconds / 2.0
    whole = abs(net[0] - true[1:].sum() * seconds), abs(net[1] - between)
    return own, [error / (1e-6 * throughput + stated) for error in whole], ticks


def drift_rows(years):
    own, share, ticks = standby(years)
    phase = f"{years:g} years of standby, {ticks} ticks of {TICK_MS // 1000} s: "
    return [
        {"name": phase + name, "value": value, "unit": unit, "target": "<= 1"}
        for name, value, unit in (
            ("ledger's own error, accumulator", own[0], "ppm of throughput"),
            ("ledger's own error, samples", own[1], "ppm of throughput"),
            ("error over 1 ppm and what the sensor states, accumulator", share[0], "1"),
            ("error over 1 ppm and what the sensor states, samples", share[1], "1"),
        )
    ]


def rows(cells):
    return short_rows(cells) + swap_rows(cells) + drift_rows(YEARS)
