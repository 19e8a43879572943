"""The board's power side: charge and discharge switches, the pulse sink, and the independent cut-off that bounds it.

The cut-off is hardware of its own (a one-shot and a current comparator): it ends a pulse whatever the firmware does.
"""

from __future__ import annotations

import math

from host_sim.cell import Control
from host_sim.cell.layout import CURRENT, VOLTAGE
from host_sim.sensors import VERBS

COMPONENTS = ("charge_switch", "discharge_switch", "pulse_sink", "cut_off")


MARGIN_SHARE, MARGIN_S = 0.01, 0.5  # a one-shot must not cut a pulse that ends in time: component spread, one late tick


class Plant:
    """Applies `Outputs`, turns the actor's wish into what flows, and gives the switches' feedback.

    `cut_off_s`: longest pulse of the one-shot, whatever width is asked; it is set to the width asked and a margin.
    `cut_off_a`: the comparator's trip current. Once it has acted it stays so until the firmware takes the pulse line
    back. `bleed_ohm`: what a bled cell stands across.
    """

    def __init__(self, current_lsb_a: float, cut_off_s: float, cut_off_a: float):
        self.current_lsb_a = current_lsb_a
        self.cut_off_s, self.cut_off_a = cut_off_s, cut_off_a
        self.charge_on = self.discharge_on = False
        self.pulse_a = 0.0  # what the sink draws now
        self.tripped = False
        self.bleed_ohm = math.inf
        self.bleed_mask = 0
        self.faults: dict[str, tuple[str, float]] = {}
        self._commanded_a = 0.0  # the pulse line, to see its rising edge
        self._ends_s = -math.inf  # when the one-shot ends the running pulse

    def fault(self, component: str, verb: str, magnitude: float = 0.0) -> None:
        """Put a fault verb on a component; `ok` heals it.

        `off` never conducts, `stuck` stays as it is, `wrong` scales the pulse by 1 + magnitude. Raises ValueError.
        """
        if component not in COMPONENTS or verb not in VERBS:
            raise ValueError(f"fault {component} {verb}: component must be one of {COMPONENTS}, verb one of {VERBS}")
        self.faults.pop(component, None)
        if verb != "ok":
            self.faults[component] = (verb, magnitude)

    def apply(self, outputs, time_s: float) -> None:
        """Take over the firmware's outputs at `time_s`."""
        self.charge_on = self._switch("charge_switch", self.charge_on, bool(outputs.charge_enable))
        self.discharge_on = self._switch("discharge_switch", self.discharge_on, bool(outputs.discharge_enable))
        self.bleed_mask = outputs.balance_mask
        commanded_a = outputs.pulse_count * self.current_lsb_a if outputs.pulse_ms > 0 else 0.0
        if (
            commanded_a and not self._commanded_a
        ):  # the one-shot starts on the edge; holding the line does not restart it
            width_s = outputs.pulse_ms * 1e-3 * (1.0 + MARGIN_SHARE) + MARGIN_S
            self._ends_s = time_s + min(width_s, self.cut_off_s)
            self.tripped = False
        self._commanded_a = commanded_a
        self.elapse(time_s)

    def elapse(self, time_s: float) -> None:
        """Let the hardware act at `time_s`: the one-shot and the comparator."""
        self.pulse_a = self._sink(self._commanded_a, time_s)

    def longest_s(self, time_s: float) -> float:
        """Seconds until the one-shot may act; infinite when no pulse runs."""
        return self._ends_s - time_s if self.pulse_a and "cut_off" not in self.faults else math.inf

    def bleed_a(self, voltages_v: list[float]) -> list[float]:
        """What each cell loses through its bleed."""
        return [volts / self.bleed_ohm if self.bleed_mask >> k & 1 else 0.0 for k, volts in enumerate(voltages_v)]

    def control(self, wish: Control) -> tuple[Control, bool]:
        """What flows, given the actor's wish -> (control, whether it is the actor's own)."""
        passed = self.charge_on if wish.kind == VOLTAGE or wish.value > 0.0 else self.discharge_on or wish.value == 0.0
        if self.pulse_a:  # the sink draws beside a load; a charger in parallel would feed the sink, so it waits
            load_a = wish.value if passed and wish.kind == CURRENT and wish.value < 0.0 else 0.0
            return Control.current(load_a - self.pulse_a), False
        return (wish, True) if passed else (Control.rest(), False)

    def feedback(self, readings) -> None:
        """The switches' own word, and whether the cut-off has acted."""
        readings.charge_switch = int(self.charge_on)
        readings.discharge_switch = int(self.discharge_on)
        readings.pulse_switch = int(self.pulse_a > 0.0)
        readings.hardware_trip = int(self.tripped)

    # -- inside ------------------------------------------------------------------------------------------------

    def _switch(self, name: str, was: bool, commanded: bool) -> bool:
        verb, _ = self.faults.get(name, ("ok", 0.0))
        return False if verb == "off" else was if verb == "stuck" else commanded

    def _sink(self, commanded_a: float, time_s: float) -> float:
        verb, magnitude = self.faults.get("pulse_sink", ("ok", 0.0))
        if verb == "off":
            drawn_a = 0.0
        elif verb == "stuck":
            drawn_a = self.pulse_a or commanded_a
        elif verb == "wrong":
            drawn_a = commanded_a * (1.0 + magnitude)
        else:
            drawn_a = commanded_a
        if drawn_a > 0.0 and "cut_off" not in self.faults:
            over = drawn_a > self.cut_off_a or time_s >= self._ends_s - 1e-9
            self.tripped = self.tripped or over
        return 0.0 if self.tripped else drawn_a
