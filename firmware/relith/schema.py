"""A profile checked against schema.txt: one sentence for what is wrong first, naming file, field, value and range."""

import json
from binascii import crc32

from relith import const
from relith.profile import ProfileError
from relith.scheduler import POLICIES

CRC = 0x4C6959D3  # of schema.txt: its ranges are the compiled limits, which a profile may tighten but never loosen
_COUNT_MS_LOW = const(36000)  # 1 ppm in count·ms: bounds of the ledger's arithmetic
_COUNT_MS_HIGH = const(4000000)
_COUNT_MAX = const((1 << 19) - 1)  # of the 20-bit monitor
_LONGEST = const(64)  # of a table


def rows():
    """schema.txt split at lines and spaces, comments left out. Raises ProfileError when it is not the known one."""
    with open(__file__[: __file__.rindex("/") + 1] + "schema.txt", "rb") as file:
        text = file.read()
    if crc32(text) != CRC:
        raise ProfileError("schema.txt: is damaged or of another version, must have the checksum %d" % CRC)
    return [line.split() for line in text.decode().split("\n") if line and line[0] != "#"]


def fill(profile, text, source):
    """Every field of the JSON `text` as an attribute of `profile`, when all are right. Raises ProfileError."""
    try:
        data = json.loads(text)
    except (ValueError, RuntimeError):
        data = None
    if type(data) is not dict:
        raise ProfileError(source + ": must be one whole JSON object with a field for each figure")
    known = rows()
    _check_names(data, known, source)
    for row in known:
        kind, name = row[0], row[1]
        if kind == "figure":
            _check(data[name], name, row[2:], source)
        elif kind == "table":
            _check_table(data, row, source)
        elif kind == "text":
            if type(data[name]) is not str or not 0 < len(data[name]) <= int(row[2]):
                _refuse(source, "%s is %s, must be a text of 1 to %s characters", name, _shown(data[name]), row[2])
        else:
            for k in range(1, len(row) - 1):
                low, high = row[k], row[k + 1]
                if data[low] > data[high]:
                    _refuse(source, "%s is %d, must not be above %s, which is %d", low, data[low], high, data[high])
    if data["policy"] not in POLICIES:
        _refuse(source, 'policy is "%s", must be one of %s', data["policy"], ", ".join(POLICIES))
    for row in known:
        if row[0] == "table":
            setattr(profile, row[4], data[row[4]])
        if row[0] != "order":
            setattr(profile, row[1], data[row[1]])
    profile.source = source
    profile.policy = POLICIES.index(profile.policy)
    profile.link_key = profile.link_key.encode()
    profile.crc30 = crc32(text.encode() if type(text) is str else text) & (1 << 30) - 1
    _derive(profile, source)


def _refuse(source, sentence, *values):
    raise ProfileError(source + ": " + sentence % values)


def _check_names(data, known, source):
    """Every field there, none unknown; a wrong unit is named as such. `sources` says where the figures come from."""
    ranges = {"sources": "an object that says where each figure comes from"}
    names = ["sources"]
    for row in known:
        if row[0] == "figure":
            ranges[row[1]] = "a whole number from %s to %s" % (row[2], row[3])
        elif row[0] == "table":
            ranges[row[1]] = "a list of whole numbers from %s to %s" % (row[2], row[3])
            ranges[row[4]] = "a list of whole numbers from %s to %s" % (row[5], row[6])
            names.append(row[4])
        elif row[0] == "text":
            ranges[row[1]] = "a text of 1 to %s characters" % row[2]
        else:
            continue
        names.append(row[1])
    missing = [name for name in names if name not in data]
    for name in sorted(data):
        if name not in ranges:
            for wanted in missing:
                if _same_but_unit(name, wanted):
                    _refuse(source, "%s has the wrong unit, must be %s, %s", name, wanted, ranges[wanted])
            _refuse(source, "%s = %s is not a field of a profile", name, _shown(data[name]))
    for name in missing:
        _refuse(source, "%s is missing, must be %s", name, ranges[name])
    if type(data["sources"]) is not dict or not data["sources"]:
        _refuse(source, "sources is %s, must be %s", _shown(data["sources"]), ranges["sources"])


def _check(value, name, bounds, source):
    low, high = int(bounds[0]), int(bounds[1])
    if type(value) is not int or not low <= value <= high:
        _refuse(source, "%s is %s, must be a whole number from %d to %d", name, _shown(value), low, high)


def _check_table(data, row, source):
    """Two lists of one length, the first rising; voltages fall."""
    for at in (1, 4):
        name = row[at]
        if type(data[name]) is not list or not 2 <= len(data[name]) <= _LONGEST:
            _refuse(source, "%s is %s, must be a list of 2 to %d whole numbers", name, _shown(data[name]), _LONGEST)
        for value in data[name]:
            _check(value, name, row[at + 1 :], source)
    x, y = row[1], row[4]
    xs, ys = data[x], data[y]
    if len(xs) != len(ys):
        _refuse(source, "%s has %d values and %s has %d, must have the same number", x, len(xs), y, len(ys))
    for k in range(1, len(xs)):
        if xs[k] <= xs[k - 1]:
            _refuse(source, "%s must rise, but %d follows %d", x, xs[k], xs[k - 1])
        if y == "ocv_uv" and ys[k] >= ys[k - 1]:
            _refuse(source, "%s must fall, but %d follows %d", y, ys[k], ys[k - 1])


def _derive(p, source):
    lsb = p.current_lsb_na
    unit = (p.nominal_capacity_uah * 3600000 + lsb // 2) // lsb  # 1 ppm of nominal capacity in count·us
    p.ppm_count_ms, p.ppm_count_us = unit // 1000, unit % 1000
    strongest = max(p.charge_hard_permille, p.discharge_hard_permille)
    least = max(p.nominal_capacity_uah * 3600 // _COUNT_MS_HIGH, p.one_c_ua * strongest // _COUNT_MAX) + 1
    most = p.nominal_capacity_uah * 3600 // _COUNT_MS_LOW
    if not least <= lsb <= most:  # the monitor must see beyond the hard limits, and not much farther
        _refuse(
            source, "current_lsb_na is %d, must be from %d to %d for this capacity and these limits", lsb, least, most
        )
    p.one_c_count = p.one_c_ua * 1000 // lsb
    p.idle_count = p.one_c_count * p.idle_permille // 1000
    p.taper_count = p.one_c_count * p.taper_permille // 1000
    p.step_count = p.one_c_count // 20  # a step of current that shows resistance
    p.charge_max_count = p.one_c_count * p.charge_max_permille // 1000
    p.discharge_max_count = p.one_c_count * p.discharge_max_permille // 1000


def _same_but_unit(name, wanted):
    """Do two names differ in their unit alone: the last word, or the last three when the middle one is `per`?"""
    words = wanted.split("_")
    stem = len(words) - (3 if "per" in words else 1)
    return name.split("_")[:stem] == words[:stem]


def _shown(value):
    """A value for a message, short."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
