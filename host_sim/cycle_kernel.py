"""The compiled player: the steps of a cycle on the cell's own kernel, which ends each of them *at* its event.

Python is met once per cycle. All that it knows about where it stands is one array (`POS`), so a run may stop anywhere
and go on. One cell and the same cell in a fleet go through this same function, hence the same bits.
"""

import math
from collections import namedtuple

import numpy as np
from numba import njit

from host_sim.cell import kernel
from host_sim.cell.cell import ZERO_DEGC_K
from host_sim.cell.layout import CATHODE_EMPTY, CATHODE_FULL, CURRENT, DEAD, DEPLETED, GAPS, NONE, P, S

LONGEST_STEP_S = 2000 * 3600.0  # a step that says no time and has not ended by then never will
EMPTY_SHARE = 0.01  # a discharge that delivers less of the cathode's sites than this, before any charge: an empty cell

# one step as the player reads it: the kernel's six control numbers, then
STEP = ("kind", "value", "v_min", "v_max", "i_max", "i_stop", "duration_s", "ambient_k", "direction", "pulse")
T = namedtuple("T", STEP)(*range(len(STEP)))
_POS = (
    "time_s",
    "cycle",  # whole cycles played
    "step",  # index within the cycle
    "begun",  # 1: this step's first instant is behind
    "elapsed_s",  # within the step
    "step_mah_cm2",  # charge passed within the step, signed
    "charged_mah_cm2",  # charge put in since the last cycle that ended discharged
    "last_sign",  # of the last current that flowed
    "previous_v",
    "charge_ah",  # totals, never reset
    "discharge_ah",
    "charge_wh",
    "discharge_wh",
    "cycle_charge_ah",  # the same four within the cycle
    "cycle_discharge_ah",
    "cycle_charge_wh",
    "cycle_discharge_wh",
    "least_active",
    "highest_k",
    "pulses",
    "discharged_rest_s",
)
POS = namedtuple("POS", _POS)(*range(len(_POS)))

CYCLE_DONE, ROWS_FULL, CELL_EMPTY, NOT_REACHED, ENDLESS = range(5)


@njit(cache=True, nogil=True)
def _row(s, pos, step, area_cm2, sign, out):
    dead = 0.0
    for k in range(GAPS + 1):
        dead += s[DEAD + k]
    out[0] = pos[POS.time_s]
    out[1] = sign * s[S.voltage]
    out[2] = s[S.current] * area_cm2 * 1e-3
    out[3] = s[S.temperature_k] - ZERO_DEGC_K
    out[4] = step[T.ambient_k] - ZERO_DEGC_K
    out[5] = s[S.cathode]
    out[6] = s[S.active]
    out[7] = dead
    out[8] = s[S.sei]
    out[9] = pos[POS.charge_ah]
    out[10] = pos[POS.discharge_ah]
    out[11] = pos[POS.charge_wh]
    out[12] = pos[POS.discharge_wh]
    out[13] = pos[POS.cycle] + 1.0
    out[14] = pos[POS.step] + 1.0


@njit(cache=True, nogil=True)
def _book(s, p, pos, step, seconds, moved_mah_cm2, area_cm2, sign):
    """Charge, energy and extremes of one kernel step. Charge is the fluxes' own sum, so it is exact in a hold too."""
    volts = 0.5 * (pos[POS.previous_v] + s[S.voltage])
    moved = moved_mah_cm2 + 1e3 * p[P.short_s_cm2] * volts * seconds / 3600.0  # what a short takes passes the terminals
    ah = moved * area_cm2 * 1e-3
    wh = ah * volts * sign
    if ah > 0.0:
        pos[POS.charge_ah] += ah
        pos[POS.charge_wh] += wh
        pos[POS.cycle_charge_ah] += ah
        pos[POS.cycle_charge_wh] += wh
        pos[POS.charged_mah_cm2] += moved
    elif ah < 0.0:
        pos[POS.discharge_ah] -= ah
        pos[POS.discharge_wh] -= wh
        pos[POS.cycle_discharge_ah] -= ah
        pos[POS.cycle_discharge_wh] -= wh
    if step[T.kind] == CURRENT and step[T.value] == 0.0:
        if pos[POS.last_sign] < 0.0 and s[S.cathode] > 0.5 * s[S.sites]:
            pos[POS.discharged_rest_s] += seconds
    else:
        pos[POS.last_sign] = moved
    pos[POS.step_mah_cm2] += moved
    pos[POS.time_s] += seconds
    pos[POS.elapsed_s] += seconds
    pos[POS.previous_v] = s[S.voltage]
    pos[POS.least_active] = min(pos[POS.least_active], s[S.active])
    pos[POS.highest_k] = max(pos[POS.highest_k], s[S.temperature_k])


@njit(cache=True, nogil=True)
def _count(s, pos, area_cm2, out):
    """The cycle's line of COUNTED, and a clean sheet for the next one."""
    out[0] = pos[POS.time_s] / 3600.0
    out[1] = pos[POS.cycle_charge_ah]
    out[2] = pos[POS.cycle_discharge_ah]
    out[3] = pos[POS.cycle_charge_wh]
    out[4] = pos[POS.cycle_discharge_wh]
    out[5] = s[S.cathode]
    out[6] = s[S.active]
    dead = 0.0
    for k in range(GAPS + 1):
        dead += s[DEAD + k]
    out[7] = dead
    out[8] = s[S.sei]
    out[9] = pos[POS.least_active]
    out[10] = pos[POS.highest_k] - ZERO_DEGC_K
    out[11] = pos[POS.pulses]
    out[12] = pos[POS.discharged_rest_s] / 3600.0
    for k in range(POS.cycle_charge_ah, len(POS)):
        pos[k] = 0.0
    if pos[POS.last_sign] < 0.0:
        pos[POS.charged_mah_cm2] = 0.0
    pos[POS.least_active] = s[S.active]
    pos[POS.highest_k] = s[S.temperature_k]
    pos[POS.step] = 0.0
    pos[POS.cycle] += 1.0


@njit(cache=True, nogil=True)
def _verdict(s, pos, step, event):
    """Whether a step that is over was one that no cell can play; else NONE (0)."""
    out_of_lithium = event in (DEPLETED, CATHODE_FULL, CATHODE_EMPTY)
    if step[T.direction] < 0.0 and pos[POS.charged_mah_cm2] == 0.0:
        if out_of_lithium and step[T.v_min] == -math.inf:
            return CELL_EMPTY
        if -pos[POS.step_mah_cm2] < EMPTY_SHARE * s[S.sites]:
            return CELL_EMPTY
    if step[T.direction] > 0.0 and out_of_lithium:
        return NOT_REACHED
    if step[T.direction] < 0.0 and event == CATHODE_FULL and step[T.v_min] > -math.inf:
        return NOT_REACHED
    return 0


@njit(cache=True, nogil=True)
def play(s, p, ocv, steps, step_s, area_cm2, sign, pos, saved, result, rows, counted):
    """Play steps[n, len(T)] from where `pos` stands to the end of the cycle. Returns (why it stopped, rows filled).

    s, p, ocv: the cell's rows (host_sim.cell.layout), s changed in place. step_s: longest kernel step, and the time
    between rows. sign: -1 shows a Cu-Li half cell's voltage as the copper's potential. rows[m, len(COLUMNS)]: filled;
    m = 0 records nothing. counted[len(COUNTED)]: filled when the cycle is done.
    """
    filled = 0
    while pos[POS.step] < steps.shape[0]:
        step = steps[int(pos[POS.step])]
        if rows.shape[0] > 0 and filled + 1 > rows.shape[0]:
            return ROWS_FULL, filled
        left = min(step_s, step[T.duration_s] - pos[POS.elapsed_s])
        if pos[POS.begun] == 0.0:
            left = 0.0  # the first instant: voltage under the new current, and ends that hold already
        before = s[S.total_plated] - s[S.total_stripped]
        kernel.advance(s, p, ocv, step, left, step[T.ambient_k], saved, result)
        if pos[POS.begun] == 0.0:
            pos[POS.previous_v] = s[S.voltage]
            pos[POS.begun] = 1.0
            pos[POS.pulses] += step[T.pulse]
        moved = s[S.total_plated] - s[S.total_stripped] - before
        _book(s, p, pos, step, result[0], moved, area_cm2, sign)
        if rows.shape[0] > 0:
            _row(s, pos, step, area_cm2, sign, rows[filled])
            filled += 1
        event = int(result[1])
        late = pos[POS.elapsed_s] >= step[T.duration_s] * (1.0 - 1e-12)
        if event == NONE and not late:
            if pos[POS.elapsed_s] > LONGEST_STEP_S and step[T.duration_s] == math.inf:
                return ENDLESS, filled
            continue
        if event != NONE:
            verdict = _verdict(s, pos, step, event)
            if verdict != 0:
                return verdict, filled
        pos[POS.step] += 1.0
        pos[POS.begun] = 0.0
        pos[POS.elapsed_s] = 0.0
        pos[POS.step_mah_cm2] = 0.0
    _count(s, pos, area_cm2, counted)
    return CYCLE_DONE, filled


def start(s):
    """Position (len(POS),) at the beginning of a run with cell state s."""
    pos = np.zeros(len(POS))
    pos[POS.last_sign] = -1.0
    pos[POS.least_active], pos[POS.highest_k] = s[S.active], s[S.temperature_k]
    return pos
