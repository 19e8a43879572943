"""Terminal voltage of our cell beside PyBaMM's half-cell single-particle model with the same OCV and kinetics.

What is mapped onto what (ours -> PyBaMM's), per electrode area: cathode OCV function -> "Positive electrode OCP";
i0_cathode sqrt(4x(1-x)) -> exchange-current density over the particles' area; i0_anode -> lithium metal's; ohmic and
electrolyte resistance -> contact resistance (they add up once settled); steady surface-minus-mean filling per current
k -> R^2/D = 15 Q k of a sphere. Off on our side: heat, fade, dead layer. Not the same: our solid diffusion is one
relaxation of `solid_tau_s`, theirs a sphere; at low current both are settled.
"""

from dataclasses import dataclass

import numpy as np
import pybamm

from host_sim.cell import Cell, Control, load_parameters
from host_sim.cell import cathode as cathodes
from host_sim.cell.layout import S

FARADAY = 96485.33212
AREA_CM2 = 1.0
THICKNESS_M, ACTIVE_SHARE, RADIUS_M = 1e-4, 0.5, 5e-6  # only their products matter here
V_EMPTY, V_FULL = 3.0, 4.2  # rested; 0 and 100 % state of charge


def our_parameters():
    """Liu21's set with everything switched off that PyBaMM's model does not have."""
    return load_parameters().replace(
        by="comparison", first_cycle_loss=0.0, cathode_fade=0.0, dead_layer_ohm_cm2_per_mah=0.0,
        entropic_mv_k=0.0, heat_transfer_w_k_cm2=1.0, reservoir_mah_cm2=50.0,
    )  # fmt: skip


def pybamm_values(parameters, filling):
    """PyBaMM's parameter values of the same cell, beginning at this filling of the cathode."""
    value = parameters.value
    sites_c_m2 = value("cathode_capacity_mah_cm2") * 3.6e4
    most_mol_m3 = sites_c_m2 / (FARADAY * THICKNESS_M * ACTIVE_SHARE)
    particles = 3 * ACTIVE_SHARE / RADIUS_M * THICKNESS_M  # particle area per electrode area
    per_ma = value("solid_offset_per_ma")
    sphere_s = 15 * value("cathode_capacity_mah_cm2") * 3600 * per_ma

    def j0_cathode(c_e, c_surface, c_most, temperature):
        x = c_surface / c_most
        return 2 * value("i0_cathode_ma_cm2") * 10 / particles * pybamm.sqrt(x * (1 - x))

    values = pybamm.ParameterValues("Xu2019")
    values.update(
        {
            "Electrode height [m]": 0.01,
            "Electrode width [m]": AREA_CM2 / 100,
            "Positive electrode thickness [m]": THICKNESS_M,
            "Positive electrode active material volume fraction": ACTIVE_SHARE,
            "Positive particle radius [m]": RADIUS_M,
            "Positive particle diffusivity [m2.s-1]": RADIUS_M**2 / sphere_s,
            "Maximum concentration in positive electrode [mol.m-3]": most_mol_m3,
            "Initial concentration in positive electrode [mol.m-3]": filling * most_mol_m3,
            "Positive electrode OCP [V]": cathodes.CURVES[parameters.cathode],
            "Positive electrode exchange-current density [A.m-2]": j0_cathode,
            "Exchange-current density for lithium metal electrode [A.m-2]": value("i0_anode_ma_cm2") * 10,
            "Contact resistance [Ohm]": (value("ohmic_ohm_cm2") + value("electrolyte_ohm_cm2")) / AREA_CM2,
            "Current function [A]": "[input]",
            "Lower voltage cut-off [V]": 1.0,
            "Upper voltage cut-off [V]": 5.0,
        },
        check_already_exists=False,
    )
    return values


def filling_at(parameters, volts):
    """Filling of the cathode whose OCV this is."""
    x = np.linspace(0.0, 1.0, cathodes.POINTS)
    return float(np.interp(-volts, -cathodes.table(parameters.cathode), x))


def our_cell(parameters, filling):
    """Our cell at rest at this filling, at 25 degC."""
    cell = Cell(parameters, area_cm2=AREA_CM2)
    state = cell.state()
    state[S.cathode] = filling * state[S.sites]
    cell.restore(state)
    cell.advance(Control.rest(), 0.0)
    return cell


def pybamm_curve(parameters, filling, current_a, times_s):
    """PyBaMM's voltage at these times under a constant current (positive charges), from rest at this filling."""
    model = pybamm.lithium_ion.SPM({"working electrode": "positive", "contact resistance": "true"})
    solver = pybamm.IDAKLUSolver(rtol=1e-8, atol=1e-10)
    simulation = pybamm.Simulation(model, parameter_values=pybamm_values(parameters, filling), solver=solver,
                                   var_pts={**model.default_var_pts, "r_p": 60})  # fmt: skip
    solution = simulation.solve(times_s, inputs={"Current function [A]": -current_a}, t_interp=times_s)
    volts = solution["Voltage [V]"](times_s[times_s <= solution.t[-1]])
    return np.concatenate([volts, np.full(len(times_s) - len(volts), np.nan)])


def our_curve(parameters, filling, current_a, times_s):
    """Ours, the same."""
    cell, volts = our_cell(parameters, filling), []
    control = Control.current(current_a)
    for seconds in np.diff(times_s, prepend=0.0):
        outcome = cell.advance(control, seconds)
        volts.append(cell.voltage_v if outcome.event is None else np.nan)
    return np.array(volts)


@dataclass
class Comparison:
    """One current: state of charge (n,), ours and PyBaMM's voltage (n,). c_rate > 0 charges."""

    c_rate: float
    soc: np.ndarray
    ours_v: np.ndarray
    pybamm_v: np.ndarray

    def worst_mv(self, low, high):
        """Largest difference in mV where the state of charge is in low ... high."""
        inside = (self.soc >= low) & (self.soc <= high)
        return float(np.nanmax(np.abs(self.ours_v - self.pybamm_v)[inside]) * 1e3)


def loaded(c_rates=(-0.1, 0.1, -0.05, 0.05, -1.0, 1.0), parameters=None):
    """Comparison of each current, through the whole state of charge."""
    parameters = parameters or our_parameters()
    empty, full = filling_at(parameters, V_EMPTY), filling_at(parameters, V_FULL)
    sites = parameters.value("cathode_capacity_mah_cm2")
    out = []
    for c_rate in c_rates:
        current_ma = c_rate * parameters.value("one_c_ma_cm2") * AREA_CM2
        begin = empty if c_rate > 0 else full
        times_s = np.linspace(0.0, (empty - full) * sites / abs(current_ma) * 3600, 401)
        passed = current_ma * times_s / 3600 / sites
        soc = (empty - (begin - passed)) / (empty - full)
        ours, theirs = (curve(parameters, begin, current_ma / 1e3, times_s) for curve in (our_curve, pybamm_curve))
        out.append(Comparison(c_rate, soc, ours, theirs))
    return out


def rested_mv(parameters=None, points=21):
    """Largest difference of the voltage after 4 h of rest, at `points` states of charge 0 ... 100 %, in mV."""
    parameters = parameters or our_parameters()
    times_s = np.linspace(0.0, 4 * 3600.0, 3)
    empty, full = filling_at(parameters, V_EMPTY), filling_at(parameters, V_FULL)
    worst = 0.0
    for filling in np.linspace(empty, full, points):
        ours, theirs = (curve(parameters, filling, 0.0, times_s)[-1] for curve in (our_curve, pybamm_curve))
        worst = max(worst, abs(ours - theirs) * 1e3)
    return worst


def figure(comparisons, path):
    """Both voltages, and their difference over the whole range, into a PNG."""
    import matplotlib.pyplot as plt

    drawn, (above, below) = plt.subplots(2, 1, figsize=(8, 8), sharex=True, layout="constrained")
    for k, one in enumerate(comparisons):
        above.plot(one.soc * 100, one.ours_v, color=f"C{k}", label=f"{one.c_rate:+g}C ours")
        above.plot(one.soc * 100, one.pybamm_v, "--", color="0.2", lw=0.8)
        below.plot(one.soc * 100, (one.ours_v - one.pybamm_v) * 1e3, color=f"C{k}")
    below.axvspan(20, 80, color="0.92")
    below.set(xlabel="State of charge [%]", ylabel="Ours minus PyBaMM [mV]", ylim=(-12, 12))
    above.set(ylabel="Voltage [V]", title="Same OCV and kinetics: our cell, and PyBaMM's half-cell SPM (dashed)")
    above.legend(fontsize=8)
    drawn.savefig(path, dpi=110)
    plt.close(drawn)
    return path
