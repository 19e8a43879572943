"""Files of one cell as one history; and what no cell of the profile can have done."""

import numpy as np
import pytest

from host_sim.errors import InputError
from host_sim.formats.recording import Recording
from host_sim.history import check, gaps, joined
from host_sim.profiles import changed, load
from host_sim.sample_data import PROFILE

CHARGE = np.linspace(3.4, 4.1, 41)
DISCHARGE = CHARGE[::-1] - 0.15


def file(name="a.csv", begin_s=0.0, current_a=0.08, volts=CHARGE, unix_s=None, counters=None, every_s=120.0):
    n = len(volts)
    time_s = begin_s + every_s * np.arange(n)
    current = np.broadcast_to(np.asarray(current_a, float), n)
    unix = None if unix_s is None else unix_s + every_s * np.arange(n)
    return Recording(
        name, np.arange(2, n + 2), time_s, [np.asarray(volts, float)], current, unix_s=unix, counters_ah=counters,
        sha256=f"{name}{begin_s}{current_a}{unix_s}",
    )  # fmt: skip


def both(counters=None):
    return file("a.csv", counters=counters), file("b.csv", begin_s=10.0, current_a=-0.08, volts=DISCHARGE)


def refused(history, *words, profile=None):
    with pytest.raises(InputError) as error:
        check(history, profile or load(PROFILE))
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_begins_anew_follows_and_that_is_said():
    h = joined([*both()], None)
    assert h.time_s[41] == h.time_s[40] == 4800.0
    assert any("b.csv: its time begins anew" in note for note in h.notes)
    assert h.place(0) == "a.csv: line 2" and h.place(41) == "b.csv: line 2" and h.place(81) == "b.csv: line 42"


def test_a_file_that_goes_on_keeps_its_time():
    h = joined([file("a.csv", begin_s=100.0), file("b.csv", begin_s=5000.0)], None)
    assert h.time_s[0] == 0.0 and h.time_s[41] == 4900.0
    assert not any("anew" in note for note in h.notes)


def test_unix_time_sorts_and_tells_the_pause():
    later, earlier = file("later.csv", unix_s=2e9), file("earlier.csv", unix_s=2e9 - 10_000.0)
    h = joined([later, earlier], None)
    assert [str(r.path) for r in h.recordings] == ["earlier.csv", "later.csv"]
    assert h.time_s[41] == 10_000.0
    with pytest.raises(InputError, match=r"later.csv: line 2: begins 1000 s before earlier.csv ends"):
        joined([later, file("earlier.csv", unix_s=2e9 - 3800.0)], None)


def test_the_same_file_twice_and_files_of_other_cells():
    with pytest.raises(InputError, match=r"holds the same bytes as a\.csv"):
        joined([file(), file()], None)
    two = file("c.csv")
    two.voltage_v = [two.voltage_v[0]] * 2
    with pytest.raises(InputError, match=r"files differ in cells: \[1, 2\]"):
        joined([file(), two], None)


def test_no_temperature_is_said_and_one_may_be_given():
    assert joined([file()], None).notes == ["a.csv: has no temperature; 25 degC is taken (--temperature)"]
    h = joined([file()], 40.0)
    assert h.temperature_degc[0, 0] == 40.0 and h.notes == ["a.csv: has no temperature; 40 degC is taken"]


def test_a_counter_that_begins_anew_at_every_step_is_one_counter():
    charge = np.tile(np.linspace(0.0, 0.02, 41), 1)
    out = np.zeros(41)
    a = file("a.csv", counters=(charge, out))
    b = file("b.csv", begin_s=1.0, counters=(np.concatenate(([0.0], charge[1:])), out))
    h = joined([a, b], None)
    assert h.net_ah[-1] == pytest.approx(0.04)
    assert (np.diff(h.net_ah) >= 0).all()


def test_sound_histories_pass():
    profile = load(PROFILE)
    check(joined([*both()], None), profile)
    check(joined([file(volts=np.linspace(3.4, 3.42, 41))], None), profile)  # a plateau


def test_milliamperes_read_as_amperes_and_the_other_way_round():
    refused(
        joined([file(current_a=80.0)], None), "a.csv: line 2: current is 80 A, beyond ±1.049 A", "239 mAh", "--capacity"
    )
    refused(joined([file(current_a=8e-5)], None), "a.csv: line 42: 0.1067 mAh have moved in all until here")
    check(joined([file(current_a=80.0)], None), changed(load(PROFILE), PROFILE, capacity_mah=239_000.0))


def test_minutes_read_as_seconds():
    """The whole window is crossed, and next to nothing moved; once more than that, and it is an old cell's."""
    window = np.linspace(3.02, 4.19, 41)
    short = file(volts=window, every_s=12.0)
    refused(joined([short], None), "a.csv: line 2: from here to line 42", "10.67 mAh are moved", "time or current in")
    check(joined([short, file("b.csv", 600.0, -0.08, window[::-1] - 0.05, every_s=60.0)], None), load(PROFILE))


def test_degrees_fahrenheit_are_asked_for():
    for degc, said in ((72.0, True), (25.0, False)):
        r = file()
        r.temperature_degc = [np.full(41, degc)]
        assert any("are they degF" in note for note in joined([r], None).notes) == said


def test_signs_turned_round():
    turned = joined([file(current_a=-0.08), file("b.csv", 1.0, 0.08, DISCHARGE)], None)
    refused(
        turned,
        "a.csv: line 2: current is -0.08 A, which discharges",
        "3.400 to 4.100 V",
        "--columns sign=discharge-positive",
    )


def test_charge_and_discharge_with_the_same_sign():
    magnitudes = joined([file(), file("b.csv", 1.0, 0.08, DISCHARGE)], None)
    refused(
        magnitudes, "a.csv: line 42: current is 0.08 A, which charges", "4.100 to 3.250 V", "--columns sign=step-type"
    )


def test_a_stretch_with_the_wrong_sign_is_seen_at_its_edges():
    current = np.full(41, 0.2)
    current[20:24] = -0.2
    short = file(current_a=current, every_s=1.0, volts=np.linspace(3.6, 3.61, 41))
    refused(
        joined([short, file("b.csv", 100.0)], None), "a.csv: line 22: current turns from 0.2 to -0.2 A", "mixed signs"
    )


def test_charge_columns_that_contradict_the_current():
    wrong = (np.zeros(41), np.linspace(0.0, 0.1067, 41))
    refused(joined([file(counters=wrong)], None), "the current says 106.7 mAh and the charge columns -106.7 mAh")


def marked(time_s, current_a=0.1, gap_s=None):
    n = len(time_s)
    r = file(volts=np.full(n, 3.7), current_a=current_a)
    r.time_s = np.asarray(time_s, float)
    return np.flatnonzero(gaps(joined([r], None), gap_s, idle_a=1e-3)).tolist()


def test_a_hole_is_found_whatever_the_spacing():
    for every in (0.1, 1.0, 10.0, 60.0, 600.0):
        regular = every * np.arange(60)
        assert marked(regular) == []
        hole = np.concatenate((regular[:30], regular[30:] + max(7.0 * every, 70.0)))
        assert marked(hole) == [30]
    assert marked([0.0, 60.0, 7260.0, 7320.0]) == [2]
    assert marked(1e5 * np.arange(4)) == [1, 2, 3]
    two = np.concatenate(([0, 10, 20], np.array([0, 10, 20, 30]) + 900.0, np.array([0, 10, 20]) + 3000.0))
    assert marked(two) == [3, 7]


def test_a_change_of_the_recording_rate_is_none():
    pulses, slow = 0.1 * np.arange(200), 300.0 * np.arange(1, 60)
    assert marked(np.concatenate((pulses, pulses[-1] + slow))) == []
    assert marked(np.concatenate((slow, slow[-1] + pulses + 0.1, slow[-1] + pulses[-1] + slow))) == []


def test_rests_are_written_seldom():
    wait = np.concatenate(([0.0], np.full(20, 10.0), [3000.0], np.full(20, 10.0)))
    assert marked(np.cumsum(wait), np.where(np.abs(np.arange(42) - 21) < 3, 0.0, 0.1)) == []
    assert marked(np.cumsum(wait)) == [21]
    wait[21] = 20_000.0
    assert marked(np.cumsum(wait), np.zeros(42)) == [21]
    assert marked(np.cumsum(wait), np.zeros(42), gap_s=30_000.0) == []
    assert marked([0.0, 10.0, 20.0], gap_s=9.0) == [1, 2]


def test_a_counter_that_jumps():
    charge = np.linspace(0.0, 0.1067, 41)
    charge[20] += 0.05
    jumped = joined([file(counters=(charge, np.zeros(41)))], None)
    refused(jumped, "a.csv: line 22: the charge columns jump by 52.67 mAh within 120 s, but no current is above 0.08 A")
