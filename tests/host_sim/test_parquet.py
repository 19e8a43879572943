import numpy as np
import pytest

from host_sim.errors import InputError
from host_sim.formats import parquet


def test_what_goes_in_comes_out_bit_for_bit(tmp_path):
    columns = {
        "Voltage [V]": np.array([3.1, np.nan, -0.0, 1e-300]),
        "Cycle number": np.arange(4),
        "World": ["a", "b", "a", "b"],
    }
    path = parquet.write(tmp_path / "deep" / "x.parquet", columns, {"seed": 7})
    got, about = parquet.read(path)
    assert about == {"seed": 7}
    assert got["Voltage [V]"].tobytes() == columns["Voltage [V]"].tobytes()
    assert list(got["World"]) == columns["World"]
    assert [file.name for file in path.parent.iterdir()] == ["x.parquet"]


def test_the_same_columns_make_the_same_bytes(tmp_path):
    columns = {"a": np.linspace(0, 1, 1000)}
    first, second = (parquet.write(tmp_path / name, columns, {"seed": 1}).read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "missing"])
def test_a_damaged_file_is_one_sentence_that_names_it(tmp_path, damage):
    path = parquet.write(tmp_path / "x.parquet", {"a": np.linspace(0, 1, 5000)})
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 0xFF
        path.write_bytes(
            {"cut": whole[:-20], "flip": bytes(flipped), "empty": b"", "text": b"time,voltage\n1,2\n"}[damage]
        )
    with pytest.raises(InputError) as error:
        parquet.read(path)
    assert "x.parquet" in str(error.value) and "\n" not in str(error.value)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = parquet.write(tmp_path / "x.parquet", {"a": [1, 2]})
    before = path.read_bytes()
    with pytest.raises(ValueError):
        parquet.write(path, {"a": [1, 2], "b": [1]})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.parquet"]
