"""What the board's sensors make of the true cell: noise, quantisation, offset, gain, delay, wrap, and faults.

INA228-like by default (TI SLYS021A): 20-bit current in counts of the profile's `current_lsb_na` (one count = 312.5 nV
of shunt voltage), a 40-bit charge accumulator that counts every conversion, 195.3125 µV voltage counts. Everything
random comes from one seed. Positive current charges.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from relith.readings import LIMB, TICKS_PERIOD_MS, Readings

CURRENT_MAX = (1 << 19) - 1  # signed 20-bit count
NORMALS = 4096  # random numbers are drawn in blocks: one call per tick would cost more than the rest of the sensor
VERBS = ("ok", "off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")


@dataclass(frozen=True)
class SensorSpec:
    """Errors of one board's sensors. Defaults: a calibrated INA228 and a 10 kΩ NTC; see `SensorSpec.drawn` for a
    spread.

    The accumulator shares the current path's offset and gain; its conversion noise averages out over the interval.
    """

    current_offset_count: float = 0.0  # 1 count = 312.5 nV; data sheet maximum ±1 µV
    current_gain_ppm: float = 0.0  # data sheet maximum ±500 ppm
    current_noise_count: float = 1.0  # rms of one averaged conversion
    cell_lsb_nv: int = 195_312  # VBUS step, rounded down to whole nV
    cell_offset_uv: float = 0.0
    cell_gain_ppm: float = 0.0
    cell_noise_uv: float = 50.0  # rms
    temp_offset_cdegc: float = 0.0
    temp_noise_cdegc: float = 5.0  # rms
    sample_delay_ms: int = 5  # age of every sample when the tick reads it
    conversion_ms: float = 4.12 * 16  # one averaged conversion: sets how the accumulator's noise averages

    @classmethod
    def ideal(cls) -> SensorSpec:
        """No error beyond quantisation."""
        return cls(current_noise_count=0.0, cell_noise_uv=0.0, temp_noise_cdegc=0.0, sample_delay_ms=0)

    @classmethod
    def drawn(cls, seed: int) -> SensorSpec:
        """One board out of a spread: a third of each data-sheet maximum is one standard deviation."""
        offset, gain, cell_offset, cell_gain, temp = np.random.default_rng((seed, 228)).standard_normal(5)
        return cls(
            current_offset_count=float(offset) * 3.2 / 3,
            current_gain_ppm=float(gain) * 500 / 3,
            cell_offset_uv=float(cell_offset) * 300.0,
            cell_gain_ppm=float(cell_gain) * 500 / 3,
            temp_offset_cdegc=float(temp) * 30.0,
        )


@dataclass
class Fault:
    """A verb on one component. `magnitude` means: wrong = relative error; slow = time constant in s; delayed = ms;
    intermittent = share of ticks without an answer."""

    verb: str
    magnitude: float
    held: float | None = None
    since_ms: int = 0
    line: deque = field(default_factory=deque)  # delayed: (tick, value, sampled) on their way


class SensorModel:
    """Stands between cell and firmware: `sample` is told the truth over an interval, `fill` writes the board's view
    of it.

    `current_lsb_na` is the profile's. `cells` true cell voltages per sample, one current for the string.
    """

    def __init__(
        self,
        current_lsb_na: int,
        cells: int = 1,
        thermistors: int = 1,
        seed: int = 0,
        spec: SensorSpec | None = None,
        start_ms: int = 0,
    ):
        self.spec = SensorSpec.drawn(seed) if spec is None else spec
        self.current_lsb_a = current_lsb_na * 1e-9
        self.cells, self.thermistors = cells, thermistors
        self.start_ms = start_ms  # where the board's ticks_ms stands at time 0
        self.time_ms = 0.0
        self.accumulator = 0  # whole count·s, unbounded here; the register shows 40 bits of it
        self.faults: dict[str, Fault] = {}
        self._residue = 0.0  # what is below one count·s, never lost
        self._rng = np.random.default_rng((seed, 0x228))
        self._normals: list[float] = []
        # newest last: (time_ms, current_a, voltages_v, temperatures_degc, accumulator) at the end of each interval
        self._history: deque = deque(maxlen=64)

    def sample(self, elapsed_s: float, charge_as: float, current_a: float, voltages_v, temperatures_degc) -> None:
        """The truth of one interval: its length, the charge that passed in it (A·s) and the state at its end."""
        self.time_ms += elapsed_s * 1000.0
        if elapsed_s > 0.0:
            spec = self.spec
            counts = charge_as / self.current_lsb_a * (1.0 + spec.current_gain_ppm * 1e-6)
            counts += spec.current_offset_count * elapsed_s
            if spec.current_noise_count:  # n independent conversions of conversion_ms each
                counts += self._normal() * spec.current_noise_count * math.sqrt(elapsed_s * spec.conversion_ms * 1e-3)
            self._residue += counts
            whole = math.floor(self._residue)
            self.accumulator += whole
            self._residue -= whole
        self._history.append((self.time_ms, current_a, tuple(voltages_v), tuple(temperatures_degc), self.accumulator))

    def fault(self, component: str, verb: str, magnitude: float = 0.0) -> None:
        """Put `verb` on `current`, `charge`, `cell0`…, `temperature`, or `clock`; `ok` heals it. Raises ValueError."""
        known = ("current", "charge", "temperature", "clock", *(f"cell{k}" for k in range(self.cells)))
        if component not in known or verb not in VERBS:
            raise ValueError(f"fault {component} {verb}: component must be one of {known}, verb one of {VERBS}")
        self.faults.pop(component, None)
        if verb != "ok":
            self.faults[component] = Fault(verb, magnitude, since_ms=int(self.time_ms))

    def fill(self, readings: Readings) -> None:
        """Write what the board sees now into `readings`; the switches and the user's side are the plant's and
        actor's."""
        spec = self.spec
        now_ms = int(self.time_ms + 1e-6)
        ticks = self.start_ms + now_ms
        clock = self.faults.get("clock")
        if clock is not None:
            ticks = self._clock_fault(clock, ticks)
        readings.now_ms = ticks & (TICKS_PERIOD_MS - 1)
        sampled_ms = (ticks - spec.sample_delay_ms) & (TICKS_PERIOD_MS - 1)
        _, current_a, voltages_v, temperatures_degc, accumulator = self._seen_at(self.time_ms - spec.sample_delay_ms)

        count = current_a / self.current_lsb_a * (1.0 + spec.current_gain_ppm * 1e-6) + spec.current_offset_count
        count += self._normal() * spec.current_noise_count
        readings.current_count = min(max(round(count), -CURRENT_MAX - 1), CURRENT_MAX)
        readings.current_ms = sampled_ms
        readings.current_ok = 1
        _split(readings, accumulator)
        readings.charge_ok = 1

        lsb_uv = spec.cell_lsb_nv * 1e-3
        pack_uv = 0
        for k in range(self.cells):
            uv = voltages_v[k] * 1e6 * (1.0 + spec.cell_gain_ppm * 1e-6) + spec.cell_offset_uv
            uv += self._normal() * spec.cell_noise_uv
            readings.cell_uv[k] = max(int(round(uv / lsb_uv) * lsb_uv), 0)
            pack_uv += readings.cell_uv[k]
        readings.cell_ms = sampled_ms
        readings.cell_ok = 1
        readings.pack_uv = pack_uv if self.cells > 1 else 0

        for k in range(self.thermistors):
            true = temperatures_degc[min(k, len(temperatures_degc) - 1)]
            readings.temp_cdegc[k] = round(
                true * 100.0 + spec.temp_offset_cdegc + self._normal() * spec.temp_noise_cdegc
            )
        readings.temp_ms = sampled_ms
        readings.temp_ok = 1
        if self.faults:
            self._apply_faults(readings, now_ms)

    # -- inside -----------------------------------------------------------------------------------------------

    def _normal(self) -> float:
        if not self._normals:
            self._normals = self._rng.standard_normal(NORMALS).tolist()
        return self._normals.pop()

    def _seen_at(self, time_ms: float) -> tuple:
        """The interval that covers `time_ms`: a sample taken inside an interval sees that interval's current."""
        seen = self._history[-1]
        for entry in reversed(self._history):
            if entry[0] < time_ms:
                break
            seen = entry
        return seen

    def _apply_faults(self, readings: Readings, now_ms: int) -> None:
        for component, fault in self.faults.items():
            if component == "current":
                readings.current_count, readings.current_ms, readings.current_ok = self._distort(
                    fault, readings.current_count, readings.current_ms, now_ms, 1 << 19, 1
                )
            elif component == "charge":
                value, _, readings.charge_ok = self._distort(
                    fault, self._signed(readings), 0, now_ms, 1 << 39, readings.charge_ok
                )
                _split(readings, value)
            elif component == "temperature":
                readings.temp_cdegc[0], readings.temp_ms, readings.temp_ok = self._distort(
                    fault, readings.temp_cdegc[0], readings.temp_ms, now_ms, 20_000, 1
                )
            elif component.startswith("cell"):
                k = int(component[4:])
                readings.cell_uv[k], readings.cell_ms, readings.cell_ok = self._distort(
                    fault, readings.cell_uv[k], readings.cell_ms, now_ms, 6_000_000, readings.cell_ok
                )

    def _distort(self, fault: Fault, value: int, sampled_ms: int, now_ms: int, span: int, ok: int):
        """One value through one verb -> (value, sampled_ms, ok)."""
        if fault.held is None:
            fault.held = float(value)
        verb, elapsed_s = fault.verb, (now_ms - fault.since_ms) * 1e-3
        if verb == "off":
            return 0, sampled_ms, 0
        if verb == "stuck":
            return int(fault.held), sampled_ms, ok
        if verb == "garbage":
            return int(self._rng.integers(-span, span)), sampled_ms, ok
        if verb == "wrong":
            return int(value * (1.0 + fault.magnitude)), sampled_ms, ok
        if verb == "slow":
            fault.since_ms = now_ms
            fault.held += (value - fault.held) * -math.expm1(-elapsed_s / max(fault.magnitude, 1e-3))
            return int(fault.held), sampled_ms, ok
        if verb == "delayed":
            fault.line.append((now_ms, value, sampled_ms))
            while len(fault.line) > 1 and fault.line[1][0] <= now_ms - fault.magnitude:
                fault.line.popleft()
            return fault.line[0][1], fault.line[0][2], ok
        away = self._rng.random() < fault.magnitude  # intermittent
        return (0 if away else value), sampled_ms, (0 if away else ok)

    def _clock_fault(self, fault: Fault, ticks: int) -> int:
        if fault.held is None:
            fault.held = float(ticks)
        if fault.verb in ("off", "stuck"):
            return int(fault.held)
        if fault.verb == "garbage":
            return int(self._rng.integers(0, TICKS_PERIOD_MS))
        if fault.verb == "delayed":
            return ticks - int(fault.magnitude)
        rate = -fault.magnitude if fault.verb == "slow" else fault.magnitude
        return int(fault.held + (ticks - fault.held) * (1.0 + rate))  # wrong: fast; intermittent: as wrong

    @staticmethod
    def _signed(readings: Readings) -> int:
        return readings.charge_hi * LIMB + readings.charge_lo


def _split(readings: Readings, accumulator: int) -> None:
    """The 40-bit two's-complement register as the two limbs of `Readings`; rolls over as the chip's does."""
    upper = (accumulator >> 20) & (LIMB - 1)
    readings.charge_hi = upper - LIMB if upper >= LIMB >> 1 else upper
    readings.charge_lo = accumulator & (LIMB - 1)
