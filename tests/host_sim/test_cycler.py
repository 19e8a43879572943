import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_sim.cell import Cell, Control, half_cell, load_parameters
from host_sim.cycler import RunStopped, resume, run
from host_sim.errors import InputError
from host_sim.solution import COLUMNS, STORES, Solution

LIFE = (
    "Charge at 0.8 mA/cm2 until 4.2 V",
    "Hold at 4.2 V until 0.268 mA/cm2",
    "Discharge at 0.268 mA/cm2 until 3.0 V",
)
PULSED = (*LIFE[:2], "Discharge at 2.67 mA/cm2 for 2 minutes", LIFE[2])
FAST = ("Charge at C/2 until 4.2 V", "Discharge at 1C until 3.0 V")


def fresh(area_cm2=100.0):
    return Cell(load_parameters(), area_cm2=area_cm2)


def same(first, second):
    assert first.rows.tobytes() == second.rows.tobytes()
    assert first.counted.tobytes() == second.counted.tobytes()
    assert first.state["cell"].tobytes() == second.state["cell"].tobytes()


def test_the_same_as_the_cell_advanced_by_hand():
    solution = run(fresh(), "Charge at 0.5C until 4.2 V")
    cell, time_s, event = fresh(), 0.0, None
    while event is None:
        outcome = cell.advance(Control.current(0.5 * 0.267, v_max=4.2), 60.0)
        time_s, event = time_s + outcome.elapsed_s, outcome.event
    assert event == "v_max"
    assert solution["Time [s]"][-1] == time_s
    assert solution["Voltage [V]"][-1] == cell.voltage_v
    assert solution["Charge capacity [A.h]"][-1] == pytest.approx(0.5 * 0.267 * time_s / 3600, rel=1e-9)
    for store in STORES:
        assert solution[f"{store} lithium [mAh.cm-2]"][-1] == getattr(cell, f"{store.lower()}_mah_cm2")


def test_steps_end_where_they_say():
    solution = run(fresh(), (*PULSED, "Rest for 30 minutes at 45 degC"), cycles=2)
    cycle = solution.cycle(2)
    ends = {int(step): np.flatnonzero(cycle["Step number"] == step)[-1] for step in np.unique(cycle["Step number"])}
    assert cycle["Voltage [V]"][ends[1]] == pytest.approx(4.2, abs=1e-6)
    assert cycle["Current [A]"][ends[2]] == pytest.approx(0.0268, rel=1e-6)
    assert cycle["Time [s]"][ends[3]] - cycle["Time [s]"][ends[2]] == pytest.approx(120, abs=1e-9)
    assert cycle["Voltage [V]"][ends[4]] == pytest.approx(3.0, abs=1e-6)
    assert cycle["Ambient temperature [C]"][ends[5]] == 45.0
    assert cycle["Cell temperature [C]"][ends[5]] > 40.0
    assert solution.summary["Activation pulses"].tolist() == [1, 1]
    assert solution.summary["Discharged rest [h]"] == pytest.approx([0.5, 0.5])


def test_summary_is_what_the_rows_say():
    solution = run(fresh(), FAST, cycles=4)
    summary = solution.summary
    rows = solution.cycle(3)
    charge = rows["Charge capacity [A.h]"][-1] - solution.cycle(2)["Charge capacity [A.h]"][-1]
    discharge = rows["Discharge capacity [A.h]"][-1] - solution.cycle(2)["Discharge capacity [A.h]"][-1]
    assert summary["CE_cell [%]"][2] == pytest.approx(100 * discharge / charge)
    lost = {n: sum(solution.cycle(n)[f"{s} lithium [mAh.cm-2]"][-1] for s in ("Isolated", "SEI")) for n in (2, 3)}
    assert summary["CE_Li [%]"][2] == pytest.approx(100 * (1 - (lost[3] - lost[2]) / (charge * 10)))
    power = np.diff(rows["Discharge energy [W.h]"]) / (np.diff(rows["Time [s]"]) + 1e-12) * 3600
    mean_v = (rows["Voltage [V]"][1:] + rows["Voltage [V]"][:-1]) / 2
    going = (rows["Current [A]"][1:] < 0) & (rows["Current [A]"][:-1] < 0)
    assert power[going] == pytest.approx(-(rows["Current [A]"][1:] * mean_v)[going], rel=1e-6)
    total = sum(summary[f"{store} lithium [mAh.cm-2]"] for store in STORES)
    assert total == pytest.approx(total[0], rel=1e-12)


def test_stages_of_a_life_with_a_reservoir():
    solution = run(fresh(), LIFE, cycles=200, termination="80% capacity")
    summary = solution.summary
    assert summary["Stage"][0] == 1
    assert summary["Stage"][-1] == 4
    assert np.all(np.diff(summary["Stage"]) >= 0)
    assert 75 < summary["Capacity retention [%]"][-1] < 80
    before = summary["Stage"] < 4
    assert np.all(summary["CE_cell [%]"][before][1:] > summary["CE_Li [%]"][before][1:])  # the reservoir hides the loss


@settings(max_examples=8)
@given(st.integers(1, 7), st.sampled_from([20.0, 60.0, 500.0]), st.sampled_from([None, 40, 400]))
def test_stopped_anywhere_saved_and_resumed_is_the_same_to_the_last_bit(tmp_path_factory, at, step_s, max_rows):
    protocol = [FAST, PULSED]
    whole = run(fresh(), protocol, cycles=8, step_s=step_s, max_rows=max_rows)
    part = run(fresh(), protocol, cycles=at, step_s=step_s, max_rows=max_rows)
    path = part.save(tmp_path_factory.mktemp("saved") / "part.npz")
    same(resume(Solution.load(path), cycles=8), whole)


def test_an_interrupt_keeps_what_was_computed_and_goes_on():
    def stop(cycle, cycles):
        if cycle == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupt:
        run(fresh(), FAST, cycles=6, progress=stop)
    part = interrupt.value.solution
    assert len(part.counted) == 3 and "interrupted" in part.about["stopped"]
    same(resume(part), run(fresh(), FAST, cycles=6))


def test_ctrl_c_is_taken_up_between_two_cycles():
    usual = signal.getsignal(signal.SIGINT)

    def press(cycle, cycles):
        if cycle == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as interrupt:
        run(fresh(), FAST, cycles=6, progress=press)
    assert signal.getsignal(signal.SIGINT) is usual
    assert len(interrupt.value.solution.counted) == 2
    same(resume(interrupt.value.solution), run(fresh(), FAST, cycles=6))


def test_rows_do_not_grow_with_the_life():
    short, long = (run(fresh(), FAST, cycles=cycles, max_rows=3000) for cycles in (40, 400))
    assert len(long.rows) <= 3000 and len(short.rows) <= 3000
    kept = list(long.recorded.blocks)
    assert kept[0] == 1 and kept[-1] == 400
    assert len(set(np.diff(kept[:-1]))) == 1
    everything = run(fresh(), FAST, cycles=40, max_rows=None)
    for cycle in short.recorded.blocks:
        assert short.recorded.blocks[cycle].tobytes() == everything.recorded.blocks[cycle].tobytes()
    with pytest.raises(InputError, match=r"solution.cycle\(2\): its rows were not kept"):
        long.cycle(2)


def test_a_cycle_that_was_not_lived_is_refused_with_the_range():
    solution = run(fresh(), FAST, cycles=2)
    for number in (0, 3, 12, -2):
        with pytest.raises(InputError, match=rf"solution.cycle\({number}\): .* has 2 cycles, allowed is 1 to 2, or -1"):
            solution.cycle(number)


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ("Discharge at 1C until 3.0 V", "cell is empty"),
        ("Discharge at 1C for 1 hour", "cell is empty"),
        ("Discharge at 0.1C until 2.5 V", "cell is empty"),
        ("Charge at 1C until 5 V", "5 V cannot be reached"),
        ("Charge at 1C until 4.5 V", "4.5 V cannot be reached"),
        ([FAST, ("Charge at 1C until 4.2 V", "Discharge at 1C until 1 V")], "cycle 2 step 2"),
        ("Hold at 9 V until 0.1C", "9 V cannot be reached"),
        ("Charge at 1C for 10 hours", "cathode is empty"),
        ("Charge at 1C until 20 mAh/cm2", "cathode is empty"),
        ("Rest for 1 hour at 900 degC", "900 degC"),
    ],
)
def test_an_impossible_protocol_is_one_sentence(protocol, words):
    with pytest.raises(InputError, match=words) as error:
        run(fresh(), protocol)
    assert "\n" not in str(error.value)


def test_what_was_computed_before_an_impossible_step_is_kept(tmp_path):
    with pytest.raises(RunStopped) as error:
        run(fresh(), [FAST, FAST, ("Charge at 1C for 10 hours",)])
    solution = error.value.solution
    assert len(solution.counted) == 2
    assert solution["Cycle number"][-1] == 3
    assert solution.about["stopped"] == str(error.value)
    same(Solution.load(solution.save(tmp_path / "s.npz")), solution)


def test_a_life_that_has_ended_is_not_lived_on():
    whole = run(fresh(), FAST, cycles=60, termination="99% capacity")
    ended = len(whole.counted)
    assert 1 < ended < 60
    again = resume(whole, cycles=80)
    assert len(again.counted) == ended


@pytest.mark.parametrize("cycles", [0, float("nan"), "many"])
def test_resume_to_no_number_of_cycles_is_one_sentence(cycles):
    with pytest.raises(InputError, match="cycles is"):
        resume(run(fresh(), FAST), cycles=cycles)


@pytest.mark.parametrize(
    "options",
    [
        {"cycles": 0},
        {"cycles": 2.5},
        {"step_s": 0},
        {"step_s": float("nan")},
        {"termination": "80"},
        {"keep_every": 0},
        {"max_rows": -1},
    ],
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        run(fresh(), FAST, **options)


def test_a_half_cell_speaks_of_the_copper_against_lithium():
    cell = Cell(half_cell(load_parameters()), area_cm2=1.0)
    solution = run(cell, ("Plate at 0.5 mA/cm2 until 1 mAh/cm2", "Strip at 0.5 mA/cm2 until 1 V"), cycles=2)
    cycle = solution.cycle(1)
    assert cycle["Charge capacity [A.h]"][-1] == pytest.approx(1e-3)
    plating = cycle["Current [A]"] > 0
    assert np.all(cycle["Voltage [V]"][plating] < 0)
    assert 0.5 < cycle["Voltage [V]"][-1] <= 1.0 + 1e-6  # at 1 V, or a moment before it with nothing left
    assert cycle["Active lithium [mAh.cm-2]"][-1] < 0.01
    assert 80 < solution.summary["CE_cell [%]"][0] < 100
    with pytest.raises(InputError, match="C-rate"):
        run(cell, "Plate at 1C until 1 mAh/cm2")


@settings(max_examples=10)
@given(st.floats(1.0, 60.0))
def test_step_length_does_not_change_the_answer(step_s):
    coarse, fine = (run(fresh(), FAST, step_s=seconds, max_rows=None) for seconds in (60.0, step_s))
    assert coarse.counted[0, 2] == pytest.approx(fine.counted[0, 2], rel=5e-4)


def test_names():
    solution = run(fresh(), FAST)
    for name in solution.names():
        assert len(solution[name]) == len(solution.rows)
    assert solution["Current density [mA.cm-2]"] == pytest.approx(solution["Current [A]"] * 10)
    assert solution["Power [W]"] == pytest.approx(solution["Current [A]"] * solution["Terminal voltage [V]"])
    with pytest.raises(InputError, match="no such variable"):
        solution["Volts"]
    assert COLUMNS[0] == "Time [s]"
