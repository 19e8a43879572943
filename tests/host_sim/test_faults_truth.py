"""The campaign's truth: looked at in every step, against a world that can do harm, and beside a healthy twin."""

import csv
import dataclasses

import pytest
from relith.protection import Protection

from host_sim import fault_world, faults, firmware
from host_sim.cell import Control
from host_sim.errors import InputError
from host_sim.fault_world import HEAVY_PERMILLE, OVEN_DEGC, WATCH_STEP_S
from host_sim.faults_twin import SAME_PPM, Astray, booked, differs
from host_sim.tables import TABLE

CASES = {(case.component, case.fault, case.state): case for case in faults.read_table()}


@pytest.fixture(scope="module")
def benches():
    return fault_world.stages()


def test_the_truth_is_looked_at_in_every_step(benches):
    """Between two ticks 4 s apart as well: a quarter of a second beyond a hard limit, and back."""
    bench = benches["DISCHARGE"].clone()
    string, seen = bench.loop.cell, []
    kept, string.watch = string.watch, lambda seconds: (seen.append(seconds), kept(seconds))
    string.advance(Control.rest(), 4.0, 25.0)
    assert sum(seen) == pytest.approx(4.0) and max(seen) <= WATCH_STEP_S + 1e-9
    hard_a = bench.profile.discharge_hard_permille * 1e-3 * bench.ratings.one_c_a
    string.advance(Control.current(-1.2 * hard_a), 0.15, 25.0)
    string.advance(Control.rest(), 1.0, 25.0)
    assert not bench.exceeded  # shorter than 200 ms
    string.advance(Control.current(-1.05 * hard_a), 1.0, 25.0)
    assert not bench.exceeded  # less than 10 %
    string.advance(Control.current(-1.2 * hard_a), 0.25, 25.0)
    string.advance(Control.rest(), 1.0, 25.0)
    assert "per mille of 1C" in bench.exceeded


@pytest.mark.safety(6, 13)
def test_a_blind_controller_would_let_the_cells_get_too_hot(benches, monkeypatch):
    """Without its row a stuck thermometer does what the campaign is about; with it, it does not."""
    measure = Protection.measure
    stuck = next(row.quantity for row in TABLE if row.id == "sensor_stuck")

    def blind(self, bms):
        measure(self, bms)
        self._values[stuck] = 0

    def lived():
        bench = benches["SOFT_LIMIT"].clone()
        bench.loop.cell.step_s = 1.0
        bench.loop.sensors.fault("temperature", "stuck")
        bench.loop.ambient_degc = OVEN_DEGC
        bench.use(HEAVY_PERMILLE)
        return bench.run(1800.0)

    assert lived().exceeded == ""
    monkeypatch.setattr(Protection, "measure", blind)
    assert "degC" in lived().exceeded


@pytest.mark.safety(13)
def test_where_no_row_answers_there_is_a_reason_and_a_twin_proves_it(benches):
    silent = [case for case in CASES.values() if not case.rows]
    assert {case.reason for case in silent} == set(faults.REASONS)
    assert len(silent) == 109 and {case.component for case in silent} == {"charge", "clock", "flash", "link"}
    for key in (("charge", "delayed", "DISCHARGE"), ("link", "garbage", "CHARGE")):
        assert CASES[key].play(benches[key[2]].clone())["ok"], key
    for key in (("pulse_sink", "stuck", "IDLE"), ("charge_switch", "off", "CHARGE"), ("charge", "wrong", "DISCHARGE")):
        harm = dataclasses.replace(CASES[key], rows=(), reason="spare")
        row = harm.play(benches[key[2]].clone())
        assert not row["ok"] and row["row"] == "-", key
    twin = benches["DISCHARGE"].clone()
    other = benches["DISCHARGE"].clone()
    assert differs(twin, other) == ""
    straight, astray = Astray(twin), Astray(other)
    other.bms.ledger.charged.ppm += SAME_PPM + 1
    off_ppm = astray.settled_ppm() - straight.settled_ppm()
    assert off_ppm == pytest.approx(SAME_PPM + 1, abs=0.5) and astray.passed_ppm() > SAME_PPM
    assert "11 ppm more booked" in booked(off_ppm, SAME_PPM)
    assert booked(-off_ppm, SAME_PPM) and not booked(off_ppm, SAME_PPM + 2)


def test_every_case_in_use_is_used(benches):
    """A fault that lies hidden shows once the part is used: the sink by a pulse, which every one of its cases sees."""
    for case in CASES.values():
        if case.component == "pulse_sink" and case.fault not in ("stuck", "wrong") and case.state != "PULSE":
            assert case.use and case.pulsed
    row = CASES["pulse_sink", "off", "STORAGE"].play(benches["STORAGE"].clone())
    assert row["ok"] and row["row"] == "pulse_over"


def test_a_charge_switch_broken_in_the_heat_shows_once_the_cell_has_cooled(benches):
    """Until then it is told nothing; a healthy one is not found to be broken."""
    for verb in ("off", "slow", "delayed", "intermittent"):
        case = CASES["charge_switch", verb, "SOFT_LIMIT"]
        bench = benches["SOFT_LIMIT"].clone()
        hot_degc = bench.loop.cells[0].temperature_degc
        row = case.play(bench)
        assert case.cooled and row["ok"] and row["row"] == "switch_stuck", row
        assert bench.loop.cells[0].temperature_degc < hot_degc - 5.0
    row = dataclasses.replace(case, fault="ok").play(benches["SOFT_LIMIT"].clone())
    assert not row["ok"] and row["row"] == "-" and row["end_state"] == "DISCHARGE"


def test_a_line_without_row_needs_a_reason(tmp_path):
    with faults.TABLE_CSV.open(newline="") as file:
        rows = list(csv.DictReader(file))
    next(row for row in rows if row["row"] == "-")["reason"] = "because"
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match="reason is 'because' \\(allowed: shift, "):
        faults.read_table(tmp_path / "t.csv")


def test_a_warning_is_no_healthy_cycle(monkeypatch):
    assert faults.healthy(("commuter", 1, 1)) == (1, [])
    monkeypatch.setattr(firmware.Person, "visit", lambda self, time_s: setattr(self.bms.gate, "calibrated_until_s", -1))
    assert faults.healthy(("commuter", 1, 1)) == (1, ["calibration"])
