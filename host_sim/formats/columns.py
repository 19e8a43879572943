"""Which column of a cycler's table is what, in which unit and with which sign: found in the header, or told.

Told: `--columns MAP`, a TOML file or `key=value, …`, with the keys of `KEYS`. Positive current charges, in here.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from host_sim.errors import InputError

# quantity -> unit as cyclers write it -> what to multiply with for s, V, A, Ah, degC
UNITS = {
    "time": {"s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "hr": 3600.0,
             "hours": 3600.0, "d": 86400.0, "days": 86400.0},
    "voltage": {"v": 1.0, "mv": 1e-3, "uv": 1e-6},
    "current": {"a": 1.0, "ma": 1e-3, "ua": 1e-6, "na": 1e-9},
    "capacity": {"ah": 1.0, "mah": 1e-3, "uah": 1e-6, "as": 1 / 3600.0, "c": 1 / 3600.0},
    "temperature": {"degc": 1.0, "c": 1.0, "℃": 1.0, "k": 1.0, "degf": 1.0},
}  # fmt: skip
# what a column is, from its name without unit, spaces and signs; the first that is there is taken
NAMES = {
    "time": ("testtime", "totaltime", "elapsedtime", "recordtime", "runtime", "test", "time", "zeit"),
    "unix": ("unixtime",),
    "voltage": ("voltage", "cellvoltage", "ecell", "eweece", "ewe", "potential", "volts", "spannung", "u"),
    "current": ("current", "i", "amps", "strom"),
    "temperature": ("surfacetemperature", "surfacetemperaturet1", "celltemperature", "temperature", "auxtemperature1",
                    "temp1", "t1", "temp", "ambienttemperature"),
    "cycle": ("cyclecount", "cycleindex", "cyclenumber", "cycle", "cyc", "zyklus"),
    "step": ("stepcount", "stepindex", "stepnumber", "step", "ns"),
    "type": ("steptype", "stepname", "status", "state", "mode"),
    "charge": ("chargingcapacity", "chargecapacity", "chgcap", "chgcapacity", "qcharge"),
    "discharge": ("dischargingcapacity", "dischargecapacity", "dchgcap", "dchgcapacity", "qdischarge"),
}  # fmt: skip
QUANTITY = {"unix": "time", "charge": "capacity", "discharge": "capacity"}
REQUIRED = ("time", "voltage", "current")
SIGNS = ("charge-positive", "discharge-positive", "step-type")
KEYS = (*NAMES, "sign", "delimiter", "decimal", "header_row", "encoding", "time_format")
# a step's type in words (Neware, Arbin, Maccor, Biologic); discharge is looked for first, it contains "charge"
_DISCHARGING = re.compile(r"dis|dchg|dch|strip|entlad|放|^d$", re.I)
_CHARGING = re.compile(r"ch(ar)?g|charge|plat|lad|充|^c$", re.I)
_NAME = re.compile(r"^\s*(?P<name>.*?)\s*(?:[/\[(]\s*(?P<unit>[^/\])]*?)\s*[\])]?)?\s*$")


@dataclass
class Map:
    """What was told. Names are as in the header; `voltage` and `temperature` are lists, one per cell or sensor."""

    names: dict[str, list[str]] = field(default_factory=dict)
    sign: str = "charge-positive"
    delimiter: str = ""  # "": found out
    decimal: str = ""
    header_row: int = 0
    encoding: str = ""
    time_format: str = ""


@dataclass
class Column:
    """One column to read: its place in the row, and value = text * scale + offset."""

    name: str
    index: int
    scale: float = 1.0
    offset: float = 0.0


def parse(told: str | None) -> Map:
    """The map in a TOML file, or in the text itself. Raises InputError."""
    if not told:
        return Map()
    path = Path(told)
    if told.endswith(".toml"):
        try:
            entries = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", "it is no UTF-8 text")
            raise InputError(f"{path}: cannot be read ({why}); a column map is TOML") from None
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path}: {' '.join(str(error).split())}; a column map is TOML") from None
        source = str(path)
    else:
        entries, source = {}, "--columns"
        for part in re.split(r"\s*,\s*(?=\w+\s*=)", told.strip()):
            key, equals, value = part.partition("=")
            if not equals:
                raise InputError(f"--columns: {part!r} is no key=value; a map file's name ends in .toml")
            entries[key.strip()] = value.strip()
    return _map(entries, source)


def _map(entries: dict, source: str) -> Map:
    told = Map()
    for key, value in entries.items():
        if key not in KEYS:
            raise InputError(f"{source}: {key!r} is no key of a column map; allowed is {', '.join(KEYS)}")
        if key in NAMES:
            names = [part.strip() for part in value.split("|")] if isinstance(value, str) else value
            if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
                raise InputError(f"{source}: {key} is {value!r}, must be a column's name, or a list of names")
            if len(names) > 1 and key not in ("voltage", "temperature"):
                raise InputError(f"{source}: {key} has {len(names)} columns, allowed is 1")
            told.names[key] = names
        elif key == "header_row":
            if not str(value).isdigit() or not 1 <= int(value) <= 100_000:
                raise InputError(f"{source}: header_row is {value!r}, allowed is a line number, 1 to 100000")
            told.header_row = int(value)
        else:
            setattr(told, key, _text(source, key, value))
    return told


def _text(source: str, key: str, value) -> str:
    allowed = {"sign": SIGNS, "decimal": (".", ",", "point", "comma"),
               "delimiter": (",", ";", "|", "\t", "comma", "semicolon", "tab", "pipe")}  # fmt: skip
    value = value if value in allowed.get(key, ()) else str(value).strip("'\"").replace("\\t", "\t")
    if key in allowed and value not in allowed[key]:
        raise InputError(f"{source}: {key} is {value!r}, allowed is {', '.join(map(repr, allowed[key]))}")
    if key == "encoding":
        try:
            "".encode(value)
        except (LookupError, ValueError):
            raise InputError(f"{source}: encoding is {value!r}, allowed is one that Python knows, as utf-8") from None
    words = {"comma": ",", "point": ".", "semicolon": ";", "tab": "\t", "pipe": "|"}
    return words.get(value, value) if key in allowed else value


def split(name: str) -> tuple[str, str]:
    """(`testtime`, `s`) of `Test_Time(s)`, `Test Time / s`, `Test Time [s]`; the unit is `""` where none stands."""
    match = _NAME.match(name.replace("<", "").replace(">", ""))
    unit = (match["unit"] or "") if match else ""
    stem = match["name"] if match else name
    return re.sub(r"[^a-z0-9一-鿿]", "", stem.lower()), unit.lower().replace("µ", "u").replace("μ", "u").replace(
        "°", "deg"
    ).replace(" ", "")


def found(header: list[str], told: Map) -> dict[str, list[int]]:
    """Places of the columns in this header, told first, then by name. A required one may be missing."""
    places: dict[str, list[int]] = {}
    stems = [split(name) for name in header]
    for key, aliases in NAMES.items():
        if key in told.names:
            if all(name in header for name in told.names[key]):
                places[key] = [header.index(name) for name in told.names[key]]
            continue
        for alias in aliases:
            fits = [j for j, (stem, unit) in enumerate(stems) if stem == alias and _unit_fits(key, unit)]
            if fits:
                places[key] = fits[:1]
                break
    return places


def _unit_fits(key: str, unit: str) -> bool:
    quantity = QUANTITY.get(key, key)
    return not unit or quantity not in UNITS or unit in UNITS[quantity]


def column(path, header: list[str], key: str, index: int, notes: list[str]) -> Column:
    """The column with its scale to s, V, A, Ah or degC. Raises InputError for a unit that is none."""
    quantity, name = QUANTITY.get(key, key), header[index]
    if quantity not in UNITS:
        return Column(name, index)
    unit = split(name)[1]
    if not unit:
        base = {"time": "s", "voltage": "V", "current": "A", "capacity": "Ah", "temperature": "degC"}[quantity]
        notes.append(f"{path}: column {name!r} says no unit; {base} is taken")
        return Column(name, index)
    if unit not in UNITS[quantity]:
        allowed = ", ".join(UNITS[quantity])
        raise InputError(f"{path}: column {name!r} has the unit {unit!r}, allowed for {quantity} is {allowed}")
    if unit == "k":
        return Column(name, index, 1.0, -273.15)
    if unit == "degf":
        return Column(name, index, 5 / 9, -160 / 9)
    return Column(name, index, UNITS[quantity][unit])


def direction(step_type: str) -> int:
    """+1 for a step that charges, −1 for one that discharges, 0 for any other, from its name."""
    if _DISCHARGING.search(step_type):
        return -1
    return 1 if _CHARGING.search(step_type) else 0
