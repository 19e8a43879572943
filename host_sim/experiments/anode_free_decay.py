"""D2, Deng26: an anode-free cell with CE_Li 99.5 % at every depth and no cathode loss keeps 0.995**200 = 37 %.

The row states the cell, so these values are the row's, not fitted: the loss half SEI and half isolation, whatever the
depth, nothing else active.
"""

from host_sim.cell import Cell
from host_sim.experiments.common import charge, discharge

ELECTROLYTE = "anode-free"
CE_LI, CYCLES = 0.995, 200
STATED = {
    "sei_share": 0.5 * (1.0 - CE_LI),
    "sei_per_ma": 0.0,
    "isolation_base": 1.0 - CE_LI / (1.0 - 0.5 * (1.0 - CE_LI)),
    "isolation_slow": 0.0,
    "isolation_fast": 0.0,
    "depth_exponent": 0.0,
    "roughness_per_ma": 0.0,
    "first_cycle_loss": 0.0,
    "cathode_fade": 0.0,
    "corrosion_per_h": 0.0,
    "dead_corrosion_per_h": 0.0,
    "dead_band_mv": 8.0,  # nothing drifts at C/3 …
    "local_stripping": 0.0,  # … and nothing is freed while it never rests empty
    "stripped_mah_cm2": 0.001,
    "heat_transfer_w_k_cm2": 1.0,
}


def run(load):
    cell = Cell(load(ELECTROLYTE).replace(**STATED))
    found = []
    for _ in range(CYCLES + 1):
        charge(cell, 1.33, 4.2, 0.4)
        found.append(discharge(cell, 1.33, 3.0))
    return {"D2": 100.0 * found[CYCLES] / found[0]}
