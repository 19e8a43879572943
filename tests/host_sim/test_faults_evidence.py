"""How long evidence may take follows from stated figures; when it is there, and whether it is answered: readings."""

import dataclasses
from types import SimpleNamespace

import pytest
from relith.protection import Protection

from host_sim import fault_world, faults
from host_sim.cell import Cell, Control, load_parameters
from host_sim.errors import InputError
from host_sim.fault_world import BOARD_WAIT_S, OVEN_DEGC, PACKED, SWING_S
from host_sim.faults_evidence import SHOWN, Watch, milliseconds, terms

P = fault_world.profile()
CASES = {(case.component, case.fault, case.state): case for case in faults.read_table()}


@pytest.fixture(scope="module")
def benches():
    return fault_world.stages()


def ms(text, state="DISCHARGE", use=False, magnitude=0.0):
    return milliseconds(text, state, use, magnitude, P)


def test_a_sum_of_terms():
    assert ms("0") == 0
    assert ms("swing + 2 tick") == 1000 * (SWING_S + 2 * BOARD_WAIT_S)
    assert ms("tick", "PULSE") == 100 and ms("tick", "PULSE", use=True) == ms("wait", "PULSE") == 1000 * BOARD_WAIT_S
    assert ms("act + 3 lag", magnitude=3.0) == 14_000
    assert ms("slower", magnitude=0.5) == 8000  # half as fast: as long again
    for text in ("fever", "swing + x tick", "swing +", ""):
        with pytest.raises(InputError, match=r"evidence is .*allowed: wait, tick, "):
            ms(text)


def test_the_figures_are_those_of_world_and_profile():
    """By hand: 267 mA of 239 mAh is 310.3 ppm a second; 30 000 ppm that count by the square of 1.15C; 0.5 % to turn."""
    assert ms("warmed") == pytest.approx(30_000 * 2000 / 1150 / (310.3 * 1.15) * 1000, rel=1e-3)
    assert ms("turn") == pytest.approx((5000 / (310.3 * 0.275) + 15 * (1 - 150 / 275)) * 1000, rel=1e-3)
    assert ms("pulse") == 30_000


@pytest.mark.parametrize("term, degc", [("oven", 55.0), ("oven_wrong", 45.0 / 1.3)])
def test_an_oven_warms_a_cell_as_reckoned(term, degc):
    cell = Cell(load_parameters("liu21-carbonate").replace(by="stack", **PACKED), 100.0)
    cell.advance(Control.rest(), ms(term, magnitude=0.3) / 1000, OVEN_DEGC)
    assert cell.temperature_degc == pytest.approx(degc, abs=0.2)


def test_a_step_of_the_current_shows_in_the_sum_of_the_cells():
    """`swing` and `pulse` are evidence of a voltage that stands, as the profile's resistance has it."""
    for currents in (fault_world.CHARGE_PERMILLE, fault_world.DISCHARGE_PERMILLE, (0, P.pulse_fixed_permille)):
        step_uv = abs(currents[1] - currents[0]) * P.one_c_ua // 1000 * P.resistance_uohm // 1_000_000
        assert step_uv > 2 * P.pack_sum_uv


def test_every_term_is_used():
    text = faults.TABLE_CSV.read_text(encoding="utf-8")
    assert all(f"{term}" in text for term in terms("IDLE", False, 0.5, P))


def test_a_wrong_term_names_the_line(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(faults.TABLE_CSV.read_text(encoding="utf-8").replace("stale + tick", "stale + tack"))
    with pytest.raises(InputError, match=r"t.csv: line [0-9]+: evidence is 'tack'"):
        faults.read_table(table)


def test_since_when_without_a_break(benches):
    bench = benches["DISCHARGE"].clone()
    watch, r = Watch(bench, ("pack_sum", "accumulator")), bench.loop.readings
    assert watch.rows == ["pack_sum"]
    second, fifth = {"pack_sum": 2.0}, {"pack_sum": 5.0}
    looks = ((1.0, 20_000, {}), (2.0, 20_001, second), (3.0, -30_000, second), (4.0, 0, {}), (5.0, 50_000, fifth))
    for at_s, off_uv, since in looks:
        r.pack_uv = sum(r.cell_uv) - off_uv
        watch.look(at_s)
        assert watch.since_s == since


def readings(**changes):
    own = {"now_ms": 1000, "current_ms": 900, "cell_ms": 900, "temp_ms": 900, "current_ok": 1, "cell_ok": 1,
           "temp_ok": 1, "current_count": 0, "cell_uv": [3_700_000] * 2, "pack_uv": 7_400_000, "temp_cdegc": [2500],
           "charge_switch": 1, "discharge_switch": 1, "pulse_switch": 0, "hardware_trip": 0}  # fmt: skip
    return SimpleNamespace(**own | changes)


@pytest.mark.parametrize("row, changes", [
    ("sensor_stale", {"cell_ok": 0}), ("sensor_stale", {"temp_ms": 499}), ("sensor_stale", {"current_count": 1 << 19}),
    ("sensor_stale", {"cell_uv": [3_700_000, 299_999]}), ("sensor_stale", {"temp_cdegc": [12_501]}),
    ("charge_hard", {"current_count": P.one_c_count * 7 // 10 + 200}),
    ("discharge_hard", {"current_count": -P.one_c_count * 26 // 10 - 200}),
    ("cell_low_hard", {"cell_uv": [P.hard_min_uv - 1, 3_700_000]}),
    ("cell_high_hard", {"cell_uv": [3_700_000, P.hard_max_uv + 1]}),
    ("pack_sum", {"pack_uv": 7_420_001}), ("charge_window", {"temp_cdegc": [4501]}),
    ("discharge_window", {"temp_cdegc": [5501]}), ("hot_hard", {"temp_cdegc": [6001]}),
    ("switch_stuck", {"charge_switch": 0}), ("switch_stuck", {"discharge_switch": 0}),
    ("pulse_overrun", {"pulse_switch": 1}), ("hardware_trip", {"hardware_trip": 1}),
])  # fmt: skip
def test_what_shows_a_row(row, changes):
    assert not SHOWN[row](readings(), (1, 1, 0), P) and SHOWN[row](readings(**changes), (1, 1, 0), P)


def test_current_that_nobody_lets_flow():
    open_ = {"charge_switch": 0, "discharge_switch": 0}
    assert not SHOWN["switch_stuck"](readings(current_count=P.step_count, **open_), (0, 0, 0), P)
    assert SHOWN["switch_stuck"](readings(current_count=P.step_count + 1, **open_), (0, 0, 0), P)


@pytest.mark.safety(13)
def test_an_answer_later_than_the_rows_own_time_is_late_whatever_the_evidence_may_take(benches, monkeypatch):
    case = dataclasses.replace(CASES["cell0", "wrong", "DISCHARGE"], evidence_ms=60_000)
    row = case.play(benches["DISCHARGE"].clone())
    assert row["ok"] and row["shown_ms"] == 0 and row["limit_ms"] == 2500
    monkeypatch.setattr(faults, "_response_ms", lambda name: 1900)
    assert not case.play(benches["DISCHARGE"].clone())["ok"]


@pytest.mark.safety(13)
def test_an_answer_that_is_taken_back_is_none(benches, monkeypatch):
    case, update = CASES["cell0", "wrong", "FAULT"], Protection.update
    bench = benches["FAULT"].clone()
    assert case.play(bench)["ok"]
    case = dataclasses.replace(CASES["cell0", "wrong", "DISCHARGE"], end_states=("SOFT_LIMIT", "DISCHARGE", "IDLE"))
    bench = benches["DISCHARGE"].clone()
    until_s = bench.loop.time_s + 60.0

    def forgets(self, elapsed_ms):
        update(self, elapsed_ms)
        if bench.loop.time_s > until_s:
            self.soft = self.no_charge = self.no_discharge = 0

    monkeypatch.setattr(Protection, "update", forgets)
    row = case.play(bench)
    assert row["row"] == "pack_sum" and not row["ok"] and "pack_sum unanswered" in row["why"]


@pytest.mark.safety(13)
def test_a_longer_string_is_tried_as_well():
    more = faults.longer(list(CASES.values()))
    assert len(more) == 2 * 7 * 5 and {case.component for case in more} == {"cell2", "cell4"}
    assert {case.cells for case in more} == {5} and not faults.longer([CASES["clock", "off", "IDLE"]])
    case = next(case for case in more if (case.component, case.fault, case.state) == ("cell4", "stuck", "DISCHARGE"))
    row = case.play(fault_world.stages(5)["DISCHARGE"])
    assert row["ok"] and row["component"] == "cell4 of 5"
