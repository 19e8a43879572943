"""The `dut` fixture in people's own pytest files, on the host and on MicroPython."""

import pytest


@pytest.mark.scenario("pulse_after_charge")
@pytest.mark.rig("virtual")
def test_a_pulse_stopped_by_hand(dut):
    assert dut["known"] if dut.world.row else True
    dut.run_until("state is pulse", within="1 h")
    dut.run("10 s")
    assert dut["pulse_ordered"] == pytest.approx(0.267, abs=1e-3)
    assert dut.command("stop") == "done"
    took_s = dut.expect("pulse_ordered below 1 mA", within="200 ms")
    assert took_s <= 0.2


@pytest.mark.scenario("bench_charge_and_stop")
def test_a_fault_by_hand(dut):
    dut.run("1 s")
    dut.fault("current", "off")
    dut.expect("alarm is sensor_stale", within="900 ms")


@pytest.mark.scenario("bench_charge_and_stop")
def test_waiting_in_vain_fails_the_test(dut):
    with pytest.raises(AssertionError, match="not within 1 s: state is pulse; state is"):
        dut.run_until("state is pulse", within="1 s")
