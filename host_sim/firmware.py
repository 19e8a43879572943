"""The firmware as the host runs it: profile, `Bms`, sensors, plant, use and person, put around one simulated cell."""

from __future__ import annotations

import json
from pathlib import Path

from relith.bms import Bms
from relith.inventory import UNKNOWN
from relith.profile import Profile
from relith.states import PULSE, REST

from host_sim.loop import ClosedLoop, MemoryStore
from host_sim.plant import Plant
from host_sim.profiles import load, made, scaled
from host_sim.sensors import SensorModel, SensorSpec
from host_sim.tables import REASONS, STATES, TABLE
from host_sim.uses import Ratings, make

# what the main job calls a policy -> its name in the profile
POLICIES = {"none": "none", "pulse": "liu21", "rest": "zhang24", "both": "both", "adaptive": "adaptive"}
CUT_OFF_SHARE = 1.25  # the comparator trips this far above the profile's strongest pulse
DAY_S = 86_400.0


def load_profile(path: str | Path, policy: str | None = None, area_cm2: float | None = None) -> Profile:
    """The profile in a file, checked; with another policy or scaled to another electrode area where asked.

    Every figure in µA, µAh and nA grows with the area, every µΩ falls. Raises InputError: the profile's own sentence.
    """
    profile = load(path)
    if policy is None and area_cm2 is None:
        return profile
    data = json.loads(Path(path).read_bytes())
    data["policy"] = policy or data["policy"]
    if area_cm2 is not None:
        scaled(data, area_cm2 * 100.0 / profile.electrode_area_mm2)
    return made(json.dumps(data), str(path) if area_cm2 is None else f"{path} at {area_cm2:g} cm²")


def ratings(profile: Profile, charge_a: float, discharge_a: float, hold_stop_a: float) -> Ratings:
    """What is printed on the cell, from the profile; with the currents of the protocol in A."""
    cells = profile.cell_count
    return Ratings(
        one_c_a=profile.one_c_ua * 1e-6,
        nominal_ah=profile.nominal_capacity_uah * 1e-6,
        v_min=profile.min_uv * 1e-6 * cells,
        v_max=profile.max_uv * 1e-6 * cells,
        current_lsb_a=profile.current_lsb_na * 1e-9,
        charge_a=charge_a,
        discharge_a=discharge_a,
        hold_stop_a=hold_stop_a,
    )


class Person:
    """Commissions the cell once, then renews consent and calibration in time, as an owner over the link would."""

    def __init__(self, bms: Bms):
        self.bms = bms
        self._again_s = 0.0
        bms.gate.cutoff_present = 1  # the plant has one
        bms.commission()

    def visit(self, time_s: float) -> None:
        """Called as often as you like; acts when half of the shorter term has passed."""
        if time_s >= self._again_s:
            profile = self.bms.profile
            self.bms.calibrated()
            self.bms.arm(profile.arm_days)
            self._again_s = time_s + 0.5 * DAY_S * min(profile.arm_days, profile.calibration_days)


class FirmwareRun:
    """One `Cell` under one `Bms`, ready to step: `loop.step()`.

    `setup` is a `host_sim.life.Setup`; `policy` one of POLICIES; `spec` the sensors' errors, drawn from the seed by
    default.
    """

    def __init__(self, cell, setup, policy: str, spec: SensorSpec | None = None):
        self.profile = load_profile(setup.profile, POLICIES[policy], setup.area_cm2)
        area = setup.area_cm2 * 1e-3
        self.ratings = ratings(
            self.profile, setup.charge_ma_cm2 * area, setup.discharge_ma_cm2 * area, setup.hold_stop_ma_cm2 * area
        )
        self.nominal_mah = self.profile.nominal_capacity_uah * 1e-3
        self.bms = Bms(self.profile, MemoryStore())
        self.person = Person(self.bms)
        self._booked = 0
        self.actor = make(setup.use, self.ratings, seed=setup.seed)
        sensors = SensorModel(self.profile.current_lsb_na, cells=self.profile.cell_count, seed=setup.seed, spec=spec)
        strongest_a = self.profile.pulse_max_permille * 1e-3 * self.ratings.one_c_a
        plant = Plant(sensors.current_lsb_a, 2.0 * self.profile.pulse_max_s, CUT_OFF_SHARE * strongest_a)
        self.loop = ClosedLoop(cell, self.bms, sensors, self.actor, plant, ambient_degc=setup.temperature_degc)

    def step(self):
        """One step of the loop, after the person has looked in."""
        self.person.visit(self.loop.time_s)
        return self.loop.step()

    def pulsing(self) -> bool:
        """An activation pulse is under way."""
        return self.bms.machine.state == PULSE

    def resting(self) -> bool:
        """A discharged rest that the firmware asked for is under way."""
        return self.bms.machine.state == REST

    def booked(self) -> int:
        """+1 or −1 when the firmware has booked a charge or a discharge since the last call, else 0."""
        tracker = self.bms.tracker
        if tracker.index == self._booked or tracker.ready:
            return 0
        self._booked = tracker.index
        return self.bms.h.kind

    def state_name(self) -> str:
        """The state of the firmware, as in the table."""
        return STATES[self.bms.machine.state]

    def stands(self) -> str:
        """Where the firmware stands, in its own words: state, alarms, reason."""
        alarms = [row[0] for k, row in enumerate(TABLE) if self.bms.outputs.alarms >> k & 1]
        return ", ".join([self.state_name(), *alarms, REASONS[self.bms.outputs.reason]])

    def estimate_mah(self) -> dict[str, float]:
        """The first cell's estimate in mAh, by column of `host_sim.life.COLUMNS`; NaN while it is unknown."""
        e = self.bms.estimates[0]
        scale = self.nominal_mah * 1e-6 if e.known != UNKNOWN else float("nan")
        row = {}
        for store in ("cathode", "active", "isolated", "sei"):
            row[f"estimated_{store}_mah"] = getattr(e, f"{store}_ppm") * scale
            row[f"estimated_{store}_sigma_mah"] = getattr(e, f"{store}_sigma_ppm") * scale
        row["estimated_loss_sigma_mah"] = e.loss_sigma_ppm * scale
        row["known"] = e.known
        row["stage"] = e.stage
        return row
