"""What one half-cycle is expected to isolate, bind in SEI and bring back (physics.md §2-4, §7).

Pure functions of a `HalfCycle` and the profile's priors, in parts per billion of nominal capacity (ppb) or of the
isolated lithium. The cell's own factors on these expectations are learned in `inventory.py`.
"""

from relith.halfcycle import EARLY_PPM


def table(xs, ys, x):
    """Straight lines through the points (xs, ys), xs rising, held at both ends."""
    if x <= xs[0]:
        return ys[0]
    for k in range(1, len(xs)):
        if x < xs[k]:
            return ys[k - 1] + (ys[k] - ys[k - 1]) * (x - xs[k - 1]) // (xs[k] - xs[k - 1])
    return ys[-1]


def one_minus_exp(x):
    """1 - exp(-x), both per mille."""
    return table((0, 125, 250, 500, 1000, 1500, 2000, 3000, 5000), (0, 118, 221, 393, 632, 777, 865, 950, 993), x)


def content_ppm(profile, uv):
    """(cathode lithium in ppm of the cathode's swing, slope in µV per 1 000 000 ppm, positive) at the rested voltage
    `uv`.

    The profile's table falls with content. Outside the table the end segment goes on, so that an overdischarged cell
    reads more than full and not just full.
    """
    ppm, ocv = profile.ocv_content_ppm, profile.ocv_uv
    k = 1
    while k < len(ppm) - 1 and uv < ocv[k]:
        k += 1
    wide, drop = ppm[k] - ppm[k - 1], max(1, ocv[k - 1] - ocv[k])
    return ppm[k - 1] + (ocv[k - 1] - uv) * wide // drop, drop * 1000000 // wide


def ocv_uv(profile, content):
    """Rested voltage at a cathode content in ppm of its swing."""
    return table(profile.ocv_content_ppm, profile.ocv_uv, content)


def isolated_ppb(profile, h, plate_permille):
    """Expected isolation while stripping `h`, plated before at `plate_permille` (slow plate and fast strip isolate
    least, Zhang25).
    """
    loss = h.charge_ppm * profile.loss_isolated_ppm // 1000
    for xs, ys, x in (
        (profile.loss_plate_rate_permille, profile.loss_plate_factor_permille, plate_permille),
        (profile.loss_strip_rate_permille, profile.loss_strip_factor_permille, h.rate_permille),
        (profile.loss_depth_permille, profile.loss_depth_factor_permille, h.charge_ppm // 1000),
        (profile.loss_temp_cdegc, profile.loss_temp_factor_permille, h.temp_cdegc),
    ):
        loss = loss * table(xs, ys, x) // 1000
    return loss


def sei_ppb(profile, h):
    """Expected lithium bound in SEI by plating `h`."""
    return h.charge_ppm * profile.loss_sei_ppm // 1000


def warmth(temp_cdegc):
    """Factor of a reaction that doubles every 10 °C, per mille at 25 °C (50 kJ/mol: 1.9 times)."""
    return table(
        (-2500, -1500, -500, 500, 1500, 2500, 3500, 4500, 5500),
        (31, 62, 125, 250, 500, 1000, 2000, 4000, 8000),
        temp_cdegc,
    )


def corrosion_ppb(profile, metal_ppb, full_permille, seconds, temp_cdegc):
    """Expected plated metal bound in SEI by time alone; half as fast empty as full, doubles every 10 °C (Deng26:
    worse charged and warm).
    """
    rate = profile.corrosion_ppm_per_day * warmth(temp_cdegc) // 1000 * (500 + full_permille // 2) // 1000
    return metal_ppb * rate // 1000000 * seconds // 86400


def seconds(profile, ppm, rate_permille):
    """Time that a charge takes at a rate (1C need not be the nominal capacity in an hour)."""
    return ppm * 18 // 5 * profile.nominal_capacity_uah // (max(1, rate_permille) * profile.one_c_ua)


def pulse_share_ppm(profile, rate_permille, length_s, temp_cdegc):
    """Expected share of the isolated lithium that stripping at `rate_permille` for `length_s` reconnects (Liu21).

    Filaments move at a speed that grows with the rate, and slower as what stands beneath them is stripped: they come
    as far as in
    speed * (E/rate) * (1 - exp(-rate * t / E)) seconds at the reference rate, E = pulse_early_ppm.
    """
    speed = table(profile.pulse_rate_permille, profile.pulse_speed_permille, rate_permille) * warmth(temp_cdegc) // 1000
    fade_s = max(1, seconds(profile, profile.pulse_early_ppm, rate_permille))
    way_s = speed * fade_s // 1000 * one_minus_exp(length_s * 1000 // fade_s) // 1000
    return table(profile.pulse_way_s, profile.pulse_share_permille, way_s) * 1000


def early_share_ppm(profile, h):
    """The same for whatever `h` did itself: the pulse asked for, or a fast start or a fast drive of the user's own."""
    best = pulse_share_ppm(profile, h.rate_permille, h.duration_s, h.temp_cdegc)
    early = h.early_rate_permille
    if early > h.rate_permille:
        best = max(best, pulse_share_ppm(profile, early, seconds(profile, EARLY_PPM, early), h.temp_cdegc))
    if h.pulse_s > 0:
        best = max(best, pulse_share_ppm(profile, h.pulse_permille, h.pulse_s, h.temp_cdegc))
    return best


def rest_share_ppm(profile, rest_s):
    """Expected share of the isolated lithium that a discharged rest frees for the next plating to touch (Zhang24)."""
    return profile.rest_recover_permille * one_minus_exp(rest_s * 1000 // max(1, profile.rest_tau_s))
