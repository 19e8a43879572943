"""The README's pictures: drawn, of what was run, and nothing falls off the edge."""

import numpy as np
import pytest
from PIL import Image

from hil import cli, monitor, pictures
from host_sim.errors import InputError


def pixels(path):
    return np.asarray(Image.open(path).convert("L"), dtype=float)


def is_framed(picture):
    """Whether the edge is empty all round, and the inside is not."""
    edge = pictures.EDGE // 2
    inside = picture[edge:-edge, edge:-edge]
    out = np.concatenate([picture[:edge].ravel(), picture[-edge:].ravel(), picture[:, -edge:].ravel()])
    return np.ptp(out) < 3 and np.ptp(inside) > 100


def test_head_of_the_report(tmp_path):
    file = tmp_path / "hil.png"
    argv = ["run", "bench_charge_and_stop", "rig_build", "--rig", "host", "--jobs", "1"]
    assert cli.dispatch([*argv, "--out", str(tmp_path / "hil"), "--picture", str(file)]) == 0
    assert is_framed(pixels(file))
    assert file.stat().st_size < 100_000


def test_a_picture_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    for name in ("hil.jpg", "nowhere/hil.png"):
        with pytest.raises(InputError, match=r"--picture is .*, allowed is a \.png file in a folder that is there"):
            cli.dispatch(["run", "quiet_day", "--out", str(tmp_path / "hil"), "--picture", str(tmp_path / name)])
    assert not (tmp_path / "hil").exists()


def test_lines_of_a_terminal(tmp_path):
    lines = [f"state      {monitor.BOLD}PULSE{monitor.PLAIN}", f"{monitor.RED}hot_hard{monitor.PLAIN}" + " x" * 60]
    pictures.of_lines(lines, tmp_path / "m.png")
    picture = Image.open(tmp_path / "m.png").convert("RGB")
    assert is_framed(np.asarray(picture.convert("L"), dtype=float))
    red, _, blue = np.asarray(picture, dtype=float).transpose(2, 0, 1)
    assert (red - blue).max() > 80  # the alarm is red


def test_the_monitor_in_the_middle_of_a_scenario():
    lines = pictures.monitored("bench_charge_and_stop", "state is charge", 0)
    assert any("CHARGE" in line for line in lines)
    with pytest.raises(InputError, match="it never comes to 'state is lockout'"):
        pictures.monitored("bench_charge_and_stop", "state is lockout", 0)
