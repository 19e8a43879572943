"""Vendors' binary files, written here byte by byte as their readers expect them: the same rows come out."""

import os
import stat
import struct
import zipfile
from datetime import datetime, timedelta

import numpy as np
import pytest

from host_sim.errors import InputError
from host_sim.formats import recording

# seconds in the step, step number, status of Neware, V, A, mAh in the step
ROWS = [
    (0.0, 1, 1, 3.50, 0.10, 0.0),
    (60.0, 1, 1, 3.60, 0.10, 100.0 / 60),
    (120.0, 1, 1, 3.70, 0.10, 200.0 / 60),
    (0.0, 2, 4, 3.68, 0.00, 0.0),
    (600.0, 2, 4, 3.66, 0.00, 0.0),
    (0.0, 3, 2, 3.60, -0.10, 0.0),
    (90.0, 3, 2, 3.50, -0.10, 150.0 / 60),
]
TIME_S = [0.0, 60.0, 120.0, 121.0, 721.0, 722.0, 812.0]
NET_MAH = [0.0, 100 / 60, 200 / 60, 200 / 60, 200 / 60, 200 / 60, 50 / 60]


def neware_record(k, kind):
    """One record's payload from its index on: BTS's fixed-point fields, currents in units of 0.01 mA (range 100 mA)."""
    seconds, step, status, volts, amperes, mah = ROWS[k]
    charge, discharge = (mah, 0.0) if amperes > 0 else (0.0, mah)
    when = datetime(2026, 1, 2, 3, 4, 5) + timedelta(seconds=TIME_S[k])
    counters = [round(value * 3600 / 1e-2) for value in (charge, discharge, 0.0, 0.0)]
    date = struct.pack("<HBBBBB", when.year, when.month, when.day, when.hour, when.minute, when.second)
    values = struct.pack("<Qii", round(seconds * 1000), round(volts * 1e4), round(amperes * 1e3 / 1e-2))
    if kind == "nda":
        head = b"\x55\x00" + struct.pack("<II", k + 1, 0) + struct.pack("<BxBx", step, status)
        body = head + values + bytes(8) + struct.pack("<qqqq", *counters) + date
        return body + bytes(1) + struct.pack("<i", 100) + bytes(4)
    head = bytes(7) + b"\x55" + struct.pack("<IIBB", k + 1, 0, step, status) + bytes(5)
    return head + values + bytes(4) + struct.pack("<qqqq", *counters) + date + struct.pack("<i", 100) + bytes(1)


def write_nda(path):
    head = b"NEWARE" + bytes(8) + bytes([29])
    records = b"".join(neware_record(k, "nda") for k in range(len(ROWS)))
    path.write_bytes(head.ljust(2000, b"\x01") + bytes(4) + records)


def write_ndax(path):
    block = bytes(125) + b"".join(neware_record(k, "ndc") for k in range(len(ROWS)))
    ndc = bytes([1, 0, 5]).ljust(4096, b"\0") + block.ljust(4096, b"\0")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.ndc", ndc)


def module(short, data, version=0):
    head = struct.pack("<10s25sII8s", short, short, len(data), version, b"01/02/26")
    return b"MODULE" + head + data


def write_mpr(path, columns=((4, "<d"), (6, "<f"), (11, "<d"), (13, "<d"))):
    values = [(t, v, i * 1e3, q) for t, (_, _, _, v, i, _), q in zip(TIME_S, ROWS, NET_MAH, strict=True)]
    kinds = "<" + "".join(kind[1] for _, kind in columns)
    chosen = [[row[(4, 6, 11, 13).index(number)] for number, _ in columns] for row in values]
    head = struct.pack("<IB", len(values), len(columns)) + struct.pack(f"<{len(columns)}H", *(n for n, _ in columns))
    data = head.ljust(405, b"\0") + b"".join(struct.pack(kinds, *row) for row in chosen)
    magic = b"BIO-LOGIC MODULAR FILE\x1a".ljust(48) + bytes(4)
    path.write_bytes(magic + module(b"VMP Set   ", bytes(10)) + module(b"VMP data  ", data, 2))


def the_same(r):
    loose = 1e-5  # NewareNDA keeps single precision
    assert np.allclose(r.time_s, TIME_S, atol=1e-3)
    assert np.allclose(r.voltage_v[0], [row[3] for row in ROWS], rtol=loose)
    assert np.allclose(r.current_a, [row[4] for row in ROWS], rtol=loose, atol=1e-9)
    charge, discharge = (recording.growing(counter) for counter in r.counters_ah)
    assert np.allclose((charge - discharge) * 1e3, NET_MAH, atol=1e-4)
    assert r.at(1).endswith("record 2")


@pytest.mark.parametrize(("suffix", "write"), [(".nda", write_nda), (".ndax", write_ndax)])
def test_neware(tmp_path, suffix, write):
    path = tmp_path / f"cell{suffix}"
    write(path)
    r = recording.read(path)
    the_same(r)
    assert list(r.cycle) == [1] * len(ROWS)
    assert r.unix_s[-1] - r.unix_s[0] == pytest.approx(812.0, abs=1e-3)
    damaged(path)


def test_biologic(tmp_path):
    path = tmp_path / "cell.mpr"
    write_mpr(path)
    the_same(recording.read(path))
    damaged(path)


def test_biologic_without_a_current_takes_it_from_the_charge(tmp_path):
    path = tmp_path / "cell.mpr"
    write_mpr(path, ((4, "<d"), (6, "<f"), (13, "<d")))
    r = recording.read(path)
    assert r.current_a[:2] == pytest.approx([0.1, 0.1])
    write_mpr(path, ((4, "<d"), (6, "<f")))
    with pytest.raises(InputError, match="holds neither current nor charge; it has time/s, Ewe/V"):
        recording.read(path)


def damaged(path):
    """Cut anywhere, or with other bytes in it: rows or a sentence, never a traceback."""
    whole = path.read_bytes()
    for cut in (1, 10, len(whole) // 3, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        try:
            recording.read(path)
        except InputError as error:
            assert "\n" not in str(error) and path.name in str(error)
    path.write_bytes(b"not at all" * 100)
    with pytest.raises(InputError, match=r"record 1: is not a whole (Neware|Biologic) file"):
        recording.read(path)


def stand_in(folder, monkeypatch, text, status=0):
    """A program `mdb-export` on the path that answers as mdbtools would."""
    folder.mkdir(exist_ok=True)
    (folder / "answer").write_text(text)
    program = folder / "mdb-export"
    where = ">&2" if status else ""
    said = f"cat {folder}/answer {where}\nexit {status}\n"
    program.write_text(f'#!/bin/sh\n[ "$2" = Channel_Normal_Table ] || exit 3\n{said}')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_arbin_through_mdbtools(tmp_path, monkeypatch):
    """Records come out of the database in any order; capacities are counted on over the test."""
    head = "Test_ID,Data_Point,Test_Time,Step_Time,DateTime,Step_Index,Cycle_Index,Is_FC_Data,Current,Voltage,"
    lines = [head + "Charge_Capacity,Discharge_Capacity\n"]
    for k, (t, row) in enumerate(zip(TIME_S, ROWS, strict=True)):
        charged = max(NET_MAH[: k + 1]) * 1e-3
        counters = f"{charged:.9f},{charged - NET_MAH[k] * 1e-3:.9f}"
        lines.append(f"4,{k + 1},{t},0,46000.5,{row[1]},1,0,{row[4]},{row[3]},{counters}\n")
    path = tmp_path / "cell.res"
    path.write_bytes(b"\0\1\0\0Standard Jet DB\0")
    stand_in(tmp_path / "bin", monkeypatch, lines[0] + "".join(reversed(lines[1:])))
    the_same(recording.read(path))
    stand_in(tmp_path / "bin", monkeypatch, "".join(lines) + lines[-1].replace("4,7", "5,8", 1))
    with pytest.raises(InputError, match="holds 2 tests, 4, 5"):
        recording.read(path)
    stand_in(tmp_path / "bin", monkeypatch, "File not found\n", status=1)
    with pytest.raises(InputError, match=r"is not a whole Arbin file \(File not found\)"):
        recording.read(path)


@pytest.mark.parametrize(
    ("name", "missing", "words"),
    [
        ("cell.nda", "NewareNDA", r"needs the package NewareNDA, .* pip install -e '.\[cyclers\]'"),
        ("cell.mpr", "galvani", r"needs the package galvani, .* pip install -e '.\[cyclers\]'"),
        ("cell.parquet", "pyarrow", r"needs the package pyarrow, .* pip install -e '.\[campaign\]'"),
        ("cell.res", None, "needs mdbtools, which is not installed: apt install mdbtools"),
    ],
)
def test_what_to_install_is_one_sentence(tmp_path, monkeypatch, name, missing, words):
    (tmp_path / name).write_bytes(b"x")
    if missing:
        monkeypatch.setitem(__import__("sys").modules, missing, None)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=words):
        recording.read(tmp_path / name)
