"""`relith-sim replay` and `profile` as a researcher with cycler files meets them, on the committed samples."""

import csv
import json
import re

import pytest

from host_sim.cli import dispatch, guarded
from host_sim.sample_data import FOLDER, LIFE, SLOW

SPENT = FOLDER / LIFE
RESERVOIR = ("--set", "reservoir_ppm=255000")
STORES = ("active", "isolated", "sei", "cathode")


def run(command, *arguments):
    return guarded(dispatch, [command, *map(str, arguments)])


def table(folder):
    with open(folder / "inventory.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines():
    return SPENT.read_text(encoding="utf-8").splitlines(keepends=True)


def refused(capsys, tmp_path, arguments, *words, command="replay"):
    """Exit 2, one sentence that says these words, nothing on stdout, nothing written."""
    capsys.readouterr()
    out = tmp_path / "build" / "replay"
    assert run(command, *arguments, "--out", out) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "Traceback" not in captured.err
    for word in words:
        assert re.search(word, captured.err), captured.err
    assert not (tmp_path / "build").exists()


def test_the_samples_are_small():
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    assert len(sizes) == 2 and sum(sizes) < 300_000


def test_day_one_a_profile_from_the_cells_own_data_then_its_life(tmp_path, capsys):
    """The estimate's interval holds the simulated cell's true loss once the reservoir is spent."""
    assert run("profile", FOLDER / SLOW, "--reservoir", 61, "--out", tmp_path / "profile") == 0
    arguments = [SPENT, "--profile", tmp_path / "profile" / "profile.json", "--out", tmp_path / "replay"]
    assert run("replay", *arguments) == 0
    out = capsys.readouterr().out
    last_line = out.splitlines()[-1]
    assert re.match(
        r"relith\.replay: cycles=12 measured active=.*±.*mAh isolated=.* sei=.* soh=0\.\d+ stage=4", last_line
    )
    rows = table(tmp_path / "replay")
    assert [int(row["cycle"]) for row in rows] == list(range(1, 13))
    for row in rows:
        true = float(row["true_isolated_mah"]) + float(row["true_sei_mah"])
        sigmas = 2.5 if row["known"] == "measured" else 4.0  # while the reservoir hides it, the priors of another cell
        assert abs(float(row["loss_mah"]) - true) < sigmas * float(row["loss_sigma_mah"]), row["cycle"]
    assert [row["known"] for row in rows[-3:]] == ["measured"] * 3
    end = rows[-1]
    assert end["limited_by"] == "anode" and float(end["ce_cell"]) < 0.98 < float(rows[3]["ce_cell"])
    assert float(end["loss_sigma_mah"]) < 0.01 * 242
    about = json.loads((tmp_path / "replay" / "run.json").read_text())
    assert about["line"] == last_line
    assert about["files"][0]["name"] == LIFE and len(about["files"][0]["sha256"]) == 64
    page = (tmp_path / "replay" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4 and not re.search(r"(src|href)=.https?:", page)


def test_twice_gives_the_same_bytes_and_replaces_the_folder(tmp_path):
    out = tmp_path / "replay"
    kept = []
    for _ in range(2):
        assert run("replay", SPENT, *RESERVOIR, "--out", out) == 0
        kept.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert kept[0] == kept[1]
    assert set(kept[0]) == {"inventory.csv", "report.html", "run.json", "voltage.csv"}


def test_one_file_or_two_in_any_dialect_is_one_result(tmp_path):
    """Cut in two between rows, and as a German export: time in hours, mV, mA, decimal comma, turned sign."""
    header, *rows = (line.rstrip("\n").split(",") for line in lines())
    parts = [tmp_path / "a.bdf.csv", tmp_path / "b.bdf.csv"]
    cut = len(rows) // 2
    for path, some in zip(parts, (rows[:cut], rows[cut:]), strict=True):
        path.write_text("\n".join(",".join(row) for row in [header, *some]) + "\n")
    german = tmp_path / "german.csv"
    place = {name: header.index(name) for name in header}

    def translated(row):
        at = {name: float(row[k]) for name, k in place.items()}
        figures = (at["Voltage / V"] * 1e3, -at["Current / A"] * 1e3, at["Test Time / s"] / 3600,
                   at["Charging Capacity / Ah"] * 1e3, at["Discharging Capacity / Ah"] * 1e3,
                   at["Surface Temperature / degC"], at["Cycle Count / 1"])  # fmt: skip
        return ";".join(f"{value:.13g}".replace(".", ",") for value in figures)

    names = "U [mV];I [mA];Zeit [h];Qc [mAh];Qd [mAh];T [°C];Zyklus"
    german.write_bytes(("Export\n" + names + "\n" + "\n".join(map(translated, rows)) + "\n").encode("cp1252"))
    told = ("voltage=U [mV], current=I [mA], time=Zeit [h], charge=Qc [mAh], discharge=Qd [mAh], temperature=T [°C], "
            "cycle=Zyklus, sign=discharge-positive")  # fmt: skip
    results = []
    for name, arguments in (("one", [SPENT]), ("two", parts), ("german", [german, "--columns", told])):
        assert run("replay", *arguments, *RESERVOIR, "--out", tmp_path / name) == 0
        results.append(table(tmp_path / name))
    for result in results[1:]:
        for row, other in zip(results[0], result, strict=True):
            for store in STORES:
                assert float(row[f"{store}_mah"]) == pytest.approx(float(other[f"{store}_mah"]), abs=0.02)


def test_required_columns_alone_are_enough(tmp_path, capsys):
    """No counter, no temperature: samples alone, 25 degC, and the output says so."""
    path = tmp_path / "lean.csv"
    path.write_text("".join(",".join(line.split(",")[:3]) + "\n" for line in lines()))
    assert run("replay", path, *RESERVOIR, "--out", tmp_path / "lean") == 0
    out = capsys.readouterr().out
    assert "has no temperature; 25 degC is taken (--temperature)" in out
    assert "no --profile given: liu21_nmc532.json is taken" in out
    assert run("replay", SPENT, *RESERVOIR, "--out", tmp_path / "whole") == 0
    for row, other in zip(table(tmp_path / "lean"), table(tmp_path / "whole"), strict=True):
        assert float(row["discharge_mah"]) == pytest.approx(float(other["discharge_mah"]), rel=0.01)


def test_a_hole_in_the_file_is_booked_as_a_gap(tmp_path, capsys):
    rows = [",".join(line.split(",")[:3]) + "\n" for line in lines()]
    path = tmp_path / "hole.csv"
    path.write_text("".join(rows[:200] + rows[240:]))
    assert run("replay", path, *RESERVOIR, "--out", tmp_path / "hole") == 0
    told = capsys.readouterr().out
    assert re.search(r"1 gap, [\d.]+ h, where rows are missing: no charge is booked .* [\d.]+ mAh may be missing", told)
    gaps = [float(row["gap_mah"]) for row in table(tmp_path / "hole")]
    assert sum(value > 1.0 for value in gaps) == 1
    sigma = [float(row["cathode_sigma_mah"]) for row in table(tmp_path / "hole")]
    assert sigma[0] < 5.0


def test_a_string_of_two_cells(tmp_path):
    header, *rows = (line.rstrip("\n").split(",") for line in lines())
    path = tmp_path / "string.csv"
    text = [",".join([*header, "Voltage 2 / V"])]
    text += [",".join([*row, str(float(row[1]) - 0.002)]) for row in rows]
    path.write_text("\n".join(text) + "\n")
    told = "voltage=Voltage / V|Voltage 2 / V, time=Test Time / s, current=Current / A"
    assert run("replay", path, "--columns", told, *RESERVOIR, "--out", tmp_path / "out") == 0
    result = table(tmp_path / "out")
    assert [row["cell"] for row in result] == ["1", "2"] * 12
    assert (tmp_path / "out" / "report.html").read_text().count("<svg") == 7


def test_a_cell_that_was_not_new_is_unknown_until_an_anchor(tmp_path, capsys):
    assert run("replay", SPENT, "--used", *RESERVOIR, "--out", tmp_path / "used") == 0
    result = table(tmp_path / "used")
    assert result[0]["known"] == "unknown" and result[0]["active_mah"] == ""
    assert "nothing is known of the cell's past" in capsys.readouterr().out


def changed(tmp_path, change):
    path = tmp_path / "bad.bdf.csv"
    text = change(lines())
    path.write_bytes(text if isinstance(text, bytes) else "".join(text).encode())
    return path


def column(rows, name, convert, first=1, last=None):
    """The rows with one column converted, from line `first` on."""
    k = rows[0].rstrip("\n").split(",").index(name)
    out = list(rows)
    for j in range(first, last or len(rows)):
        fields = rows[j].rstrip("\n").split(",")
        fields[k] = convert(fields[k])
        out[j] = ",".join(fields) + "\n"
    return out


def milli(value):
    return str(float(value) * 1e3)


def lean(rows):
    """Without the cycler's counters."""
    return [",".join(row.split(",")[:3]) + "\n" for row in rows]


def six_turned(rows):
    """Six rows in the middle of a steady current with the other sign."""
    current = [row.split(",")[2] for row in rows]
    first = next(k for k in range(1, len(rows) - 12) if float(current[k]) and len({*current[k : k + 12]}) == 1)
    return column(lean(rows), "Current / A", lambda v: str(-float(v)), first + 3, first + 9)


BAD = {
    "missing column": (lambda rows: [",".join(row.split(",")[:2]) + "\n" for row in rows], "line 1 has no column"),
    "mixed signs": (lambda rows: column(rows, "Current / A", lambda v: v.lstrip("-")), r"line \d+: .*sign=step-type"),
    "signs turned": (lambda rows: column(rows, "Current / A", lambda v: str(-float(v))), r"line \d+: .*discharge-pos"),
    "time back": (lambda rows: rows[:100] + rows[50:], "line 101: time goes back"),
    "nan": (lambda rows: column(rows, "Voltage / V", lambda v: "NaN", 40, 41), "line 41, column 'Voltage / V': 'NaN'"),
    "empty cell": (lambda rows: column(rows, "Current / A", lambda v: "", 40, 41), "line 41, .* is empty"),
    "empty": (lambda rows: "", "the file is empty"),
    "header only": (lambda rows: rows[:1], "line 1 holds the column names, but no row of data"),
    "empty counter": (lambda rows: column(rows, "Charging Capacity / Ah", lambda v: "", 40, 41), "line 41, .*is empty"),
    "six turned rows": (six_turned, r"line \d+: current turns from .* mixed signs"),
    "milliseconds": (lambda rows: column(lean(rows), "Test Time / s", milli), r"line \d+: .*one way since line 3"),
    "truncated": (lambda rows: "".join(rows)[:40_000], r"line \d+ .*cut off"),
    "milliamperes": (lambda rows: column(rows, "Current / A", milli), r"line \d+: current is .* beyond"),
    "millivolts": (lambda rows: column(rows, "Voltage / V", milli), "line 2: voltage is"),
    "garbage": (lambda rows: bytes(range(256)) * 100, "line 2 is no|no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_sentence_with_its_line(tmp_path, capsys, name):
    change, words = BAD[name]
    path = changed(tmp_path, change)
    refused(capsys, tmp_path, [path], r"bad\.bdf\.csv", words)
    words = words if "signs" in name else ""
    refused(capsys, tmp_path, [path, "--np", 1], r"bad\.bdf\.csv", words, command="profile")


def test_bad_arguments_are_one_sentence(tmp_path, capsys):
    refused(capsys, tmp_path, [tmp_path / "none.csv"], "none.csv: cannot be read")
    refused(capsys, tmp_path, [tmp_path], "cannot be read")
    refused(capsys, tmp_path, [SPENT, SPENT], "holds the same bytes")
    refused(capsys, tmp_path, [SPENT, "--gap", 0], "--gap is 0, allowed is 1 to")
    refused(capsys, tmp_path, [SPENT, "--temperature", 900], "--temperature is 900")
    refused(capsys, tmp_path, [SPENT, "--capacity", 0], "--capacity is 0 mAh, allowed is")
    refused(capsys, tmp_path, [SPENT, "--capacity", 1e6], "mAh have moved in all")
    refused(capsys, tmp_path, [SPENT, "--capacity", 2], "beyond")
    refused(capsys, tmp_path, [SPENT, "--set", "colour=1"], "--set is 'colour=1'")
    refused(capsys, tmp_path, [SPENT, "--profile", SPENT], "JSON")
    refused(capsys, tmp_path, [SPENT, "--columns", "x"], "no key=value")
    refused(capsys, tmp_path, [], "the following arguments are required: FILE")


def test_a_single_charge_makes_no_cycle_and_still_a_report(tmp_path, capsys):
    path = tmp_path / "charge.bdf.csv"
    path.write_text("".join(lines()[:25]))
    assert run("replay", path, "--out", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert out.endswith("relith.replay: cycles=0\n") and "no discharge of at least 0.5 %" in out
    header = (tmp_path / "out" / "inventory.csv").read_text()
    assert header.startswith("cycle,end_h,cell,charge_mah,") and header.count("\n") == 1


def test_a_folder_with_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert run("replay", SPENT, "--out", tmp_path / "mine") == 2
    assert "allowed is a new folder" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_what_make_run_leaves_replays_to_nearly_the_live_estimate(tmp_path):
    """Its BDF holds a row in fifteen minutes instead of every tick, and true values instead of sensed ones."""
    from host_sim.formats import bdf
    from host_sim.life import Setup
    from host_sim.recorder import live
    from host_sim.sample_data import PROFILE

    life = live("pulse", Setup(profile=str(PROFILE), cap=4), lambda life: None, lambda: False)
    path = tmp_path / "relith-sim__lab-pulse__20250101_001.bdf.csv"
    bdf.write(path, life.bdf)
    assert run("replay", path, "--out", tmp_path / "out") == 0
    rows = table(tmp_path / "out")
    assert len(rows) == len(life.rows["cycle"]) == 4
    for k, row in enumerate(rows):
        assert int(row["cycle"]) == life.rows["cycle"][k]
        for store in STORES:
            assert float(row[f"{store}_mah"]) == pytest.approx(life.rows[f"estimated_{store}_mah"][k], abs=0.005 * 239)
        assert float(row["pulse_mah"]) == pytest.approx(life.rows["pulse_mah"][k], rel=0.02, abs=0.01)
