"""`relith.status()`: what a person at the REPL reads."""

import relith

from host_sim.tables import REASONS
from tests.firmware.rigging import World


def test_nothing_runs(monkeypatch, capsys):
    monkeypatch.setattr(relith, "running", None)
    relith.status()
    assert capsys.readouterr().out == "Relith is not running.\n"


def test_what_runs_tells_all_it_knows(monkeypatch, capsys):
    world = World(share=0.5, cell_count=2).run(60, 300)
    bms = world.bms
    monkeypatch.setattr(relith, "running", bms)
    e = bms.estimates[1]
    e.active_ppm, e.active_sigma_ppm = 1_234_567, 45_678
    bms.readings.temp_cdegc[0] = 2505
    relith.status()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{world.p.name}: CHARGE, {REASONS[bms.outputs.reason]}"
    assert lines[1] == "alarms: none"
    assert lines[2] == "switches: charge on, discharge on, pulse off"
    assert lines[3].startswith(f"current {bms.readings.current_count * world.p.current_lsb_na // 1000} uA of at most ")
    assert "cell 1: " in lines[5] and "active 123.4 +- 4.5 %" in lines[5]
    assert lines[6] == "temperatures: 25.05 C"
    bms.outputs.alarms = 1 << 3 | 1
    relith.status()
    assert "alarms: hardware_trip, deep_discharge" in capsys.readouterr().out
    relith.note()
    assert capsys.readouterr().out == (
        f"{bms.clock.seconds} s: CHARGE, {REASONS[bms.outputs.reason]}; alarms: hardware_trip, deep_discharge\n"
    )
