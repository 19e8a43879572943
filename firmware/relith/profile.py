"""One cell or pack as a JSON file: read, checked whole, and refused whole (safety rule 15).

Each figure is a whole number with its unit in its name. The ranges below are the compiled limits: a profile may tighten them, never
loosen them. docs/profile.md is made from this table, its comments included.
"""

import json
from binascii import crc32

from relith.scheduler import POLICIES

SCHEMA = 1

# name, low, high, # meaning
FIELDS = (
    ("schema", SCHEMA, SCHEMA),  # version of this table
    # -- cell
    ("cell_count", 1, 16),  # cells in series
    ("nominal_capacity_uah", 1000, 1000000000),  # what the ppm are of
    ("one_c_ua", 500, 4000000000),  # the current called 1C
    ("current_lsb_na", 1, 20000000),  # current monitor: one count
    ("electrode_area_mm2", 1, 1000000000),  # all electrodes together, for mAh/cm2 in reports
    ("cathode_capacity_ppm", 300000, 3000000),  # cathode's swing between its two ends, of nominal
    ("cathode_sigma_ppm", 0, 300000),  # and its spread
    ("cathode_fade_ppm", 0, 10000),  # of the swing, per equivalent full cycle
    ("reservoir_ppm", 0, 20000000),  # active lithium on the anode of a new, discharged cell; 0: anode-free
    ("reservoir_sigma_ppm", 0, 2000000),  # and its spread
    ("resistance_uohm", 1, 2000000000),  # of one cell, new, middle of its charge
    # -- voltages of one cell
    ("max_uv", 2000000, 4600000),  # end of charge
    ("min_uv", 1500000, 3600000),  # end of discharge
    ("soft_max_uv", 2000000, 4650000),  # above: charging is blocked
    ("soft_min_uv", 1400000, 3600000),  # below: discharging is blocked
    ("hard_max_uv", 2000000, 4700000),  # above: everything off, latched
    ("hard_min_uv", 1200000, 3500000),  # below: everything off, latched
    ("lockout_uv", 1000000, 3400000),  # below: locked out, survives a power loss
    ("rest_floor_uv", 1600000, 3800000),  # a discharged rest ends below it
    ("pack_sum_uv", 1000, 500000),  # sum of cells and pack reading may differ by so much
    # -- rates, per mille of 1C
    ("charge_max_permille", 1, 6000),  # what charger and user are allowed
    ("discharge_max_permille", 1, 10000),  # what load and user are allowed
    ("charge_soft_permille", 1, 6500),  # above: charging is blocked
    ("discharge_soft_permille", 1, 11000),  # above: discharging is blocked
    ("charge_hard_permille", 1, 7000),  # above: everything off, latched
    ("discharge_hard_permille", 1, 12000),  # above: everything off, latched
    ("taper_permille", 1, 500),  # a charge at max_uv is full when the current is down to this
    ("idle_permille", 1, 50),  # below: no current
    # -- temperatures
    ("charge_low_cdegc", -3000, 4000),  # charging is blocked below
    ("charge_high_cdegc", 1000, 6000),  # and above
    ("discharge_low_cdegc", -4000, 4000),  # discharging is blocked below
    ("discharge_high_cdegc", 1000, 7000),  # and above
    ("pulse_low_cdegc", 0, 4000),  # no pulse below
    ("pulse_high_cdegc", 1000, 5000),  # and above
    ("hard_high_cdegc", 2000, 7500),  # above: everything off, latched
    ("heating_cdegc_per_min", 50, 1000),  # a faster rise: everything off, latched
    # -- interventions: bounds
    ("pulse_max_permille", 1, 6000),  # strongest pulse
    ("pulse_max_s", 1, 1200),  # longest pulse
    ("pulse_budget_ppm", 0, 200000),  # most charge of one pulse
    ("day_budget_ppm", 0, 2000000),  # in a day
    ("life_budget_ppm", 0, 500000000),  # in the cell's life
    ("cooldown_s", 0, 2592000),  # from one pulse to the next
    ("rest_max_s", 1, 864000),  # longest rest
    ("full_charge_s", 0, 864000),  # kept free for charging before a deadline
    ("arm_days", 1, 366),  # longest consent
    ("calibration_days", 1, 3660),  # a calibration is good for so long
    ("storage_after_s", 600, 31536000),  # without current for so long: storage
    # -- sensors
    ("voltage_sigma_uv", 1, 100000),  # error of a cell voltage
    ("offset_sigma_ppm_per_h", 0, 100000),  # current offset left by rest calibration, ppm of nominal in an hour
    ("gain_sigma_ppm", 0, 100000),  # error of the current's gain
    # -- loss prior: at 25 degC, full depth, reference rates
    ("loss_isolated_ppm", 0, 500000),  # of stripped lithium
    ("loss_sei_ppm", 0, 500000),  # of plated lithium
    ("loss_isolated_spread_permille", 0, 5000),  # 1 sigma of a cell's own factor
    ("loss_sei_spread_permille", 0, 5000),  # the same
    ("corrosion_ppm_per_day", 0, 100000),  # of active lithium, charged, 25 degC
    # -- recovery prior
    ("pulse_early_ppm", 1, 5000000),  # isolated lithium slows as so much is stripped (1/e)
    ("rest_recover_permille", 0, 1000),  # share of the isolated lithium back after a long discharged rest
    ("rest_tau_s", 60, 864000),  # how long that takes (1/e)
    ("rest_local_permille", 0, 1000),  # how much of it while a reservoir remains
    ("recover_spread_permille", 0, 5000),  # 1 sigma of a cell's own factor
    # -- policy
    ("pulse_fixed_permille", 1, 6000),  # pulse of the fixed protocols
    ("pulse_fixed_s", 1, 1200),  # its length
    ("rest_fixed_s", 60, 864000),  # rest of the fixed protocols
    ("rest_period_s", 0, 31536000),  # from one to the next
    ("weight_hour_ppm", 0, 1000000),  # an hour of the user's time, in ppm of nominal capacity
    ("weight_charge_permille", 0, 100000),  # charge spent in a pulse
)

# Tables: x, least x, greatest x, y, least y, greatest y. Lists of one length, x rising.
TABLES = (
    (
        "ocv_content_ppm",
        0,
        1000000,
        "ocv_uv",
        1000000,
        4800000,
    ),  # rested voltage, falling with cathode lithium: 0 full charge
    ("loss_plate_rate_permille", 0, 20000, "loss_plate_factor_permille", 0, 20000),  # isolated loss against charge rate
    ("loss_strip_rate_permille", 0, 20000, "loss_strip_factor_permille", 0, 20000),  # against discharge rate
    ("loss_depth_permille", 0, 3000, "loss_depth_factor_permille", 0, 20000),  # against depth
    ("loss_temp_cdegc", -4000, 8000, "loss_temp_factor_permille", 0, 20000),  # against temperature
    ("pulse_rate_permille", 0, 20000, "pulse_speed_permille", 0, 100000),  # how fast isolated lithium moves
    ("pulse_way_s", 0, 100000, "pulse_share_permille", 0, 1000),  # share back after the way of so many seconds
)

# Texts: name, longest
TEXTS = (
    ("name", 60),  # what this cell is
    ("policy", 20),  # one of scheduler.POLICIES
    ("link_key", 60),  # what arms over the link; lies open here
)

# Each must not be above the next.
ORDER = (
    ("lockout_uv", "hard_min_uv", "soft_min_uv", "min_uv", "max_uv", "soft_max_uv", "hard_max_uv"),
    ("lockout_uv", "rest_floor_uv", "max_uv"),
    ("idle_permille", "taper_permille", "charge_max_permille", "charge_soft_permille", "charge_hard_permille"),
    ("discharge_max_permille", "discharge_soft_permille", "discharge_hard_permille"),
    ("idle_permille", "discharge_max_permille"),
    ("pulse_fixed_permille", "pulse_max_permille", "discharge_hard_permille"),
    ("pulse_fixed_s", "pulse_max_s"),
    ("pulse_budget_ppm", "day_budget_ppm", "life_budget_ppm"),
    ("rest_fixed_s", "rest_max_s"),
    ("charge_low_cdegc", "pulse_low_cdegc", "pulse_high_cdegc", "charge_high_cdegc", "hard_high_cdegc"),
    ("discharge_low_cdegc", "pulse_low_cdegc"),
    ("pulse_high_cdegc", "discharge_high_cdegc", "hard_high_cdegc"),
)

# what a mistaken unit may look like (longest first where one ends another)
_UNITS = (
    "ppm_per_h", "ppm_per_day", "ppm_per_cycle", "cdegc_per_min", "permille", "percent", "degc_per_min", "mdegc", "cdegc", "degc", "kelvin",
    "uah", "mah", "ah", "mohm", "uohm", "ohm", "mm2", "cm2", "m2", "days", "hours", "min", "h", "ms", "us", "s",
    "uv", "mv", "v", "ua", "ma", "na", "a", "ppm", "ppb", "pct", "c", "k",
)  # fmt: skip
_FLAT_PPM = 100000  # content that one sigma of voltage may stand for
_COUNT_MS_LOW, _COUNT_MS_HIGH = 36000, 4000000  # 1 ppm in count·ms: bounds of the ledger's arithmetic


class ProfileError(ValueError):
    """Message: one sentence naming file, field, value and allowed range."""


class Profile:
    """Every field as an attribute, tables as lists, and what follows from them in counts. Raises ProfileError."""

    def __init__(self, text, source="profile"):
        self.source = source
        self.crc30 = crc32(text if isinstance(text, (bytes, bytearray)) else text.encode()) & 0x3FFFFFFF  # which one it is
        data = _parsed(text, source)
        _check_names(data, source)
        for name, low, high in FIELDS:
            setattr(self, name, _number(data[name], name, low, high, source))
        for x, x_low, x_high, y, y_low, y_high in TABLES:
            setattr(self, x, _numbers(data[x], x, x_low, x_high, source))
            setattr(self, y, _numbers(data[y], y, y_low, y_high, source))
            self._check_table(x, y)
        for name, longest in TEXTS:
            value = data[name]
            if type(value) is not str or not 0 < len(value) <= longest:
                raise ProfileError(
                    "%s: %s is %s, must be a text of 1 to %d characters" % (source, name, _shown(value), longest)
                )
            setattr(self, name, value)
        if self.policy not in POLICIES:
            raise ProfileError('%s: policy is "%s", must be one of %s' % (source, self.policy, ", ".join(POLICIES)))
        self.policy = POLICIES.index(self.policy)
        self.link_key = self.link_key.encode()
        for chain in ORDER:
            for k in range(len(chain) - 1):
                self._check_order(chain[k], chain[k + 1])
        self._derive()

    def _check_order(self, low, high):
        a, b = getattr(self, low), getattr(self, high)
        if a > b:
            raise ProfileError("%s: %s is %d, must not be above %s, which is %d" % (self.source, low, a, high, b))

    def _check_table(self, x, y):
        xs, ys = getattr(self, x), getattr(self, y)
        if len(xs) != len(ys) or len(xs) < 2:
            raise ProfileError(
                "%s: %s has %d values and %s has %d, both must have the same number, 2 or more"
                % (self.source, x, len(xs), y, len(ys))
            )
        for k in range(1, len(xs)):
            if xs[k] <= xs[k - 1]:
                raise ProfileError("%s: %s must rise, but %d follows %d" % (self.source, x, xs[k], xs[k - 1]))
            if y == "ocv_uv" and ys[k] >= ys[k - 1]:
                raise ProfileError("%s: %s must fall, but %d follows %d" % (self.source, y, ys[k], ys[k - 1]))

    def _derive(self):
        lsb, source = self.current_lsb_na, self.source
        unit = (self.nominal_capacity_uah * 3600000 + lsb // 2) // lsb  # 1 ppm of nominal capacity in count·us
        self.ppm_count_ms, self.ppm_count_us = unit // 1000, unit % 1000
        if not _COUNT_MS_LOW <= self.ppm_count_ms < _COUNT_MS_HIGH:
            raise ProfileError(
                "%s: current_lsb_na is %d, must be %d to %d for this nominal_capacity_uah"
                % (source, lsb, self.nominal_capacity_uah * 3600 // _COUNT_MS_HIGH + 1, self.nominal_capacity_uah * 3600 // _COUNT_MS_LOW)
            )  # fmt: skip
        self.one_c_count = self.one_c_ua * 1000 // lsb
        strongest = max(self.charge_hard_permille, self.discharge_hard_permille)
        least = self.one_c_ua * strongest // ((1 << 19) - 1) + 1
        if lsb < least:
            raise ProfileError(
                "%s: current_lsb_na is %d, must be at least %d for the 20-bit monitor to see the hard current limits"
                % (source, lsb, least)
            )
        self.idle_count = self.one_c_count * self.idle_permille // 1000
        self.taper_count = self.one_c_count * self.taper_permille // 1000
        self.step_count = self.one_c_count // 20  # a step of current that shows resistance
        self.charge_max_count = self.one_c_count * self.charge_max_permille // 1000
        self.discharge_max_count = self.one_c_count * self.discharge_max_permille // 1000

    def sloping(self, uv):
        """A rested voltage, or 0 where the OCV curve is so flat that it says nothing of the cathode's content."""
        ppm, ocv = self.ocv_content_ppm, self.ocv_uv
        k = 1
        while k < len(ppm) - 1 and uv < ocv[k]:
            k += 1
        return uv if (ocv[k - 1] - ocv[k]) * _FLAT_PPM >= (ppm[k] - ppm[k - 1]) * self.voltage_sigma_uv else 0


def load(path):
    """The profile in a file. Raises ProfileError."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ProfileError("%s: cannot be read (%s)" % (path, error))
    return Profile(text, path)


def _parsed(text, source):
    try:
        data = json.loads(text)
    except (ValueError, UnicodeError):
        raise ProfileError("%s: is not whole JSON; a profile is one JSON object" % source)
    if type(data) is not dict:
        raise ProfileError("%s: must be one JSON object with a field for each figure" % source)
    return data


def _names():
    """Every field a profile has, in order."""
    names = [row[0] for row in FIELDS]
    for row in TABLES:
        names += [row[0], row[3]]
    names += [row[0] for row in TEXTS]
    return names + ["sources"]


def _stem(name):
    """A field's name without its unit."""
    for unit in _UNITS:
        if name.endswith("_" + unit):
            return name[: -len(unit) - 1]
    return name


def _check_names(data, source):
    """Every field there, none unknown; a wrong unit is named as such. `sources` says where the figures come from."""
    names = _names()
    given = sorted(data)
    if "schema" in data and data["schema"] != SCHEMA:
        raise ProfileError("%s: schema is %s, must be %d" % (source, _shown(data["schema"]), SCHEMA))
    missing = [name for name in names if name not in data]
    for name in given:
        if name not in names:
            for wanted in missing:
                if _stem(name) == _stem(wanted):
                    raise ProfileError("%s: %s has the wrong unit, expected %s" % (source, name, wanted))
            raise ProfileError("%s: %s = %s is not a field of a profile" % (source, name, _shown(data[name])))
    if missing:
        raise ProfileError("%s: %s is missing%s" % (source, missing[0], _range(missing[0])))
    if type(data["sources"]) is not dict or not data["sources"]:
        raise ProfileError("%s: sources must be an object that says where each figure comes from" % source)


def _range(name):
    for row in FIELDS:
        if row[0] == name:
            return ", a whole number from %d to %d" % row[1:]
    for row in TABLES:
        if row[0] == name:
            return ", a list of whole numbers from %d to %d" % row[1:3]
        if row[3] == name:
            return ", a list of whole numbers from %d to %d" % row[4:]
    return ""


def _number(value, name, low, high, source):
    if type(value) is not int:
        raise ProfileError(
            "%s: %s is %s, must be a whole number from %d to %d" % (source, name, _shown(value), low, high)
        )
    if not low <= value <= high:
        raise ProfileError("%s: %s is %d, must be from %d to %d" % (source, name, value, low, high))
    return value


def _numbers(values, name, low, high, source):
    if type(values) is not list or len(values) > 64:
        raise ProfileError("%s: %s is %s, must be a list of at most 64 whole numbers" % (source, name, _shown(values)))
    return [_number(value, name, low, high, source) for value in values]


def _shown(value):
    """A value for a message, short."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
