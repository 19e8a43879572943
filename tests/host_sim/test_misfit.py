"""A profile of another cell is noticed before the lives are lived, its own is not."""

import json

import pytest

from host_sim import run as main_job
from host_sim.cell import WORLDS, load_parameters
from host_sim.misfit import misfit
from host_sim.profiles import load
from host_sim.sample_data import PROFILE


@pytest.mark.parametrize("world", WORLDS)
def test_the_shipped_profile_fits_its_cell_in_every_world(world):
    assert misfit(load(PROFILE), load_parameters("liu21-carbonate", world), 100.0) == []


def test_another_electrolytes_cell_has_another_capacity_and_another_cathode():
    capacity, voltage = misfit(load(PROFILE), load_parameters("zhang25", "redealt"), 100.0)
    assert capacity == "the profile is of a cell of 239 mAh, the simulated one delivers 428.9 mAh between 3 and 4.2 V"
    assert voltage.startswith("the profile's open-circuit voltage is of another cathode: ")


def test_another_size_and_another_chemistry_by_themselves(tmp_path):
    parameters, profile = load_parameters("liu21-carbonate", "redealt"), load(PROFILE)
    (size,) = misfit(profile, parameters, 130.0)
    assert "the simulated one delivers 314" in size
    lfp = tmp_path / "lfp.json"
    figures = {"ocv_content_ppm": [0, 30_000, 500_000, 950_000, 1_000_000],
               "ocv_uv": [4_200_000, 3_360_000, 3_330_000, 3_250_000, 3_000_000]}  # fmt: skip
    lfp.write_text(json.dumps(json.loads(PROFILE.read_text()) | figures))
    (chemistry,) = misfit(load(lfp), parameters, 100.0)
    assert "is of another cathode" in chemistry


def test_it_is_said_on_the_screen_and_in_the_report_and_the_lives_go_on(tmp_path, capsys):
    argv = ["--policies", "none", "--cycles", "1", "--electrolyte", "zhang25", "--out", str(tmp_path / "out")]
    assert main_job.main(argv) == 0
    told = capsys.readouterr().err
    assert told.count("warning: ") == 1 and "another cathode" in told and "the simulated one delivers 428.9 mAh" in told
    assert "delivers 428.9 mAh" in (tmp_path / "out" / "report.html").read_text()
    assert len(json.loads((tmp_path / "out" / "summary.json").read_text())["warnings"]) == 2
