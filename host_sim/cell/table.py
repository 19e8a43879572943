"""The parameter table: every number of the cell, once, with unit, allowed range and source.

One row per parameter: name, default, unit, low, high, source. Values outside low … high are refused. `assumed` in the
source means that no publication gives the value; those are what `relith-sim sensitivity` moves over that range. What
one electrolyte or one world changes stands in `SETS` and `WORLDS` below (by hand) and in `fitted.json` (by
`relith-sim fit`), applied in this order. Charge per electrode area is mAh cm-2, current density mA cm-2, reference
temperature 25 degC.
"""

ROWS = (
    # -- how the cell is built ---------------------------------------------------------------------------------------
    ("cathode_capacity_mah_cm2", 3.003, "mAh cm-2", 0.01, 1000, "sites as built; gives Liu21's 2.39 delivered"),
    ("reservoir_mah_cm2", 4.12, "mAh cm-2", 0, 1000, "Liu21: 20 um Li, 206 mAh cm-2 per mm"),
    ("salt_mah_cm2", 0.0, "mAh cm-2", 0, 1000, "assumed; electrolyte salt as Li+, 0 = not followed"),
    ("one_c_ma_cm2", 2.67, "mA cm-2", 0.01, 1000, "condition; what 1C means, Liu21: 2.67"),
    ("stack_pressure_mpa", 0.5, "MPa", 0.01, 5, "condition; default at Abd24's optimum"),
    # -- terminal voltage --------------------------------------------------------------------------------------------
    ("ohmic_ohm_cm2", 12.0, "ohm cm2", 0, 60, "assumed"),
    ("dead_layer_ohm_cm2_per_mah", 5.0, "ohm cm2 per mAh cm-2", 0, 30, "assumed"),
    ("i0_anode_ma_cm2", 1.0, "mA cm-2", 0.1, 100, "assumed"),
    ("i0_cathode_ma_cm2", 1.5, "mA cm-2", 0.1, 100, "assumed; at half filling, falls as sqrt(x(1-x))"),
    ("anode_supply_per_h", 360.0, "h-1", 60, 5000, "assumed; lithium supply limit per active lithium (10 s of metal)"),
    ("solid_offset_per_ma", 0.004, "cm2 mA-1", 0, 0.05, "assumed; steady surface-minus-mean filling per mA cm-2"),
    ("solid_tau_s", 300.0, "s", 1, 5000, "assumed; solid diffusion"),
    ("electrolyte_ohm_cm2", 8.0, "ohm cm2", 0, 40, "assumed; concentration overpotential of the electrolyte"),
    ("electrolyte_tau_s", 30.0, "s", 1, 300, "assumed"),
    ("kinetic_kj_mol", 45.0, "kJ mol-1", 0, 80, "assumed; exchange currents"),
    ("transport_kj_mol", 18.0, "kJ mol-1", 0, 40, "assumed; resistances"),
    ("salt_share", 0.128, "1", 0, 1, "Moh25: 1.6 umol LiFSI for 12.5 umol Li bound in SEI"),
    # -- heat ----------------------------------------------------------------------------------------------------
    ("heat_capacity_j_k_cm2", 0.06, "J K-1 cm-2", 0.01, 1, "assumed"),
    ("heat_transfer_w_k_cm2", 1e-4, "W K-1 cm-2", 1e-5, 1, "assumed; one layer of a stack"),
    ("entropic_mv_k", -0.05, "mV K-1", -0.5, 0.5, "assumed"),
    # -- cathode -----------------------------------------------------------------------------------------------------
    ("first_cycle_loss", 0.10, "share of sites", 0, 0.3, "assumed; lost (empty) over the first charge"),
    ("first_cycle_charge", 0.2, "share of sites", 0.02, 0.5, "assumed; throughput over which that happens (1/e)"),
    ("cathode_fade", 2e-4, "share per full charge", 0, 0.005, "Deng26: CE_cathode about 99.98 %"),
    ("voltage_decay_mv", 0.0, "mV per full charge", 0, 10, "Deng26; lithium-rich oxide only, assumed 1.5 there"),
    # -- what plating leaves (Moh25, Abd24) --------------------------------------------------------------------------
    ("compact_limit_ma_cm2", 1.0, "mA cm-2", 0.5, 2, "Moh25: compact below about 1 mA cm-2"),
    ("roughness_per_ma", 0.1, "cm2 mA-1", 0, 2, "assumed; more isolation per mA cm-2 above the compact limit"),
    ("roughness_max", 4.0, "1", 2, 10, "assumed; ceiling of that factor (Moh25: mossy from 4 mA cm-2)"),
    ("cold_kj_mol", 20.0, "kJ mol-1", 0, 40, "assumed; colder plating is more dendritic (Moh25, Abd24)"),
    ("salt_molar", 1.0, "mol L-1", 0.5, 5, "Liu21: 1 M LiPF6"),
    ("salt_diffusivity_cm2_s", 3e-7, "cm2 s-1", 3e-08, 3e-06, "assumed; effective, in the separator"),
    ("separator_um", 25.0, "um", 8, 500, "assumed; electrode distance"),
    ("cation_transference", 0.4, "1", 0.1, 0.8, "assumed"),
    ("sei_share", 0.022, "1", 0, 0.05, "assumed; of plated lithium; carbonate about 2.2 % by Fang19's split (F2)"),
    ("sei_per_ma", 0.05, "cm2 mA-1", 0, 3, "assumed; its growth with plating current above the compact limit"),
    ("sei_kj_mol", 20.0, "kJ mol-1", 0, 40, "assumed"),
    # -- isolation on stripping ----------------------------------------------------------------------------------
    ("isolation_base", 0.045, "1", 0, 0.3, "assumed; share isolated of what leaves a compact 1 mAh cm-2 deposit"),
    ("isolation_slow", 0.04, "1", 0, 0.3, "assumed; extra at vanishing current"),
    ("isolation_slow_ma_cm2", 1.0, "mA cm-2", 0.1, 5, "assumed"),
    ("isolation_fast", 0.02, "1", 0, 0.3, "assumed; extra at 5 mA cm-2 (carbonate: Liu21)"),
    ("isolation_fast_ma_cm2", 2.5, "mA cm-2", 1, 4, "assumed; kinetic limit, above which that begins"),
    ("isolation_fast_exponent", 2.0, "1", 0.5, 5, "assumed; of the fast term where isolation_law is 1"),
    ("depth_exponent", 0.25, "1", 0, 0.4, "Liu21's cells: 0.2 to 0.35; assumed within"),
    ("self_diffusion_kj_mol", 15.0, "kJ mol-1", 0, 40, "assumed; warmth raises the slow term (Abd24)"),
    ("pressure_optimum_mpa", 0.5, "MPa", 0.3, 0.7, "Abd24, Moh25"),
    ("pressure_curvature", 0.15, "1", 0.02, 1, "assumed; times ln(p/optimum) squared"),
    # -- isolated lithium moves (Liu21) --------------------------------------------------------------------------
    ("gap_median_um", 1.0, "um", 0.3, 5, "Liu21: a few 100 nm to 2 um; assumed within"),
    ("gap_sigma", 0.9, "ln", 0.4, 1.6, "assumed"),
    ("gap_min_um", 0.2, "um", 0.05, 1, "assumed; nothing reconnects below"),
    ("filament_um", 20.0, "um", 5, 40, "Liu21 figures are for 20 um"),
    ("dead_band_mv", 2.0, "mV at 20 um", 0, 8, "assumed; 1 to 5"),
    ("end_i0_ma_cm2", 28.0, "mA cm-2", 2, 300, "assumed; exchange current at a filament's end"),
    ("end_limit_ma_cm2", 20.0, "mA cm-2", 3, 300, "assumed; Li+ supply to a filament's end"),
    ("onset_s", 20.0, "s", 1, 120, "assumed; start-up latency, tens of seconds"),
    ("early_mah_cm2", 0.5, "mAh cm-2", 0.05, 5, "assumed; closing fades as the standing filaments are stripped"),
    ("moving_corrosion", 0.5, "per own length", 0.05, 10, "assumed; share corroded per own length moved"),
    ("moving_corrosion_ma_cm2", 5.0, "mA cm-2", 2, 10, "Liu21: flattens at 5 to 6 mA cm-2"),
    ("moving_corrosion_exponent", 2.0, "1", 0, 4, "assumed"),
    ("deal_per_mah", 6.0, "cm2 mAh-1", 1, 20, "assumed; fresh isolated lithium gets its gap within this plating"),
    ("redeal_per_mah", 6.0, "cm2 mAh-1", 0, 20, "world: share rho of old gaps dealt anew per plating"),
    ("forget_per_mah", 6.0, "cm2 mAh-1", 0, 20, "world: way already moved that a plating undoes"),
    # -- rest ----------------------------------------------------------------------------------------------------
    ("barrier_share", 0.15, "1", 0.02, 0.3, "assumed; share freed at most (Zhang24 gives the effect)"),
    ("barrier_tau_h", 3.0, "h", 2, 5, "assumed; 2 to 5"),
    ("barrier_exponent", 1.0, "1", 1, 3, "world: 1 exponential, 2 with an induction time"),
    ("local_stripping", 0.5, "1", 0, 1, "assumed; does locally stripped metal count while a reservoir remains"),
    ("stripped_mah_cm2", 0.02, "mAh cm-2", 0.001, 0.1, "assumed; below this the anode begins to count as stripped"),
    ("touch_per_mah", 6.0, "cm2 mAh-1", 1, 20, "assumed; freed isolated lithium is touched within this plating"),
    ("corrosion_per_h", 0.0005, "h-1", 0, 0.01, "assumed; of fresh deposit, 0.05 to 0.5 % per h"),
    ("corrosion_exponent", 1.0, "1", 0.5, 1, "world: 1 all of the deposit, 0.5 its surface"),
    ("corrosion_charged", 1.0, "1", 0, 3, "assumed; extra with an emptied cathode (Deng26, Moh25)"),
    ("corrosion_kj_mol", 50.0, "kJ mol-1", 20, 80, "assumed"),
    ("dead_corrosion_per_h", 1e-5, "h-1", 0, 0.0001, "assumed; isolated metal into SEI"),
    # -- optional: mediator and fault ------------------------------------------------------------------------------
    ("mediator_return_per_h", 0.0, "h-1", 0, 1, "Moh25 4.2; isolated lithium to the cathode"),
    ("mediator_discharge_per_h", 0.0, "h-1", 0, 0.1, "Moh25 4.2; active lithium to the cathode"),
    ("short_s_cm2", 0.0, "S cm-2", 0, 1, "fault: soft short"),
    # -- functional forms ------------------------------------------------------------------------------------------
    ("isolation_law", 0.0, "0 or 1", 0, 1, "world: 0 exponential slow, ramp fast term; 1 hyperbolic, power"),
)

# One electrolyte, one set; every experiment of one paper shares it.
SETS = {
    "liu21-carbonate": {"cathode": "NMC532", "values": {}},
    "zhang25": {  # assumed: an industrial electrode, 4 mAh cm-2 in 1 h; the reservoir is fitted (2 to 3 times that)
        "cathode": "NMC811",
        "values": {"cathode_capacity_mah_cm2": 7.0, "one_c_ma_cm2": 4.0, "reservoir_mah_cm2": 11.0},
    },
    "anode-free": {  # assumed: lean, 2.5 g/Ah of 2 M salt; little first-cycle loss, so it starts in stage 4
        "cathode": "NMC811",
        "values": {
            "cathode_capacity_mah_cm2": 7.0,
            "one_c_ma_cm2": 4.0,
            "reservoir_mah_cm2": 0.0,
            "salt_mah_cm2": 0.43,
            "salt_molar": 2.0,
            "first_cycle_loss": 0.02,
        },
    },
}

# What the data leave open; each world is fitted to the same rows.
WORLDS = {
    "redealt": {},
    "static": {"redeal_per_mah": 0.0},
    "accumulating": {"redeal_per_mah": 0.0, "forget_per_mah": 0.0},
    "other": {"isolation_law": 1.0, "barrier_exponent": 2.0, "corrosion_exponent": 0.5, "redeal_per_mah": 0.7},
}
