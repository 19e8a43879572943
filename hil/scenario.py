"""A scenario: a TOML file that says, in words, what happens to a board and what must then be seen.

Readable by someone who does not program; `docs/rig.md` explains every field with an example. Everything is checked
when the file is read: an unknown field, component, unit or word is one sentence with file and field (`InputError`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relith.profile import Profile, ProfileError

from hil import tables
from hil.condition import Condition, Span, parse_condition, parse_span
from hil.signals import TRUTH
from hil.tables import Table
from hil.units import quantity
from host_sim.cell import SETS, WORLDS
from host_sim.errors import InputError
from host_sim.profiles import checked
from host_sim.tables import EXTRAS
from host_sim.uses import USES

FOLDER = Path(__file__).parent / "scenarios"
PROFILES = Path(__file__).parent.parent / "firmware" / "profiles"
VERBS = ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")
# a verb's magnitude: unit kind, whether it must be given; a sensor that is wrong may be so by a share or by an amount
MAGNITUDES = {
    "wrong": ("share", True),
    "slow": ("time", True),
    "delayed": ("time", True),
    "intermittent": ("share", True),
}
SENSORS = ("current", "charge", "temperature", "clock")
SWITCHES = ("charge_switch", "discharge_switch", "pulse_sink", "cut_off")
BOARD = ("flash", "link")
ROOM_DEGC = 25.0

# what a person, the world or the bench does: name -> {field: (unit kind, required)}
ACTIONS: dict[str, dict[str, tuple[str, bool]]] = {
    "mark": {},  # nothing but a name for this moment
    "commission": {},
    "arm": {"days": ("count", True)},
    "disarm": {},
    "stop": {},
    "resume": {},
    "clear": {},
    "store": {},
    "use": {},
    "calendar": {"free": ("time", True), "full_in": ("time", False)},
    "quiet": {"from": ("time", True), "until": ("time", True)},
    "set_clock": {"days": ("count", True), "time_of_day": ("time", True)},
    "read_black_box": {},
    "extra": {"which": ("extra", True), "uses": ("count", True)},
    "calibrate": {"offset": ("current", True), "gain": ("share", True)},
    "stop_line": {"for": ("time", False)},
    "consent_withdrawn": {"for": ("time", False)},
    "hardware_trip": {"for": ("time", False)},
    "power_cut": {"for": ("time", False)},
    "watchdog_reset": {},
    "cable_pulled": {"for": ("time", False)},
    "charge_anyway": {"current": ("current", True), "for": ("time", True), "voltage": ("voltage", False)},
    "draw_anyway": {"current": ("current", True), "for": ("time", True)},
    "soft_short": {"resistance": ("resistance", True), "for": ("time", False)},
    "swap_cell": {},
    "journal_damaged": {"slots": ("slots", True)},
    "upload_profile": {"profile": ("profile", True)},
    "frame_garbage": {"bytes": ("count", True)},
    "replay_frames": {},
    "ambient": {"temperature": ("temperature", True)},
}


@dataclass(frozen=True)
class Moment:
    """When something happens: at a time since the start, or `delay_s` after a condition is first met."""

    at_s: float | None
    when: Condition | None
    delay_s: float


@dataclass(frozen=True)
class Happening:
    """An event or a fault. `values`: numbers in the first unit of their kind, or words. `for_s`: None = for good."""

    name: str
    moment: Moment
    action: str
    values: dict[str, Any]
    for_s: float | None


@dataclass(frozen=True)
class Expectation:
    """`kind`: within, never, eventually. `after`/`until`: names of happenings, `start` or `end`, with a delay in s."""

    kind: str
    text: str
    condition: Condition | Span
    after: tuple[str, float]
    until: tuple[str, float]
    before_s: float | None
    what: str


@dataclass(frozen=True)
class Scenario:
    name: str
    path: Path
    title: str
    about: str
    shows: tuple[str, ...]
    quick: bool
    profile: Profile
    profile_name: str
    profile_text: str
    cell: dict[str, Any]
    life: dict[str, Any]
    use: dict[str, Any]
    weather_degc: float
    duration_s: float
    longest_s: float | None
    seed: int
    sensors: str
    until: Condition | None
    happenings: tuple[Happening, ...]
    expectations: tuple[Expectation, ...]
    needs: frozenset[str] = field(default_factory=frozenset)


def find(name: str) -> Path:
    """A scenario's file by its name or path. Raises InputError."""
    if found := tables.find(name, FOLDER):
        return found
    raise InputError(f"{name}: no such scenario (there are {len(every())} in {FOLDER.name}/; `relith-hil run --list`)")


def every() -> list[Path]:
    """The files of all scenarios that come with the rig, by name."""
    return sorted(FOLDER.glob("*.toml"))


def read_profile(name: str, changes: dict[str, Any], path: Path) -> tuple[Profile, str]:
    """A profile of `firmware/profiles` by its name, or beside the scenario by its file name; some fields changed.

    Returns it checked, and as text.
    """
    file = path.parent / name if name.endswith(".json") else PROFILES / f"{name}.json"
    try:
        data = checked(file.read_bytes(), f"{path.name}: profile {name}")
    except OSError:
        known = ", ".join(sorted(one.stem for one in PROFILES.glob("*.json")))
        raise InputError(f"{path.name}: profile '{name}' is not a readable profile (there are {known})") from None
    try:
        text = json.dumps(data | changes)
        return Profile(text, f"{path.name}: profile {name}"), text
    except ProfileError as error:
        raise InputError(str(error)) from None


def load(path: Path | str) -> Scenario:
    """Read and check one scenario. Raises InputError with file and field."""
    return parse(*tables.read(path))


def parse(data: dict[str, Any], path: Path) -> Scenario:
    top = Table(path.name, "", data, "scenario")
    cell, use, run = top.table("cell"), top.table("use"), top.table("run")
    cell_values = {
        "parameters": cell.word("parameters", tuple(SETS), "liu21-carbonate"),
        "world": cell.word("world", tuple(WORLDS), "redealt"),
        "charge": cell.number("charge", "share", 0.0),
    }
    if not 0.0 <= cell_values["charge"] <= 1.0:
        raise InputError(f"{cell.where('charge')} is {cell_values['charge']:.0%} (allowed: 0 % … 100 %)")
    cell.done()
    profile_name = top.take("profile")
    profile, profile_text = read_profile(profile_name, top.table("profile_changes").data, path)
    life = top.table("life")
    life_values = {
        "cycles": life.take("cycles", 0, int),
        "commissioned": life.take("commissioned", True, bool),
        "armed": life.take("armed", False, bool),
    }
    if not 0 <= life_values["cycles"] <= 1000:
        raise InputError(f"{life.where('cycles')} is {life_values['cycles']} (allowed: 0 … 1000)")
    life.done()
    use_values = {
        "kind": use.word("kind", (*USES, "none"), "lab"),
        "begins": use.word("begins", ("charge", "discharge"), "charge"),
        "obeys": use.take("obeys", True, bool),
        "start": use.number("start", "time", 0.0),
        "charge": use.number("charge", "current", None),
        "discharge": use.number("discharge", "current", None),
    }
    use.done()
    duration_s = run.number("for", "time")
    if not 0 < duration_s <= 20 * 365 * 86400:
        raise InputError(f"{run.where('for')} is {duration_s:g} s (allowed: more than 0, up to 20 years)")
    longest_s = run.number("longest_step", "time", None)
    seed = run.take("seed", 1, int)
    sensors = run.word("sensors", ("ideal", "typical", "drawn"), "typical")
    until_text = run.take("until", None)
    until = parse_condition(until_text, run.where("until")) if until_text else None
    run.done()
    weather = top.table("weather")
    weather_degc = weather.number("temperature", "temperature", ROOM_DEGC)
    weather.done()

    happenings = [_event(table, n) for n, table in enumerate(top.tables("event"), 1)]
    happenings += [_fault(table, n, profile.cell_count) for n, table in enumerate(top.tables("fault"), 1)]
    names = [one.name for one in happenings]
    for name in names:
        if names.count(name) > 1 or name in ("start", "end"):
            raise InputError(f"{path.name}: two things are called '{name}'")
    expectations = tuple(_expectation(table, names) for table in top.tables("expect"))
    if not expectations:
        raise InputError(f"{path.name}: expect is missing: a scenario must expect something")
    scenario = Scenario(
        name=path.stem,
        path=path,
        title=top.take("title"),
        about=top.take("about", ""),
        shows=tuple(top.take("shows", [], list)),
        quick=top.take("quick", False, bool),
        profile=profile,
        profile_name=profile_name,
        profile_text=profile_text,
        cell=cell_values,
        life=life_values,
        use=use_values,
        weather_degc=weather_degc,
        duration_s=duration_s,
        longest_s=longest_s,
        seed=seed,
        sensors=sensors,
        until=until,
        happenings=tuple(happenings),
        expectations=expectations,
        needs=_needs(happenings, expectations, duration_s, life_values, cell_values["charge"] > 0.0),
    )
    top.done()
    return scenario


def _moment(table: Table) -> Moment:
    at_s = table.number("at", "time", None)
    when = table.take("when", None)
    delay_s = table.number("after", "time", 0.0)
    if (at_s is None) == (when is None):
        raise InputError(f"{table.where()} needs either 'at' (a time) or 'when' (a condition)")
    return Moment(at_s, parse_condition(when, table.where("when")) if when else None, delay_s)


def _event(table: Table, n: int) -> Happening:
    name = table.take("name", f"event {n}")
    moment = _moment(table)
    action = table.word("do", tuple(ACTIONS))
    values: dict[str, Any] = {}
    for key, (kind, required) in ACTIONS[action].items():
        if key == "for":
            continue
        if kind == "profile":
            values[key] = table.take(key)
        elif kind == "slots":
            values[key] = table.word(key, ("newest", "both"))
        elif kind == "extra":
            values[key] = table.word(key, EXTRAS)
        else:
            values[key] = table.number(key, kind, ... if required else None)
    for_s = None
    if "for" in ACTIONS[action]:
        for_s = table.number("for", "time", ... if ACTIONS[action]["for"][1] else None)
    table.done()
    return Happening(name, moment, action, values, for_s)


def _fault(table: Table, n: int, series: int) -> Happening:
    name = table.take("name", f"fault {n}")
    moment = _moment(table)
    components = (*SENSORS, *(f"cell{k}" for k in range(series)), *SWITCHES, *BOARD)
    component = table.word("component", components)
    verb = table.word("verb", VERBS)
    magnitude = 0.0
    if verb in MAGNITUDES:
        magnitude = table.number("by", *MAGNITUDES[verb][:1])
    for_s = table.number("for", "time", None)
    table.done()
    return Happening(name, moment, "fault", {"component": component, "verb": verb, "magnitude": magnitude}, for_s)


def _anchor(table: Table, key: str, default: str, names: list[str]) -> tuple[str, float]:
    """`"short + 200 ms"`: a happening (or `start`, `end`) and a delay; a bare time counts from the start."""
    text = table.take(key, default)
    name, _, delay = (part.strip() for part in text.partition("+"))
    known = [*names, *(f"end of {one}" for one in names), "start", "end"]
    if name in known:
        return name, quantity(delay, "time", table.where(key)) if delay else 0.0
    if name[:1].isdigit():
        return "start", quantity(text, "time", table.where(key))
    raise InputError(f"{table.where(key)} is '{name}' (allowed: a time, or {', '.join(known)})")


def _expectation(table: Table, names: list[str]) -> Expectation:
    kinds = [kind for kind in ("within", "never", "eventually") if kind in table.data]
    if len(kinds) != 1:
        raise InputError(f"{table.where()} needs exactly one of within, never, eventually")
    kind = kinds[0]
    text = table.take(kind)
    condition = parse_span(text, table.where(kind)) if kind == "within" else parse_condition(text, table.where(kind))
    before_s = table.number("before", "time", None)
    if before_s is not None and kind != "eventually":
        raise InputError(f"{table.where('before')} goes with eventually only")
    after = _anchor(table, "after", "start", names)
    until = _anchor(table, "until", "end", names)
    what = table.take("what", "")
    table.done()
    return Expectation(kind, text, condition, after, until, before_s, what)


LOCKSTEP_S = 1800.0  # longer than this is not waited for in real time


def _needs(
    happenings: list[Happening],
    expectations: tuple[Expectation, ...],
    duration_s: float,
    life: dict[str, Any],
    charged: bool,
) -> frozenset[str]:
    """What a rig must be able to do; `hil.rigs.WORDS` says what each is."""
    needs = set()
    for one in happenings:
        if one.action == "fault":
            component = one.values["component"]
            if component == "flash":
                needs.add("flash" if one.values["verb"] == "off" else "storage")
            else:
                needs.add("switches" if component in SWITCHES else "link" if component == "link" else "sensors")
        elif one.action in ("power_cut", "watchdog_reset"):
            needs.add("power")
        elif one.action == "journal_damaged":
            needs.add("past")
        elif one.action in ("cable_pulled", "frame_garbage", "replay_frames"):
            needs.add("link")
        elif one.action in ("soft_short", "swap_cell", "ambient", "charge_anyway", "draw_anyway"):
            needs.add("truth")
        elif one.action in ("stop_line", "consent_withdrawn", "hardware_trip"):
            needs.add("sensors")
    if any(signal.source == TRUTH for one in expectations for signal in one.condition.signals()):
        needs.add("truth")
    if any(signal.name == "rig_build" for one in expectations for signal in one.condition.signals()):
        needs.add("injection")
    if any(life.values()) or charged:
        needs.add("past")
    if duration_s > LOCKSTEP_S:
        needs.add("fast")
    return frozenset(needs)
