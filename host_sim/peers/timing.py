"""How fast the peers are, in the one way in which each is fastest: seconds per step, cycles per second."""

import time
import warnings

import numpy as np
import pybamm
import thevenin

from host_sim.peers.pybamm_cell import half_cell_model
from host_sim.peers.voltage import filling_at, our_parameters, pybamm_values

THEVENIN = f"thevenin {thevenin.__version__}"
PYBAMM = f"PyBaMM {pybamm.__version__}"


def thevenin_step_s(steps=300):
    """`Prediction.take_step` of the default one-RC cell, 1 s each: seconds per call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it takes its default parameters
        model = thevenin.Prediction()
    state = thevenin.TransientState(0.8, 298.15, 0.0, np.zeros(model.num_RC_pairs))
    began = time.perf_counter()
    for _ in range(steps):
        state = model.take_step(state, 1.0, 1.0)
    return (time.perf_counter() - began) / steps


def pybamm_step_s(steps=300, save=True):
    """`Simulation.step(1.0)` of the half-cell single-particle model: seconds per call. save=False keeps no history."""
    simulation = pybamm.Simulation(half_cell_model(), parameter_values=pybamm.ParameterValues("Xu2019"))
    simulation.step(1.0)
    began = time.perf_counter()
    for _ in range(steps):
        simulation.step(1.0, save=save)
    return (time.perf_counter() - began) / steps


class PybammLife:
    """C/2 charge to 4.2 V, 1C discharge to 3.0 V, on PyBaMM's half-cell single-particle model of our cell."""

    def __init__(self, cycles=50):
        self.cycles, parameters = cycles, our_parameters()
        values = pybamm_values(parameters, filling_at(parameters, 3.4))
        values["Current function [A]"] = 1.0  # the experiment sets it
        values["Nominal cell capacity [A.h]"] = parameters.value("one_c_ma_cm2") / 1e3
        experiment = pybamm.Experiment([("Charge at C/2 until 4.2 V", "Discharge at 1C until 3.0 V")] * cycles)
        self.simulation = pybamm.Simulation(half_cell_model(), parameter_values=values, experiment=experiment)
        self.simulation.solve()  # builds and compiles

    def cycles_per_s(self, **options):
        """Cycles per second of one more solve of the built model; options go to `solve`."""
        began = time.perf_counter()
        solution = self.simulation.solve(**options)
        seconds = time.perf_counter() - began
        done = len(solution.cycles)
        if done != self.cycles:
            raise RuntimeError(f"PyBaMM did {done} of {self.cycles} cycles")
        return done / seconds
