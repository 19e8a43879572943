"""Where no row can answer a fault: a twin without it lives beside, and what may differ between the two."""

from __future__ import annotations

from relith.ledger import CYCLE_PPM

from host_sim.fault_world import Bench

SAME_V, SAME_DEGC, SAME_PPM = 5e-3, 0.2, 10  # a twin is one if it is no further off
# More, as a share of the charge, where it is counted from samples: an edge anywhere between two of them, BOARD_WAIT_S
# apart, puts one swing of 900 per mille up to 2 s out, 0.13 (one sigma) of the 550 per mille in SWING_S, less by the
# root of the six swings of a case
SAMPLES_SHARE = 0.05
SETTLE_S = 20.0  # without current, until what is late has been counted too


class Astray:
    """How far a bench's ledger goes astray from the charge that its cells take, ppm of nominal, from here on."""

    def __init__(self, bench: Bench):
        self.bench = bench
        self._then_ppm, self._passed_ppm = self._off_ppm(), 0.0
        self._passed_ppm = self.passed_ppm()

    def passed_ppm(self) -> float:
        """Charge booked, in and out together."""
        ledger = self.bench.bms.ledger
        charged, discharged = ledger.charged, ledger.discharged
        return (charged.cycles + discharged.cycles) * CYCLE_PPM + charged.ppm + discharged.ppm - self._passed_ppm

    def _off_ppm(self) -> float:
        cell, bms = self.bench.loop.cells[0], self.bench.bms
        given_mah = cell.cathode_mah_cm2 * cell.area_cm2
        return bms.ledger.net_ppm() + given_mah * 1e9 / bms.profile.nominal_capacity_uah

    def settled_ppm(self) -> float:
        """Once no current has flowed for so long that what is late has been counted too."""
        self.bench.flow.low = self.bench.flow.high = 0
        self.bench.bms.stop(1)
        self.bench.run(SETTLE_S)
        return self._off_ppm() - self._then_ppm


def booked(off_ppm: float, same_ppm: float) -> str:
    """By how much a bench has booked otherwise than its twin, each measured by its own truth."""
    return f"; {off_ppm:.0f} ppm more booked than the twin" if abs(off_ppm) > same_ppm else ""


def differs(bench: Bench, twin: Bench) -> str:
    """In what a bench is not as its healthy twin; "" when it is."""
    found = []
    for name in ("charge_enable", "discharge_enable", "pulse_count"):
        if getattr(bench.bms.outputs, name) != getattr(twin.bms.outputs, name):
            found.append(name)
    for one, other in zip(bench.loop.cells, twin.loop.cells, strict=True):
        if abs(one.voltage_v - other.voltage_v) > SAME_V:
            found.append(f"{one.voltage_v:.4f} V, not {other.voltage_v:.4f}")
        if abs(one.temperature_degc - other.temperature_degc) > SAME_DEGC:
            found.append(f"{one.temperature_degc:.2f} degC, not {other.temperature_degc:.2f}")
    return "".join(f"; differs from its twin: {one}" for one in found)
