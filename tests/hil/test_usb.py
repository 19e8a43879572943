"""A board on a serial port, as the rig meets it: here the virtual board on its pseudo-terminals."""

from pathlib import Path

import pytest

from hil import flash, image, rigs, runner, scenario
from hil.virtual.bench import Bench
from hil.virtual.board import VirtualBoard, served
from host_sim.errors import InputError

PROFILE = image.PROFILES / "liu21_nmc532.json"


def quietly(*_):
    """`flash` says what it does; a test does not."""


def rig(**fields):
    return rigs.parse({"board": "usb", "baud": 460800, **fields}, Path("r.toml"))


@pytest.fixture(scope="module")
def rig_board(tmp_path_factory):
    """A virtual board with a rig build, on its two ports: (REPL, link)."""
    folder = tmp_path_factory.mktemp("flash")
    with VirtualBoard(folder, Bench().hardware) as board, served(board) as port:
        flash.flash(port, PROFILE, "rig_virtual", quietly)
        assert board.link
        yield port, board.link.port


def test_the_same_scenario_over_a_serial_port(rig_board):
    repl, link = rig_board
    one = scenario.load(scenario.find("bench_charge_and_stop"))
    there = runner.run(one, rig(port=link, repl=repl))
    assert there.state == runner.PASSED, there.reason
    here = runner.run(one, rigs.load(rigs.find("host")))
    assert there.trace.words["state"] == here.trace.words["state"]
    assert there.slots == here.slots


def test_without_a_prompt_it_runs_only_what_needs_no_past(rig_board):
    _, link = rig_board
    without = rig(port=link)
    one = scenario.load(scenario.find("bench_charge_and_stop"))
    assert without.cannot(one) == "needs a board that wakes up with a given journal"


def test_a_build_with_real_switches_is_refused_by_a_rig_that_injects(tmp_path):
    with VirtualBoard(tmp_path, Bench().hardware) as board, served(board) as port:
        flash.flash(port, PROFILE, "virtual", quietly)
        assert board.link
        one = scenario.load(scenario.find("rig_build"))
        one = type(one)(**{**vars(one), "needs": frozenset()})
        with pytest.raises(InputError, match="a build with real switches; this rig needs a rig build"):
            runner.run(one, rig(port=board.link.port))
