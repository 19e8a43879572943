"""The page's own code runs, and every step that it shows is one."""

import re
from pathlib import Path

from host_sim.protocol import parse

PAGE = (Path(__file__).resolve().parents[2] / "docs/simulate.md").read_text(encoding="utf-8")


def test_the_code_on_the_page_runs_in_its_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "docs/simulate.md", "exec"), names)
    assert (tmp_path / "life.png").exists()
    assert names["lives"].lived.max() == 50


def test_every_step_in_the_table_is_understood():
    steps = re.findall(r"`((?:Charge|Discharge|Hold|Rest|Plate|Strip) at [^`…]*|Rest for [^`…]*)`", PAGE)
    assert len(steps) >= 10
    for step in steps:
        parse(step)
