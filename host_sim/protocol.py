"""Protocols as readable step strings, in the words that PyBaMM's users know.

    "Charge at 0.3C until 4.2 V"                  "Hold at 4.2 V until 0.1C"
    "Discharge at 3 mA/cm2 for 2 minutes"         "Rest for 6 hours at 45 degC"
    "Discharge at C/3 for 2 hours or until 3.0 V" "Plate at 0.5 mA/cm2 until 1 mAh/cm2"

A tuple of steps is one cycle, and so is a list of plain strings; a list with tuples in it is one cycle per entry.
The direction is in the word (Charge, Discharge), so every number in a step is a magnitude; inside, positive current
charges.
"""

import math
import re
from dataclasses import dataclass, replace

from host_sim.errors import InputError

EXAMPLE = "'Charge at 0.3C until 4.2 V', 'Hold at 4.2 V until 0.1C' or 'Discharge at 3 mA/cm2 for 2 minutes'"

_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
# unit -> (what it measures, factor to that quantity's unit)
_UNITS = {
    "c": ("c_rate", 1.0),
    "a": ("current_a", 1.0),
    "ma": ("current_a", 1e-3),
    "ua": ("current_a", 1e-6),
    "ma/cm2": ("areal_ma_cm2", 1.0),
    "ua/cm2": ("areal_ma_cm2", 1e-3),
    "a/m2": ("areal_ma_cm2", 0.1),
    "v": ("voltage_v", 1.0),
    "mv": ("voltage_v", 1e-3),
    "w": ("power_w", 1.0),
    "mw": ("power_w", 1e-3),
    "ah": ("charge_ah", 1.0),
    "mah": ("charge_ah", 1e-3),
    "mah/cm2": ("areal_mah_cm2", 1.0),
    **{unit: ("duration_s", seconds) for unit, seconds in _SECONDS.items()},
}
_LONGEST_S = 365 * 86400.0  # of one step
_VERBS = {"charge": 1, "plate": 1, "discharge": -1, "strip": -1, "hold": 0, "rest": 0}
_CURRENTS = ("c_rate", "current_a", "areal_ma_cm2")
_CHARGES = ("charge_ah", "areal_mah_cm2")
_NUMBER = r"[+]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_QUANTITY = re.compile(rf"(?:c\s*/\s*(?P<divisor>{_NUMBER})|(?P<number>{_NUMBER})\s*(?P<unit>[a-z%/0-9.]+))$")
_TEMPERATURE = re.compile(rf"\s+at\s+(-?{_NUMBER})\s*(?:degc|°c|oc|celsius)\b")


@dataclass(frozen=True)
class Step:
    """One step. `value` is a magnitude in the unit that `quantity` names; a limit that is not set is None."""

    text: str
    direction: int  # +1 charge, -1 discharge, 0 hold or rest
    quantity: str  # c_rate, current_a, areal_ma_cm2, voltage_v, power_w, or "rest"
    value: float
    duration_s: float | None = None
    until_v: float | None = None
    until_current: tuple[str, float] | None = None  # (quantity, value), a hold's end
    until_charge: tuple[str, float] | None = None  # (quantity, value), charge passed in this step
    temperature_degc: float | None = None  # of the surroundings; None keeps the run's

    def current_a(self, area_cm2, one_c_ma_cm2, which=None):
        """Magnitude in A of this step's current, or of `which` (quantity, value)."""
        quantity, value = which or (self.quantity, self.value)
        ampere = {"c_rate": one_c_ma_cm2 * area_cm2 / 1e3, "current_a": 1.0, "areal_ma_cm2": area_cm2 / 1e3}
        return value * ampere[quantity]


def parse(step):
    """Step of one step string (a Step passes through). Raises InputError naming the word that is not understood."""
    if isinstance(step, Step):
        return step
    if not isinstance(step, str):
        raise InputError(f"step {step!r}: is {type(step).__name__}, must be a string such as {EXAMPLE}")
    text = " ".join(step.split())
    rest = text.lower().replace("cm-2", "cm2").replace("cm²", "cm2").replace("cm^2", "cm2").replace("µ", "u")
    rest = re.sub(r"a\s*[ ./]\s*(cm2|m2)\b", r"a/\1", rest)
    rest = re.sub(r"ah\s*[ ./]\s*cm2\b", "ah/cm2", rest)
    verb, _, rest = rest.partition(" ")
    if verb not in _VERBS:
        word = text.split(" ")[0]
        raise InputError(
            f"step '{text}': unknown word '{word}', begin with Charge, Discharge, Hold or Rest, e.g. {EXAMPLE}"
        )
    temperature = _TEMPERATURE.search(" " + rest)
    if temperature:
        rest = _TEMPERATURE.sub("", " " + rest).strip()
    value_text, *clauses = re.split(r"\s*(?:\bor\s+)?\b(for|until)\s+|\s+(or)\s+", rest)
    step = _head(text, verb, value_text.strip())
    if temperature:
        step = replace(step, temperature_degc=float(temperature.group(1)))
    clauses = [part for part in clauses if part is not None]
    if len(clauses) % 2:
        raise InputError(f"step '{text}': nothing stands after '{clauses[-1].strip()}', e.g. {EXAMPLE}")
    for word, quantity in zip(clauses[::2], clauses[1::2], strict=True):
        step = _limit(step, word, quantity.strip())
    if step.duration_s is None and step.until_v is None and step.until_current is None and step.until_charge is None:
        raise InputError(f"step '{text}': has no end, add 'for …' or 'until …', e.g. {EXAMPLE}")
    return step


def _head(text, verb, value_text):
    if verb == "rest":
        if value_text:
            raise InputError(
                f"step '{text}': unknown word '{value_text.split()[0]}' after Rest, e.g. 'Rest for 6 hours'"
            )
        return Step(text, 0, "rest", 0.0)
    word, _, value_text = value_text.partition(" ")
    if word != "at":
        raise InputError(f"step '{text}': unknown word '{word}' where 'at' is needed, e.g. {EXAMPLE}")
    quantity, value = _quantity(text, value_text)
    allowed = ("voltage_v",) if verb == "hold" else (*_CURRENTS, "power_w")
    if quantity not in allowed:
        means = "a voltage in V" if verb == "hold" else "a current in C, A, mA or mA/cm2 or a power in W"
        raise InputError(
            f"step '{text}': '{value_text}' is not {means}, which {verb.capitalize()} needs, e.g. {EXAMPLE}"
        )
    if value == 0 and verb != "hold":
        raise InputError(f"step '{text}': '{value_text}' is zero, must be above 0 (to wait, say 'Rest for 1 hour')")
    return Step(text, _VERBS[verb], quantity, value)


def _quantity(text, words):
    """(quantity, value) of words like '0.3C', 'C/20', '3 mA/cm2', '2 minutes'."""
    match = _QUANTITY.match(words)
    if not match:
        raise InputError(f"step '{text}': '{words}' is not a number with a unit, e.g. {EXAMPLE}")
    if match["divisor"]:
        if float(match["divisor"]) == 0:
            raise InputError(f"step '{text}': '{words}' divides by zero, e.g. C/20")
        return "c_rate", 1.0 / float(match["divisor"])
    if match["unit"] not in _UNITS:
        raise InputError(
            f"step '{text}': unknown unit '{match['unit']}', known are C, A, mA, mA/cm2, V, W, mAh/cm2, seconds, "
            f"minutes, hours, e.g. {EXAMPLE}"
        )
    quantity, factor = _UNITS[match["unit"]]
    value = float(match["number"]) * factor
    if not math.isfinite(value):
        raise InputError(f"step '{text}': '{words}' is too large a number")
    return quantity, value


def _limit(step, word, words):
    quantity, value = _quantity(step.text, words)
    if word == "for" and quantity != "duration_s":
        raise InputError(
            f"step '{step.text}': 'for {words}' is not a time, e.g. 'for 2 minutes' (an end is 'until {words}')"
        )
    if quantity == "duration_s":
        if word == "until":
            raise InputError(f"step '{step.text}': 'until {words}' is a time, say 'for {words}'")
        name, limit = "duration_s", value
    elif quantity == "voltage_v":
        name, limit = "until_v", value
    elif quantity in _CURRENTS:
        name, limit = "until_current", (quantity, value)
    elif quantity in _CHARGES:
        name, limit = "until_charge", (quantity, value)
    else:
        raise InputError(f"step '{step.text}': '{words}' cannot end a step; a time, voltage, current or charge can")
    wrong = {
        "until_v": step.direction == 0,
        "until_current": step.quantity != "voltage_v",
        "until_charge": step.quantity not in _CURRENTS,
    }.get(name, False)
    if wrong:
        kinds = {
            "until_v": "Charge or Discharge",
            "until_current": "Hold",
            "until_charge": "Charge or Discharge at a current",
        }
        raise InputError(f"step '{step.text}': 'until {words}' can end only {kinds[name]}, e.g. {EXAMPLE}")
    if getattr(step, name) is not None:
        raise InputError(f"step '{step.text}': '{words}' sets the same end twice")
    if value <= 0 and name != "until_v":
        raise InputError(f"step '{step.text}': '{words}' is zero, must be above 0")
    if name == "duration_s" and value > _LONGEST_S:
        raise InputError(f"step '{step.text}': '{words}' is too long, allowed is up to {_LONGEST_S / 3600:g} hours")
    return replace(step, **{name: limit})


def cycles_of(protocol):
    """The protocol as a list of cycles, each a tuple of Steps. A string or a flat sequence of strings is one cycle."""
    if isinstance(protocol, str | Step):
        return [(parse(protocol),)]
    if not isinstance(protocol, list | tuple) or not protocol:
        raise InputError(
            f"protocol {protocol!r}: must be a step string, a tuple of them (one cycle) or a list of tuples; "
            f"steps are {EXAMPLE}"
        )
    if not any(isinstance(entry, list | tuple) for entry in protocol):
        return [tuple(parse(step) for step in protocol)]
    return [cycle for entry in protocol for cycle in cycles_of(entry)]


def repeat(cycle, times):
    """`times` of one cycle (or list of cycles), to stand in a longer protocol: [formation, *repeat(cycle, 50)]."""
    if not isinstance(times, int) or times < 1:
        raise InputError(f"repeat: times is {times!r}, must be a whole number from 1 up")
    return cycles_of(cycle) * times
