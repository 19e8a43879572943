"""PyBaMM's half-cell single-particle model behind the Cell interface: a cell that we did not write, for the firmware.

`PybammCell` advances in lockstep and stops at events like `host_sim.cell.Cell`. Its lithium-metal electrode is an
infinite reservoir that loses nothing: `active_mah_cm2` is counted from a reservoir that we give it and may run below
zero, `isolated_mah_cm2` and `sei_mah_cm2` stay 0. Parameters: Xu2019 (NMC against lithium), scaled in area.
PyBaMM counts discharge current positive; the sign turns in `_after`, and nowhere else.
"""

import pybamm

from host_sim.cell import Outcome
from host_sim.cell.layout import POWER, VOLTAGE
from host_sim.errors import InputError

PARAMETER_SET = "Xu2019"
FARADAY_AH_MOL = 96485.33212 / 3600
SHORTEST_S = 1e-3  # the voltage "at once" is the one after this time
_CURRENT, _AMBIENT = "Current function [A]", "Ambient temperature [K]"
_FILLING = "Average positive particle stoichiometry"
_EVENT_NAMES = {  # PyBaMM's event -> ours
    "Minimum positive particle surface stoichiometry": "cathode_empty",
    "Maximum positive particle surface stoichiometry": "cathode_full",
}


def half_cell_model():
    """The model compared everywhere: single particle, lithium metal as the other electrode, isothermal."""
    return pybamm.lithium_ion.SPM({"working electrode": "positive"})


def sites_mah_cm2(values):
    """Areal capacity of all the cathode's sites in a PyBaMM parameter set."""
    per_m2 = (
        values["Positive electrode thickness [m]"]
        * values["Positive electrode active material volume fraction"]
        * values["Maximum concentration in positive electrode [mol.m-3]"]
        * FARADAY_AH_MOL
    )
    return per_m2 * 1e3 / 1e4


class PybammCell:
    """One PyBaMM cell in lockstep; see the module. soc: 0 … 1 at the beginning, between the set's 3.5 and 4.2 V."""

    isolated_mah_cm2 = 0.0
    sei_mah_cm2 = 0.0

    def __init__(self, area_cm2=100.0, temperature_degc=25.0, soc=0.0, reservoir_mah_cm2=4.12):
        if not 0.0 <= soc <= 1.0:
            raise InputError(f"PybammCell: soc is {soc!r}, must be 0 … 1")
        values = pybamm.ParameterValues(PARAMETER_SET)
        values.update({"Electrode height [m]": 0.01, "Electrode width [m]": area_cm2 / 100})
        values.set_initial_state(soc, options={"working electrode": "positive"})
        values.update({_CURRENT: "[input]", _AMBIENT: "[input]"})
        # the cut-offs are the caller's, not the model's
        values.update({"Lower voltage cut-off [V]": -10.0, "Upper voltage cut-off [V]": 10.0})
        simulation = pybamm.Simulation(half_cell_model(), parameter_values=values)
        simulation.build()
        self._model, self._solver = simulation._built_model, pybamm.IDAKLUSolver(rtol=1e-6, atol=1e-8)
        self.area_cm2, self._sites_mah_cm2 = area_cm2, sites_mah_cm2(values)
        self._solution = None
        self.current_a, self.temperature_degc = 0.0, temperature_degc
        self._take(self._after(0.0, SHORTEST_S))
        self._lithium_mah_cm2 = reservoir_mah_cm2 + self.cathode_mah_cm2

    @property
    def cathode_mah_cm2(self):
        """Lithium in the cathode."""
        return self._sites_mah_cm2 * float(self._solution[_FILLING].entries.ravel()[-1])

    @property
    def active_mah_cm2(self):
        """Lithium on the anode, counted from the reservoir we gave; PyBaMM's own never ends."""
        return self._lithium_mah_cm2 - self.cathode_mah_cm2

    def total(self, flux):
        """PyBaMM's lithium is not "isolated", "reconnected", "corroded" or bound in "sei": 0 mAh cm-2 of each."""
        return {"isolated": 0.0, "reconnected": 0.0, "corroded": 0.0, "sei": 0.0}[flux]

    def state(self):
        """Everything that changes, for `restore`."""
        return self._solution, self.current_a, self.temperature_degc

    def restore(self, state):
        """Back to an earlier `state()` of this cell."""
        solution, self.current_a, self.temperature_degc = state
        self._take(solution)

    def advance(self, control, longest_s, ambient_degc=None):
        """Advance by at most longest_s and stop at the first event; returns Outcome. PyBaMM's cell is at ambient."""
        if longest_s < SHORTEST_S:
            return Outcome(0.0, None)
        if ambient_degc is not None:
            self.temperature_degc = ambient_degc
        if control.kind == VOLTAGE:
            return self._hold(control, longest_s)
        current_a = control.value
        if control.kind == POWER:
            for _ in range(6):  # voltage hardly depends on current: converges tenfold a turn
                current_a = control.value / self._voltage(self._after(current_a, longest_s))
        return self._drive(current_a, control, longest_s)

    def _drive(self, current_a, control, longest_s):
        def excess(trial):  # above 0 when a cut-off is passed
            volts = self._voltage(trial)
            return max(volts - control.v_max, control.v_min - volts)

        self.current_a = current_a
        end = self._after(current_a, longest_s)
        if not excess(end) > 0:
            elapsed_s = end.t[-1] - self._time_s()
            self._take(end)
            return Outcome(elapsed_s if self._event(end) else longest_s, self._event(end))
        event = "v_max" if self._voltage(end) > control.v_max else "v_min"
        low_s, high_s, trial = SHORTEST_S, longest_s, self._after(current_a, SHORTEST_S)
        if excess(trial) > 0:
            self.voltage_v = self._voltage(trial)  # past the cut-off at once: nothing flows
            return Outcome(0.0, event)
        while high_s - low_s > 1e-3:
            middle_s = (low_s + high_s) / 2
            candidate = self._after(current_a, middle_s)
            if excess(candidate) > 0:
                high_s = middle_s
            else:
                low_s, trial = middle_s, candidate
        self._take(trial)
        return Outcome(low_s, event)

    def _hold(self, control, longest_s):
        """The current that brings the voltage to its set value at the end of the step, by secant steps."""
        first, second = self.current_a, self.current_a + 1e-3 * self.area_cm2 * 1e-2
        error_first = self._voltage(self._after(first, longest_s)) - control.value
        for _ in range(12):
            trial = self._after(second, longest_s)
            error = self._voltage(trial) - control.value
            if abs(error) < 1e-6 or error == error_first:
                break
            first, error_first, second = second, error, second - error * (second - first) / (error - error_first)
        if control.i_max_a < abs(second):
            second = control.i_max_a if second > 0 else -control.i_max_a
            trial = self._after(second, longest_s)
        self.current_a = second
        self._take(trial)
        return Outcome(longest_s, "i_min" if abs(second) <= control.i_stop_a else self._event(trial))

    def _after(self, current_a, duration_s):
        """Solution after a constant current, positive charging (in PyBaMM negative), from where the cell is."""
        inputs = {_CURRENT: -current_a, _AMBIENT: self.temperature_degc + 273.15}
        return self._solver.step(self._solution, self._model, duration_s, inputs=inputs, save=False)

    def _take(self, solution):
        """Go on from this solution. One that ended at an event must not end at once again when the current turns."""
        solution.termination = "final time"
        self._solution = solution
        self.voltage_v = self._voltage(solution)

    def _time_s(self):
        return self._solution.t[-1]

    @staticmethod
    def _voltage(solution):
        return float(solution["Voltage [V]"].entries[-1])

    @staticmethod
    def _event(solution):
        return _EVENT_NAMES.get(solution.termination.removeprefix("event: "))
