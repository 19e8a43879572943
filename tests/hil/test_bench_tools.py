"""Calibration against a meter on the loopback bench; soaking; the loopback command."""

import copy
import json
import socket
import tomllib
from pathlib import Path

import pytest

from hil import calibrate, cli, rigs
from hil.instruments import errors, serve
from hil.scenario import read_profile
from host_sim.errors import InputError
from host_sim.sensors import SensorModel, SensorSpec

BENCH = tomllib.loads((rigs.FOLDER / "bench-loopback.toml").read_text())
METER = '\n[instruments.meter]\naddress = "loopback"\ndialect = "generic-meter"\n'
PROFILE, TEXT = read_profile("liu21_nmc532", {}, Path("test"))


def rig(**changes):
    data = copy.deepcopy(BENCH)
    data["instruments"]["meter"] = {"address": "loopback", "dialect": "generic-meter"}
    for entry in data["instruments"].values():
        entry["deadline"] = "5 s"
    data.update(changes)
    return rigs.parse(data, Path("r.toml"))


def sensors(offset_count=40.0, gain_ppm=3000.0):
    spec = SensorSpec(current_offset_count=offset_count, current_gain_ppm=gain_ppm)
    return SensorModel(PROFILE.current_lsb_na, 1, 1, seed=1, spec=spec)


def test_offset_and_gain_are_found_and_stored_on_the_board(monkeypatch):
    boards = []
    original = calibrate.board_of
    monkeypatch.setattr(calibrate, "board_of", lambda *given: boards.append(original(*given)) or boards[-1])
    found, answer = calibrate.run(rig(), PROFILE, TEXT, 0.1, 3, 0.5, sensors())
    assert answer == "done"
    assert found.offset_count == pytest.approx(40.0, abs=6 * found.offset_sigma_count + 1.0)
    assert found.gain_ppm == pytest.approx(-3000.0, abs=150.0)
    assert found.date[:2] == "20"
    slots = boards[0].slots()
    assert slots  # the board has written it down


@pytest.mark.parametrize(
    ("offset_count", "gain_ppm", "sentence"),
    [(5000.0, 0.0, "with nothing flowing"), (0.0, 200_000.0, "is the shunt right")],
)
def test_what_cannot_be_a_calibration_is_refused(offset_count, gain_ppm, sentence):
    with pytest.raises(InputError, match=sentence):
        calibrate.run(rig(), PROFILE, TEXT, 0.1, 3, 0.5, sensors(offset_count, gain_ppm))


def test_calibration_needs_a_meter_and_an_allowed_current():
    with pytest.raises(InputError, match="a source and a meter"):
        calibrate.run(rigs.parse(copy.deepcopy(BENCH), Path("r.toml")), PROFILE, TEXT, 0.1, 3)
    with pytest.raises(InputError, match="--current is 3 A"):
        calibrate.run(rig(), PROFILE, TEXT, 3.0, 3)


def test_an_address_where_nothing_answers_is_told_with_its_rig_file(tmp_path, capsys):
    file = tmp_path / "lab.toml"
    file.write_text((rigs.FOLDER / "bench.toml").read_text().replace("192.0.2.11", "127.0.0.1") + METER)
    with pytest.raises(InputError) as caught:
        calibrate.main(["--rig", str(file), "--out", str(tmp_path / "c.json")])
    assert str(caught.value).startswith("lab.toml: instruments.emulator.address: instrument address 'TCPIP::127.0.0.1:")


def test_an_instrument_that_fails_on_the_way_is_one_sentence(tmp_path, monkeypatch, capsys):
    def silent(*given):
        raise errors.Silent("meter: no reply within 1 s")

    monkeypatch.setattr(calibrate, "measure", silent)
    file = tmp_path / "r.toml"
    file.write_text((rigs.FOLDER / "bench-loopback.toml").read_text() + METER)
    assert calibrate.main(["--rig", str(file), "--out", str(tmp_path / "c.json")]) == 1
    told = capsys.readouterr()
    assert told.err == "meter: no reply within 1 s; nothing was stored\n" and told.out == ""
    assert not (tmp_path / "c.json").exists()


def test_soak(tmp_path, capsys):
    out = tmp_path / "soak"
    argv = ["soak", "bench_charge_and_stop", "--rig", "host", "--hours", "1e-9", "--out", str(out)]
    assert cli.dispatch(argv) == 0
    assert "rounds=1 failed=0" in capsys.readouterr().out
    assert (out / "report.html").is_file()
    with pytest.raises(InputError, match="--hours is 0"):
        cli.dispatch(["soak", "quiet_day", "--hours", "0"])


def test_loopback_command(capsys, monkeypatch):
    with pytest.raises(InputError, match="dialect 'nothing'"):
        serve.main(["nothing"])

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(serve.time, "sleep", interrupted)  # all are there: the user has seen enough
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port} cannot be used"):
            serve.main(["generic", "--port", str(port)])
    with pytest.raises(KeyboardInterrupt):
        serve.main(["generic", "--port", str(port)])
    assert f"TCPIP::127.0.0.1::{port}::SOCKET" in capsys.readouterr().out


def test_calibrate_command_keeps_what_was_found(tmp_path, monkeypatch, capsys):
    file = tmp_path / "r.toml"
    text = (rigs.FOLDER / "bench-loopback.toml").read_text() + METER
    file.write_text(text.replace("dialect = ", 'deadline = "5 s"\ndialect = '))
    monkeypatch.setattr(calibrate, "SETTLE_S", 0.3)
    monkeypatch.setattr(calibrate.run, "__defaults__", (0.3, None))
    out = tmp_path / "c.json"
    assert cli.dispatch(["calibrate", "--rig", str(file), "--samples", "3", "--out", str(out)]) == 0
    kept = json.loads(out.read_text())
    assert kept["answer"] == "done" and abs(kept["gain_ppm"]) < 500
    assert "offset" in capsys.readouterr().out
