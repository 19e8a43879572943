"""Records ticks: leads the firmware on the host through all it knows, and keeps every reading that it was given.

Every state, both directions of current, every kind of fault, the wrap of the clock, persons and the link; with a cell
no better than needed. The same arguments give the same bytes.
"""

import random
from array import array
from pathlib import Path

from relith.profile import load

from hil import codec
from hil.virtual import player
from hil.virtual.trace import RESULTS, SCALARS, Trace
from host_sim import tables

WRAP_MS = 1 << 30
FAULTS = 11  # kinds of trouble that Recorder.fault knows


class Toy:
    """A cell, charger, load and switches, just good enough to lead the firmware everywhere. Positive is charge."""

    def __init__(self, profile):
        self.profile = profile
        self.share = 0.85  # of full charge
        self.demand = 0.0  # counts that charger or load would carry
        self.count = 0
        self.charge = (1 << 39) - 20_000_000  # CHARGE passes its end in the first charge
        self.restarts = 0
        self.temp_cdegc = 2500
        self.ambient_cdegc = 2500
        self.forced_uv = 0
        self.frozen = 0  # what does not answer: 1 monitor, 2 front end, 4 thermistor
        self.obedient = True  # charger and load keep the limits they are sent

    def voltage_uv(self) -> int:
        p = self.profile
        content = (1.0 - self.share) * 1e6
        xs, ys = p.ocv_content_ppm, p.ocv_uv
        k = max(1, next((i for i, x in enumerate(xs) if x >= content), len(xs) - 1))
        slope = (ys[k] - ys[k - 1]) / (xs[k] - xs[k - 1])
        rested = ys[k - 1] + slope * (content - xs[k - 1])
        return round(rested + self.count * p.current_lsb_na * 1e-9 * p.resistance_uohm)

    def advance(self, outputs, milliseconds: int) -> None:
        p = self.profile
        wish = self.demand
        if self.obedient:
            wish = max(-outputs.discharge_limit_count, min(outputs.charge_limit_count, wish))
        if outputs.pulse_count:
            wish = 0.0
        if wish > 0 and (not outputs.charge_enable or self.voltage_uv() >= p.max_uv + 60000):
            wish = 0.0
        if wish < 0 and not outputs.discharge_enable:
            wish = 0.0
        if wish > 0:  # constant voltage
            room = (p.max_uv - self.voltage_uv()) / (p.current_lsb_na * 1e-9 * p.resistance_uohm)
            wish = max(0.0, min(wish, self.count + room))
        self.count = round(wish) - outputs.pulse_count
        moved = self.count * milliseconds / 1000
        self.charge += round(moved)
        nominal = p.nominal_capacity_uah * 3.6e6 / p.current_lsb_na
        self.share = min(1.05, max(-0.05, self.share + moved / nominal))
        lag = min(1.0, milliseconds / 300_000)
        self.temp_cdegc += (self.ambient_cdegc - self.temp_cdegc) * lag

    def fill(self, r, now_ms: int, noise: random.Random) -> None:
        r.now_ms = now_ms
        if self.frozen & 1:
            r.current_ok = r.charge_ok = 0
        else:
            r.current_ok = r.charge_ok = 1
            r.current_ms = now_ms
            r.current_count = self.count + noise.randint(-2, 2)
            charge = (self.charge + (1 << 39)) % (1 << 40) - (1 << 39)
            r.charge_hi, r.charge_lo = charge >> 20, charge & ((1 << 20) - 1)
        r.charge_restarts = self.restarts
        if self.frozen & 2:
            r.cell_ok = 0
        else:
            r.cell_ok, r.cell_ms = 1, now_ms
            for k in range(len(r.cell_uv)):
                r.cell_uv[k] = (self.forced_uv or self.voltage_uv()) + noise.randint(-90, 90) + 700 * k
        r.pack_uv = sum(r.cell_uv)
        if self.frozen & 4:
            r.temp_ok = 0
        else:
            r.temp_ok, r.temp_ms = 1, now_ms
            for k in range(len(r.temp_cdegc)):
                r.temp_cdegc[k] = round(self.temp_cdegc) + noise.randint(-3, 3)


class Recorder:
    """Drives the firmware and writes down what it was given."""

    def __init__(self, profile: Path, ticks: int, seed: int):
        self.player = player.Player(str(profile), {}, SCALARS, RESULTS)
        self.bms = self.player.bms
        self.profile = load(str(profile))
        self.toy = Toy(self.profile)
        self.noise = random.Random(seed)
        self.left = ticks
        self.brief = ticks < 20_000  # then every wait is as long as the firmware allows
        self.now_ms = WRAP_MS - 90_000  # wraps in the second minute
        self.rows = array("i")
        self.trace = Trace(profile, self.player.width)
        self.outputs = self.bms.outputs
        self.r = self.player.readings
        self.r.clock_known, self.r.user_consent, self.r.user_free_s = 1, 1, 700_000

    def tick(self, wait_ms: int = 0, action: str = "", argument: int = 0, frame: bytes = b"") -> bool:
        """One tick after `wait_ms` (0: as long as the firmware allows). False when the trace is full."""
        if self.left <= 0:
            return False
        self.left -= 1
        longest_ms = 60_000 if self.brief else self.noise.choice((100, 1000, 60_000, 60_000))
        wait_ms = wait_ms or min(self.outputs.next_tick_ms, longest_ms)
        self.toy.advance(self.outputs, wait_ms)
        self.now_ms = (self.now_ms + wait_ms) % WRAP_MS
        r, out = self.r, self.outputs
        self.toy.fill(r, self.now_ms, self.noise)
        r.charge_switch, r.discharge_switch = out.charge_enable, out.discharge_enable
        r.pulse_switch = 1 if out.pulse_count else 0
        row = [player.ACTIONS.index(action), argument]
        row += [getattr(r, name) for name in self.player.scalars] + list(r.cell_uv) + list(r.temp_cdegc)
        self.rows.extend(row)
        if frame:
            self.player.frames[self.player.played] = self.trace.frames[self.player.played] = frame
        self.player.place(row)
        self.outputs = self.bms.tick(r)
        self.player.tape.log.clear()
        self.trace.states.append(self.outputs.state)
        r.watchdog_reset = 0
        return True

    def until(self, condition, most: int, wait_ms: int = 0) -> None:
        while most > 0 and not condition() and self.tick(wait_ms):
            most -= 1

    def run(self, ticks: int, wait_ms: int = 0) -> None:
        self.until(lambda: False, ticks, wait_ms)

    # ---- what happens to a cell
    def state(self, name: str):
        return lambda: self.outputs.state == tables.STATES.index(name)

    def demand(self, permille: float) -> None:
        self.toy.demand = permille * self.profile.one_c_count / 1000

    def cycle(self) -> None:
        """Charge, the pulse that it may ask for, discharge, the rest that it may ask for."""
        p, rate = self.profile, 0.9 if self.brief else self.noise.choice((0.3, 0.6, 0.9))
        self.demand(p.charge_max_permille * rate)
        self.until(lambda: self.toy.share > 0.97 and self.toy.count < p.taper_count // 2, 900)
        self.demand(0)
        self.run(5, 100)
        self.run(self.noise.randint(3, 10 if self.brief else 60))
        self.demand(-p.discharge_max_permille * (0.7 if self.brief else self.noise.choice((0.2, 0.4, 0.7))))
        self.run(20, 100)  # late ticks end a pulse, so it is whole in a long trace only
        self.until(lambda: not self.outputs.pulse_count, 2000, 500 if self.brief else 200)
        self.until(lambda: self.toy.voltage_uv() < p.min_uv, 900)
        self.demand(0)
        self.run(self.noise.randint(20, 60 if self.brief else 900))

    def heal(self) -> None:
        """After a fault: everything back to normal, and a person who clears."""
        self.toy.frozen = self.toy.forced_uv = 0
        self.toy.obedient = True
        self.demand(0)
        self.toy.ambient_cdegc = self.toy.temp_cdegc = 2500
        self.r.hardware_trip = self.r.stop = 0
        self.toy.share = max(self.toy.share, 0.2)
        self.run(12, 1000)
        self.tick(100, "clear")
        self.run(8, 100)
        self.tick(100, "calibrated")
        self.tick(100, "arm", 300)

    def fault(self, number: int) -> None:
        p = self.profile
        self.demand(self.noise.choice((-200, 0, 200)))
        self.run(5, 100)
        if number == 0:
            for part in (1, 2, 4):
                self.toy.frozen = part
                self.run(6, 100)
            self.run(64, 1000)
        elif number == 1:
            self.toy.forced_uv = p.soft_max_uv + 5000
            self.run(60, 100)
            self.toy.forced_uv = 0
            self.run(60, 100)
        elif number == 2:
            self.toy.forced_uv = p.hard_max_uv + 20000
            self.run(20, 100)
        elif number == 3:
            self.toy.ambient_cdegc = self.toy.temp_cdegc = self.noise.choice((-1500, p.hard_high_cdegc + 500))
            self.run(60, 100)
        elif number == 4:
            self.r.hardware_trip = 1
            self.run(10, 100)
        elif number == 5:
            self.toy.charge, self.toy.restarts = 0, self.toy.restarts + 1  # the monitor lost its supply
            self.run(30, 1000)
        elif number == 6:
            self.r.stop = 1
            self.run(30, 1000)
        elif number == 7:
            self.r.watchdog_reset = 1
            self.run(10, 1000)
        elif number == 8:
            self.tick(400_000)  # the board was asleep
            self.run(10, 100)
        elif number == 9:
            self.toy.obedient = False
            self.demand(-p.discharge_hard_permille * 1.2)
            self.run(20, 100)
        else:
            self.toy.forced_uv = p.lockout_uv - 50_000
            self.run(30, 100)
        self.heal()

    def talk(self) -> None:
        """Frames on the link: sound ones, damaged ones, stray bytes, a stop that is heard and taken back."""
        self.tick(100, frame=codec.encode("hello", {}, 0, 0))
        link, key = self.bms.link, self.bms.profile.link_key
        for name in ("stop", "resume"):
            self.run(2, 100)
            asked, code = "command", codec.COMMANDS[name].code
            fields = {"command": code, "a": 0, "b": 0}
            if codec.COMMANDS[name].challenged(0):
                self.tick(100, frame=codec.encode("challenge", {}, link.session, link.expected))
                asked, fields["answer"] = "answer", codec.answer(key, link.nonce, code, 0, 0)
            sound = codec.encode(asked, fields, link.session, link.expected)
            self.tick(100, frame=sound)
            self.run(3, 100)
            self.tick(100, frame=sound)  # again: refused
        self.tick(100, frame=bytes(self.noise.randrange(256) for _ in range(200)))
        self.run(4, 100)

    def store(self) -> None:
        """Days without current."""
        self.demand(0)
        self.until(self.state("STORAGE"), int(self.profile.storage_after_s / 50), 60_000)
        self.run(20 if self.brief else 200, 60_000)

    def record(self) -> Trace:
        self.run(20, 100)
        self.tick(100, "commission")
        self.tick(100, "calibrated")
        self.tick(100, "arm", 300)
        faults = 0
        while self.left > 0:
            self.cycle()
            self.cycle()  # by now resistance is known, and a pulse may be granted
            self.store()
            self.talk()
            for _ in range(FAULTS):
                self.fault(faults % FAULTS)
                faults += 1
                if not self.brief and faults % 3 == 0:
                    self.cycle()
        self.trace.rows = self.rows.tobytes()
        return self.trace


def record(profile: Path, ticks: int, seed: int = 1) -> Trace:
    """A trace of so many ticks. The same arguments give the same bytes."""
    return Recorder(profile, ticks, seed).record()
