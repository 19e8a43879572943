"""Half-cycles out of current: where they end and begin, and what is said of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith.halfcycle import END_HIGH, END_LOW, END_STOPPED, TURN_PPM, HalfCycle, Tracker
from relith.ledger import Ledger

from tests.firmware.rigging import Board, profile

P = profile()
ONE_C = P.one_c_count
PPM_S = P.one_c_ua / 3.6 / P.nominal_capacity_uah * 1000  # ppm of nominal in a second at 1C: 310


class Lab:
    """A board, a ledger and a tracker; `go(seconds, permille, uv)` at constant current and voltage."""

    def __init__(self, p=P):
        self.p = p
        self.board = Board(p.cell_count)
        self.ledger = Ledger(p)
        self.tracker = Tracker(p, self.ledger)
        self.complete: list[list[HalfCycle]] = []  # per half-cycle, per cell
        self.ended: list[HalfCycle] = []
        self._tick(0, 0)

    def _tick(self, ms, count):
        r = self.board.pass_(ms, count)
        self.ledger.count(r, self.board.belief, False)
        tracker = self.tracker
        tracker.update(r, self.board.belief, ms)
        if tracker.ended:
            self.ended.append(self.record(0, tracker.ended == 2))
        if tracker.ready:
            tracker.ready = 0
            self.complete.append([self.record(k, True) for k in range(self.p.cell_count)])

    def record(self, cell, complete):
        h = HalfCycle()
        self.tracker.record(h, cell, complete)
        return h

    def go(self, seconds, permille=0, *uv, step_s=10):
        if uv:
            self.board.voltage_uv = list(uv)
        left = round(seconds * 1000)
        while left > 0:
            ms = min(left, step_s * 1000)
            self._tick(ms, permille * ONE_C // 1000)
            left -= ms
        return self

    def cycle(self, permille=300, low=3_000_000, high=4_200_000):
        """A full charge with its taper, a pause, a full discharge with what stops it, a pause."""
        self.go(3600, permille, 3_900_000).go(100, permille, high).go(100, 100, high).go(70, 0, 4_180_000)
        return self.go(3600, -permille, 3_700_000).go(20, -permille, low, step_s=1).go(70, 0, 3_100_000)


def test_a_laboratory_cycle():
    lab = Lab().cycle().cycle()
    kinds = [(cells[0].kind, cells[0].end, cells[0].index) for cells in lab.complete]
    assert kinds == [(1, END_HIGH, 1), (-1, END_LOW, 2), (1, END_HIGH, 3)]
    h = lab.complete[1][0]
    assert h.charge_ppm == pytest.approx(3620 * 0.3 * PPM_S, rel=1e-3)
    assert (h.duration_s, h.rate_permille, h.early_rate_permille, h.temp_cdegc) == (3620, 300, 300, 2500)
    assert (h.end_uv, h.rest_before_s, h.rest_after_s, h.gap_ppm) == (3_000_000, 70, 70, 0)
    assert (h.pulse_ppm, h.pulse_s, h.ocv_before_uv, h.ocv_after_uv) == (0, 0, 0, 0)
    assert [(h.kind, h.end) for h in lab.ended] == [(1, END_HIGH), (-1, END_LOW)] * 2
    assert lab.ended[1].rest_after_s == 0 and lab.ended[1].charge_ppm == pytest.approx(h.charge_ppm, rel=1e-2)


def test_the_end_is_told_at_once():
    lab = Lab().go(3600, 300, 3_900_000).go(10, 100, 4_200_000)
    assert lab.tracker.full and [h.end for h in lab.ended] == [END_HIGH]
    lab.go(60, 0, 4_150_000).go(3000, -300, 3_700_000)
    assert not lab.tracker.full
    lab.go(1, -300, 3_001_000, step_s=1)
    assert not lab.tracker.empty  # it may be a dip: the next tick tells
    lab.go(1, 0, 3_100_000, step_s=1)
    assert lab.tracker.empty and lab.ended[-1].end == END_LOW


def test_the_firmware_itself_sees_the_cut_off():
    """Nobody stops at the cut-off: two ticks at or below it are the end."""
    lab = Lab().go(3600, -300, 3_700_000).go(2, -300, 2_999_000, step_s=1)
    assert lab.tracker.empty and lab.ended[-1].end == END_LOW


def test_a_dip_under_load_is_no_end():
    lab = Lab().go(3600, -300, 3_700_000)
    for _ in range(20):
        lab.go(1, -1000, 3_002_000, step_s=1).go(30, -300, 3_600_000)
    assert not lab.tracker.empty and lab.ended == []


@pytest.mark.parametrize(
    "permille, uv, end", [(100, 4_195_000, END_HIGH), (300, 4_195_000, END_STOPPED), (100, 4_150_000, END_STOPPED)]
)
def test_a_charger_that_stops_by_itself(permille, uv, end):
    """Full when it stopped at the end voltage with its current tapered, as good as seen in the last tick."""
    lab = Lab(profile(taper_permille=95))
    lab.go(3600, 300, 3_900_000).go(60, permille, uv).go(70, 0, 4_100_000)
    assert [h.end for h in lab.ended] == [end]


def test_a_stop_in_between():
    lab = Lab().go(1200, -300, 3_700_000).go(59, 0, 3_750_000)
    assert lab.ended == []
    lab.go(10, 0, 3_750_000)
    assert [h.end for h in lab.ended] == [END_STOPPED]
    lab.go(100, 0, 3_750_000).go(600, -300, 3_650_000).go(70, 0, 3_700_000)
    assert lab.complete == []  # the same discharge goes on
    assert len(lab.ended) == 2 and lab.ended[1].charge_ppm == pytest.approx(1800 * 0.3 * PPM_S, rel=2e-3)
    lab.go(1800, 0, 3_700_000).go(600, -300, 3_600_000)
    assert [cells[0].kind for cells in lab.complete] == [-1]  # after a long rest it is another one
    assert lab.complete[0][0].rest_after_s == 1870


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=60))
def test_braking_makes_no_half_cycle(bursts):
    """Turns below TURN_PPM merge; net charge is kept."""
    lab = Lab().go(900, -400, 3_700_000)
    deepest = lab.ledger.net_ppm()
    for seconds, brakes in bursts:
        lab.go(seconds, 900 if brakes else -900, 3_700_000, step_s=1)
        deepest = min(deepest, lab.ledger.net_ppm())
        if lab.ledger.net_ppm() - deepest >= TURN_PPM:
            break
        assert lab.complete == [] and lab.ended == []
    else:
        h = lab.record(0, False)
        assert h.kind == -1
        assert _turning(lab) - h.charge_ppm == pytest.approx(lab.ledger.net_ppm(), abs=2)
        return
    assert [cells[0].kind for cells in lab.complete] == [-1]
    assert lab.complete[0][0].charge_ppm == pytest.approx(-deepest, abs=2)


def test_a_short_brake_belongs_to_the_discharge():
    lab = Lab().go(1200, -300, 3_700_000).go(10, 900, 3_800_000, step_s=1).go(1200, -300, 3_600_000)
    assert lab.complete == [] and lab.record(0, False).duration_s == 2410
    assert lab.record(0, False).charge_ppm == pytest.approx((2400 * 0.3 - 9) * PPM_S, rel=2e-3)


def test_direct_reversal():
    """Charger to load without a pause: ended and complete in the same tick."""
    lab = Lab().go(1200, 300, 3_900_000).go(100, -300, 3_800_000)
    assert [(h.kind, h.end, h.rest_after_s) for h in lab.ended] == [(1, END_STOPPED, 0)]
    assert [cells[0].kind for cells in lab.complete] == [1]
    assert lab.record(0, False).charge_ppm == pytest.approx(30 * PPM_S, rel=2e-2)


@given(st.lists(st.tuples(st.integers(-900, 900), st.integers(1, 3000)), min_size=1, max_size=25))
def test_charge_is_conserved_whatever_the_current(pieces):
    """Half-cycles and the one under way add up to the ledger."""
    lab = Lab()
    for permille, seconds in pieces:
        lab.go(seconds, permille, 3_700_000, step_s=30)
    running = lab.record(0, False)
    total = sum(cells[0].kind * cells[0].charge_ppm for cells in lab.complete) + running.kind * running.charge_ppm
    dropped = TURN_PPM * (len(pieces) + 1 - len(lab.complete))
    assert abs(total + _turning(lab) - lab.ledger.net_ppm()) <= dropped
    for cells in lab.complete:
        assert cells[0].charge_ppm >= TURN_PPM
        assert 0 < cells[0].rate_permille <= 900


def _turning(lab):
    tracker = lab.tracker
    return tracker._back.kind * tracker._back.net_ppm if tracker._turning else 0


# -- rests and rested voltage -----------------------------------------------------------------------------------------


def test_a_rest_that_has_settled_gives_the_rested_voltage():
    lab = Lab().go(3600, -300, 3_700_000).go(600, 0, 3_740_000).go(1300, 0, 3_741_000).go(100, 300, 3_800_000)
    h = lab.complete[0][0]
    assert (h.rest_after_s, h.ocv_after_uv) == (1900, 3_741_000)
    lab.go(3600, 300, 3_800_000).go(70, 0, 3_800_000).go(100, -300, 3_700_000)
    assert (lab.complete[1][0].rest_before_s, lab.complete[1][0].ocv_before_uv) == (1900, 3_741_000)


def test_a_voltage_that_still_moves_does_not():
    lab = Lab().go(3600, -300, 3_700_000)
    for k in range(200):
        lab.go(10, 0, 3_740_000 + 50 * k)
    lab.go(100, 300, 3_800_000)
    assert (lab.complete[0][0].rest_after_s, lab.complete[0][0].ocv_after_uv) == (2000, 0)


@pytest.mark.parametrize("temp_cdegc", [-500, 400, 4600])
def test_nor_one_in_the_cold_or_heat(temp_cdegc):
    lab = Lab().go(3600, -300, 3_700_000)
    lab.board.temp_cdegc = temp_cdegc
    lab.go(2000, 0, 3_740_000).go(100, 300, 3_800_000)
    assert lab.complete[0][0].ocv_after_uv == 0


def test_nor_a_short_one_nor_one_without_readings():
    lab = Lab().go(3600, -300, 3_700_000).go(590, 0, 3_740_000).go(100, 300, 3_800_000)
    assert lab.complete[0][0].ocv_after_uv == 0
    lab = Lab().go(3600, -300, 3_700_000)
    for _ in range(10):
        lab.go(400, 0, 3_740_000)
        lab.board.readings.cell_ok = 0
        lab.go(10, 0, 3_740_000)
        lab.board.readings.cell_ok = 1
    lab.go(100, 300, 3_800_000)
    assert lab.complete[0][0].ocv_after_uv == 0


def test_standby_current_is_a_rest():
    """Below idle_permille: no half-cycle, and the charge is still in the ledger."""
    lab = Lab().go(3600, -300, 3_700_000).go(3600, -2, 3_740_000).go(100, 300, 3_800_000)
    assert lab.complete[0][0].rest_after_s == 3600
    assert lab.complete[0][0].charge_ppm == pytest.approx((3600 * 0.3 + 3600 * 0.002) * PPM_S, rel=2e-3)


# -- rates, temperature, pulse, gaps, resistance, strings --------------------------------------------------------


def test_means_are_weighted_by_charge():
    lab = Lab()
    lab.board.temp_cdegc = 1000
    lab.go(180, -900, 3_700_000)
    lab.board.temp_cdegc = 3000
    lab.go(3600, -100, 3_600_000).go(70, 0, 3_700_000).go(100, 300, 3_800_000)
    h = lab.complete[0][0]
    early, late = 180 * 900, 3600 * 100
    assert h.rate_permille == pytest.approx((early * 900 + late * 100) / (early + late), abs=2)
    assert h.temp_cdegc == pytest.approx((early * 1000 + late * 3000) / (early + late), abs=10)
    assert h.early_rate_permille == pytest.approx(899, abs=2)


@given(st.lists(st.tuples(st.integers(10, 2000), st.integers(1, 400)), min_size=1, max_size=12))
def test_the_mean_rate_is_right_for_any_discharge(pieces):
    lab = Lab()
    for permille, seconds in pieces:
        lab.go(seconds, -permille, 3_700_000)
    h = lab.record(0, False)
    charge = sum(permille * seconds for permille, seconds in pieces)
    exact = sum(permille * permille * seconds for permille, seconds in pieces) / charge
    assert h.rate_permille == pytest.approx(exact, abs=2 + 1000 * len(pieces) / charge * 20)


def test_a_pulse_belongs_to_the_discharge_it_begins():
    lab = Lab().go(3600, 300, 3_900_000).go(10, 100, 4_200_000).go(1, 0, 4_180_000, step_s=1)
    lab.go(120, -1000, 4_000_000, step_s=1)
    lab.tracker.pulsed(37_000, 1000, 120)
    lab.go(3600, -100, 3_700_000).go(70, 0, 3_750_000).go(100, 300, 3_800_000)
    charge, discharge = lab.complete[0][0], lab.complete[1][0]
    assert (charge.kind, charge.pulse_s, discharge.kind) == (1, 0, -1)
    assert (discharge.pulse_ppm, discharge.pulse_permille, discharge.pulse_s) == (37_000, 1000, 120)
    assert discharge.early_rate_permille > 700


def test_an_aborted_pulse_is_kept_too():
    """Less than a turn: it waits for the discharge that follows."""
    lab = Lab().go(3600, 300, 3_900_000).go(10, 100, 4_200_000).go(3, -1000, 4_000_000, step_s=1)
    lab.tracker.pulsed(900, 1000, 3)
    lab.go(3600, -100, 3_700_000).go(70, 0, 3_750_000).go(100, 300, 3_800_000)
    assert (lab.complete[1][0].pulse_ppm, lab.complete[1][0].pulse_s) == (900, 3)


def test_gaps_are_told():
    lab = Lab().go(600, -300, 3_700_000)
    r = lab.board.readings
    r.charge_ok = r.current_ok = 0
    lab.go(100, -300, 3_700_000)
    lab.board.run_ms = 0
    r.charge_restarts += 1
    r.charge_ok = r.current_ok = 1
    lab.go(600, -300, 3_700_000).go(70, 0, 3_700_000).go(100, 300, 3_800_000)
    assert lab.complete[0][0].gap_ppm == pytest.approx(110 * 0.3 * PPM_S, rel=1e-2)


def test_a_step_of_current_shows_resistance():
    lab = Lab().go(600, -100, 3_700_000).go(1, 0, 3_720_000, step_s=1)
    assert lab.tracker.drop_uv[0] == pytest.approx(200_000, rel=1e-2)  # 20 mV at 0.1C
    assert lab.record(0, False).resistance_uohm == pytest.approx(200_000 / 0.267, rel=1e-2)
    lab.go(1, -1000, 3_320_000, step_s=1)
    assert lab.tracker.drop_uv[0] == pytest.approx(300_000, rel=1e-2)  # halfway to 400 mV
    assert lab.tracker.jump_permille == pytest.approx(2000, rel=1e-2)


@pytest.mark.parametrize(
    "seconds, permille, uv",
    [(5, 0, 3_720_000), (1, -80, 3_720_000), (1, 0, 3_690_000), (1, 0, 3_150_000)],
    ids=["too late", "too small", "the wrong way", "near the cut-off"],
)
def test_what_shows_no_resistance(seconds, permille, uv):
    lab = Lab().go(600, -100, 3_700_000).go(seconds, permille, uv, step_s=seconds)
    assert lab.tracker.drop_uv[0] == 0


def test_each_cell_of_a_string():
    p = profile(cell_count=3)
    lab = Lab(p).go(3600, -300, 3_700_000, 3_600_000, 3_800_000)
    lab.go(2, -300, 3_200_000, 3_000_000, 3_015_000, step_s=1).go(1, 0, 3_230_000, 3_060_000, 3_045_000, step_s=1)
    lab.go(1900, 0, 3_400_000, 3_300_000, 3_350_000).go(100, 300, 3_800_000, 3_700_000, 3_800_000)
    cells = lab.complete[0]
    assert [h.end for h in cells] == [END_STOPPED, END_LOW, END_LOW]
    assert [h.end_uv for h in cells] == [3_200_000, 3_000_000, 3_015_000]
    assert [h.ocv_after_uv for h in cells] == [3_400_000, 3_300_000, 3_350_000]
    assert len({h.charge_ppm for h in cells}) == 1


def test_offset_and_gain_are_taken_out():
    lab = Lab()
    lab.ledger.calibrate(135_000, -1000)  # 135 counts of offset: 0.1 % of 1C
    lab.go(36_000, -100, 3_700_000).go(70, 0, 3_700_000).go(100, 300, 3_800_000)
    raw = 36_000 * 0.1 * PPM_S
    assert lab.complete[0][0].charge_ppm == pytest.approx(raw * 0.999 + 36_000 * 0.00101 * PPM_S, rel=1e-3)


def test_too_little_charge_before_a_turn_is_no_half_cycle():
    """0.3 % in, then a discharge: nothing is complete, and the discharge begins a life of its own."""
    lab = Lab().go(10, 1000, 3_900_000)
    assert 0 < lab.tracker._main.net_ppm < TURN_PPM
    lab.go(30, -1000, 3_700_000)
    assert lab.tracker._main.kind == -1 and lab.tracker._main.net_ppm >= TURN_PPM
    assert (lab.complete, lab.ended, lab.tracker.index) == ([], [], 0)


def test_each_cells_bleed_is_its_own():
    """What a bled cell lost lessens its charge and adds to its discharge."""
    lab = Lab(profile(cell_count=2))
    tracker = lab.tracker
    lab.go(60, 1000, 3_900_000, 3_900_000)
    lab.ledger.bled_ppm[1] = 7
    lab.go(10, 1000)
    lab.ledger.bled_ppm[1] = 0
    lab.go(10, 1000)
    one, other = lab.record(0, False), lab.record(1, False)
    assert one.charge_ppm - other.charge_ppm == 7
    lab.go(30, -1000, 3_700_000, 3_700_000)
    assert list(tracker._main.bled_ppm) == [0, 0] and list(tracker._done.bled_ppm) == [0, 7]
    lab.ledger.bled_ppm[0] = 5
    lab.go(10, -1000)
    assert lab.record(0, False).charge_ppm - lab.record(1, False).charge_ppm == 5


def test_a_turn_that_came_to_nothing_keeps_what_was_bled():
    lab = Lab(profile(cell_count=2)).go(60, 1000, 3_900_000, 3_900_000)
    lab.ledger.bled_ppm[0] = 3
    lab.go(10, -100)
    assert lab.tracker._turning and list(lab.tracker._back.bled_ppm) == [3, 0]
    lab.ledger.bled_ppm[0] = 0
    lab.go(30, 1000)
    assert not lab.tracker._turning and list(lab.tracker._main.bled_ppm) == [3, 0]


def test_a_pause_within_a_turn_is_part_of_it():
    """A little out, a pause, and on: one turn, complete when half a percent has moved."""
    lab = Lab().go(600, 300, 3_900_000)
    lab.go(10, -500, 3_700_000).go(30, 0).go(10, -500)
    assert lab.tracker._turning and lab.complete == []
    lab.go(20, -500)
    assert [cells[0].kind for cells in lab.complete] == [1] and lab.tracker._main.kind == -1
    assert lab.tracker._main.net_ppm == pytest.approx(40 * 0.5 * PPM_S, rel=1e-2)


def test_no_half_cycle_is_complete_while_the_one_before_is_still_read():
    """Two turns while the estimates of a string are updated: the second half-cycle waits, whole."""
    world = Lab().go(600, 300, 3_700_000)
    tracker = world.tracker
    tick = world._tick

    def unread(ms, count):
        r = world.board.pass_(ms, count)
        world.ledger.count(r, world.board.belief, False)
        tracker.update(r, world.board.belief, ms)

    world._tick = unread
    world.go(100, -300).go(200, 300)
    assert tracker.ready == 1 and tracker.index == 1 and tracker._done.kind == 1
    world._tick = tick
    world.go(20, 300)
    assert [h[0].kind for h in world.complete] == [1, -1]
    assert world.complete[1][0].charge_ppm == pytest.approx(0.3 * 100 * PPM_S, rel=0.02)


def test_a_pulse_and_the_discharge_hours_after_it_are_one_half_cycle():
    """Else no pulse that an idle hour follows had an end of discharge on either side, and taught nothing."""
    lab = Lab().go(3600, 300, 3_900_000).go(70, 0, 4_180_000)
    lab.go(120, -1000, 3_900_000)
    lab.tracker.pulsed(round(120 * PPM_S), 1000, 120)
    ended = len(lab.ended)
    lab.go(7200, 0, 4_100_000)
    assert len(lab.ended) == ended and lab.tracker.index == 1  # the charge
    lab.go(3600, -300, 3_700_000).go(20, -300, 3_000_000, step_s=1).go(70, 0, 3_100_000).go(100, 300, 3_300_000)
    assert len(lab.ended) == ended + 1 and lab.ended[-1].end == END_LOW
    h = lab.complete[-1][0]
    assert (h.kind, h.end, h.pulse_s, h.pulse_permille) == (-1, END_LOW, 120, 1000)
    assert h.charge_ppm == pytest.approx((120 + 0.3 * 3620) * PPM_S, rel=0.01)
    assert h.rest_before_s == pytest.approx(70 + 7200, abs=20) and h.ocv_before_uv == 0


def test_a_pulse_that_is_the_smaller_part_of_a_discharge_ends_with_it():
    lab = Lab().go(3600, 300, 3_900_000).go(70, 0, 4_180_000).go(120, -1000, 3_900_000)
    lab.tracker.pulsed(round(120 * PPM_S), 1000, 120)
    lab.go(1800, -300, 3_700_000)
    ended = len(lab.ended)
    lab.go(7200, 0, 3_800_000)
    assert len(lab.ended) == ended + 1 and lab.ended[-1].end == END_STOPPED
    lab.go(1800, -300, 3_700_000)
    assert [h[0].kind for h in lab.complete] == [1, -1]
