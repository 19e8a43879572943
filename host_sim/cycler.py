"""Plays a protocol on the simulated cell, without firmware: `run(cell, protocol, cycles) -> Solution`.

Here a protocol becomes the numbers that the compiled player (host_sim.cycle_kernel) reads, and what it leaves behind a
Solution.
"""

import math
import re
import signal
import threading
from array import array

import numpy as np

from host_sim import MODEL
from host_sim.cell import Cell, Control, Parameters
from host_sim.cell import cathode as cathodes
from host_sim.cell.cell import ZERO_DEGC_K
from host_sim.cycle_kernel import CELL_EMPTY, CYCLE_DONE, NOT_REACHED, POS, ROWS_FULL, T, play, start
from host_sim.errors import InputError
from host_sim.protocol import cycles_of
from host_sim.solution import COLUMNS, COUNTED, Rows, Solution
from host_sim.version import version

PULSE_S = 600.0  # a discharge of at most so long, right before a slower one, counts as an activation pulse
BELOW_OCV_V = 0.5  # polarisation may carry a discharge cut-off this far below the OCV curve


class RunStopped(InputError):
    """A protocol that this cell cannot play. The message is one sentence; `.solution` holds what was computed."""

    def __init__(self, message, solution):
        super().__init__(message)
        self.solution = solution


def voltage_sign(parameters):
    """-1 for a Cu-Li half cell: people write and plot the copper's potential against lithium, 1 V when stripped."""
    return -1.0 if parameters.cathode == "lithium" else 1.0


def encode(cycle, parameters, area_cm2, ambient_degc, where="cycle 1"):
    """steps[n, len(T)] of one cycle of Steps, for `play`. Raises InputError for a voltage out of reach."""
    sign = voltage_sign(parameters)
    one_c = parameters.value("one_c_ma_cm2")
    out = np.zeros((len(cycle), len(T)))
    for k, step in enumerate(cycle):
        place = f"{where} step {k + 1} '{step.text}'"
        if sign < 0 and (step.quantity == "c_rate" or (step.until_current or ("", 0))[0] == "c_rate"):
            raise InputError(f"{place}: a Cu-Li half cell has no C-rate, give the current in mA/cm2")
        _check_voltages(place, step, parameters, sign)
        duration_s = math.inf if step.duration_s is None else step.duration_s
        limits = {}
        if step.until_v is not None:
            limits = {"v_max" if step.direction > 0 else "v_min": sign * step.until_v}
        if step.quantity == "rest":
            control = Control.rest()
        elif step.quantity == "voltage_v":
            stop_a = -1.0 if step.until_current is None else step.current_a(area_cm2, one_c, step.until_current)
            control = Control.voltage(sign * step.value, i_stop_a=stop_a)
        elif step.quantity == "power_w":
            control = Control.power(step.direction * step.value, **limits)
        else:
            current_a = step.current_a(area_cm2, one_c)
            if step.until_charge is not None:
                unit, amount = step.until_charge
                charge_ah = amount * (area_cm2 / 1e3 if unit == "areal_mah_cm2" else 1.0)
                duration_s = min(duration_s, charge_ah / current_a * 3600.0)
            control = Control.current(step.direction * current_a, **limits)
        ambient = ambient_degc if step.temperature_degc is None else step.temperature_degc
        if not -120.0 < ambient < 220.0:
            raise InputError(f"{place}: {ambient:g} degC, allowed is -120 to 220")
        out[k, :6] = control.row(area_cm2)
        out[k, 6:] = duration_s, ambient + ZERO_DEGC_K, step.direction, 0.0
    for k in range(len(cycle) - 1):  # a short discharge right before a slower one
        brief = out[k, T.direction] == out[k + 1, T.direction] == -1 and out[k, T.duration_s] <= PULSE_S
        out[k, T.pulse] = brief and out[k, T.value] < out[k + 1, T.value]
    return out


def _check_voltages(place, step, parameters, sign):
    volts = step.value if step.quantity == "voltage_v" else step.until_v
    if volts is None:
        return
    curve = cathodes.table(parameters.cathode)
    low, high, name = float(curve.min()) - BELOW_OCV_V, float(curve.max()), f"the OCV curve of {parameters.cathode}"
    if sign < 0:
        low, high, name = -1.0, 2.0, "a copper electrode against lithium"
    if not low <= volts <= high:
        raise InputError(f"{place}: {volts:g} V cannot be reached, {name} allows {low:.3g} to {high:.4g} V")


def termination_share(termination):
    """0.8 of '80% capacity'; 0 of None."""
    if termination is None:
        return 0.0
    match = re.fullmatch(r"\s*(\d+\.?\d*)\s*%\s*capacity\s*", str(termination))
    if not match or not 0 < float(match[1]) <= 100:
        raise InputError(f"termination {termination!r}: must be such as '80% capacity', from above 0 to 100")
    return float(match[1]) / 100


def run(
    cell,
    protocol,
    cycles=None,
    *,
    step_s=60.0,
    ambient_degc=None,
    termination=None,
    max_rows=200_000,
    keep_every=1,
    progress=None,
):
    """Play `protocol` on `cell` (a host_sim.cell.Cell, moved on in place) and return a Solution.

    protocol: see host_sim.protocol; it is begun anew until `cycles` cycles are played (default: once through).
    step_s: longest step, and time between rows, 0.001 ... 3600 s. termination: such as "80% capacity", of the first
    cycle's discharge. max_rows: rows kept at most (None: all), see host_sim.solution.Rows; keep_every: rows of every
    n-th cycle only. progress: called as progress(cycles done, cycles) after each cycle.
    Raises InputError for a protocol that is wrong in itself, RunStopped (with .solution) for one that this cell cannot
    play on. An interrupt carries .solution too.
    """
    played = cycles_of(protocol)
    cycles = len(played) if cycles is None else cycles
    _count_of("cycles", cycles)
    _count_of("keep_every", keep_every)
    if max_rows is not None:
        _count_of("max_rows", max_rows, 10**9)
    if not 1e-3 <= step_s <= 3600:
        raise InputError(f"step_s is {step_s!r}, allowed is 0.001 to 3600")
    parameters = cell.parameters
    about = {
        "version": version(),
        "model": MODEL,
        "parameter_set": parameters.electrolyte,
        "world": parameters.world,
        "parameters": {
            "cathode": parameters.cathode,
            "values": parameters.values,
            "changed_by": parameters.changed_by,
            "accuracy": parameters.accuracy,
        },
        "area_cm2": cell.area_cm2,
        "seed": None,  # nothing here is random
        "protocol": [[step.text for step in cycle] for cycle in played],
        "cycles": cycles,
        "step_s": float(step_s),
        "ambient_degc": float(cell._ambient_k - ZERO_DEGC_K if ambient_degc is None else ambient_degc),
        "termination": termination,
    }
    lost = cell.isolated_mah_cm2 + cell.sei_mah_cm2
    solution = Solution(about, Rows(max_rows, keep_every), np.empty((0, len(COUNTED))), lost, {"pos": start(cell._s)})
    return _play_on(cell, solution, progress)


def _count_of(name, value, most=10**7):
    if not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"{name} is {value!r}, allowed is a whole number 1 to {most}")


def resume(solution, cycles=None, progress=None):
    """Go on with a Solution (returned, loaded, or out of an exception) to `cycles` cycles in all, with the same bits as
    if it had never stopped. Returns a new Solution."""
    about = dict(solution.about)
    if "cell" not in solution.state:
        raise InputError("resume: this solution has no saved cell state")
    if about["model"] != MODEL:
        raise InputError(f"resume: this solution is from model {about['model']}, this is {MODEL}; run it anew")
    about["cycles"] = about["cycles"] if cycles is None else cycles
    _count_of("cycles", about["cycles"])
    about.pop("stopped", None)
    parameters = Parameters(about["parameter_set"], about["world"], **about["parameters"])
    cell = Cell(parameters, about["area_cm2"], about["ambient_degc"])
    cell.restore(solution.state["cell"])
    cell._row[:] = solution.state["row"]
    rows = Rows(solution.recorded.max_rows, solution.recorded.keep_every)
    rows.blocks = dict(solution.recorded.blocks)
    state = {"pos": solution.state["pos"].copy()}
    return _play_on(cell, Solution(about, rows, solution.counted, solution.initial_lost_mah_cm2, state), progress)


class _Interrupts:
    """Ctrl-C while a run goes on is noted, and taken up between two cycles, where nothing is half done; the second one
    strikes at once. Off the main thread nothing can be noted, and nothing comes."""

    def __enter__(self):
        self.asked, self._usual = False, None
        if threading.current_thread() is threading.main_thread():
            self._usual = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_):
        self.asked = True
        signal.signal(signal.SIGINT, self._usual)

    def __exit__(self, *_):
        if self._usual is not None:
            signal.signal(signal.SIGINT, self._usual)


def _play_on(cell, solution, progress):
    about, pos = solution.about, solution.state["pos"]
    parameters, area_cm2, step_s = cell.parameters, cell.area_cm2, about["step_s"]
    played = cycles_of([tuple(cycle) for cycle in about["protocol"]])
    encoded = {}
    for k, cycle in enumerate(played):  # repeated cycles are encoded once
        if cycle not in encoded:
            encoded[cycle] = encode(cycle, parameters, area_cm2, about["ambient_degc"], f"cycle {k + 1}")
    sign, least = voltage_sign(parameters), termination_share(about["termination"])
    buffer, line, saved, result = np.empty((4096, len(COLUMNS))), np.empty(len(COUNTED)), cell._saved, cell._result
    s, p, ocv = cell._s, cell._row, cell._batch._ocv
    counted = array("d", solution.counted.tobytes())  # line after line: a hundred bytes a cycle, and no more

    def finish(stopped=None):
        solution.counted = np.array(counted).reshape(-1, len(COUNTED))
        solution.state = {"cell": cell.state(), "row": cell._row.copy(), "pos": pos.copy()}
        if stopped:
            about["stopped"] = stopped
        return solution

    try:
        with _Interrupts() as interrupts:
            while (done := len(counted) // len(COUNTED)) < about["cycles"]:
                if least and done and counted[2 - len(COUNTED)] < least * counted[2]:
                    break
                number = done + 1
                cycle = played[(number - 1) % len(played)]
                steps = encoded[cycle]
                code, filled = play(s, p, ocv, steps, step_s, area_cm2, sign, pos, saved, result, buffer, line)
                solution.recorded.add(number, buffer[:filled].copy())
                if code > ROWS_FULL:
                    stopped = sentence(code, number, cycle, pos, sign * cell.voltage_v)
                    raise RunStopped(stopped, finish(stopped))
                if code == CYCLE_DONE:
                    counted.frombytes(line.tobytes())
                    if progress is not None:
                        progress(number, about["cycles"])
                if interrupts.asked:
                    raise KeyboardInterrupt
    except KeyboardInterrupt as interrupt:
        interrupt.solution = finish(f"interrupted after cycle {len(counted) // len(COUNTED)}")
        raise
    return finish()


def sentence(code, number, cycle, pos, volts):
    """Why `play` stopped in a step that this cell cannot play."""
    step = cycle[int(pos[POS.step])]
    begin = f"cycle {number} step {int(pos[POS.step]) + 1} '{step.text}'"
    after = f"after {pos[POS.elapsed_s] / 3600:.3g} h at {volts:.3f} V"
    if code == CELL_EMPTY:
        return f"{begin}: the cell is empty ({after} nothing is left to discharge), charge it first"
    if code == NOT_REACHED:
        why = "the cathode is full" if step.direction < 0 else "the cathode is empty of lithium"
        return f"{begin}: its end is never reached, {after} {why}"
    return f"{begin}: has not ended {after}, add 'or for …'"
