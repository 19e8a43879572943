"""Firmware and cell closed: nothing conducts that the gate has not granted, and the step does not change the account."""

import dataclasses

import pytest

from host_sim.cell import Cell, load_parameters
from host_sim.firmware import FirmwareRun
from host_sim.life import Setup
from host_sim.sensors import SensorSpec
from host_sim.version import ROOT

SETUP = Setup(profile=str(ROOT / "firmware" / "profiles" / "liu21_nmc532.json"))
DAY_S = 86_400.0


def fresh(policy="none", spec=None, **changes):
    setup = dataclasses.replace(SETUP, **changes)
    return FirmwareRun(Cell(load_parameters(), setup.area_cm2), setup, policy, spec)


@pytest.mark.parametrize("policy", ["none", "both"])
@pytest.mark.parametrize("obey", [True, False])
def test_nothing_flows_that_the_gate_has_not_granted(policy, obey):
    """Two days with pulses and rests: charge only through the charge switch, discharge only through its own or the sink."""
    run = fresh(policy)
    run.actor.obey = obey
    states = set()
    while run.loop.time_s < 2 * DAY_S:
        step = run.step()
        outputs = run.loop.outputs
        states.add(run.state_name())
        if step.charge_as > 0.0:
            assert outputs.charge_enable
        elif step.charge_as < 0.0:
            assert outputs.discharge_enable or outputs.pulse_count
            if outputs.pulse_count:
                assert step.charge_as == pytest.approx(-outputs.pulse_count * 2e-6 * step.elapsed_s, rel=1e-9)
        if outputs.state == 0:  # BOOT
            assert step.charge_as == 0.0
    assert {"CHARGE", "DISCHARGE"} <= states
    assert policy == "none" or {"PULSE", "REST"} <= states


def test_limits_are_kept_by_an_obedient_world():
    run = fresh("none", use="drive")
    while run.loop.time_s < 0.5 * DAY_S:
        step = run.step()
        outputs, lsb_a = run.loop.outputs, run.ratings.current_lsb_a
        average_a = step.charge_as / step.elapsed_s if step.elapsed_s else 0.0
        assert average_a <= outputs.charge_limit_count * lsb_a + 1e-9
        assert -average_a <= outputs.discharge_limit_count * lsb_a + outputs.pulse_count * lsb_a + 1e-9


def test_operators_stop_turns_everything_off():
    run = fresh("none")
    while run.loop.time_s < 3600.0:
        run.step()
    assert run.loop.terminals.current_a > 0.0
    run.loop.readings.stop = 1
    run.step()
    step = run.step()
    assert step.charge_as == 0.0 and not run.loop.outputs.charge_enable and not run.loop.outputs.discharge_enable


def ledger_ppm(run):
    ledger = run.bms.ledger
    return tuple(account.cycles * 1_000_000 + account.ppm for account in (ledger.charged, ledger.discharged))


def test_the_step_does_not_change_the_account():
    """A cycle in steps as long as allowed, and in steps of 2 s at most: the same charge in and out to a few ppm."""
    accounts = []
    for longest_s in (60.0, 2.0):
        run = fresh("pulse", SensorSpec.ideal())
        run.loop.longest_s = longest_s
        while run.actor.cycles < 1:
            run.step()
        accounts.append(ledger_ppm(run))
        assert run.bms.ledger.gaps.ppm == 0
    for long, short in zip(*accounts, strict=True):
        assert long == pytest.approx(short, abs=20)


def test_the_ledger_is_the_meter_within_its_errors():
    """With an ideal sensor the firmware's account is the true charge to its resolution."""
    run = fresh("none", SensorSpec.ideal())
    while run.actor.cycles < 1:
        run.step()
    charged, discharged = ledger_ppm(run)
    net = run.loop.terminals.net_ah / (run.nominal_mah * 1e-3) * 1e6
    assert charged - discharged == pytest.approx(net, abs=10)


def test_a_seed_is_a_board():
    """Same seed, same story; another seed, another offset."""

    def story(seed):
        run = fresh("none", seed=seed)
        while run.loop.time_s < 7200.0:
            run.step()
        return run.loop.time_s, ledger_ppm(run), run.loop.sensors.accumulator

    assert story(5) == story(5)
    assert story(5) != story(6)
