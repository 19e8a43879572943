"""The published experiments: every row of every world within tolerance, from one set per electrolyte."""

import csv
import hashlib
import io
from pathlib import Path

import pytest

from host_sim import experiments
from host_sim.cell import SETS, WORLDS, Parameters, load_parameters
from host_sim.cli import Progress
from host_sim.errors import InputError
from host_sim.experiments import EXPERIMENTS, anode_free_decay, pressure, targets
from host_sim.experiments.common import below
from host_sim.fit import FREE, USED, load_ensemble
from host_sim.fit import main as fit
from host_sim.reproduce import HEADER, Row, main, measure
from host_sim.sensitivity import assumed, moved
from host_sim.sensitivity import main as sensitivity


@pytest.fixture(scope="module")
def found():
    return {world: measure(lambda electrolyte, w=world: load_parameters(electrolyte, w)) for world in WORLDS}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("row", targets())
def test_row_within_tolerance(found, world, row):
    assert targets()[row].ok(found[world][row]), found[world][row]


@pytest.mark.parametrize("world", WORLDS)
def test_every_member_of_the_ensemble_is_equally_good(world):
    members = load_ensemble(world)
    assert members
    for member in members:
        assert set(member) == set(SETS)
        values = measure(member.__getitem__)
        outside = [row for row in {r for rows in USED.values() for r in rows} if not targets()[row].ok(values[row])]
        assert outside == []


PUBLISHED = "624de7b765b68c6b473cae634f5a2ed18171b350e69ca895e0ba1dc686ec25dd"
# the condition that is swept, and the cell that the row itself states
STATED = {pressure: {"stack_pressure_mpa"}, anode_free_decay: set(anode_free_decay.STATED)}


def test_no_experiment_has_a_parameter_of_its_own(monkeypatch):
    """An experiment asks for an electrolyte; beside what makes a half cell of it, it changes nothing but STATED."""
    sets, asked, changed, rows = {name: load_parameters(name) for name in SETS}, set(), set(), []
    usual = Parameters.replace

    def replace(self, *arguments, by="caller", **values):
        changed.update(() if by == "half cell" else values)
        return usual(self, *arguments, by=by, **values)

    def load(electrolyte):
        asked.add(electrolyte)
        return sets[electrolyte]

    monkeypatch.setattr(Parameters, "replace", replace)
    for experiment in EXPERIMENTS:
        changed.clear()
        rows += experiment.run(load)
        assert changed == STATED.get(experiment, set()), experiment.__name__
    assert sorted(rows) == sorted(targets())
    assert asked <= set(SETS) == set(FREE)


def test_the_published_figures_and_tolerances_are_untouched():
    text = Path(experiments.__file__).with_name("targets.csv").read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED


def test_targets_judge():
    known = targets()
    assert known["L1"].ok(0.33) and known["L1"].ok(0.359) and not known["L1"].ok(0.37)
    assert known["Z1c"].ok(601.0) and not known["Z1c"].ok(600.0)
    assert known["Z2b"].ok(0.99) and not known["Z2b"].ok(1.0)
    assert not any(target.ok(float("nan")) for target in known.values())
    assert known["L6a"].shown(29.2) == 30.0 and known["L6c"].shown(1.3) == 1.3


def test_below_is_the_lasting_crossing():
    assert below([1.0, 0.97, 1.0, 0.99, 0.97, 0.9], 0.98) == pytest.approx(4.5)
    assert below([1.0, 1.0], 0.98) == float("inf")


def test_reproduce_writes_a_row_per_target(tmp_path, capsys):
    assert main(["--out", str(tmp_path), "--world", "redealt"]) == 0
    with open(tmp_path / "reproduction.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(HEADER) and rows[0][:5] == ["id", "value", "target", "tolerance", "ok"]
    assert [row[0] for row in rows[1:]] == list(targets())
    for row in rows[1:]:
        assert float(row[7]) <= float(row[8])
    page = (tmp_path / "reproduction.html").read_text()
    assert "data:image/png;base64," in page and "http" not in page
    assert (tmp_path / "reproduction.png").stat().st_size > 20_000
    shown = capsys.readouterr()
    assert "redealt: 33 of 33" in shown.out.splitlines()[0]
    told = [line[:25] for line in shown.err.split("\n")]
    assert told[:-1] == ["redealt: equally good set"] * (len(told) - 1) and len(told) > 8


def test_progress_stays_on_one_line_of_a_terminal_and_takes_its_own_elsewhere():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, shown in ((Terminal(), "\rone\x1b[K\rtwo\x1b[K\n"), (io.StringIO(), "one\ntwo\n")):
        progress = Progress(stream)
        progress.show("one")
        progress.show("two")
        progress.end()
        assert stream.getvalue() == shown


def test_reproduce_fails_when_a_row_is_outside(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "host_sim.reproduce.reproduce",
        lambda world, say=None: [Row(t, world, t.target + 1e3, 0.0, 1.0, 1) for t in targets().values()],
    )
    assert main(["--out", str(tmp_path), "--world", "static"]) == 1


def test_unknown_world_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="'ours'"):
        main(["--world", "ours", "--out", str(tmp_path)])
    with pytest.raises(InputError, match="'ours'"):
        load_ensemble("ours")


@pytest.mark.parametrize(
    ("command", "argv", "says"),
    (
        (main, ["--out", "/dev/null/x"], "/dev/null/x"),
        (sensitivity, ["--out", "/dev/null/x"], "/dev/null/x"),
        (sensitivity, ["--world", "ours"], "'ours'"),
        (fit, ["--world", "ours"], "'ours'"),
        (fit, ["--members", "0"], "--members is 0"),
        (fit, ["--seed", "-1"], "--seed is -1"),
    ),
)
def test_wrong_options_are_one_sentence(command, argv, says):
    with pytest.raises(InputError, match=says) as error:
        command(argv)
    assert "\n" not in str(error.value)


def test_sensitivity_names_what_moves():
    assert moved(0.9, 1.3, 1.0) == "sign"
    assert moved(1.5, 1.3, 1.0) == "size"
    assert moved(1.32, 1.3, 1.0) == ""
    ranges = assumed()
    assert {"dead_band_mv", "sei_share", "barrier_tau_h", "local_stripping"} <= set(ranges)
    assert "reservoir_mah_cm2" not in ranges
    assert ranges["sei_share"]["liu21-carbonate"] == FREE["liu21-carbonate"]["sei_share"]
    assert ranges["ohmic_ohm_cm2"] == dict.fromkeys(SETS, (0, 60))
