"""`Cell` and `CellBatch`: state rows with names and units, advanced by the one kernel."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numba import njit

from host_sim.cell import cathode as cathodes
from host_sim.cell import kernel
from host_sim.cell.layout import BARE, CURRENT, DEAD, EVENTS, GAPS, POWER, STATE_ROW, VOLTAGE, P, S
from host_sim.cell.parameters import Parameters
from host_sim.errors import InputError

ZERO_DEGC_K = 273.15
LEAST_SHARED = 64  # cells of a batch from which on threads are worth their start
CORES = os.cpu_count() or 1
FOIL_MAH_CM2 = 100.0  # half cell: lithium in the counter electrode, ample


@dataclass(frozen=True)
class Control:
    """What is asked of a cell; positive current charges. Make one with current(), voltage(), power() or rest()."""

    kind: int
    value: float
    v_min: float = -math.inf
    v_max: float = math.inf
    i_max_a: float = math.inf
    i_stop_a: float = -1.0

    @staticmethod
    def current(current_a, v_min=-math.inf, v_max=math.inf):
        """Constant current in A; ends with "v_min" under discharge or "v_max" under charge."""
        return Control(CURRENT, float(current_a), v_min, v_max)

    @staticmethod
    def voltage(voltage_v, i_max_a=math.inf, i_stop_a=-1.0):
        """Hold a voltage in V with |current| <= i_max_a (constant current first, where that limits); ends with "i_min"
        when |current| has fallen to i_stop_a."""
        return Control(VOLTAGE, float(voltage_v), i_max_a=float(i_max_a), i_stop_a=float(i_stop_a))

    @staticmethod
    def power(power_w, v_min=-math.inf, v_max=math.inf, i_max_a=math.inf):
        """Constant power in W (positive charges) within |current| <= i_max_a; ends with "v_min" or "v_max"."""
        return Control(POWER, float(power_w), v_min, v_max, float(i_max_a))

    @staticmethod
    def rest(v_min=-math.inf):
        """No current; ends with "v_min" if the voltage sags so far."""
        return Control(CURRENT, 0.0, v_min)

    def row(self, area_cm2):
        """The kernel's six numbers for an electrode area. Raises InputError for NaN or a nonsense limit."""
        scale = 1e3 / area_cm2
        value = self.value if self.kind == VOLTAGE else self.value * scale
        row = (self.kind, value, self.v_min, self.v_max, self.i_max_a * scale, self.i_stop_a * scale)
        if any(number != number for number in row) or math.isinf(self.value):
            raise InputError(f"control: {self} holds a value that is not finite")
        if self.i_max_a < 0.0:
            raise InputError(f"control: i_max_a is {self.i_max_a!r} A, allowed is 0 or more")
        return row


@dataclass(frozen=True)
class Outcome:
    """`elapsed_s` and `event` (None, "v_min", "v_max", "i_min", "depleted", "cathode_full", "cathode_empty")."""

    elapsed_s: float
    event: str | None


def fresh_state(parameters: Parameters, temperature_k: float) -> np.ndarray:
    """State row (STATE_ROW,) of a cell as built: cathode full, lithium reservoir on the anode, at rest."""
    s = np.zeros(STATE_ROW)
    half = parameters.cathode == "lithium"
    s[S.sites] = parameters.value("cathode_capacity_mah_cm2")
    s[S.cathode] = s[S.sites] * (0.5 if half else 0.998)
    s[S.active] = parameters.value("reservoir_mah_cm2")
    s[S.roughness] = 1.0
    s[S.temperature_k] = temperature_k
    s[S.salt] = parameters.value("salt_mah_cm2")
    s[S.voltage] = cathodes.ocv(parameters.cathode, s[S.cathode] / s[S.sites])
    return s


def half_cell(parameters: Parameters) -> Parameters:
    """The same electrolyte as a Cu–Li half cell: copper, plated from ample lithium foil at 0 V. Charging plates the
    copper; the cell voltage is minus the copper's potential, so "strip to 1 V" is v_min = -1.0."""
    return parameters.replace(
        cathode="lithium",
        by="half cell",
        cathode_capacity_mah_cm2=2.0 * FOIL_MAH_CM2,
        reservoir_mah_cm2=0.0,
        first_cycle_loss=0.0,
        cathode_fade=0.0,
        entropic_mv_k=0.0,
        solid_offset_per_ma=0.0,
    )


def full_cell(parameters: Parameters, np_ratio: float) -> Parameters:
    """The same cell with another lithium reservoir: np_ratio = reservoir / cathode sites as built (0: anode-free)."""
    reservoir = np_ratio * parameters.value("cathode_capacity_mah_cm2")
    return parameters.replace(by=f"N/P {np_ratio:g}", reservoir_mah_cm2=reservoir)


def anode_free(parameters: Parameters) -> Parameters:
    """The same cell built without lithium on the anode."""
    return parameters.replace(by="anode-free", reservoir_mah_cm2=0.0)


@njit(cache=True, nogil=True)
def _advance_cells(s, p, ocv, control, duration, ambient_k, saved, result, begin, end):
    """`kernel.advance` for the cells begin … end - 1: s (n, STATE_ROW), control (n, 6), duration and ambient_k (n,)."""
    for i in range(begin, end):
        kernel.advance(s[i], p[i], ocv, control[i], duration[i], ambient_k[i], saved[i], result[i])


@cache
def _threads():
    """Threads of this process. Waiting, they sleep: numba's own (prange) spin, and crawl on a machine that is busy."""
    return ThreadPoolExecutor(CORES)


os.register_at_fork(after_in_child=_threads.cache_clear)


class CellBatch:
    """n cells, advanced together; every quantity is an array (n,). All cells share one cathode curve.

    parameters: one `Parameters` for all, or a sequence of n.
    """

    def __init__(self, parameters, n=None, area_cm2=1.0, temperature_degc=25.0):
        each = [parameters] * (1 if n is None else n) if isinstance(parameters, Parameters) else list(parameters)
        if not each or (n is not None and len(each) != n):
            raise InputError(f"cells: {len(each)} parameter sets for {n} cells")
        if not math.isfinite(area_cm2) or area_cm2 <= 0.0:
            raise InputError(f"cell: area_cm2 is {area_cm2!r}, allowed is more than 0")
        names = {one.cathode for one in each}
        if len(names) > 1:
            raise InputError(f"cells: one batch has one cathode, not {', '.join(sorted(names))}")
        self.n = len(each)
        self.area_cm2 = float(area_cm2)
        self.parameters = each
        self._ocv = cathodes.table(names.pop())
        kelvin = _kelvin(temperature_degc)
        rows, states = {}, {}
        for one in each:
            if id(one) not in rows:
                rows[id(one)], states[id(one)] = one.row(), fresh_state(one, kelvin)
        self._p = np.array([rows[id(one)] for one in each])
        self._s = np.array([states[id(one)] for one in each])
        self._saved = np.empty_like(self._s)
        self._result = np.zeros((self.n, 2))
        self._ambient_k = kelvin

    # -- running -------------------------------------------------------------------------------------------------
    def advance(self, control, duration_s, ambient_degc=None):
        """Advance every cell for `duration_s` (scalar or (n,)) under one `Control` or a sequence of n, or to its event.

        Returns elapsed seconds (n,) and event codes (n,), indices into `host_sim.cell.EVENTS`. Cells may end at
        different times; a cell is moved by a negative or zero duration not at all.
        """
        rows = np.empty((self.n, 6))
        rows[:] = (
            control.row(self.area_cm2) if isinstance(control, Control) else [c.row(self.area_cm2) for c in control]
        )
        duration = np.empty(self.n)
        duration[:] = duration_s
        if np.any(np.isnan(duration)):
            raise InputError("cells: duration_s holds NaN, allowed is 0 or more")
        ambient = np.empty(self.n)
        ambient[:] = self._ambient_k if ambient_degc is None else _kelvin(ambient_degc)
        arguments = self._s, self._p, self._ocv, rows, duration, ambient, self._saved, self._result
        if self.n < LEAST_SHARED:
            _advance_cells(*arguments, 0, self.n)
        else:
            ends = [self.n * k // CORES for k in range(CORES + 1)]
            others = [_threads().submit(_advance_cells, *arguments, a, b) for a, b in pairwise(ends[1:])]
            _advance_cells(*arguments, 0, ends[1])
            for part in others:
                part.result()
        return self._result[:, 0].copy(), self._result[:, 1].astype(np.int8)

    def state(self):
        """Everything that changes, as an array (n, STATE_ROW) of its own."""
        return self._s.copy()

    def restore(self, state):
        """Back to an earlier `state()`, of this cell or one built alike. Raises InputError when it does not fit."""
        state = np.asarray(state, dtype=float)
        if state.shape != self._s.shape or not np.all(np.isfinite(state)):
            raise InputError(f"cell state: shape {state.shape} with finite values needed is {self._s.shape}")
        self._s[:] = state

    # -- looking -------------------------------------------------------------------------------------------------
    def _get(self, index):
        return self._s[:, index].copy()

    @property
    def voltage_v(self):
        return self._get(S.voltage)

    @property
    def current_a(self):
        return self._get(S.current) * self.area_cm2 * 1e-3

    @property
    def temperature_degc(self):
        return self._get(S.temperature_k) - ZERO_DEGC_K

    @property
    def cathode_mah_cm2(self):
        """Lithium in the cathode, C."""
        return self._get(S.cathode)

    @property
    def active_mah_cm2(self):
        """Metal in contact with the anode, A."""
        return self._get(S.active)

    @property
    def isolated_mah_cm2(self):
        """Isolated metal, D, summed over the gap classes."""
        return self._s[:, DEAD : DEAD + GAPS + 1].sum(axis=1)

    @property
    def freed_mah_cm2(self):
        """The part of D whose residual SEI a rest has dissolved; the next plating reconnects it."""
        return self._s[:, BARE : BARE + GAPS + 1].sum(axis=1)

    @property
    def sei_mah_cm2(self):
        """Lithium bound in SEI, S."""
        return self._get(S.sei)

    @property
    def lithium_mah_cm2(self):
        """C + A + D + S: constant. The rounding carried in the compensated sums is counted."""
        s = self._s
        carried = s[:, S.cathode_carry] + s[:, S.active_carry] + s[:, S.sei_carry]
        return (self.cathode_mah_cm2 + self.active_mah_cm2) + (self.isolated_mah_cm2 + self.sei_mah_cm2) - carried

    @property
    def cathode_sites_mah_cm2(self):
        """Sites for lithium in the cathode: its filling is cathode_mah_cm2 over this."""
        return self._get(S.sites)

    @property
    def ocv_v(self):
        """Cathode OCV at the mean filling: the voltage after a long rest."""
        decay = 1e-3 * self._p[:, P.voltage_decay_mv] * self._get(S.throughput)
        return (
            np.interp(self._get(S.cathode) / self._get(S.sites), np.linspace(0.0, 1.0, self._ocv.size), self._ocv)
            - decay
        )

    def total(self, flux):
        """Running total of one flux in mAh cm-2: "plated", "stripped", "isolated", "reconnected", "sei", "corroded"."""
        return self._get(getattr(S, "total_" + flux))

    def set_short(self, ohm_cm2):
        """Put in a soft short of so many ohm cm2 (inf takes it out)."""
        if not ohm_cm2 >= 1.0:
            raise InputError(f"cell: a short of {ohm_cm2!r} ohm cm2, allowed is 1 or more")
        self._p[:, P.short_s_cm2] = 1.0 / ohm_cm2


class Cell:
    """One cell; the same names as `CellBatch`, scalars instead of arrays. Fresh, as built, fully discharged."""

    def __init__(self, parameters, area_cm2=1.0, temperature_degc=25.0):
        self._batch = CellBatch(parameters, 1, area_cm2, temperature_degc)
        self.parameters = parameters
        self.area_cm2 = self._batch.area_cm2
        self._s = self._batch._s[0]
        self._row = self._batch._p[0]
        self._saved = self._batch._saved[0]
        self._result = self._batch._result[0]
        self._last_control = Control.rest()
        self._control = np.array(self._last_control.row(self.area_cm2))
        self._ambient_k = self._batch._ambient_k

    def advance(self, control, duration_s, ambient_degc=None):
        """Advance for `duration_s` (>= 0) under `control`, or to the first event. Returns an `Outcome`.

        ambient_degc: temperature around the cell; default is what the cell was made with.
        """
        if control is not self._last_control:
            self._control[:] = control.row(self.area_cm2)
            self._last_control = control
        ambient_k = self._ambient_k if ambient_degc is None else ambient_degc + ZERO_DEGC_K
        if not duration_s >= 0.0 or not 150.0 < ambient_k < 500.0:
            raise InputError(f"cell: duration_s {duration_s!r} and ambient {ambient_degc!r} degC must be >= 0 and real")
        kernel.advance(
            self._s, self._row, self._batch._ocv, self._control, float(duration_s), ambient_k, self._saved, self._result
        )
        return Outcome(float(self._result[0]), EVENTS[int(self._result[1])])

    def state(self):
        """Everything that changes, as an array (STATE_ROW,) of its own."""
        return self._s.copy()

    def restore(self, state):
        """Back to an earlier `state()`, of this cell or one built alike."""
        self._batch.restore(np.asarray(state, dtype=float)[None, :])

    def total(self, flux):
        """Running total of one flux in mAh cm-2, see `CellBatch.total`."""
        return float(self._batch.total(flux)[0])

    def set_short(self, ohm_cm2):
        """Put in a soft short of so many ohm cm2 (inf takes it out)."""
        self._batch.set_short(ohm_cm2)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return float(getattr(self._batch, name)[0])


def _kelvin(degc):
    kelvin = np.asarray(degc, dtype=float) + ZERO_DEGC_K
    if not np.all((kelvin > 150.0) & (kelvin < 500.0)):
        raise InputError(f"cell: temperature is {degc!r} degC, allowed is -123 to 226")
    return float(kelvin) if kelvin.ndim == 0 else kelvin
