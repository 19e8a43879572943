"""One cell or pack as a JSON file: read, checked whole, and refused whole (safety rule 15). The fields stand in
schema.txt.

Every figure is a whole number with its unit in its name.
"""

import json
from binascii import crc32

from relith import const
from relith.scheduler import POLICIES

SCHEMA_CRC = 0xE18BADAE  # of schema.txt
_FLAT_PPM = const(100000)  # content that one sigma of voltage may stand for
_COUNT_MS_LOW = const(36000)  # 1 ppm in count·ms: bounds of the ledger's arithmetic
_COUNT_MS_HIGH = const(4000000)
_COUNT_MAX = const((1 << 19) - 1)  # of the 20-bit monitor
_LONGEST = const(64)  # of a table


class ProfileError(ValueError):
    """Message: one sentence naming file, field, value and allowed range."""


def schema():
    """The rows of schema.txt, split at spaces. Raises ProfileError when the file is not the one this code knows."""
    with open(__file__[: __file__.rindex("/") + 1] + "schema.txt", "rb") as file:
        text = file.read()
    if crc32(text) != SCHEMA_CRC:
        raise ProfileError("schema.txt: is damaged or of another version, must have the checksum %d" % SCHEMA_CRC)
    return [line.split() for line in text.decode().split("\n") if line and line[0] != "#"]


class Profile:
    """Every field as an attribute, tables as lists, and what follows from them in counts. Raises ProfileError."""

    def __init__(self, text, source="profile"):
        self.source = source
        try:
            data = json.loads(text)
        except (ValueError, RuntimeError):
            data = None
        if type(data) is not dict:
            raise ProfileError(source + ": must be one whole JSON object with a field for each figure")
        self.crc30 = crc32(text.encode() if type(text) is str else text) & (1 << 30) - 1
        rows = schema()
        self._check_names(data, rows)
        for row in rows:
            if row[0] == "figure":
                self._figure(data, row[1], int(row[2]), int(row[3]))
            elif row[0] == "table":
                self._list(data, row[1], int(row[2]), int(row[3]))
                self._list(data, row[4], int(row[5]), int(row[6]))
                self._check_table(row[1], row[4])
            elif row[0] == "text":
                value = data[row[1]]
                if type(value) is not str or not 0 < len(value) <= int(row[2]):
                    self._refuse("%s is %s, must be a text of 1 to %s characters", row[1], _shown(value), row[2])
                setattr(self, row[1], value)
            else:
                for k in range(1, len(row) - 1):
                    low, high = getattr(self, row[k]), getattr(self, row[k + 1])
                    if low > high:
                        self._refuse("%s is %d, must not be above %s, which is %d", row[k], low, row[k + 1], high)
        if self.policy not in POLICIES:
            self._refuse('policy is "%s", must be one of %s', self.policy, ", ".join(POLICIES))
        self.policy = POLICIES.index(self.policy)
        self.link_key = self.link_key.encode()
        self._derive()

    def sloping(self, uv):
        """A rested voltage, or 0 where the OCV curve is so flat that it says nothing of the cathode's content."""
        ppm, ocv = self.ocv_content_ppm, self.ocv_uv
        k = 1
        while k < len(ppm) - 1 and uv < ocv[k]:
            k += 1
        return uv if (ocv[k - 1] - ocv[k]) * _FLAT_PPM >= (ppm[k] - ppm[k - 1]) * self.voltage_sigma_uv else 0

    # -- inside --------------------------------------------------------------------------------------------

    def _refuse(self, sentence, *values):
        raise ProfileError(self.source + ": " + sentence % values)

    def _check_names(self, data, rows):
        """Every field there, none unknown; a wrong unit is named as such. `sources` says where the figures come
        from.
        """
        ranges = {"sources": " an object that says where each figure comes from"}
        missing = []
        for kind, *row in rows:
            if kind == "figure":
                ranges[row[0]] = " a whole number from %s to %s" % (row[1], row[2])
            elif kind == "table":
                ranges[row[0]] = " a list of whole numbers from %s to %s" % (row[1], row[2])
                ranges[row[3]] = " a list of whole numbers from %s to %s" % (row[4], row[5])
            elif kind == "text":
                ranges[row[0]] = " a text"
        for name in sorted(ranges):
            if name not in data:
                missing.append(name)
        for name in sorted(data):
            if name not in ranges:
                for wanted in missing:
                    if _same_but_unit(name, wanted):
                        self._refuse("%s has the wrong unit, expected %s,%s", name, wanted, ranges[wanted])
                self._refuse("%s = %s is not a field of a profile", name, _shown(data[name]))
        if missing:
            self._refuse("%s is missing,%s", missing[0], ranges[missing[0]])
        if type(data["sources"]) is not dict or not data["sources"]:
            self._refuse("sources is %s, must be%s", _shown(data["sources"]), ranges["sources"])

    def _check(self, value, name, low, high):
        if type(value) is not int or not low <= value <= high:
            self._refuse("%s is %s, must be a whole number from %d to %d", name, _shown(value), low, high)

    def _figure(self, data, name, low, high):
        self._check(data[name], name, low, high)
        setattr(self, name, data[name])

    def _list(self, data, name, low, high):
        values = data[name]
        if type(values) is not list or not 2 <= len(values) <= _LONGEST:
            self._refuse("%s is %s, must be a list of 2 to %d whole numbers", name, _shown(values), _LONGEST)
        for value in values:
            self._check(value, name, low, high)
        setattr(self, name, values)

    def _check_table(self, x, y):
        xs, ys = getattr(self, x), getattr(self, y)
        if len(xs) != len(ys):
            self._refuse("%s has %d values and %s has %d, must have the same number", x, len(xs), y, len(ys))
        for k in range(1, len(xs)):
            if xs[k] <= xs[k - 1]:
                self._refuse("%s must rise, but %d follows %d", x, xs[k], xs[k - 1])
            if y == "ocv_uv" and ys[k] >= ys[k - 1]:
                self._refuse("%s must fall, but %d follows %d", y, ys[k], ys[k - 1])

    def _derive(self):
        lsb = self.current_lsb_na
        unit = (self.nominal_capacity_uah * 3600000 + lsb // 2) // lsb  # 1 ppm of nominal capacity in count·us
        self.ppm_count_ms, self.ppm_count_us = unit // 1000, unit % 1000
        strongest = max(self.charge_hard_permille, self.discharge_hard_permille)
        least = self.nominal_capacity_uah * 3600 // _COUNT_MS_HIGH + 1
        least = max(least, self.one_c_ua * strongest // _COUNT_MAX + 1)  # the monitor must see beyond the hard limits
        most = self.nominal_capacity_uah * 3600 // _COUNT_MS_LOW
        if not least <= lsb <= most:
            self._refuse("current_lsb_na is %d, must be %d to %d with these capacities and currents", lsb, least, most)
        self.one_c_count = self.one_c_ua * 1000 // lsb
        self.idle_count = self.one_c_count * self.idle_permille // 1000
        self.taper_count = self.one_c_count * self.taper_permille // 1000
        self.step_count = self.one_c_count // 20  # a step of current that shows resistance
        self.charge_max_count = self.one_c_count * self.charge_max_permille // 1000
        self.discharge_max_count = self.one_c_count * self.discharge_max_permille // 1000


def load(path):
    """The profile in a file. Raises ProfileError."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ProfileError("%s: cannot be read (%s)" % (path, error)) from None
    return Profile(text, path)


def _same_but_unit(name, wanted):
    """Do two names differ in their unit alone? A unit is the last word, or the last three when the middle one is
    `per`.
    """
    words = wanted.split("_")
    stem = len(words) - (3 if "per" in words else 1)
    return name.split("_")[:stem] == words[:stem]


def _shown(value):
    """A value for a message, short."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
