"""What the tests of the firmware core share: the first profile, changed; a board that fills readings; small numbers."""

import json
from pathlib import Path
from types import SimpleNamespace

from relith.profile import Profile
from relith.readings import LIMB, TICKS_PERIOD_MS, Belief, Readings

PROFILE = Path(__file__).parents[2] / "firmware" / "profiles" / "liu21_nmc532.json"


def data(**changes):
    """The first profile's fields, changed."""
    return {**json.loads(PROFILE.read_text()), **changes}


def profile(**changes):
    return Profile(json.dumps(data(**changes)), "test.json")


def units(ppm_count_ms=430200, ppm_count_us=0, idle_count=400, one_c_count=133500):
    """What the ledger needs of a profile."""
    return SimpleNamespace(
        ppm_count_ms=ppm_count_ms, ppm_count_us=ppm_count_us, idle_count=idle_count, one_c_count=one_c_count
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
