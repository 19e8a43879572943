"""Ten planted bugs, each a patch to the firmware: the scenarios must catch every one, and pass without it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((Path(__file__).parent / "planted").glob("*.patch"))
WANTED = {
    "clamp_at_100", "deadline_ignored", "gate_bypass", "journal_slot_reuse", "lost_latch", "missing_debounce",
    "pulse_not_aborted", "stale_data_used", "unit_slip", "wrong_sign",
}  # fmt: skip


def caught_by(patch):
    """Names of the scenarios that a patch says catch it."""
    head = dict(line.split(": ", 1) for line in patch.read_text().splitlines() if ": " in line and line[0] in "WC")
    return head["Caught-by"].split()


def states(firmware, names, out):
    """Every scenario's end on the host rig with this firmware: scenario -> tag of its failure, or `passed`."""
    path = os.pathsep.join([str(firmware), str(ROOT)])
    command = [sys.executable, "-c", "from hil.cli import main; main()", "run", *names, "--rig", "host", "--jobs", "1"]
    done = subprocess.run(
        [*command, "--out", str(out)],
        cwd=out.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (out / "junit.xml").is_file(), done.stderr
    cases = ElementTree.parse(out / "junit.xml").getroot()
    return {case.get("name"): next((one.tag for one in case if one.tag != "system-out"), "passed") for case in cases}


def test_all_ten_are_here():
    assert {patch.stem for patch in PATCHES} == WANTED


def test_without_a_bug_they_pass(tmp_path):
    names = sorted({name for patch in PATCHES for name in caught_by(patch)})
    clean = states(ROOT / "firmware", names, tmp_path / "clean")
    assert set(clean) == set(names)
    assert set(clean.values()) == {"passed"}, clean


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_planted_bug_is_caught(patch, tmp_path):
    shutil.copytree(ROOT / "firmware", tmp_path / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    names = caught_by(patch)
    applied = subprocess.run(["git", "apply", "-C1", str(patch)], cwd=tmp_path, capture_output=True, text=True)
    assert applied.returncode == 0, f"{patch.name} no longer applies, the firmware has moved on: {applied.stderr}"
    planted = states(tmp_path / "firmware", names, tmp_path / "planted")
    assert set(planted.values()) == {"failure"}, planted
