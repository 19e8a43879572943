"""The committed samples are what `python -m host_sim.sample_data` writes, but for the cell's parameters of the day."""

import numpy as np

from host_sim.formats import bdf
from host_sim.sample_data import FOLDER, LIFE, SLOW, main


def test_the_samples_are_made_by_their_command(tmp_path):
    """Same files, same columns; a refit of the cell may move values, not the shape of the data."""
    assert main([str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([LIFE, SLOW])
    for name in (LIFE, SLOW):
        made, kept = bdf.read(tmp_path / name), bdf.read(FOLDER / name)
        assert list(made) == list(kept)
        rows = [len(columns["Test Time / s"]) for columns in (made, kept)]
        assert abs(rows[0] - rows[1]) < 0.2 * rows[1]
        for columns in (made, kept):
            assert (np.diff(columns["Test Time / s"]) >= 0).all()
            assert (np.diff(columns["Charging Capacity / Ah"]) >= 0).all()
            assert 2.9 < columns["Voltage / V"].min() < columns["Voltage / V"].max() <= 4.2001


def test_the_reservoir_of_the_sample_life_is_spent_within_it():
    life = bdf.read(FOLDER / LIFE)
    ends = np.flatnonzero(np.diff(life["Cycle Count / 1"]) > 0)
    assert life["Live Lithium / Ah"][ends[0]] > 0.03
    assert life["Live Lithium / Ah"][ends[-1]] < 0.002
