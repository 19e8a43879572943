"""Many cells at once: parameter spreads, one protocol or one for each cell, whole lives.

Every cell goes through the same compiled player as a single one (host_sim.cycle_kernel), so cell 17 of a fleet and cell
17 alone give the same bits, whatever the number of threads.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from host_sim.cell import CellBatch, Parameters
from host_sim.cell.layout import P, S
from host_sim.cycle_kernel import CYCLE_DONE, POS, play, start
from host_sim.cycler import COLUMNS, encode, sentence, termination_share, voltage_sign
from host_sim.errors import InputError
from host_sim.protocol import cycles_of
from host_sim.solution import COUNTED, summarise

_NO_ROWS = np.empty((0, len(COLUMNS)))


def check_spread(spread, parameters):
    """Spread as name -> ("log-normal", relative deviation) or ("uniform", low, high). InputError names a wrong entry.

    Written as {"gap_median_um": "20 %"} (relative standard deviation of a log-normal around the set's value) or
    {"stack_pressure_mpa": [0.3, 0.7]} (uniform between).
    """
    checked = {}
    for name, entry in (spread or {}).items():
        known = parameters[name]  # raises for a name that is none
        share = re.fullmatch(r"\s*(\d+\.?\d*)\s*%\s*", entry) if isinstance(entry, str) else None
        if share and 0 < float(share[1]) <= 100:
            checked[name] = ("log-normal", float(share[1]) / 100)
        elif (
            isinstance(entry, list | tuple)
            and len(entry) == 2
            and all(isinstance(end, int | float) for end in entry)
            and known.low <= entry[0] < entry[1] <= known.high
        ):
            checked[name] = ("uniform", float(entry[0]), float(entry[1]))
        else:
            raise InputError(
                f"spread of {name} is {entry!r}, must be such as '10 %' (up to 100 %) or [low, high] "
                f"within {known.low:g} to {known.high:g} {known.unit}"
            )
    return checked


def draw(parameters, spread, seed, cells):
    """Parameters of the cells with these numbers; cell k is the same whichever cells it is drawn with.

    Values are kept within the table's range. seed: a whole number.
    """
    checked = check_spread(spread, parameters)
    drawn = []
    for cell in cells:
        rng, values = np.random.default_rng((seed, cell)), {}
        for name in sorted(checked):
            known, (kind, *numbers) = parameters[name], checked[name]
            if kind == "uniform":
                value = rng.uniform(*numbers)
            else:
                sigma = np.sqrt(np.log1p(numbers[0] ** 2))
                value = known.value * np.exp(sigma * rng.standard_normal())
            values[name] = float(np.clip(value, known.low, known.high))
        drawn.append(parameters.replace(by=f"spread, seed {seed}", **values) if values else parameters)
    return drawn


@njit(cache=True, nogil=True)
def _live(s, p, ocv, steps, bounds, cycles, step_s, area_cm2, sign, least, pos, saved, result, no_rows, counted):
    """Cycles of one cell until its last, its end of life (discharge below `least` of the first) or a step it cannot
    play; returns why."""
    for k in range(cycles):
        begin, end = bounds[k % bounds.shape[0]]
        code, _ = play(s, p, ocv, steps[begin:end], step_s, area_cm2, sign, pos, saved, result, no_rows, counted[k])
        if code != CYCLE_DONE:
            return code
        if counted[k, 2] < least * counted[0, 2]:
            return CYCLE_DONE
    return CYCLE_DONE


class Lives:
    """What a fleet lived. counted[n, cycles, len(COUNTED)]: NaN beyond a life's end. lived[n]: whole cycles.
    problems: cell -> sentence, for those whose protocol could not be played on. final: states (n, STATE_ROW)."""

    def __init__(self, counted, lived, problems, initial_lost_mah_cm2, area_cm2, final):
        self.counted, self.lived, self.problems, self.final = counted, lived, problems, final
        self.initial_lost_mah_cm2, self.area_cm2 = initial_lost_mah_cm2, area_cm2

    def __len__(self):
        return len(self.lived)

    def summary(self, cell):
        """Per-cycle summary of one cell, as `Solution.summary`."""
        return summarise(self.counted[cell, : self.lived[cell]], self.initial_lost_mah_cm2[cell], self.area_cm2)

    def cycles_to(self, share):
        """First cycle (n,) whose discharge is below `share` of the first cycle's; NaN where none was."""
        discharged = self.counted[:, :, COUNTED.index("Discharge capacity [A.h]")]
        below = discharged < share * discharged[:, :1]
        return np.where(below.any(axis=1), below.argmax(axis=1) + 1.0, np.nan)


def live(parameters, protocol, cycles, *, area_cm2=1.0, step_s=60.0, ambient_degc=25.0, termination=None, threads=None):
    """Play a protocol on many fresh cells; returns Lives.

    parameters: a sequence of `Parameters`, one per cell (see `draw`), of one cathode. protocol: one for all cells, or a
    dict {"protocols": [...], "of_cell": (n,) indices}. The rest as in `host_sim.cycler.run`.
    """
    if isinstance(parameters, Parameters):
        parameters = [parameters]
    share = termination_share(termination)
    batch = CellBatch(parameters, area_cm2=area_cm2, temperature_degc=ambient_degc)
    s, p, ocv, n = batch._s, batch._p, batch._ocv, batch.n
    several = isinstance(protocol, dict)
    written = [cycles_of(one) for one in (protocol["protocols"] if several else [protocol])]
    of_cell = np.asarray(protocol["of_cell"]) if several else np.zeros(n, dtype=int)
    packed, sign = {}, voltage_sign(parameters[0])
    counted = np.full((n, cycles, len(COUNTED)), np.nan)
    positions = np.array([start(row) for row in s])
    initial_lost = batch.isolated_mah_cm2 + batch.sei_mah_cm2

    def steps_of(cell):
        key = (of_cell[cell], p[cell, P.one_c_ma_cm2])
        if key not in packed:
            packed[key] = pack(written[key[0]], parameters[cell], area_cm2, ambient_degc)
        return packed[key]

    steps = [steps_of(cell) for cell in range(n)]

    def one(cell):
        scratch = np.empty(s.shape[1]), np.zeros(2)
        return _live(
            s[cell], p[cell], ocv, *steps[cell], cycles, float(step_s), area_cm2, sign, share,
            positions[cell], *scratch, _NO_ROWS, counted[cell],
        )  # fmt: skip

    if threads == 1:
        codes = [one(cell) for cell in range(n)]
    else:
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            codes = list(pool.map(one, range(n)))
    lived = positions[:, POS.cycle].astype(int)
    problems = {}
    for cell, code in enumerate(codes):
        if code != CYCLE_DONE:
            counted[cell, lived[cell] :] = np.nan
            cycle = written[of_cell[cell]][lived[cell] % len(written[of_cell[cell]])]
            problems[cell] = sentence(code, lived[cell] + 1, cycle, positions[cell], sign * s[cell, S.voltage])
    return Lives(counted, lived, problems, initial_lost, float(area_cm2), s)


def pack(cycles, parameters, area_cm2, ambient_degc):
    """(steps[m, len(T)], bounds[cycles, 2]) of a protocol; a cycle that comes again stands there once."""
    begins, rows, bounds = {}, [], []
    for k, cycle in enumerate(cycles):
        if cycle not in begins:
            begins[cycle] = sum(map(len, rows))
            rows.append(encode(cycle, parameters, area_cm2, ambient_degc, f"cycle {k + 1}"))
        bounds.append((begins[cycle], begins[cycle] + len(cycle)))
    return np.concatenate(rows), np.array(bounds)
