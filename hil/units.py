"""Numbers with their units, as people write them in scenario and rig files: `"200 ms"`, `"4.25 V"`, `"0.3 mAh/cm2"`."""

from __future__ import annotations

import math

from host_sim.errors import InputError

# kind -> {unit: how many of the first unit it is}; the first is what the code gets
UNITS: dict[str, dict[str, float]] = {
    "time": {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0, "weeks": 604800.0},
    "voltage": {"V": 1.0, "mV": 1e-3},
    "current": {"A": 1.0, "mA": 1e-3, "uA": 1e-6},
    "temperature": {"degC": 1.0},
    "temperature_difference": {"degC": 1.0},
    "share": {"%": 0.01, "ppm": 1e-6},
    "charge": {"Ah": 1.0, "mAh": 1e-3},
    "areal_charge": {"mAh/cm2": 1.0},
    "area": {"cm2": 1.0},
    "resistance": {"ohm": 1.0, "kohm": 1e3, "mohm": 1e-3},
    "count": {"": 1.0, "times": 1.0},
    "rate": {"Hz": 1.0},
}


def quantity(value: object, kind: str, where: str) -> float:
    """The number in the first unit of `kind`. `where`: file and field, for the sentence. Raises InputError."""
    units = UNITS[kind]
    names = ", ".join(name for name in units if name) or "no unit"
    if kind == "count" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise InputError(f"{where}: {value!r} needs its unit, as text (allowed: {names})")
    number, _, unit = value.strip().partition(" ")
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount):
        raise InputError(f"{where}: '{value}' does not begin with a number (write for example '1 {next(iter(units))}')")
    if unit.strip() not in units:
        raise InputError(f"{where}: '{value}' has an unknown unit '{unit.strip()}' (allowed: {names})")
    return amount * units[unit.strip()]


def first_unit(kind: str) -> str:
    """The unit in which the code keeps a kind; shares are shown in %."""
    return "%" if kind == "share" else next(iter(UNITS[kind]))


def show(value: float, kind: str) -> str:
    """A number for people, with its unit."""
    if kind == "time":
        unit = next(u for u in ("d", "h", "min", "s", "ms") if abs(value) >= UNITS["time"][u] or u == "ms")
        return f"{value / UNITS['time'][unit]:.4g} {unit}"
    return f"{value / UNITS[kind][first_unit(kind)]:.4g} {first_unit(kind)}".strip()
