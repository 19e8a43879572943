"""A profile checked against schema.txt: one sentence for what is wrong first, naming file, field, value and range."""

import json
from binascii import crc32

from relith import const
from relith.profile import ProfileError, lines
from relith.scheduler import POLICIES

CRC = 0x340553DA  # of schema.txt: its ranges are the compiled limits, which a profile may tighten but never loosen
_COUNT_MS_LOW = const(36000)  # 1 ppm in count·ms: bounds of the ledger's arithmetic
_COUNT_MS_HIGH = const(4000000)
_COUNT_MAX = const((1 << 19) - 1)  # of the 20-bit monitor
_LONGEST = const(64)  # of a table
_MEMBERS = const(7)  # of an extra
# lines of refusals.txt, from 0; a line: a name, the words
_NOT_WHOLE = const(0)
_SOURCES = const(1)
_EXTRA = const(2)
_FIGURE = const(3)
_TEXT = const(4)
_TABLE = const(5)
_POLICY = const(6)
_UNKNOWN = const(7)
_MUST = const(8)
_MISSING = const(9)
_UNIT = const(10)
_ORDER = const(11)
_LENGTHS = const(12)
_RISE = const(13)
_FALL = const(14)
_LSB = const(15)
_ONE_C = const(16)
_SAID = const(0xF0E165D5)  # its CRC


def rows():
    """schema.txt split at lines and spaces. Raises ProfileError when it is not the known one."""
    return [line.split() for line in lines("schema.txt", CRC)]


def fill(profile, text, source):
    """Every field of the JSON `text` as an attribute of `profile`, when all are right. Raises ProfileError."""
    try:
        data = json.loads(text)
    except (ValueError, RuntimeError):
        data = None
    if type(data) is not dict:
        _refuse(source, _NOT_WHOLE)
    known = rows()
    short = {}  # NAME=SHORT in the schema.txt of an image: its code knows the field by another name (hil/names.py)
    for row in known:
        for at in (1, 4):
            if at < len(row) and "=" in row[at]:
                row[at], _, name = row[at].partition("=")
                short[row[at]] = name
    # field: a line of refusals.txt and what stands in it
    wanted = {"sources": (_SOURCES,)}  # type: dict[str, tuple]
    for row in known:
        if row[0] == "extra" and row[1] in data:
            wanted[row[1]] = _EXTRA, _MEMBERS
        elif row[0] == "figure":
            wanted[row[1]] = _FIGURE, row[2], row[3]
        elif row[0] == "text":
            wanted[row[1]] = _TEXT, row[2]
        elif row[0] == "table":
            for at in (1, 4):
                wanted[row[at]] = _TABLE, _LONGEST, row[at + 1], row[at + 2]
    _check_names(data, wanted, source)
    profile.named = []
    for row in known:
        if row[0] == "extra":
            values = None
            if row[1] in data:
                given = data[row[1]]
                if type(given) is not dict or len(given) != _MEMBERS:
                    _must(source, row[1], given, wanted[row[1]])
                values = []
                for k in range(2, 2 + 3 * _MEMBERS, 3):
                    value = given.get(row[k])
                    _check(source, row[1] + "." + row[k], value, (_FIGURE, row[k + 1], row[k + 2]))
                    values.append(value)
            profile.named.append(values)
            continue
        if row[0] == "order":
            for k in range(1, len(row) - 1):
                low, high = row[k], row[k + 1]
                if data[low] > data[high]:
                    _refuse(source, _ORDER, low, data[low], high, data[high])
            continue
        for at in (1, 4) if row[0] == "table" else (1,):
            name = row[at]
            _check(source, name, data[name], wanted[name])
            setattr(profile, short.get(name, name), data[name])
        if row[0] == "table":
            _check_table(source, row[1], data[row[1]], row[4], data[row[4]])
    if not data["sources"] or type(data["sources"]) is not dict:
        _must(source, "sources", data["sources"], wanted["sources"])
    if profile.policy not in POLICIES:
        _must(source, "policy", profile.policy, (_POLICY, ", ".join(POLICIES)))
    profile.source = source
    profile.policy = POLICIES.index(profile.policy)
    profile.link_key = profile.link_key.encode()
    profile.crc30 = crc32(text.encode() if type(text) is str else text) & (1 << 30) - 1
    _derive(profile, source)


def _refuse(source, *said):
    raise ProfileError(source + ": " + _words(said))


def _words(said):
    """A line of refusals.txt, read when there is something to refuse, with what stands in it."""
    line = lines("refusals.txt", _SAID)[said[0]]
    return line[line.index(" ") + 1 :] % said[1:]


def _check_names(data, wanted, source):
    """Every field there, none unknown; a wrong unit is named as such."""
    for name in sorted(data):
        if name not in wanted:
            for other in sorted(wanted):
                if other not in data and _same_but_unit(name, other):
                    _refuse(source, _UNIT, name, other, _words(wanted[other]))
            _must(source, name, data[name], (_UNKNOWN,))
    for name in sorted(wanted):
        if name not in data:
            _refuse(source, _MISSING, name, _words(wanted[name]))


def _must(source, name, value, wanted):
    text = repr(value)
    _refuse(source, _MUST, name, text if len(text) <= 40 else text[:37] + "...", _words(wanted))


def _check(source, name, value, wanted):
    """Is a value a figure, a text or a list as wanted?"""
    if wanted[0] == _TEXT:
        fits = type(value) is str and 0 < len(value) <= int(wanted[1])
    elif wanted[0] == _FIGURE:
        fits = _within(value, wanted)
    else:
        fits = type(value) is list and 2 <= len(value) <= _LONGEST
        if fits:
            for number in value:
                if not _within(number, wanted):
                    _must(source, "a number of " + name, number, wanted)
    if not fits:
        _must(source, name, value, wanted)


def _within(value, wanted):
    return type(value) is int and int(wanted[-2]) <= value <= int(wanted[-1])


def _check_table(source, x, xs, y, ys):
    """Two lists of one length, the first rising; rested voltage falls."""
    if len(xs) != len(ys):
        _refuse(source, _LENGTHS, x, len(xs), y, len(ys))
    for k in range(1, len(xs)):
        if xs[k] <= xs[k - 1]:
            _refuse(source, _RISE, x, xs[k], xs[k - 1])
        if y == "ocv_uv" and ys[k] >= ys[k - 1]:
            _refuse(source, _FALL, y, ys[k], ys[k - 1])


def _derive(p, source):
    lsb = p.current_lsb_na
    unit = (p.nominal_capacity_uah * 3600000 + lsb // 2) // lsb  # 1 ppm of nominal capacity in count·us
    p.ppm_count_ms, p.ppm_count_us = unit // 1000, unit % 1000
    strongest = max(p.charge_hard_permille, p.discharge_hard_permille)
    least = max(p.nominal_capacity_uah * 3600 // _COUNT_MS_HIGH, p.one_c_ua * strongest // _COUNT_MAX) + 1
    most = p.nominal_capacity_uah * 3600 // _COUNT_MS_LOW
    if not least <= lsb <= most:  # the monitor must see beyond the hard limits, and not much farther
        _refuse(source, _LSB, lsb, least, most)
    p.one_c_count = p.one_c_ua * 1000 // lsb
    if p.one_c_count < 1000:
        _refuse(source, _ONE_C, p.one_c_ua, lsb)
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
