"""`relith-sim run` as a user meets it: the main job, bad input, an interrupt, and the same seed twice."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from host_sim.cli import dispatch, guarded

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "firmware" / "profiles" / "liu21_nmc532.json"
COMMAND = [sys.executable, "-m", "host_sim", "run", "--profile", str(PROFILE)]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'firmware'}{os.pathsep}{ROOT}"}


def run(*arguments):
    return guarded(dispatch, ["run", "--profile", str(PROFILE), *map(str, arguments)])


def edited(**changes):
    """The profile with some fields changed; None takes a field out; a new name stands at the end."""
    data = json.loads(PROFILE.read_text())
    for name, value in changes.items():
        if value is None:
            del data[name]
        else:
            data[name] = value
    return json.dumps(data)


WHOLE = PROFILE.read_text()
BAD_PROFILES = {
    "missing field": (edited(hard_min_uv=None), "hard_min_uv"),
    "wrong unit": (edited(one_c_ua=None, one_c_ma=267), "one_c_ma"),
    "out of range": (edited(max_uv=9_000_000), "max_uv"),
    "negative": (edited(nominal_capacity_uah=-239_000), "nominal_capacity_uah"),
    "fraction": (edited(taper_permille=100.5), "taper_permille"),
    "text for a number": (edited(min_uv="3000000"), "min_uv"),
    "true for a number": (edited(cooldown_s=True), "cooldown_s"),
    "pulse above hard limit": (edited(pulse_max_permille=3000), "pulse_max_permille"),
    "hard above soft": (edited(hard_min_uv=2_950_000), "hard_min_uv"),
    "unknown field": (edited(colour=1), "colour"),
    "truncated": (WHOLE[: len(WHOLE) // 2], "JSON"),
    "not JSON": ("life: long\n", "JSON"),
    "a list": ("[1, 2]", "JSON"),
    "empty": ("", "JSON"),
    "NaN": (WHOLE.replace("239000", "NaN", 1), "nominal_capacity_uah"),
}


def refused(capsys, tmp_path, arguments, *words):
    """Exit 2, one sentence that says these words, nothing on stdout, nothing in build/."""
    assert guarded(dispatch, ["run", "--out", str(tmp_path / "build" / "run"), *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    for word in words:
        assert word in err, err
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("case", BAD_PROFILES)
def test_a_bad_profile_is_one_sentence_and_leaves_nothing(case, tmp_path, capsys):
    text, field = BAD_PROFILES[case]
    path = tmp_path / "bad.json"
    path.write_text(text)
    refused(capsys, tmp_path, ["--profile", path], str(path), field)


def test_binary_and_absent_profiles(tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_bytes(b"\x80\xff\x00{")
    refused(capsys, tmp_path, ["--profile", path], str(path), "JSON")
    refused(capsys, tmp_path, ["--profile", tmp_path / "none.json"], "none.json", "cannot be read")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cycles", "0"], ["--cycles", "0", "1 to"]),
        (["--area", "nan"], ["--area", "nan"]),
        (["--area", "-1"], ["--area", "-1"]),
        (["--seed", "-3"], ["--seed"]),
        (["--seed", "one"], ["--seed", "one"]),
        (["--policies", "none,often"], ["--policies", "often", "adaptive"]),
        (["--policies", "none,none"], ["--policies", "once"]),
        (["--policies", ","], ["--policies", "empty"]),
        (["--area", "1e-9"], ["--area", "0.1 to"]),
        (["--area", "0.1"], ["at 0.1 cm²", "nominal_capacity_uah is 239", "from 1000 to"]),
        (["--out", "/dev/full/run"], ["--out", "/dev/full", "cannot be written to"]),
        (["--out", "/proc/run"], ["--out", "/proc", "cannot be written to"]),
        (["--picture", "/proc/run.png"], ["--picture", "/proc", "cannot be written to"]),
        (["--picture", "run.bmp"], ["--picture", "run.bmp", ".png"]),
        (["--world", "flat"], ["--world", "flat", "redealt"]),
        (["--use", "boat"], ["--use", "boat", "lab"]),
        (["--charge", "1e9"], ["--charge"]),
        (["--wrong"], ["--wrong"]),
    ],
)
def test_a_bad_option_is_one_sentence(arguments, words, tmp_path, capsys):
    refused(capsys, tmp_path, ["--profile", PROFILE, *arguments], *words)


def test_a_string_is_not_this_commands(tmp_path, capsys):
    path = tmp_path / "string.json"
    path.write_text(edited(cell_count=4))
    refused(capsys, tmp_path, ["--profile", path], str(path), "cell_count is 4", "allowed is 1")


def test_another_area_is_the_same_life_scaled(tmp_path, capsys):
    """Ten times the electrode: the same cycles, ten times the charge (sensor errors are of the scale of the counts)."""
    figures = []
    for k, area in enumerate([100, 1000]):
        assert run("--policies", "none", "--cycles", 3, "--area", area, "--out", tmp_path / str(k)) == 0
        figures.append(json.loads((tmp_path / str(k) / "summary.json").read_text())["results"]["none"])
    capsys.readouterr()
    assert figures[1]["initial_mah"] == pytest.approx(10 * figures[0]["initial_mah"], rel=1e-3)
    assert figures[1]["loss_error_percent"] == pytest.approx(figures[0]["loss_error_percent"], abs=0.1)


def test_a_folder_of_somebody_elses_is_not_replaced(tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("…")
    assert run("--out", tmp_path / "thesis", "--cycles", 1) == 2
    assert "allowed is a new folder" in capsys.readouterr().err
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "…"


def test_bad_input_from_the_shell(tmp_path):
    """The same through a real process: exit status, one line, no traceback; what was in the folder stays."""
    path = tmp_path / "bad.json"
    path.write_text(edited(one_c_ua=None))
    out = tmp_path / "build" / "run"
    out.mkdir(parents=True)
    (out / "summary.json").write_text("{}")
    done = subprocess.run(
        [*COMMAND, "--profile", str(path), "--out", str(out)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "one_c_ua is missing" in done.stderr
    assert sorted(p.name for p in out.parent.rglob("*")) == ["run", "summary.json"]


def test_commands_that_are_not_there_are_not_offered(capsys):
    assert guarded(dispatch, ["fly"]) == 2
    assert "no command 'fly'" in capsys.readouterr().err
    assert guarded(dispatch, ["--help"]) == 0
    offered = re.findall(r"^  (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert "run" in offered
    for command in offered:
        with pytest.raises(SystemExit) as stop:
            dispatch([command, "--help"])
        assert stop.value.code == 0
        assert "usage" in capsys.readouterr().out


@pytest.fixture(scope="module")
def main_job(tmp_path_factory):
    """The main job with two policies, through a real process."""
    out = tmp_path_factory.mktemp("main") / "build" / "run"
    done = subprocess.run(
        [*COMMAND, "--policies", "none,pulse", "--out", str(out)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout, json.loads((out / "summary.json").read_text())


def test_last_line_and_summary_agree(main_job):
    _, stdout, summary = main_job
    last = stdout.splitlines()[-1]
    assert re.fullmatch(r"relith\.run: none=\d+ pulse=\d+", last)
    cycles = summary["cycles"]
    assert last == summary["line"] == f"relith.run: none={cycles['none']} pulse={cycles['pulse']}"
    assert summary["partial"] is False and summary["seed"] == 0 and summary["version"]


def test_the_published_shape_of_the_life(main_job):
    """Liu21: below 98 % for good at cycle 30 ± 6 without pulses; the 2-minute pulse takes 3.7 % and lengthens the
    life."""
    _, _, summary = main_job
    none, pulse = summary["results"]["none"], summary["results"]["pulse"]
    assert 24 <= none["cycle_below_98"] <= 36
    assert none["pulses"] == 0 and none["pulse_mah"] == 0
    assert pulse["cycles_to_80"] > none["cycles_to_80"] > none["cycle_of_knee"]
    assert pulse["pulses"] >= pulse["cycles"] - 2
    assert pulse["pulse_mah"] / pulse["pulses"] / pulse["initial_mah"] == pytest.approx(0.037, abs=0.004)
    assert pulse["recovered_mah"] > 0


def test_the_report_is_whole_and_needs_no_network(main_job):
    out, _, _ = main_job
    page = (out / "report.html").read_text()
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 3
    for svg in pictures:
        drawn = re.findall(r'<path d="([^"]*)"', svg)
        assert sum(len(d.split("L")) > 15 for d in drawn) >= 2  # curves, not only frames and ticks
    assert not re.search(r'(src|href)="(https?:)?//', page) and "<script" not in page and "partial" not in page.lower()
    for name in re.findall(r'href="([^"#]+)"', re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)):
        assert (out / name).is_file(), name
    for name in ("fade.csv", "voltage.csv", "inventory.csv", "cycles_none.csv"):
        rows = list(csv.reader((out / name).open()))
        assert len(rows) > 30 and len({len(row) for row in rows}) == 1


def test_bdf_beside_it(main_job):
    from host_sim.formats import bdf

    out, _, summary = main_job
    files = sorted(out.glob("*__*__????????_???.bdf.csv"))
    assert len(files) == 2
    columns = bdf.read(files[0])
    assert columns["Cycle Count / 1"][-1] >= summary["cycles"]["none"]
    for name in ("Charging Capacity / Ah", "Discharging Capacity / Ah"):
        assert (columns[name][1:] >= columns[name][:-1]).all()  # never reset
    lithium = sum(columns[f"{store} Lithium / Ah"] for store in ("Cathode", "Live", "Isolated", "SEI"))
    assert abs(lithium / lithium[0] - 1).max() < 2e-6  # seven digits per column
    charging = columns["Current / A"] > 0
    assert charging.any() and (columns["Current / A"] < 0).any()
    assert columns["Voltage / V"][charging].max() <= 4.2005


def test_a_cell_that_may_not_be_charged_says_so(tmp_path, capsys):
    """At 50 °C the profile's charge window is closed: no life, exit 1, and the reason in the firmware's words."""
    out = tmp_path / "hot"
    assert run("--policies", "none", "--temperature", 50, "--out", out) == 1
    stdout, stderr = capsys.readouterr()
    assert stdout.splitlines()[-1] == "relith.run: none=>0"
    assert "no cycle for 10 days: SOFT_LIMIT, charge_window" in stderr
    assert "charge_window" in (out / "report.html").read_text()


def test_same_seed_same_bytes(tmp_path, capsys):
    """Every file of a short run, with one process or two; another seed differs."""
    kept = []
    for k, (seed, processes) in enumerate([(7, 1), (7, 2), (8, 1)]):
        out = tmp_path / str(k)
        arguments = (
            "--policies",
            "none,adaptive",
            "--cycles",
            4,
            "--seed",
            seed,
            "--processes",
            processes,
            "--out",
            out,
        )
        assert run(*arguments) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "relith.run: none=>4 adaptive=>4"
        kept.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert kept[0] == kept[1]
    assert kept[0]["cycles_none.csv"] != kept[2]["cycles_none.csv"]


def test_an_interrupt_leaves_a_partial_report_that_says_so(tmp_path):
    out = tmp_path / "build" / "run"
    process = subprocess.Popen(
        [*COMMAND, "--policies", "none,pulse", "--out", str(out)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    process.stderr.readline()  # the first life has come to its twentieth cycle
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["partial"] is True
    assert stdout.splitlines()[-1] == summary["line"]
    assert re.fullmatch(r"relith\.run: none=(\d+|>\d+) pulse=>\d+", summary["line"])
    assert "report is partial" in (out / "report.html").read_text()
    assert [p.name for p in out.parent.iterdir()] == ["run"]
