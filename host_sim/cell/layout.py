"""Where each number of one cell stands in its row of parameters (`P`) and its row of state (`S`).

Both are plain float64 rows, so that one kernel serves a single cell and a batch, and a state is saved by copying it.
"""

from collections import namedtuple
from typing import Any

from host_sim.cell.table import ROWS

GAPS = 10  # gap classes; class GAPS holds what this stripping has isolated and no plating has dealt a gap yet
LARGEST_GAP_UM = 10.0
FULL = 1e-9  # cathode: least share of empty, and of full, sites

NAMES = tuple(row[0] for row in ROWS)
DERIVED = ("pressure_factor", "sand_ma_cm2", "sub_step_mah_cm2", "sub_step_s")
P: Any = namedtuple("P", NAMES + DERIVED)(*range(len(NAMES) + len(DERIVED)))  # type: ignore[misc]
GAP_EDGE = len(P)  # GAPS + 1 edges in um
GAP_WEIGHT = GAP_EDGE + GAPS + 1  # GAPS shares, sum 1
PARAMETER_ROW = GAP_WEIGHT + GAPS

_STATE = (
    # stores of lithium, mAh cm-2, and the rounding carried by each (compensated sums)
    "cathode",
    "active",
    "sei",
    "cathode_carry",
    "active_carry",
    "sei_carry",
    # the deposit: `fresh` is the part of `active` that was plated (stripped before the foil beneath), a label, no store
    "fresh",
    "deposit",  # fresh when plating last ended, mAh cm-2
    "roughness",  # isolation factor of fresh, from how it was plated
    "stripped",  # charge stripped since, mAh cm-2
    "onset",  # 0 … 1, how far filament motion has started
    "above_s",  # seconds of plating above the limiting current
    "bare_h",  # hours that residual SEI has been dissolving since the last plating
    # cathode
    "sites",  # mAh cm-2
    "throughput",  # charge taken out on charging, in units of the sites as built
    "surface",  # surface minus mean filling
    # the rest
    "electrolyte_v",
    "temperature_k",
    "salt",  # mAh cm-2
    "current",  # terminal, mA cm-2
    "voltage",  # terminal, V
    # running totals of the fluxes, mAh cm-2, for reports
    "total_plated",  # cathode -> anode, all of it
    "total_stripped",  # anode -> cathode through the circuit
    "total_isolated",
    "total_reconnected",
    "total_sei",  # bound while plating
    "total_corroded",
)
S: Any = namedtuple("S", _STATE)(*range(len(_STATE)))  # type: ignore[misc]
DEAD = len(S)  # GAPS + 1 amounts of isolated lithium, mAh cm-2
BARE = DEAD + GAPS + 1  # how much of each is freed of residual SEI, mAh cm-2 (a label)
MOVED = BARE + GAPS + 1  # GAPS ways moved, um
STATE_ROW = MOVED + GAPS

EVENTS = (None, "v_min", "v_max", "i_min", "depleted", "cathode_full", "cathode_empty")
NONE, V_MIN, V_MAX, I_MIN, DEPLETED, CATHODE_FULL, CATHODE_EMPTY = range(len(EVENTS))
CURRENT, VOLTAGE, POWER = range(3)  # kinds of control
