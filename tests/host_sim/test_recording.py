"""Cycler files as they come: delimiters, decimal commas, units, signs, headers; and what is wrong, by line."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.errors import InputError
from host_sim.formats import columns, recording
from host_sim.history import check, joined
from host_sim.profiles import load
from host_sim.sample_data import PROFILE

HEAD = ("Test Time / s", "Voltage / V", "Current / A")
ROWS = [(0.0, 3.5, 0.05), (60.0, 3.6, 0.05), (120.0, 3.7, 0.04), (180.0, 3.65, -0.05)]


def table(header, rows, delimiter=",", decimal=".", before=""):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([str(value).replace(".", decimal) for value in row])
    return before + out.getvalue()


def read(tmp_path, text, told=None, name="cell.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return recording.read(path, columns.parse(told))


def same(r, rows=ROWS, scale=1.0):
    assert np.allclose(r.time_s, [row[0] for row in rows])
    assert np.allclose(r.voltage_v[0], [row[1] for row in rows])
    assert np.allclose(r.current_a, [scale * row[2] for row in rows])


@pytest.mark.parametrize(
    ("header", "rows", "options", "told"),
    [
        (HEAD, ROWS, {}, None),
        (("Test_Time(s)", "Voltage(V)", "Current(A)"), ROWS, {}, None),
        (("time/s", "Ecell/V", "<I>/mA"), [(t, v, i * 1e3) for t, v, i in ROWS], {"delimiter": "\t"}, None),
        (("Zeit [min]", "Spannung [mV]", "Strom [mA]"), [(t / 60, v * 1e3, i * 1e3) for t, v, i in ROWS],
         {"delimiter": ";", "decimal": ","}, None),
        (("Total Time", "Current(mA)", "Voltage(V)"),
         [(f"0:{int(t // 60):02}:{int(t % 60):02}", i * 1e3, v) for t, v, i in ROWS], {}, None),
        (("a", "b", "c"), ROWS, {}, "time=a, voltage=b, current=c"),
        (("t (h)", "U (V)", "I (uA)"), [(t / 3600, v, i * 1e6) for t, v, i in ROWS],
         {"before": "EC-Lab export\nNb header lines : 3\n"}, "time=t (h)"),
        (("Date", *HEAD[1:]), [(f"2026-01-01 00:{int(t // 60):02}:00", v, i) for t, v, i in ROWS], {}, "time=Date"),
        (("Date", *HEAD[1:]), [(f"01.02.2026 00:{int(t // 60):02}", v, i) for t, v, i in ROWS], {"decimal": "."},
         "time=Date, time_format=%d.%m.%Y %H:%M"),
    ],
)  # fmt: skip
def test_the_same_rows_in_many_dialects(tmp_path, header, rows, options, told):
    r = read(tmp_path, table(header, rows, **options), told)
    r.time_s = r.time_s - r.time_s[0]
    same(r)
    first = 1 + options.get("before", "").count("\n")
    assert r.at(0).endswith(f"line {first + 1}")


def test_signs_as_cyclers_write_them(tmp_path):
    turned = table(HEAD, [(t, v, -i) for t, v, i in ROWS])
    same(read(tmp_path, turned, "sign=discharge-positive"))
    header = (*HEAD, "Step Type")
    words = ("CC Chg", "CCCV_Chg", "CC_CHARGE", "CC DChg")
    typed = table(header, [(t, v, abs(i), word) for (t, v, i), word in zip(ROWS, words, strict=True)])
    same(read(tmp_path, typed, "sign=step-type"))
    for word, sign in (("Rest", 0), ("搁置", 0), ("恒流放电", -1), ("恒流充电", 1), ("D", -1), ("C", 1), ("OCV", 0),
                       ("CC_DChg", -1), ("CP_Chg", 1), ("Discharge", -1), ("strip", -1), ("plate", 1)):  # fmt: skip
        assert columns.direction(word) == sign, word


VENDORS = {
    "Arbin": (
        "Data_Point,Test_Time(s),Date_Time,Step_Time(s),Step_Index,Cycle_Index,Current(A),Voltage(V),"
        "Charge_Capacity(Ah),Discharge_Capacity(Ah),dV/dt(V/s),Internal_Resistance(Ohm),Aux_Temperature_1 (C)\n"
        "1,30.0,2026-09-27 14:12:48,30.0,1,3,0.0,3.45,0.0,0.0,0.0,0.0,24.5\n"
        "2,60.0,2026-09-27 14:13:18,30.0,2,3,0.55,3.58,0.004585,0.0,0.0,0.0,24.6\n"
    ),
    "Neware": (
        "DataPoint,Cycle Index,Step Index,Step Type,Time,Total Time,Current(mA),Voltage(V),Chg. Cap.(mAh),"
        "DChg. Cap.(mAh),Date,T1(℃)\n"
        "1,3,1,Rest,0:00:30,0:00:30,0,3.45,0,0,2026-09-27 14:12:48,24.5\n"
        "2,3,2,CC Chg,0:00:30,0:01:00,550,3.58,4.585,0,2026-09-27 14:13:18,24.6\n"
    ),
    "Maccor": (
        "Today's Date\t09/27/2026\nRec#\tCyc#\tStep\tTestTime\tStepTime\tAmp-hr\tAmps\tVolts\tState\tTemp 1 [degC]\n"
        "1\t3\t1\t0d 00:00:30\t0d 00:00:30\t0\t0\t3.45\tR\t24.5\n"
        "2\t3\t2\t0d 00:01:00\t0d 00:00:30\t0.0046\t0.55\t3.58\tC\t24.6\n"
    ),
    "Biologic": (
        "EC-Lab ASCII FILE\nNb header lines : 3\n"
        "mode\tox/red\ttime/s\tcontrol/V/mA\tEwe/V\t<I>/mA\t(Q-Qo)/mA.h\tTemperature/°C\tcycle number\n"
        "3\t1\t30.0\t0\t3.45\t0\t0\t24.5\t3\n1\t1\t60.0\t550\t3.58\t550\t4.6\t24.6\t3\n"
    ),
    "Basytec": (
        "~Resultfile from Basytec Battery Test System\n~Time[h] DataSet U[V] I[A] T1[°C] Cyc-Count\n"
        "0.0083333333 1 3.45 0 24.5 3\n0.016666667 2 3.58 0.55 24.6 3\n"
    ).replace(" ", ";"),
    "Novonix": (
        "Run Time (h),Cycle Number,Step Number,Potential (V),Current (A),Temperature (°C)\n"
        "0.0083333333,3,1,3.45,0,24.5\n0.016666667,3,2,3.58,0.55,24.6\n"
    ),
}


@pytest.mark.parametrize("name", VENDORS)
def test_exports_of_cyclers_are_understood_without_a_map(tmp_path, name):
    """Headers as the vendors' programs write them; the rows are ours."""
    r = read(tmp_path, VENDORS[name].encode("cp1252" if name == "Biologic" else "utf-8"))
    assert r.time_s - r.time_s[0] == pytest.approx([0.0, 30.0], abs=1e-4)
    assert r.voltage_v[0] == pytest.approx([3.45, 3.58])
    assert r.current_a == pytest.approx([0.0, 0.55])
    assert r.temperature_degc[0] == pytest.approx([24.5, 24.6])
    if name != "Basytec":
        assert list(r.cycle) == [3, 3]
    if name in ("Arbin", "Neware"):
        assert r.counters_ah[0] == pytest.approx([0.0, 0.004585])


def test_a_delimiter_inside_quotes_moves_no_column(tmp_path):
    path = tmp_path / "cell.csv"
    row = '{t},3.7,0.1,"{note}",{q},0\n'
    text = "Test_Time(s),Voltage(V),Current(A),Note,Charge_Capacity(Ah),Discharge_Capacity(Ah)\n"
    for note in ("hold, resting", "1e9, 2e9"):
        path.write_text(text + "".join(row.format(t=60 * k, note=note, q=f"{0.001 * k:.3f}") for k in range(5)))
        r = recording.read(path)
        assert r.counters_ah[0].tolist() == [0.0, 0.001, 0.002, 0.003, 0.004] and r.coarse_ah == 1e-3


def test_an_empty_column_is_none(tmp_path):
    header = (*HEAD, "Temperature / degC", "Charging Capacity / Ah", "Discharging Capacity / Ah")
    r = read(tmp_path, table(header, [(*row, "", "", "") for row in ROWS]))
    assert r.temperature_degc == [] and r.counters_ah is None


def test_a_map_in_a_file_and_a_string_of_cells(tmp_path):
    told = tmp_path / "map.toml"
    told.write_text(
        'time = "t [s]"\nvoltage = ["V1 [V]", "V2 [V]"]\ncurrent = "I [A]"\ntemperature = ["T1 [degC]", "T2 [K]"]\n'
    )
    text = table(("t [s]", "V1 [V]", "V2 [V]", "I [A]", "T1 [degC]", "T2 [K]"), [(0, 3.5, 3.6, 0.1, 25, 300.15)])
    r = read(tmp_path, text, str(told))
    assert [v[0] for v in r.voltage_v] == [3.5, 3.6]
    assert [t[0] for t in r.temperature_degc] == pytest.approx([25.0, 27.0])
    inline = read(tmp_path, text, "voltage=V1 [V]|V2 [V], time=t [s], current=I [A]")
    assert len(inline.voltage_v) == 2


def test_other_encodings(tmp_path):
    text = table(("Zeit [s]", "U [V]", "I [A]", "T [°C]"), [(0, 3.5, 0.1, 25), (1, 3.6, 0.1, 25)], ";")
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert read(tmp_path, text.encode(encoding), "temperature=T [°C]").temperature_degc[0][0] == 25.0
    gbk = table(("t [s]", "电压(V)", "I [A]"), [(0, 3.5, 0.1)]).encode("gbk")
    assert read(tmp_path, gbk, "encoding=gbk, time=t [s], voltage=电压(V), current=I [A]").voltage_v[0][0] == 3.5


def test_parquet_is_bdf_too(tmp_path):
    import pyarrow
    import pyarrow.parquet as pq

    arrays = {name: [row[k] for row in ROWS] for k, name in enumerate(HEAD)}
    pq.write_table(pyarrow.table(arrays), tmp_path / "cell.parquet")
    r = recording.read(tmp_path / "cell.parquet")
    same(r)
    assert r.at(2).endswith("row 3")
    pq.write_table(
        pyarrow.table({"t [s]": arrays[HEAD[0]], "u": arrays[HEAD[1]], "i": arrays[HEAD[2]]}), tmp_path / "x.parquet"
    )
    told = columns.parse("time=t [s], voltage=u, current=i, sign=discharge-positive")
    same(recording.read(tmp_path / "x.parquet", told), scale=-1.0)


@given(
    order=st.permutations([*HEAD, "Cycle Count / 1", "Note", "Temperature / degC"]),
    unit=st.sampled_from(["A", "mA", "uA"]),
)
def test_the_order_of_columns_and_the_unit_change_nothing(tmp_path_factory, order, unit):
    scale = {"A": 1.0, "mA": 1e3, "uA": 1e6}[unit]
    data = [
        dict(zip(HEAD, row, strict=True)) | {"Cycle Count / 1": 7, "Note": "x", "Temperature / degC": 30}
        for row in ROWS
    ]
    header = [f"Current / {unit}" if name == "Current / A" else name for name in order]
    rows = [[row[name] * scale if name == "Current / A" else row[name] for name in order] for row in data]
    r = read(tmp_path_factory.mktemp("r"), table(header, rows))
    same(r)
    assert r.cycle[0] == 7 and r.temperature_degc[0][0] == 30


TEXT = table(HEAD, ROWS)
WRONG = {
    "empty": ("", "line 1: the file is empty"),
    "blank": ("\n\n", "is empty"),
    "header only": (TEXT.splitlines()[0] + "\n", "no row of data"),
    "no current": (TEXT.replace("Current / A", "Power / W"), "line 1 has no column for current (in BDF 'Current / A')"),
    "no table": ("hello\nworld\n", "line 1 has no column for time"),
    "a row cut": (TEXT[:-7], "line 5 has 2 fields, its header has 3: cut off"),
    "a number cut": (TEXT[:-3], "line 5 ends in the middle of a number"),
    "a word": (TEXT.replace("3.6,", "volts,"), "line 3, column 'Voltage / V': 'volts' is not a finite number"),
    "nan": (TEXT.replace("3.6,", "nan,"), "line 3, column 'Voltage / V': 'nan' is not a finite number"),
    "inf": (TEXT.replace("0.04", "inf"), "line 4, column 'Current / A': 'inf'"),
    "a hole": (TEXT.replace("0.04", ""), "line 4, column 'Current / A': is empty"),
    "time back": (TEXT.replace("120.0", "30.0"), "line 4: time goes back from 60 to 30 s"),
    "millivolts": (TEXT.replace("3.5", "3500"), "line 2: voltage is 3500 V, allowed is 0.3 to 5.6 V"),
    "quotes left open": (TEXT.replace("3.7", '"3.7'), "line"),
    "a rig's": (b"\x1f\x8b\x08", "line 1: is compressed (gzip); unpack it, or use relith-hil replay"),
    "zero bytes": (b"\0\1\2\3" * 100, "this is no text"),
    "random": (bytes(range(256)) * 4, "is no utf-8-sig or cp1252 text"),
}


def test_a_last_line_without_its_end_is_left_out_and_said(tmp_path):
    """Cut inside a number that is still as long as others are; or whole: nobody can tell."""
    for end in ("-0.05123", "-0.051"):
        r = read(tmp_path, TEXT.replace("-0.05\n", end))
        same(r, ROWS[:-1])
        assert any("line 5, the last one, has no end" in note and "left out" in note for note in r.notes)
    assert not read(tmp_path, TEXT).notes


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_sentence_with_file_and_line(tmp_path, name):
    text, sentence = WRONG[name]
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    message = str(error.value)
    assert sentence in message and "cell.csv" in message and "\n" not in message


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("voltage=U", "line 1 has no column 'U'"),
        ("speed=1", "'speed' is no key of a column map; allowed is time, "),
        ("time", "'time' is no key=value"),
        ("sign=upside-down", "sign is 'upside-down', allowed is 'charge-positive'"),
        ("header_row=0", "header_row is '0', allowed is a line number"),
        ("encoding=klingon", "encoding is 'klingon'"),
        ("missing.toml", "cannot be read"),
        ("sign=step-type", "no column says it"),
        ("current=Current / A|Voltage / V", "current has 2 columns, allowed is 1"),
    ],
)
def test_a_wrong_map_is_one_sentence(tmp_path, told, sentence):
    with pytest.raises(InputError) as error:
        read(tmp_path, TEXT, told)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_unit_that_is_none_and_one_that_is_not_said(tmp_path):
    with pytest.raises(InputError, match=r"has the unit 'furlong', allowed for time is s, "):
        read(tmp_path, TEXT.replace("Test Time / s", "Test Time / furlong"), "time=Test Time / furlong")
    r = read(tmp_path, TEXT.replace("Current / A", "Current"))
    assert r.notes == [f"{r.path}: column 'Current' says no unit; A is taken"]


@given(st.binary(max_size=400))
def test_no_bytes_whatever_are_more_than_a_sentence(tmp_path_factory, data):
    for name in ("x.csv", "x.parquet"):
        path = tmp_path_factory.mktemp("f") / name
        path.write_bytes(data)
        with pytest.raises(InputError) as error:
            recording.read(path)
        assert "\n" not in str(error.value)


@given(st.integers(0, len(TEXT) * 20), st.binary(min_size=1, max_size=6), st.booleans())
def test_a_damaged_file_is_read_or_refused_in_a_sentence(tmp_path_factory, place, junk, cut):
    whole = table(
        (*HEAD, "Charging Capacity / Ah", "Discharging Capacity / Ah"), [(*row, 0.1, 0) for row in ROWS * 1] * 1
    ).encode()
    place %= len(whole)
    path = tmp_path_factory.mktemp("d") / "x.csv"
    path.write_bytes(whole[:place] if cut else whole[:place] + junk + whole[place + len(junk) :])
    try:
        check(joined([recording.read(path)], None), load(PROFILE))
    except InputError as error:
        assert "\n" not in str(error) and "x.csv" in str(error)
