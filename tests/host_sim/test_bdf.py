"""BDF CSV: what is written is read back; a damaged file is one sentence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from host_sim.errors import InputError
from host_sim.formats import bdf


@given(
    arrays(float, 20, elements=st.floats(-5, 5)),
    arrays(float, 20, elements=st.floats(0, 1e4)),
)
def test_round_trip(tmp_path_factory, current, gaps):
    path = tmp_path_factory.mktemp("bdf") / "lab__cell__20250101_001.bdf.csv"
    columns = {
        "Test Time / s": np.cumsum(gaps),
        "Voltage / V": 3.0 + current / 10,
        "Current / A": current,
        "Live Lithium / Ah": gaps,
    }
    bdf.write(path, columns)
    back = bdf.read(path)
    assert list(back) == list(columns)
    assert np.allclose(back["Test Time / s"], columns["Test Time / s"], atol=5.1e-4, rtol=0)
    for name in ("Voltage / V", "Current / A", "Live Lithium / Ah"):
        assert np.allclose(back[name], columns[name], rtol=1e-6, atol=1e-12)


def test_a_required_column_cannot_be_left_out(tmp_path):
    with pytest.raises(ValueError, match="Current / A"):
        bdf.write(tmp_path / "x.bdf.csv", {"Test Time / s": [0.0], "Voltage / V": [3.0]})


HEAD = "Test Time / s,Voltage / V,Current / A\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("Test Time / s,Voltage / V\n0,3\n", "'Current / A' is missing"),
        (HEAD + "0,3.1,0.1\n1,3.2\n", "line 3 has 2 fields"),
        (HEAD + "0,3.1,0.1\n1,volts,0.1\n", "line 3, column 'Voltage / V': 'volts' is not a number"),
        (HEAD + "0,3.1,0.1\n5,3.1,0.1\n4,3.1,0.1\n", "line 4: 'Test Time / s' runs backwards"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "bad.bdf.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        bdf.read(path)
    assert sentence in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_binary_is_one_sentence(tmp_path):
    path = tmp_path / "bad.bdf.csv"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="cannot be read as text"):
        bdf.read(path)
