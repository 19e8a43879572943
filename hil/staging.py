"""From a scenario to the world it begins in: the cell lives its life so far under the firmware, and leaves a journal.

That life is always lived by the firmware in this process; the board of the rig then wakes up with the journal it left,
which is the same on every rig. Lives are kept by what made them, so that scenarios with the same past share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from relith.profile import Profile

from hil import words
from hil.boards import Board, HostBoard
from hil.scenario import Scenario
from hil.world import World
from host_sim.cell import Cell, load_parameters
from host_sim.cell.cell import ZERO_DEGC_K
from host_sim.cell.layout import S
from host_sim.errors import InputError
from host_sim.loop import NEW_BOARD, ClosedLoop
from host_sim.plant import Plant
from host_sim.sensors import SensorModel, SensorSpec
from host_sim.series import Series
from host_sim.uses import Actor, Lab, Ratings, make

CHARGE_SHARE, DISCHARGE_SHARE = 0.30, 0.10  # of 1C: Liu21's 0.8 and 0.268 of 2.67 mA/cm2
CUT_OFF_SHARE = 1.3  # the comparator trips above this much of the strongest pulse
STALLED_S = 20 * 86_400.0
LIFE_DEGC = 25.0  # the life so far was lived indoors


@dataclass
class Past:
    """Where a scenario begins: one cell state per cell, the journal, and the monitor's accumulator."""

    states: list[np.ndarray]
    slots: dict[int, bytes]


_KEPT: dict[tuple[Any, ...], Past] = {}


def ratings_of(profile: Profile, use: dict[str, Any]) -> Ratings:
    """What is printed on the string, from its profile; currents from the scenario's use."""
    one_c_a = profile.one_c_ua * 1e-6
    charge_a = use["charge"] or CHARGE_SHARE * one_c_a
    return Ratings(
        one_c_a=one_c_a,
        nominal_ah=profile.nominal_capacity_uah * 1e-6,
        v_min=profile.min_uv * 1e-6 * profile.cell_count,
        v_max=profile.max_uv * 1e-6 * profile.cell_count,
        current_lsb_a=profile.current_lsb_na * 1e-9,
        charge_a=charge_a,
        discharge_a=use["discharge"] or DISCHARGE_SHARE * one_c_a,
        hold_stop_a=min(DISCHARGE_SHARE * one_c_a, charge_a),
    )


def cells_of(scenario: Scenario) -> Any:
    """A new cell, or a string of them, as built: discharged, at LIFE_DEGC."""
    profile = scenario.profile
    parameters = load_parameters(scenario.cell["parameters"], scenario.cell["world"])
    area_cm2 = profile.electrode_area_mm2 * 1e-2
    cells = [Cell(parameters, area_cm2, LIFE_DEGC) for _ in range(profile.cell_count)]
    return cells[0] if profile.cell_count == 1 else Series(cells)


def sensors_of(scenario: Scenario) -> SensorModel:
    specs = {"ideal": SensorSpec.ideal(), "typical": SensorSpec(), "drawn": None}
    profile = scenario.profile
    return SensorModel(profile.current_lsb_na, profile.cell_count, 1, seed=scenario.seed, spec=specs[scenario.sensors])


def plant_of(profile: Profile) -> Plant:
    """The independent cut-off of a board made for this profile: a one-shot and a comparator just above its pulses."""
    strongest_a = profile.pulse_max_permille * 1e-3 * profile.one_c_ua * 1e-6
    return Plant(profile.current_lsb_na * 1e-9, profile.pulse_max_s * 1.05 + 1.0, strongest_a * CUT_OFF_SHARE)


def actor_of(scenario: Scenario, ratings: Ratings) -> Actor | None:
    use = scenario.use
    if use["kind"] == "none":
        return None
    actor = make(use["kind"], ratings, seed=scenario.seed, obey=use["obeys"])
    if isinstance(actor, Lab):
        actor.phase = use["begins"]
    return actor


def past(scenario: Scenario) -> Past:
    """The life so far, lived or remembered. Raises InputError when the firmware does not let it be lived."""
    key = (
        *sorted(vars(scenario.profile).items(), key=lambda item: item[0]),
        *scenario.cell.items(),
        *scenario.life.items(),
        scenario.use["charge"],
        scenario.use["discharge"],
        scenario.sensors,
        scenario.seed,
    )
    key = (repr(key),)
    if key not in _KEPT:
        _KEPT[key] = _live(scenario)
    kept = _KEPT[key]
    return Past([state.copy() for state in kept.states], dict(kept.slots))


def _live(scenario: Scenario) -> Past:
    profile, life = scenario.profile, scenario.life
    ratings = ratings_of(profile, scenario.use)
    board = HostBoard(profile, scenario.profile_text)
    board.start(NEW_BOARD)
    bms = board.bms
    if life["commissioned"]:
        bms.commission()
    if life["armed"]:
        reason = bms.arm(profile.arm_days)
        if reason:
            raise InputError(f"{scenario.path.name}: life.armed: the firmware refuses, {words.reasons()[reason]}")
    cells = cells_of(scenario)
    actor = Lab(ratings, seed=scenario.seed)
    loop = ClosedLoop(cells, board, sensors_of(scenario), actor, plant_of(profile), LIFE_DEGC)
    wanted_ah = scenario.cell["charge"] * ratings.nominal_ah
    last_s, cycles = 0.0, 0

    def stalled(what: str) -> InputError:
        return InputError(f"{scenario.path.name}: {what}: the cell comes no further than cycle {actor.cycles}")

    while actor.cycles < life["cycles"]:
        loop.step()
        if actor.cycles != cycles:
            cycles, last_s = actor.cycles, loop.time_s
        if loop.time_s - last_s > STALLED_S:
            raise stalled("life.cycles")
    start_ah = loop.terminals.net_ah if life["cycles"] else 0.0
    while loop.terminals.net_ah - start_ah < wanted_ah:
        left_ah = wanted_ah - (loop.terminals.net_ah - start_ah)
        loop.longest_s = max(left_ah * 3600.0 / ratings.charge_a, 1e-3)
        loop.step()
        if actor.phase != "charge" or loop.time_s - last_s > STALLED_S:
            break  # the cell takes no more: it is full
    return Past([cell.state() for cell in loop.cells], board.slots())


def stage(scenario: Scenario, board: Board) -> World:
    """The world of a scenario around a board that has just been switched on."""
    begin = past(scenario)
    ratings = ratings_of(scenario.profile, scenario.use)
    cells = cells_of(scenario)
    for cell, state in zip(getattr(cells, "cells", None) or [cells], begin.states, strict=True):
        state[S.temperature_k] = ZERO_DEGC_K + scenario.weather_degc  # it has stood in the scenario's weather for long
        cell.restore(state)
    board.start(begin.slots)
    return World(
        scenario, board, cells, actor_of(scenario, ratings), ratings, sensors_of(scenario), plant_of(scenario.profile)
    )
