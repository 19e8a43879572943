"""The PyBaMM plant keeps the Cell interface. Skipped without the `bench` extra; `make bench` has it."""

from pathlib import Path

import pytest

import host_sim.peers  # before PyBaMM: switches its telemetry off

pytest.importorskip("pybamm", reason="a peer of 0.6 GB that only `make bench` installs")

from host_sim.cell import Control
from host_sim.errors import InputError
from host_sim.peers.pybamm_cell import PybammCell

ROOT = Path(host_sim.peers.__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built():
    cell = PybammCell(area_cm2=100.0, soc=0.5)
    return cell, cell.state()


@pytest.fixture
def cell(built):
    built[0].restore(built[1])
    return built[0]


def play(cell, control, step_s=60.0):
    elapsed_s = 0.0
    for _ in range(1000):
        outcome = cell.advance(control, step_s)
        elapsed_s += outcome.elapsed_s
        if outcome.event:
            return elapsed_s, outcome.event
    raise AssertionError("never ended")


def test_positive_current_charges_and_lithium_goes_to_the_anode(cell):
    volts, cathode, active = cell.voltage_v, cell.cathode_mah_cm2, cell.active_mah_cm2
    assert cell.advance(Control.current(0.05), 600.0).elapsed_s == 600.0
    assert cell.voltage_v > volts
    assert cathode - cell.cathode_mah_cm2 == pytest.approx(0.05 * 10 / 6, rel=1e-4)
    assert cell.active_mah_cm2 - active == pytest.approx(0.05 * 10 / 6, rel=1e-4)


def test_stops_at_its_events(cell):
    _, event = play(cell, Control.current(0.08, v_max=4.2))
    assert event == "v_max" and cell.voltage_v == pytest.approx(4.2, abs=1e-4)
    assert cell.advance(Control.current(0.08, v_max=4.2), 60.0).elapsed_s < 0.1
    _, event = play(cell, Control.voltage(4.2, i_stop_a=0.02))
    assert event == "i_min" and cell.voltage_v == pytest.approx(4.2, abs=1e-5) and 0.01 < cell.current_a <= 0.02
    _, event = play(cell, Control.current(-0.15, v_min=3.5))
    assert event == "v_min" and cell.voltage_v == pytest.approx(3.5, abs=1e-3)
    assert cell.advance(Control.rest(), 3600.0).event is None
    assert cell.voltage_v > 3.5


def test_a_hold_obeys_its_current_limit_and_power_is_power(cell):
    cell.advance(Control.voltage(4.3, i_max_a=0.05), 60.0)
    assert cell.current_a == 0.05
    cell.advance(Control.power(-0.2), 60.0)
    assert cell.current_a * cell.voltage_v == pytest.approx(-0.2, rel=1e-6)


def test_step_length_does_not_matter(cell):
    start = cell.state()
    cell.advance(Control.current(-0.1), 3600.0)
    at_once = cell.voltage_v
    cell.restore(start)
    for _ in range(36):
        cell.advance(Control.current(-0.1), 100.0)
    assert cell.voltage_v == pytest.approx(at_once, abs=1e-4)


def test_bad_soc_is_one_sentence():
    with pytest.raises(InputError, match="soc"):
        PybammCell(soc=1.5)


def test_the_firmware_runs_on_it():
    """A cycle and a half with the pulse policy: it charges, discharges, charges again, and then pulses."""
    from host_sim.firmware import FirmwareRun
    from host_sim.life import Setup

    setup = Setup(
        str(ROOT / "firmware/profiles/liu21_nmc532.json"), charge_ma_cm2=0.8, discharge_ma_cm2=0.5, hold_stop_ma_cm2=0.2
    )
    run = FirmwareRun(PybammCell(area_cm2=setup.area_cm2, soc=0.3), setup, "pulse")
    volts, pulsed = [], 0
    while run.loop.time_s < 11 * 3600:
        run.step()
        pulsed += run.pulsing()
        volts.append(run.loop.cell.voltage_v)
    assert max(volts) == pytest.approx(4.2, abs=0.02) and min(volts) < 3.2
    assert pulsed > 0
