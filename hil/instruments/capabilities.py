"""What the rig may ask of an instrument. A driver offers some of these; the dialect table says which.

Signs: current is positive *out of the instrument's positive terminal*. A supply that charges a cell therefore reads
positive; a load that discharges it reads negative, whatever its own display says. A `CellEmulator` stands in for the
cell, so it speaks of the *cell's* current: positive charges the emulated cell, as everywhere in this project.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Limits:
    """What an instrument may never pass; programmed into it before anything else. Volts and amperes, all >= 0."""

    voltage_v: float
    source_current_a: float = 0.0
    sink_current_a: float = 0.0


class Output(Protocol):
    """Anything with an output that can be switched."""

    def program_limits(self, limits: Limits) -> None: ...
    def sign_test(self) -> str: ...
    def on(self) -> None: ...
    def off(self) -> None: ...


class Meter(Protocol):
    def measure_voltage_v(self) -> float: ...
    def measure_current_a(self) -> float: ...


class Source(Output, Meter, Protocol):
    """Pushes current out, up to a voltage."""

    def set_voltage_v(self, voltage_v: float) -> None: ...
    def set_current_a(self, current_a: float) -> None: ...


class Sink(Output, Meter, Protocol):
    """Draws current in; `current_a` is a magnitude."""

    def set_sink_current_a(self, current_a: float) -> None: ...


class CellEmulator(Output, Meter, Protocol):
    """Holds a voltage and sources or sinks what the board draws."""

    def set_voltage_v(self, voltage_v: float) -> None: ...
    def cell_current_a(self) -> float: ...


class Chamber(Protocol):
    def set_temperature_degc(self, temperature_degc: float) -> None: ...
    def measure_temperature_degc(self) -> float: ...


class Relay(Protocol):
    """A contact in series with the cell; opening it is the bench's last resort."""

    def close_contact(self) -> None: ...
    def open_contact(self) -> None: ...
