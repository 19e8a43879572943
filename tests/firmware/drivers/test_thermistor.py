"""Thermistor: the catalogue's own points, the curve between them, and what a broken one reads."""

import itertools

import numpy as np
import pytest
from drivers import thermistor
from drivers.thermistor import Thermistor
from scipy.interpolate import CubicSpline

DEGC = np.arange(-40, 101, 10)
# between the catalogue's points, ln R over 1/T is almost a straight line: a spline there is the reference
CURVE = CubicSpline(1 / (DEGC[::-1] + 273.15), np.log(thermistor._OHM)[::-1])


def read(degc, pull_up_ohm=10000, supply=26400):
    sensor = Thermistor(pull_up_ohm)
    ohm = float(np.exp(CURVE(1 / (degc + 273.15))))
    return sensor.convert(round(supply * ohm / (ohm + pull_up_ohm)), supply), sensor.cdegc


@pytest.mark.parametrize("degc", DEGC[1:-1])
def test_catalogue_points(degc):
    ok, cdegc = read(float(degc))
    assert ok == 1 and cdegc == pytest.approx(degc * 100, abs=6)


def test_within_a_quarter_degree_from_end_to_end():
    grid = np.arange(-39.9, 99.9, 0.1)
    errors = [abs(read(float(t))[1] - t * 100) for t in grid]
    assert max(errors) <= 25
    readings = [read(float(t))[1] for t in grid]
    assert all(b >= a for a, b in itertools.pairwise(readings))  # never turns back


def test_beta_of_the_catalogue():
    """B 25/85 = 3435 K: the table agrees with the figure printed beside it."""
    r25, r85 = (float(np.exp(CURVE(1 / (t + 273.15)))) for t in (25.0, 85.0))
    assert np.log(r25 / r85) / (1 / 298.15 - 1 / 358.15) == pytest.approx(3435, rel=0.01)


@pytest.mark.parametrize(
    ("node", "supply"), [(0, 26400), (26400, 26400), (26399, 26400), (40, 26400), (100, 0), (-5, 26400)]
)
def test_open_shorted_or_out_of_table_is_no_temperature(node, supply):
    assert Thermistor().convert(node, supply) == 0
