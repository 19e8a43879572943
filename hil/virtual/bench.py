"""What stands around a virtual board: a cell or string, a charger or load, switches, and the independent cut-off.

The reference schematic of docs/wiring.md in a few lines, and a cell no better than needed for a plausible voltage;
the cell that is true to the physics is host_sim's.
"""

from hil.chips.ads1115 import ADS1115
from hil.chips.bq76952 import BQ76952
from hil.chips.ina228 import INA228
from hil.virtual.hardware import Hardware

# as firmware/boards/base.py has them
SHUNT_OHM = 0.1
SINK_A = 1.0  # full scale of the pulse sink
ONE_SHOT_MS = 330_000
THERMISTOR_OHM, PULL_UP_OHM, SUPPLY_V = 10_000.0, 10_000.0, 3.3


class Bench:
    """`demand_a`: what charger (+) or load (−) carries if its switch conducts. `cells`: 1, or a string of 3 to 16."""

    def __init__(self, cells: int = 1, capacity_mah: float = 240.0, resistance_ohm: float = 0.9):
        self.cells = cells
        self.capacity_as = capacity_mah * 3.6
        self.resistance_ohm = resistance_ohm
        self.charge_share = 0.5
        self.demand_a = 0.0
        self.current_a = 0.0
        self.consent = 1
        self.stop = 0
        self.tripped = False  # the cut-off's latch; a person clears it
        self.hardware = Hardware(self.advance)
        bus = self.hardware.bus
        self.monitor = INA228(SHUNT_OHM)
        bus.add(0x40, self.monitor)
        self.adc = ADS1115()
        self.string = BQ76952(max(cells, 3))
        if cells == 1:
            bus.add(0x48, self.adc)
        else:
            bus.add(0x08, self.string)
        self._one_shot_ms = 0.0
        self._trigger = 0
        self.advance(0)

    @property
    def cell_v(self) -> float:
        """Of one cell: a straight line between 3.0 V empty and 4.2 V full, and its resistance."""
        return 3.0 + 1.2 * self.charge_share + self.current_a * self.resistance_ohm

    def advance(self, milliseconds: float) -> None:
        """Move everything by so long, and put the result on pins and chips."""
        pins = self.hardware.pins
        self.tripped |= self.monitor.alert
        if pins.get("trigger", 0) and not self._trigger and pins.get("enable", 0):
            self._one_shot_ms = ONE_SHOT_MS
        self._trigger = pins.get("trigger", 0)
        self._one_shot_ms = max(0.0, self._one_shot_ms - milliseconds) if pins.get("enable", 0) else 0.0
        pulse = self._one_shot_ms > 0 and not self.tripped
        charge = pins.get("charge", 0) and not self.tripped
        discharge = pins.get("discharge", 0) and not self.tripped
        self.current_a = self.demand_a if (charge if self.demand_a > 0 else discharge) else 0.0
        if pulse:
            self.current_a -= SINK_A * self.hardware.pwm.get("level", 0) / 65535
        self.charge_share += self.current_a * milliseconds / 1000 / self.capacity_as
        pins["charge_sense"], pins["discharge_sense"], pins["pulse_sense"] = int(charge), int(discharge), int(pulse)
        pins["trip"], pins["stop"], pins["consent"] = int(self.tripped), self.stop, self.consent
        volts = self.cell_v
        self.monitor.current_a = self.current_a
        self.monitor.bus_v = volts * self.cells
        node_v = SUPPLY_V * THERMISTOR_OHM / (THERMISTOR_OHM + PULL_UP_OHM)
        self.adc.inputs_v = [volts, 0.0, node_v, SUPPLY_V]
        used = [k < self.cells - 1 or k == 15 for k in range(16)]
        self.string.cells_v = [volts if on else 0.0 for on in used]
