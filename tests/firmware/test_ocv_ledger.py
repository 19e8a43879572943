"""OCV against ledger: charge counted between two rested voltages, and the cathode's content between them."""

import pytest
from relith.bms import Bms
from relith.halfcycle import HalfCycle
from relith.protection import Protection

from host_sim.tables import TABLE
from tests.firmware.rigging import World, profile

QUANTITY = next(row.quantity for row in TABLE if row.id == "ocv_ledger")
LIMIT = next(row.limit for row in TABLE if row.id == "ocv_ledger")


class Shunt:
    """Samples and accumulator alike see `permille` of the current: nothing but the rested voltage can tell."""

    def __init__(self, world, permille):
        self.world, self.permille = world, permille
        self.was_ms = self.run = 0

    def __call__(self, r):
        run_ms = self.world.board.run_ms
        self.run += (run_ms - self.was_ms) * self.permille // 1000
        self.was_ms = run_ms
        r.current_count = r.current_count * self.permille // 1000
        r.charge_hi, r.charge_lo = self.run // 1000 >> 20, self.run // 1000 & 0xFFFFF


def lived(permille, cells=1):
    """A rest, half a discharge, a rest, and on."""
    world = World(share=0.9, cell_count=cells)
    world.alter = Shunt(world, permille)
    return world.run(7200).run(18_000, -100).run(7200).run(600, -100)


@pytest.mark.safety(4, 13)
@pytest.mark.parametrize("permille, found", [(1000, False), (950, False), (700, True), (1300, True)])
def test_a_shunt_that_is_not_what_it_was(permille, found):
    world = lived(permille)
    assert ("ocv_ledger" in world.alarms()) == found and "accumulator" not in world.alarms()
    assert world.state == "DISCHARGE"  # a warning: no intervention, but what runs goes on
    if found:
        assert not world.bms.gate.budgets(world.bms).pulse_allowed
        world.bms.commission()  # calibrated, another cell, or both
        world.alter = None
        assert "ocv_ledger" not in world.run(1).alarms()


@pytest.mark.safety(13)
def test_one_of_two_cells():
    """A voltage reading that has slipped by what an eighth of the charge is worth."""
    world = World(share=0.9, cell_count=2, pack_sum_uv=500_000)
    world.run(7200)
    world.alter = lambda r: r.cell_uv.__setitem__(1, r.cell_uv[1] - 250_000)
    world.run(3600, -100).run(7200).run(600, -100)
    assert "ocv_ledger" in world.alarms()


def half_cycle(kind, charge_ppm, after_uv=0, gap_ppm=0, hours=1):
    h = HalfCycle()
    h.kind, h.charge_ppm, h.ocv_after_uv, h.gap_ppm, h.duration_s = kind, charge_ppm, after_uv, gap_ppm, 3600 * hours
    return h


def compared(*halves, **changes):
    p = profile(**changes)
    watched = Protection(p)
    for one in halves:
        watched.compare(0, one, p.cathode_capacity_ppm)
    return watched._values[QUANTITY], watched


def content_uv(p, content_ppm):
    xs, ys = p.ocv_content_ppm, p.ocv_uv
    k = next(k for k in range(1, len(xs)) if xs[k] >= content_ppm)
    return ys[k - 1] + (ys[k] - ys[k - 1]) * (content_ppm - xs[k - 1]) // (xs[k] - xs[k - 1])


P = profile()
HIGH, LOW = content_uv(P, 200_000), content_uv(P, 700_000)


def test_what_was_counted_is_what_the_cathode_took():
    """To 1 ppm: half the swing is half its capacity."""
    right = P.cathode_capacity_ppm // 2
    first = half_cycle(-1, 1000, HIGH)
    assert compared(first)[0] == 0  # nothing to compare with
    for kind, rested in ((-1, (HIGH, LOW)), (1, (LOW, HIGH))):
        begun = half_cycle(-kind, 1000, rested[0])
        assert compared(begun, half_cycle(kind, right, rested[1]))[0] == 0
        less = compared(begun, half_cycle(kind, right - 300_000, rested[1]))[0]
        more = compared(begun, half_cycle(kind, right + 300_000, rested[1]))[0]
        assert LIMIT < less < 300_000 and LIMIT < more < 300_000
        assert compared(begun, half_cycle(kind, right - 300_000, rested[1]), half_cycle(kind, 0, rested[1]))[0] == 0


def test_doubt_is_taken_off():
    begun, wrong = half_cycle(1, 1000, HIGH), half_cycle(-1, P.cathode_capacity_ppm // 2 - 300_000, LOW)
    off = compared(begun, wrong)[0]
    wrong.gap_ppm = 40_000
    assert compared(begun, wrong)[0] == off - 40_000
    wrong.gap_ppm = 0
    wrong.rest_after_s = 100 * 3600
    assert compared(begun, wrong)[0] == off - 300 * P.offset_sigma_ppm_per_h
    wrong.rest_after_s = 0
    assert compared(begun, wrong, gain_sigma_ppm=100_000)[0] < off
    assert compared(begun, wrong, voltage_sigma_uv=20_000)[0] < off
    assert compared(begun, wrong, cathode_sigma_ppm=100_000)[0] < off
    between = half_cycle(-1, 0, gap_ppm=40_000)  # doubt of half-cycles without a rested voltage adds up
    assert compared(begun, between, wrong)[0] < off - 39_000


def test_half_cycles_without_a_rested_voltage_add_up():
    right = P.cathode_capacity_ppm // 2
    parts = [half_cycle(-1, right * 2, hours=0), half_cycle(1, right, hours=0)]
    assert compared(half_cycle(1, 1000, HIGH), *parts, half_cycle(-1, 0, LOW))[0] == 0
    assert compared(half_cycle(1, 1000, HIGH), *parts, half_cycle(-1, 300_000, LOW))[0] > LIMIT


def test_nothing_runs_over():
    """A sensor that says the same for a hundred years."""
    far = [half_cycle(1, 10**9, gap_ppm=10**9)] * 5
    off, watched = compared(half_cycle(1, 1000, HIGH), *far, half_cycle(-1, 0, LOW))
    assert 0 <= off <= 1 << 29
    watched.renew()
    assert watched._values[QUANTITY] == 0
    watched.compare(0, half_cycle(1, 0, LOW), P.cathode_capacity_ppm)
    assert watched._values[QUANTITY] == 0


def test_a_start_forgets_it():
    """Nobody knows what flowed while it was off."""
    world = lived(700)
    assert "ocv_ledger" in world.alarms()
    assert Bms(world.p, world.store).protection._values[QUANTITY] == 0
