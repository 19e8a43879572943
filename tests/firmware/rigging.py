"""What the tests of the firmware core share: the first profile, changed; a board that fills readings; lives."""

import json
from array import array
from pathlib import Path
from types import SimpleNamespace

from relith.bms import Bms
from relith.profile import Profile
from relith.readings import LIMB, TICKS_PERIOD_MS, Belief, Readings

from host_sim.loop import NEW_BOARD
from host_sim.tables import REASONS, STATES, TABLE

PROFILE = Path(__file__).parents[2] / "firmware" / "profiles" / "liu21_nmc532.json"


def data(**changes):
    """The first profile's fields, changed."""
    return {**json.loads(PROFILE.read_text()), **changes}


def profile(**changes):
    return Profile(json.dumps(data(**changes)), "test.json")


def units(ppm_count_ms=430200, ppm_count_us=0, idle_count=400, one_c_count=133500):
    """What the ledger needs of a profile."""
    return SimpleNamespace(
        ppm_count_ms=ppm_count_ms,
        ppm_count_us=ppm_count_us,
        idle_count=idle_count,
        one_c_count=one_c_count,
        cell_count=1,
    )


class Board:
    """Readings as a perfect board fills them: `pass_(ms, count)` lets time go by at a constant current."""

    def __init__(self, cells=1, start_ms=0):
        self.readings = Readings(cells, 1)
        self.belief = Belief()
        self.ms = start_ms  # true time, does not wrap
        self.count_ms = 0  # true charge
        self.run_ms = 0  # what the accumulator holds, count·ms
        self.voltage_uv = [3700000] * cells
        self.temp_cdegc = 2500
        r = self.readings
        r.current_ok = r.charge_ok = r.cell_ok = r.temp_ok = 1
        r.user_consent, r.user_free_s, r.clock_known = 1, 86400, 1

    def pass_(self, ms, count):
        """`ms` go by at `count`; the samples are taken at their end. Returns the readings."""
        r = self.readings
        self.ms += ms
        self.count_ms += count * ms
        self.run_ms += count * ms
        r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = self.ms % TICKS_PERIOD_MS
        r.current_count = count
        accumulator = self.run_ms // 1000
        upper = (accumulator >> 20) & (LIMB - 1)
        r.charge_hi = upper - LIMB if upper >= LIMB >> 1 else upper
        r.charge_lo = accumulator & (LIMB - 1)
        for k, uv in enumerate(self.voltage_uv):
            r.cell_uv[k] = uv
        r.temp_cdegc[0] = self.temp_cdegc
        self.belief.update(r)
        return r


class Small(int):
    """A whole number that must stay what a 32-bit board keeps without allocating: -2**30 <= n < 2**30."""

    def __new__(cls, value):
        assert -(1 << 30) <= value < 1 << 30, f"{int(value)} does not fit a small int"
        return super().__new__(cls, value)


def _checked(name):
    plain = getattr(int, name)

    def method(self, other=None):
        result = plain(int(self)) if other is None else plain(int(self), int(other))
        return result if result is NotImplemented else Small(result)

    return method


for _name in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and", "or"):
    for _dunder in (f"__{_name}__", f"__r{_name}__"):
        setattr(Small, _dunder, _checked(_dunder))
for _dunder in ("__neg__", "__abs__"):
    setattr(Small, _dunder, _checked(_dunder))


class Store:
    """The journal's slots. `writes` counts; `broken` makes every write fail."""

    def __init__(self):
        self.slots = dict(NEW_BOARD)
        self.writes = 0
        self.broken = False

    def read(self, slot):
        return self.slots.get(slot)

    def write(self, slot, data):
        if self.broken:
            raise OSError(5)
        self.writes += 1
        self.slots[slot] = bytes(data)


class World:
    """A `Bms` on a perfect board with a plain cell: OCV of the profile, 20 mV per 0.1C, no heat but a last digit
    of the thermometer.

    `run(seconds, permille)`: what charger (+) or load (-) wants; they keep the limits unless `obey` is False; switches
    are kept in any case. `alter(readings)`, when set, is called before each tick: the place for faults.
    """

    def __init__(self, share=0.5, store=None, ready=True, **changes):
        self.p = profile(**changes)
        self.store = store or Store()
        self.bms = Bms(self.p, self.store)
        self.bms.gate.cutoff_present = 1
        if store is None:
            self.bms.commission()
            self.bms.arm(self.p.arm_days)
        self.board = Board(self.p.cell_count)
        self.share = share  # of full charge
        self.drop_uv = 200_000
        self.apart_uv = [0] * self.p.cell_count  # each cell beside the one that is modelled
        self.obey = True
        self.alter = None
        self.outputs = self.bms.outputs
        self.seen = []  # (state, reason) whenever one changes
        self.longest_ms = 0
        self.tick(100, 0)
        if ready:
            self.run(1)

    @property
    def state(self):
        return STATES[self.outputs.state]

    @property
    def reason(self):
        return REASONS[self.outputs.reason]

    def alarms(self):
        return [row[0] for k, row in enumerate(TABLE) if self.outputs.alarms >> k & 1]

    def ocv_uv(self):
        content = (1.0 - self.share) * 1e6
        xs, ys = self.p.ocv_content_ppm, self.p.ocv_uv
        k = max(1, next((i for i, x in enumerate(xs) if x >= content), len(xs) - 1))
        return ys[k - 1] + (ys[k] - ys[k - 1]) * (content - xs[k - 1]) / (xs[k] - xs[k - 1])

    def flows(self, permille):
        """What flows when `permille` is wanted."""
        o, one_c = self.outputs, self.p.one_c_count
        if o.pulse_count and o.pulse_ms > 0:
            return -o.pulse_count
        count = round(permille * one_c / 1000)
        if self.obey:
            count = max(-o.discharge_limit_count, min(o.charge_limit_count, count))
        if count > 0:
            held = (self.p.max_uv - self.ocv_uv()) * one_c / self.drop_uv  # a charger holds the end voltage
            count = max(0, min(count, round(held))) if self.obey else count
        if (count > 0 and not o.charge_enable) or (count < 0 and not o.discharge_enable):
            count = 0
        return count

    def tick(self, ms, count):
        """`ms` at `count`, then one tick."""
        board = self.board
        self.share += count * ms / (self.p.ppm_count_ms + self.p.ppm_count_us / 1000) / self.p.cathode_capacity_ppm
        uv = round(self.ocv_uv() + self.drop_uv * count / self.p.one_c_count)
        board.voltage_uv = [uv + apart_uv for apart_uv in self.apart_uv]
        r = board.pass_(ms, count)
        r.temp_cdegc[0] += board.ms // 10_000 & 1  # a thermometer that never moves is broken
        o = self.outputs
        r.charge_switch, r.discharge_switch = o.charge_enable, o.discharge_enable
        r.pulse_switch = int(o.pulse_count > 0)
        r.pack_uv = sum(r.cell_uv) if self.p.cell_count > 1 else 0
        r.current_ok = r.charge_ok = r.cell_ok = r.temp_ok = r.user_consent = r.clock_known = 1
        r.hardware_trip = r.watchdog_reset = r.stop = 0
        r.user_free_s, r.user_full_in_s = 86_400, -1
        if self.alter:
            self.alter(r)
        self.bms.tick(r)
        if not self.seen or self.seen[-1] != (self.state, self.reason):
            self.seen.append((self.state, self.reason))
        return o

    def run(self, seconds, permille=0, until=None):
        """Steps as long as the firmware allows; stops early in the state `until`."""
        left = round(seconds * 1000)
        while left > 0 and self.state != until:
            ms = min(left, self.outputs.next_tick_ms)
            self.longest_ms = max(self.longest_ms, ms)
            self.tick(ms, self.flows(permille))
            left -= ms
        return self

    def empty(self, permille=-100):
        """Discharge to the cut-off; the load stops there."""
        for _ in range(100_000):
            ms = self.outputs.next_tick_ms
            count = self.flows(permille)
            self.tick(ms, count)
            if self.board.voltage_uv[0] <= self.p.min_uv + 200 or count == 0:
                return self
        raise AssertionError("not empty")

    def fill(self, permille=300):
        """Charge until the firmware says full."""
        return self._until(lambda: self.bms.tracker.full, permille)

    def _until(self, done, permille):
        for _ in range(100_000):
            self.tick(self.outputs.next_tick_ms, self.flows(permille))
            if done():
                return self
        raise AssertionError("never")

    def cycle(self):
        """One laboratory cycle: full, a minute, empty, a minute."""
        return self.fill().run(60).empty().run(60)


def states(world):
    """States passed, repeats left out."""
    passed = []
    for state, _ in world.seen:
        if not passed or passed[-1] != state:
            passed.append(state)
    return passed


def lived(policy, **changes):
    """A world after one cycle: the inventory is known, the resistance measured."""
    world = World(share=0.5, policy=policy, **changes)
    world.cycle()
    world.run(900 if world.state != "REST" else 40_000)
    world.seen.clear()
    return world


def at_power_up(thing, **others):
    """Every whole number of a new object, and of the arrays in it, is 0, but for `others`."""
    found = {}
    for name, value in vars(thing).items():
        if isinstance(value, int):
            found[name] = value
        elif isinstance(value, list | array) and len(value) and isinstance(value[0], int):
            found[name] = list(value) if any(value) else 0
    assert found == dict.fromkeys(found, 0) | others
