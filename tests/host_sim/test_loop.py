"""Firmware and cell closed: nothing conducts that the gate has not granted, and the step does not change the
account."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relith.bms import Bms
from relith.profile import Profile

from host_sim.cell import Cell, Control, load_parameters
from host_sim.firmware import FirmwareRun, ratings
from host_sim.life import Setup
from host_sim.loop import ClosedLoop, MemoryStore
from host_sim.sensors import SensorModel, SensorSpec
from host_sim.series import Series
from host_sim.uses import Actor, Lab, User
from host_sim.version import ROOT

SETUP = Setup(profile=str(ROOT / "firmware" / "profiles" / "liu21_nmc532.json"))
DAY_S = 86_400.0


def fresh(policy="none", spec=None, **changes):
    setup = dataclasses.replace(SETUP, **changes)
    return FirmwareRun(Cell(load_parameters(), setup.area_cm2), setup, policy, spec)


def one_cycle(run):
    while run.actor.cycles < 1:
        assert run.loop.time_s < 2 * DAY_S, run.stands()
        run.step()


@pytest.mark.parametrize("policy", ["none", "both"])
@pytest.mark.parametrize("obey", [True, False])
def test_nothing_flows_that_the_gate_has_not_granted(policy, obey):
    """Two days with pulses and rests: charge only through the charge switch, discharge only through its own or the
    sink."""
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
                sink_as = outputs.pulse_count * run.ratings.current_lsb_a * step.elapsed_s
                alone = -step.charge_as == pytest.approx(sink_as, rel=1e-9)
                assert alone or (not obey and -step.charge_as > sink_as)  # a load that does not obey draws beside it
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


class Script(Actor):
    """Currents in A for so many seconds each, whatever the firmware says."""

    def __init__(self, ratings, script):
        super().__init__(ratings)
        self.script = script

    def user(self, time_s):
        return User()

    def next(self, time_s, terminals, outputs):
        for seconds, current_a in self.script:
            if time_s < seconds - 1e-9:
                return Control.current(current_a), seconds - time_s
            time_s -= seconds
        return Control.rest(), 60.0


@settings(max_examples=8)
@given(
    st.lists(st.tuples(st.integers(1, 1800).map(float), st.sampled_from([0.08, 0.05, 0.0, -0.0268, 0.1])), max_size=6)
)
def test_the_step_does_not_change_the_account(script):
    """The same currents in steps as long as the firmware allows, and of 0.7 s at most: the same account to 2 ppm."""
    accounts = []
    for longest_s in (60.0, 0.7):
        run = fresh("none", SensorSpec.ideal())
        run.loop.actor = Script(run.ratings, [(60.0, 0.0), (1800.0, 0.08), *script])
        run.loop.longest_s = longest_s
        while run.loop.time_s < 1900.0 + sum(seconds for seconds, _ in script):
            run.step()
        assert run.bms.ledger.gaps.ppm == 0
        accounts.append(ledger_ppm(run))
    assert accounts[0] == pytest.approx(accounts[1], abs=2)


def test_the_ledger_is_the_meter_within_its_errors():
    """With an ideal sensor the firmware's account is the true charge to its resolution."""
    run = fresh("none", SensorSpec.ideal())
    one_cycle(run)
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


def test_a_string_of_two_lives_in_the_loop(tmp_path):
    """Two cells in series, one of them a little smaller: both are charged and discharged, each has its own estimate."""
    data = json.loads(Path(SETUP.profile).read_text())
    path = tmp_path / "string.json"
    path.write_text(json.dumps(data | {"cell_count": 2}))
    p = load_parameters()
    small = p.replace(cathode_capacity_mah_cm2=0.97 * p.value("cathode_capacity_mah_cm2"))
    string = Series([Cell(p, SETUP.area_cm2), Cell(small, SETUP.area_cm2)])
    run = FirmwareRun(string, dataclasses.replace(SETUP, profile=str(path)), "none")
    highest = lowest = 3.5
    while run.actor.cycles < 2:
        assert run.loop.time_s < 3 * DAY_S, run.stands()
        run.step()
        voltages = [cell.voltage_v for cell in string.cells]
        highest, lowest = max(highest, *voltages), min(lowest, *voltages)
    assert run.loop.outputs.alarms == 0 and len(run.bms.estimates) == 2
    assert 4.1 < highest < 4.28 and lowest > 2.5
    assert string.cells[0].cathode_mah_cm2 != string.cells[1].cathode_mah_cm2


def test_a_string_is_balanced_and_the_ledger_knows():
    """One cell 5 % fuller than the other: bled near full charge until they are alike, to the charge the plant took."""
    data = json.loads(Path(SETUP.profile).read_text())
    profile = Profile(json.dumps(data | {"cell_count": 2, "policy": "none"}), "two cells")
    p = load_parameters()
    string = Series([Cell(p, SETUP.area_cm2) for _ in range(2)])
    string.cells[1].advance(Control.current(0.0268), 0.05 * 36_000.0)

    def apart():
        return abs(string.cells[1].cathode_mah_cm2 - string.cells[0].cathode_mah_cm2)

    before = apart()
    bms = Bms(profile, MemoryStore())
    bms.commission()
    sensors = SensorModel(profile.current_lsb_na, 2, seed=1)
    loop = ClosedLoop(string, bms, sensors, Lab(ratings(profile, 0.08, 0.134, 0.0134)))
    loop.plant.bleed_ohm = 100.0
    bms.gate.bleed_uv = 100 * profile.current_lsb_na // 1000
    taken_as = 0.0
    while not bms.tracker.full:
        loop.step()
        taken_as += string.bleed_a[1] * loop.last.elapsed_s
    assert bms.outputs.alarms == 0 and string.bleed_a[0] == 0.0 == bms.ledger.bled[0].ppm
    booked_as = bms.ledger.bled[1].ppm * 1e-6 * profile.nominal_capacity_uah * 3.6e-3
    assert booked_as == pytest.approx(taken_as, rel=0.01) and taken_as > 10.0
    assert apart() < 0.2 * before
