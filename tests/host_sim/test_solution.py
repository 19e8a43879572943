import numpy as np
import pytest

from host_sim import MODEL
from host_sim.cell import Cell, load_parameters
from host_sim.cycler import run
from host_sim.errors import InputError
from host_sim.formats import bdf, parquet
from host_sim.solution import COUNTED, Solution, summarise

FAST = ("Charge at C/2 until 4.2 V", "Discharge at 1C for 2 minutes", "Discharge at C/2 until 3.0 V", "Rest for 1 hour")


@pytest.fixture(scope="module")
def solution():
    return run(Cell(load_parameters(), area_cm2=50.0), FAST, cycles=5)


def test_says_where_it_came_from(solution):
    assert solution.about["version"].count("+") == 1 and solution.about["model"] == MODEL
    assert solution.about["parameters"]["values"]["gap_sigma"] == load_parameters().value("gap_sigma")
    assert solution.about["protocol"] == [list(FAST)]
    assert "seed" in solution.about
    assert "liu21-carbonate" in repr(solution)


def test_bdf_and_parquet_hold_the_rows(solution, tmp_path):
    columns = bdf.read(solution.to_bdf(tmp_path / "relith__cell__20260101_001.bdf.csv"))
    assert columns["Voltage / V"] == pytest.approx(solution["Voltage [V]"], rel=1e-6)
    assert columns["Isolated Lithium / Ah"][-1] == pytest.approx(
        solution["Isolated lithium [mAh.cm-2]"][-1] * 0.05, rel=1e-6
    )
    assert np.all(np.diff(columns["Charging Capacity / Ah"]) >= 0)
    columns, about = parquet.read(solution.to_parquet(tmp_path / "x.parquet"))
    assert columns["Voltage [V]"].tobytes() == solution["Voltage [V]"].tobytes()
    assert about == solution.about


def test_plot_has_no_empty_panel(solution, tmp_path):
    figure = solution.plot(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert len(panels) == 6
    for axis in panels:
        drawn = [line for line in axis.lines if np.size(line.get_xdata()) > 2] + list(axis.collections)
        assert drawn, axis.get_title()


def test_plot_shows_a_flat_capacity_and_no_peak_where_a_pulse_ends(solution):
    panels = {axis.get_title(): axis for axis in solution.plot().axes if axis.get_title()}
    capacity = panels["Capacity, and the stage of life"]
    assert capacity.lines[0].get_ydata().max() < 0.95 * capacity.get_ylim()[1]
    slow = run(Cell(load_parameters(), area_cm2=50.0), (FAST[0], FAST[2]), cycles=5)
    pulsed, plain = (
        max(line.get_ydata().max() for axis in one.plot().axes if axis.get_title() == "dQ/dV" for line in axis.lines)
        for one in (solution, slow)
    )
    assert pulsed < 1.5 * plain


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("protocol", ["Charge at 1C until 4 V", "Rest for 1 hour"])
def test_half_a_cycle_is_plotted_without_a_complaint(protocol, tmp_path):
    run(Cell(load_parameters()), protocol).plot(tmp_path / "p.png")


@pytest.mark.parametrize("damage", [slice(0, -40), slice(0, 0), slice(100, None)])
def test_a_damaged_file_is_one_sentence(solution, tmp_path, damage):
    path = solution.save(tmp_path / "s.npz")
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(InputError, match=r"s\.npz") as error:
        Solution.load(path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        Solution.load(tmp_path / "none.npz")


@pytest.mark.parametrize("write", ["plot", "to_bdf", "to_parquet", "save"])
def test_a_place_where_nothing_can_be_written_is_one_sentence(solution, write):
    with pytest.raises(InputError, match=r"/dev/null/there/x\.png: cannot be written") as error:
        getattr(solution, write)("/dev/null/there/x.png")
    assert "\n" not in str(error.value)


def counted(discharge_ah, least_active=1.0, lost_per_cycle=0.0, discharge_wh=3.8):
    lines = np.zeros((len(discharge_ah), len(COUNTED)))
    lines[:, COUNTED.index("Charge capacity [A.h]")] = 1e-3
    lines[:, COUNTED.index("Discharge capacity [A.h]")] = np.array(discharge_ah) * 1e-3
    lines[:, COUNTED.index("Charge energy [W.h]")] = 4e-3
    lines[:, COUNTED.index("Discharge energy [W.h]")] = np.array(discharge_wh) * 1e-3
    lines[:, COUNTED.index("SEI lithium [mAh.cm-2]")] = np.cumsum(np.broadcast_to(lost_per_cycle, len(discharge_ah)))
    lines[:, COUNTED.index("Least active lithium [mAh.cm-2]")] = least_active
    return lines


def test_stages_follow_their_thresholds():
    n = 12
    flat = np.ones(n)
    late = np.where(np.arange(n) >= 8, 1, 0)
    assert summarise(counted(flat, lost_per_cycle=0.01), 0, 1)["Stage"].tolist() == [1] * n
    assert summarise(counted(flat, lost_per_cycle=0.01 + 0.005 * late), 0, 1)["Stage"].tolist() == [1] * 8 + [2] * 4
    assert summarise(counted(flat, discharge_wh=3.8 - 0.03 * late), 0, 1)["Stage"].tolist() == [1] * 8 + [2] * 4
    assert summarise(counted(flat - 0.03 * late), 0, 1)["Stage"].tolist() == [1] * 8 + [3] * 4
    assert summarise(counted(flat - 0.03 * late, least_active=1 - late), 0, 1)["Stage"].tolist() == [1] * 8 + [4] * 4
    assert summarise(counted(flat, least_active=0.0), 0, 1)["Stage"].tolist() == [4] * n  # anode-free: 4 from the start


def test_efficiency_above_one_is_not_clamped():
    lines = counted([1.02, 1.02], lost_per_cycle=-0.01)
    summary = summarise(lines, 1.0, 1.0)
    assert summary["CE_cell [%]"] == pytest.approx([102, 102])
    assert summary["CE_Li [%]"][1] == pytest.approx(101)
    assert summarise(lines[:0], 0, 1)["Stage"].size == 0
