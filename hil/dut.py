"""A `dut` for your own pytest files: `pytest_plugins = ["hil.dut"]`, then `def test_it(dut): ...`.

    @pytest.mark.scenario("pulse_after_charge")
    @pytest.mark.rig("virtual")
    def test_my_pulse(dut):
        dut.run_until("state is pulse", within="1 h")
        dut.command("stop")
        dut.expect("pulse_ordered below 1 mA", within="200 ms")

A scenario gives profile, cell, life so far and use; its own events and faults happen too. `--dut-rig` sets the rig
for all tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # a plugin is imported in every pytest run: what is heavy waits until a test asks for a dut
    from hil.world import World


class Dut:
    """A board in its world, moved by hand. Times are text with a unit; conditions are those of scenario files."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._ticks: Iterator[float] = world.run()

    @property
    def time_s(self) -> float:
        return self.world.loop.time_s

    def __getitem__(self, signal: str) -> Any:
        """A signal as it was at the last tick."""
        return self.world.row[signal]

    def run(self, time: str) -> None:
        """Let time pass."""
        from hil.units import quantity, show

        ends_s = self.time_s + quantity(time, "time", "dut.run")
        self.world.stop_at_s = ends_s
        for now_s in self._ticks:
            if now_s >= ends_s - 1e-9:
                return
        raise AssertionError(f"the scenario is over at {show(self.time_s, 'time')}")

    def run_until(self, condition: str, within: str) -> float:
        """Tick until a condition holds; returns the seconds it took. Fails the test when it takes longer."""
        from hil.condition import parse_condition
        from hil.units import quantity

        wanted = parse_condition(condition, "dut.run_until")
        began_s = self.time_s
        limit_s = quantity(within, "time", "dut.run_until")
        self.world.stop_at_s = began_s + limit_s
        for now_s in self._ticks:
            if wanted.holds(self.world.row):
                return now_s - began_s
            if now_s - began_s > limit_s:
                break
        raise AssertionError(f"not within {within}: {condition}; state is {self['state']}, {self['reason']}")

    expect = run_until

    def command(self, name: str, a: int = 0, b: int = 0) -> str:
        """A command of the link's catalogue; the board's answer."""
        return self.world.board.command(name, a, b)

    def fault(self, component: str, verb: str, magnitude: float = 0.0) -> None:
        """A fault verb on a component, as in a scenario; `ok` heals it."""
        from hil import scenario

        if component in ("flash", "link"):
            self.world.board.fault(component, verb, magnitude)
        elif component in scenario.SWITCHES:
            self.world.loop.plant.fault(component, verb, magnitude)
        else:
            self.world.loop.sensors.fault(component, verb, magnitude)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--dut-rig", default=None, help="rig file for every test that uses `dut`")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(name): where the dut begins")
    config.addinivalue_line("markers", "rig(name): the dut's rig, unless --dut-rig names another")


@pytest.fixture
def dut(request: pytest.FixtureRequest) -> Iterator[Dut]:
    """A board on a rig with a simulated cell, at the beginning of the scenario that the test names."""
    from hil import rigs, scenario
    from hil.staging import stage
    from host_sim.errors import InputError

    named = request.node.get_closest_marker("scenario")
    one = scenario.load(scenario.find(named.args[0] if named else "quiet_day"))
    marker = request.node.get_closest_marker("rig")
    name = request.config.getoption("--dut-rig") or (marker.args[0] if marker else "host")
    rig = rigs.load(rigs.find(name))
    if rig.cell != "simulated":
        raise InputError(f"{rig.path.name}: cell is '{rig.cell}'; a dut is moved by hand, on a simulated cell")
    why = rig.cannot(one)
    if why:
        pytest.skip(f"{rig.name} cannot run {one.name}: it {why}")
    board = rig.make_board(one)
    try:
        yield Dut(stage(one, board))
    finally:
        board.close()
