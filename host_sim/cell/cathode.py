"""Open-circuit voltage of the cathode against its filling x (0 empty … 1 every site full), as a uniform table.

A published fit is used where there is one; its range and what stands outside it is said beside it. Any other curve
can be handed over as a function: `register("name", function)`.
"""

import numpy as np

from host_sim.errors import InputError

POINTS = 4001  # linear between points: error below 0.05 mV where |d2U/dx2| < 6000 V


def _steep_end(x):
    """The exponential end of NMC at full filling, from Mohtat 2020's fit."""
    return 0.5623e-4 * np.exp(109.451 * x - 100.006)


def nmc532(x):
    """Mohtat et al., J. Electrochem. Soc. 167 (2020) 110561, graphite/NMC532 pouch cell; fitted for 0.03 … 0.91."""
    return 4.3452 - 1.6518 * x + 1.6225 * x**2 - 2.0843 * x**3 + 3.5146 * x**4 - 2.2166 * x**5 - _steep_end(x)


def nmc811(x):
    """Chen et al., J. Electrochem. Soc. 167 (2020) 080534, LG M50; fitted for 0.27 … 0.91; steep end above: assumed."""
    return (
        4.4875
        - 0.8090 * x
        - 0.0428 * np.tanh(18.5138 * (x - 0.5542))
        - 17.7326 * np.tanh(15.7890 * (x - 0.3117))
        + 17.5842 * np.tanh(15.9308 * (x - 0.3120))
        - _steep_end(x)
    )


def lfp(x):
    """Afshar et al., arXiv 1709.03970 (2017)."""
    return 3.4077 - 0.020269 * x + 0.5 * np.exp(-150 * x) - 0.9 * np.exp(-30 * (1 - x))


def lithium_rich(x):
    """Lithium-rich layered oxide after activation: assumed, sloping from 4.7 to 2.5 V, mean 3.6 V (shape of Deng26)."""
    return 4.65 - 1.55 * x - 0.15 * np.tanh(9.0 * (x - 0.45)) + 0.25 * np.exp(-40 * x) - _steep_end(x)


def lithium(x):
    """Lithium foil as the other electrode of a Cu–Li half cell: 0 V by definition."""
    return np.zeros_like(x)


CURVES = {"NMC532": nmc532, "NMC811": nmc811, "LFP": lfp, "Li-rich": lithium_rich, "lithium": lithium}
VOLTAGE_DECAY_MV = {"Li-rich": 1.5}  # per full charge, assumed (Deng26 gives the effect); any other cathode: none
_tables: dict[str, np.ndarray] = {}


def register(name, function):
    """Make `function(x: array) -> array in V` available as cathode `name`. Raises InputError when it is not finite."""
    values = np.asarray(function(np.linspace(0.0, 1.0, POINTS)), dtype=float)
    if values.shape != (POINTS,) or not np.all(np.isfinite(values)):
        raise InputError(f"cathode: the OCV function of {name!r} must give one finite voltage for every x in 0…1")
    CURVES[name] = function
    _tables[name] = values


def table(name):
    """OCV in V at `POINTS` uniform fillings 0 … 1. Raises InputError for an unknown cathode."""
    if name not in _tables:
        if name not in CURVES:
            raise InputError(f"cathode: {name!r} is unknown; known are {', '.join(CURVES)}")
        register(name, CURVES[name])
    return _tables[name]


def ocv(name, x):
    """OCV in V at filling x (scalar or array), interpolated as the cell does."""
    return np.interp(x, np.linspace(0.0, 1.0, POINTS), table(name))
