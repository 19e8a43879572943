"""What one half-cycle is expected to isolate, bind in SEI and bring back (physics.md §2-4, §7).

Pure functions of a `HalfCycle` and the profile's priors, in parts per billion of nominal capacity (ppb) or in ppm of
the isolated lithium. The cell's own factors on these expectations are learned in `inventory.py`.
"""

from relith.halfcycle import EARLY_PPM
from relith.udfilter import root


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


def isolated_ppb(profile, h, plate_permille):
    """Expected isolation while stripping `h`, plated before at `plate_permille` (slow plate and fast strip isolate
    least, Zhang25).
    """
    p = profile
    loss = h.charge_ppm * p.loss_isolated_ppm // 1000
    loss = loss * table(p.loss_plate_rate_permille, p.loss_plate_factor_permille, plate_permille) // 1000
    loss = loss * table(p.loss_strip_rate_permille, p.loss_strip_factor_permille, h.rate_permille) // 1000
    loss = loss * table(p.loss_depth_permille, p.loss_depth_factor_permille, h.charge_ppm // 1000) // 1000
    return loss * table(p.loss_temp_cdegc, p.loss_temp_factor_permille, h.temp_cdegc) // 1000


def warmth(temp_cdegc):
    """Factor of a reaction that doubles every 10 °C, per mille at 25 °C (50 kJ/mol: 1.9 times)."""
    from_low = min(max(temp_cdegc + 2500, 0), 8000)  # -25 to 55 °C
    k = from_low // 1000
    low, high = 8000 >> 8 - k, 8000 >> max(0, 7 - k)
    return low + (high - low) * (from_low - 1000 * k) // 1000


def sei_ppb(profile, h):
    """Expected lithium bound in SEI by plating `h`; half the warmth of corrosion (in the exponent)."""
    return h.charge_ppm * profile.loss_sei_ppm // 1000 * root(warmth(h.temp_cdegc) * 1000) // 1000


def corrosion_ppb(profile, before, after, empty_before, empty_after, seconds, temp_cdegc):
    """Expected plated metal bound in SEI by time alone, while it goes from `before` to `after` (ppb) and the cathode
    from so empty to so empty (per mille); half as fast with a full cathode, doubles every 10 °C (Deng26: worse charged
    and warm).
    """
    metal = (before + after) // 2
    metal += (2 * (before * empty_before + after * empty_after) + before * empty_after + after * empty_before) // 6000
    rate = profile.corrosion_ppm_per_day * warmth(temp_cdegc) // 1000
    return metal * rate // 2000000 * seconds // 86400


def seconds(profile, ppm, rate_permille):
    """Time that a charge takes at a rate (1C need not be the nominal capacity in an hour)."""
    return ppm * 18 // 5 * profile.nominal_capacity_uah // (max(1, rate_permille) * profile.one_c_ua)


def pulse_way_s(profile, rate_permille, length_s, temp_cdegc):
    """How far filaments of isolated lithium move while stripping at `rate_permille` for `length_s`, in seconds at the
    reference rate (Liu21).

    Their speed grows with the rate, and falls as what stands beneath them is stripped: speed * (E/rate) * (1 -
    exp(-rate * t / E)), E = pulse_early_ppm.
    """
    speed = table(profile.pulse_rate_permille, profile.pulse_speed_permille, rate_permille) * warmth(temp_cdegc) // 1000
    fade_s = max(1, seconds(profile, profile.pulse_early_ppm, rate_permille))
    return speed * fade_s // 1000 * one_minus_exp(length_s * 1000 // fade_s) // 1000


def moved_ppm(profile, h):
    """(share reconnected, share corroded on the way) of the isolated lithium by whatever moved it in `h`: the pulse
    asked for, or else a fast start or a fast drive of the user's own.
    """
    p, rate, fast = profile, h.rate_permille, h.early_rate_permille
    way_s = pulse_way_s(p, rate, h.duration_s, h.temp_cdegc)
    length_s = h.pulse_s
    if length_s > 0:
        fast = h.pulse_permille
    elif fast > rate:
        length_s = seconds(p, EARLY_PPM, fast)
    other_s = pulse_way_s(p, fast, length_s, h.temp_cdegc)
    if other_s > way_s:
        way_s, rate = other_s, fast
    corroded = table(p.pulse_way_s, p.pulse_corroded_permille, way_s) * rate
    return table(p.pulse_way_s, p.pulse_share_permille, way_s) * 1000, min(corroded, 500000)


def rest_share_ppm(profile, rest_s):
    """Expected share of the isolated lithium that a discharged rest frees for the next plating to touch (Zhang24)."""
    return profile.rest_recover_permille * one_minus_exp(rest_s * 1000 // max(1, profile.rest_tau_s))
