"""A profile from a slow cycle and pulses: it agrees with the cell's truth, says where figures are from, or refuses."""

import csv
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host_sim import profile_builder
from host_sim.cell import Cell, Control, load_parameters
from host_sim.cell.cathode import table
from host_sim.cli import dispatch, guarded
from host_sim.errors import InputError
from host_sim.formats import bdf, recording
from host_sim.history import joined
from host_sim.profiles import load, made
from host_sim.sample_data import COLUMNS, ONE_C_A, PROFILE, slow_cycle_and_pulses

AREA_CM2 = 100.0


def recorded(path, cell, noise_v=0.0, **options):
    """The sample protocol on `cell`, as a cycler would write it (without the simulator's own stores)."""
    columns = slow_cycle_and_pulses(cell, **options)
    volts = np.array(columns["Voltage / V"])
    if noise_v:
        volts = np.round((volts + np.random.default_rng(7).normal(0.0, noise_v, len(volts))) / noise_v) * noise_v
    bdf.write(path, {name: columns[name] for name in COLUMNS} | {"Voltage / V": volts.tolist()})


def run(*arguments):
    return guarded(dispatch, ["profile", *map(str, arguments)])


def resistance_at_middle(cell, v_max, swing_mah):
    """What 1C takes off a rested, half discharged cell within a second, tried on the cell itself."""
    cell.advance(Control.current(0.2 * ONE_C_A, v_max=v_max), 99.0 * 3600.0)
    cell.advance(Control.current(-0.1 * ONE_C_A), 0.5 * swing_mah / (100.0 * ONE_C_A) * 3600.0)
    cell.advance(Control.rest(), 7200.0)
    rested_v = cell.voltage_v
    cell.advance(Control.current(-ONE_C_A), 1.0)
    return (rested_v - cell.voltage_v) / ONE_C_A


CELLS = {"NMC532": (4.2, 3.0), "NMC811": (4.2, 3.0), "LFP": (3.6, 2.5)}


@pytest.mark.parametrize("cathode", CELLS)
@pytest.mark.parametrize("noise_v", [0.0, 0.001])
def test_it_agrees_with_the_cells_truth(tmp_path, cathode, noise_v):
    v_max, v_min = CELLS[cathode]
    parameters = load_parameters().replace(cathode=cathode)
    cell = Cell(parameters, AREA_CM2)
    path = tmp_path / "lab__cell__20250101_001.bdf.csv"
    recorded(path, cell, noise_v, v_max=v_max, v_min=v_min)
    arguments = [path, "--np", 1, "--max-v", v_max, "--min-v", v_min, "--out", tmp_path / "out"]
    assert run(*arguments) == 0
    profile = load(tmp_path / "out" / "profile.json")

    curve = table(parameters.cathode)
    filling = np.linspace(0.0, 1.0, curve.size)
    low, high = np.interp([-v_max, -v_min], -curve, filling)
    swing_mah = (high - low) * cell.cathode_sites_mah_cm2 * AREA_CM2
    built_mah = profile.cathode_capacity_ppm * 1e-9 * profile.nominal_capacity_uah
    assert built_mah == pytest.approx(swing_mah, rel=0.005)
    assert profile.nominal_capacity_uah * 1e-3 == pytest.approx(swing_mah, rel=0.01)
    assert profile.reservoir_ppm == pytest.approx(profile.cathode_capacity_ppm, abs=2)

    content = np.linspace(0.005, 0.995, 199)
    built_v = np.interp(content, np.array(profile.ocv_content_ppm) * 1e-6, np.array(profile.ocv_uv) * 1e-6)
    true_v = np.interp(low + content * (high - low), filling, curve)
    # at the cliffs a voltage says little: there the content that it stands for must agree, within 0.15 %
    true_content = (np.interp(-built_v, -curve, filling) - low) / (high - low)
    fine = (np.abs(built_v - true_v) <= 0.003) | (np.abs(true_content - content) <= 0.0015)
    assert fine.all(), (content[~fine], (built_v - true_v)[~fine])
    flat = content < (0.96 if cathode != "LFP" else 0.9)
    assert np.abs(built_v - true_v)[flat & (content > 0.03)].max() <= 0.003

    assert profile.resistance_uohm * 1e-6 == pytest.approx(resistance_at_middle(cell, v_max, swing_mah), rel=0.05)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    path = folder / "lab__cell__20250101_001.bdf.csv"
    recorded(path, Cell(load_parameters(), AREA_CM2))
    return path


def rows(folder):
    with open(folder / "provenance.csv", newline="", encoding="utf-8") as file:
        return {row["field"]: row for row in csv.DictReader(file)}


def test_every_figure_says_where_it_is_from(sample, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(sample, "--reservoir", 61, "--name", "ours", "--out", out) == 0
    figures = rows(out)
    data = json.loads((out / "profile.json").read_text())
    assert set(figures) == set(data) - {"sources"}
    assert figures["nominal_capacity_uah"]["how"] == "measured"
    assert f"{sample.name} lines " in figures["ocv_uv"]["source"]
    assert figures["reservoir_ppm"]["source"] == "--reservoir 61"
    assert data["reservoir_ppm"] == round(61e9 / data["nominal_capacity_uah"])
    assert figures["loss_sei_ppm"]["how"] == "prior" and "a reservoir hides it" in figures["loss_sei_ppm"]["source"]
    assert data["name"] == "ours" and data["sources"]
    assert {row["how"] for row in figures.values()} == {"measured", "given", "prior"}
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("relith.profile: capacity=242.4mAh")
    assert (out / "profile.png").read_bytes()[:4] == b"\x89PNG" and (out / "ocv.csv").stat().st_size > 1000


def test_twice_gives_the_same_bytes(sample, tmp_path):
    for name in ("a", "b"):
        assert run(sample, "--np", 2, "--out", tmp_path / name) == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def edited(sample, tmp_path, keep):
    """The sample with only those rows for which keep(cycle, columns) holds."""
    with open(sample, newline="", encoding="utf-8") as file:
        table_rows = list(csv.DictReader(file))
    path = tmp_path / "edited.bdf.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table_rows[0])
        writer.writeheader()
        writer.writerows(row for row in table_rows if keep(int(row["Cycle Count / 1"]), row))
    return path


def refused(capsys, tmp_path, arguments, *words):
    out = tmp_path / "build" / "profile"
    capsys.readouterr()
    assert run(*arguments, "--out", out) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err, captured.err
    assert not out.exists()


def test_data_that_do_not_reach_are_refused(sample, tmp_path, capsys):
    without_slow = edited(sample, tmp_path, lambda cycle, row: cycle != 2)
    refused(
        capsys, tmp_path, [without_slow, "--np", 1], "edited.bdf.csv: line", "faster than C/10", "full cycle at C/10"
    )
    no_pulses = edited(sample, tmp_path, lambda cycle, row: cycle != 3)
    refused(capsys, tmp_path, [no_pulses, "--np", 1], "0 steps of current", "--resistance OHM")
    assert run(no_pulses, "--np", 1, "--resistance", 0.5, "--out", tmp_path / "given") == 0
    assert rows(tmp_path / "given")["resistance_uohm"]["how"] == "given"
    half = edited(sample, tmp_path, lambda cycle, row: cycle < 2)
    refused(capsys, tmp_path, [half, "--np", 1], "takes 9.03 h, faster than C/10")
    one = edited(sample, tmp_path, lambda cycle, row: cycle == 2 and float(row["Current / A"]) >= 0.0)
    refused(capsys, tmp_path, [one, "--np", 1], "edited.bdf.csv: line ", "here it ends, with 1 of two half-cycles")
    refused(capsys, tmp_path, [sample, "--np", 1, "--capacity", 24], "moves 242.4 mAh, but --capacity is 24 mAh")
    refused(
        capsys, tmp_path, [sample, "--np", 1, "--max-v", 3.7], "next to it that ends at 4.200 V, above 3.7 V (--max-v)"
    )
    refused(capsys, tmp_path, [sample, "--np", 1, "--min-v", 3.55], "ends at 3.000 V, below the cut-off of 3.55 V")
    refused(capsys, tmp_path, [sample, "--np", 1, "--max-v", 4.3], "ends at 4.200 V, not at 4.3 V (--max-v)")
    refused(
        capsys, tmp_path, [sample, "--np", 1, "--min-v", 2.5], "ends at 3.000 V, not at the cut-off of 2.5 V (--min-v)"
    )


def test_a_hole_in_the_slow_cycle_is_bridged_by_a_counter_and_else_refused(sample, tmp_path, capsys):
    def seen(cycle, row):
        return not (cycle == 2 and 3.6 < float(row["Voltage / V"]) < 3.9 and float(row["Current / A"]) < 0)

    hole = edited(sample, tmp_path, seen)
    assert run(hole, "--np", 1, "--out", tmp_path / "bridged") == 0
    assert (
        " h are missing before it in the slow cycle: the cycler's charge counter bridges them"
        in capsys.readouterr().out
    )
    assert int(rows(tmp_path / "bridged")["nominal_capacity_uah"]["value"]) == pytest.approx(242_374, rel=1e-4)
    hole.write_text(hole.read_text().replace("ing Capacity / Ah", "ing Something / Ah"))
    refused(capsys, tmp_path, [hole, "--np", 1], "edited.bdf.csv: line ", "and no charge counter tells what passed")


def test_the_anode_is_to_be_said(sample, tmp_path, capsys):
    refused(capsys, tmp_path, [sample], "--np")
    refused(capsys, tmp_path, [sample, "--np", 1, "--anode-free"], "not allowed with")
    refused(capsys, tmp_path, [sample, "--np", 50], "--np is 50, allowed is 0 to 20")
    refused(capsys, tmp_path, [sample, "--np", 1, "--like", "none.json"], "none.json: cannot be read")


def test_an_anode_free_cell_takes_the_cathodes_end_from_the_prior_and_its_loss_from_its_efficiency(tmp_path, capsys):
    """Its discharges end at the anode: the OCV is measured as far as they go, and CE shows the loss."""
    from host_sim.sample_data import Cycler

    parameters = load_parameters().replace(reservoir_mah_cm2=0.0)
    cell = Cell(parameters, AREA_CM2)
    cycler = Cycler(cell)
    for _ in range(12):  # until what the first charge left on the anode is spent
        cycler.charge(0.3, 0.05, every_s=1800.0)
        cycler.discharge(0.3, every_s=1800.0)
    ratios = []
    for _ in range(4):
        before = cycler.charged_ah, cycler.discharged_ah
        cycler.charge(0.3, 0.05, every_s=900.0)
        cycler.discharge(0.3, every_s=900.0)
        ratios.append((cycler.discharged_ah - before[1]) / (cycler.charged_ah - before[0]))
    cycler.charge(0.05, 0.02)
    cycler.rest(3600.0)
    cycler.discharge(0.05)
    cycler.rest(7200.0)
    path = tmp_path / "free.bdf.csv"
    bdf.write(path, {name: cycler.columns[name] for name in COLUMNS})
    refused(capsys, tmp_path, [path, "--np", 1, "--resistance", 0.5], "it ended at the anode", "--anode-free")
    out = tmp_path / "out"
    assert run(path, "--anode-free", "--resistance", 0.5, "--out", out) == 0
    profile, figures = load(out / "profile.json"), rows(out)
    assert profile.reservoir_ppm == 0
    assert "beyond content 0." in figures["ocv_uv"]["source"]
    assert figures["loss_isolated_ppm"]["how"] == "measured"
    lost = (profile.loss_isolated_ppm + profile.loss_sei_ppm) * 1e-6
    assert lost == pytest.approx(1.0 - np.median(ratios), rel=0.1)
    low, high = np.interp([-4.2, -3.0], -table(parameters.cathode), np.linspace(0, 1, 4001))
    swing_mah = (high - low) * cell.cathode_sites_mah_cm2 * AREA_CM2
    assert profile.cathode_capacity_ppm * 1e-9 * profile.nominal_capacity_uah == pytest.approx(swing_mah, rel=0.01)


@pytest.mark.parametrize("scale", [0.005, 500.0])
def test_coin_cells_and_large_cells(sample, tmp_path, scale):
    """1.2 mAh and 120 Ah: the same curve, the resistance scaled."""
    columns = bdf.read(sample)
    for name in ("Current / A", "Charging Capacity / Ah", "Discharging Capacity / Ah"):
        columns[name] = columns[name] * scale
    path = tmp_path / "scaled.bdf.csv"
    bdf.write(path, columns)
    assert run(path, "--np", 1, "--out", tmp_path / "out") == 0
    assert run(sample, "--np", 1, "--out", tmp_path / "one") == 0
    built, one = (load(tmp_path / name / "profile.json") for name in ("out", "one"))
    assert built.nominal_capacity_uah == pytest.approx(one.nominal_capacity_uah * scale, rel=1e-3)
    assert built.resistance_uohm * scale == pytest.approx(one.resistance_uohm, rel=1e-3)
    assert np.interp(np.linspace(0, 1e6, 50), built.ocv_content_ppm, built.ocv_uv) == pytest.approx(
        np.interp(np.linspace(0, 1e6, 50), one.ocv_content_ppm, one.ocv_uv), abs=2000
    )


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mangled_recording_is_a_profile_or_a_sentence(sample, data):
    """Rows lost, cycles lost, currents and voltages disturbed: never another exception."""
    r = recording.read(sample)
    n = len(r.time_s)
    first = data.draw(st.integers(0, n - 2), "first")
    last = data.draw(st.integers(first + 1, n), "last")
    rows = np.arange(first, last)[:: data.draw(st.integers(1, 40), "every")]
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    noise_v, noise_a = data.draw(st.sampled_from([(0.0, 0.0), (0.02, 0.0), (0.3, 0.05)]), "noise")
    volts = np.clip(r.voltage_v[0][rows] + rng.normal(0, noise_v, len(rows)), 0.3, 5.6)
    current = r.current_a[rows] * data.draw(st.sampled_from([1.0, -1.0, 0.0, 1e3]), "times") + rng.normal(
        0, noise_a, len(rows)
    )
    counters = data.draw(st.sampled_from([None, r.counters_ah]), "counters")
    counters = None if counters is None else tuple(counter[rows] for counter in counters)
    mangled = recording.Recording("x.csv", rows + 2, r.time_s[rows], [volts], current, counters_ah=counters)
    like = json.loads(PROFILE.read_bytes())
    arguments = profile_builder.parser().parse_args(
        ["x.csv", *data.draw(st.sampled_from([["--np", "1"], ["--anode-free"]]))]
    )
    try:
        figures, _, _ = profile_builder.build(joined([mangled], None), like, "like.json", arguments)
        made(json.dumps({name: figure.value for name, figure in figures.items()}), "profile.json")
    except InputError as error:
        assert "\n" not in str(error)
