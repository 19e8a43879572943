"""A recording through the firmware: the same inventory as live, whatever the rows, gaps and repeats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_sim.formats import bdf, recording
from host_sim.history import History, joined
from host_sim.player import Player
from host_sim.profiles import load
from host_sim.sample_data import PROFILE, closed_loop

NOMINAL_MAH = 239.0


def history(time_s, current_a, voltage_v, net_ah=None, temperature_degc=25.0, coarse_ah=0.0):
    """A History out of arrays; lines are row numbers plus 2, as below a header."""
    n = len(time_s)
    moved = np.diff(net_ah, prepend=0.0) if net_ah is not None else np.zeros(n)
    charge = None if net_ah is None else (np.cumsum(np.maximum(moved, 0.0)), np.cumsum(np.maximum(-moved, 0.0)))
    r = recording.Recording(
        "file.csv", np.arange(2, n + 2), np.asarray(time_s, float), [np.asarray(voltage_v, float)],
        np.asarray(current_a, float), counters_ah=charge, coarse_ah=coarse_ah,
    )  # fmt: skip
    return joined([r], temperature_degc)


def ledger(h: History, gap_s: float = 900.0):
    """(charged, discharged, gaps) of the firmware's ledger in count·ms, exactly, after playing `h`."""
    profile = load(PROFILE)
    player = Player(profile, h, gap_s, new=True)
    player._complete = lambda *_: None  # the accounts as the recording leaves them
    player.play()
    unit_us = profile.ppm_count_ms * 1000 + profile.ppm_count_us

    def exact(account):
        return (account.cycles * 1_000_000 + account.ppm) * unit_us + account.ms * 1000 + account.us

    accounts = player.bms.ledger
    return exact(accounts.charged), exact(accounts.discharged), exact(accounts.gaps), player


@pytest.mark.parametrize("policy", ["none", "pulse"])
def test_a_life_recorded_tick_by_tick_gives_the_same_inventory_to_the_last_bit(tmp_path, policy):
    run, recorder, estimates = closed_loop(policy, cycles=3)
    path = tmp_path / "lab__cell__20250101_001.bdf.csv"
    bdf.write(path, recorder.columns, digits=12)
    h = joined([recording.read(path)], None)
    player = Player(run.profile, h, 900.0, new=True)
    player.play()
    got = player.rows[: len(estimates)]
    for row, live in zip(got, estimates, strict=True):
        for store in ("active", "isolated", "sei", "cathode"):
            assert row[f"{store}_mah"] == pytest.approx(live[f"estimated_{store}_mah"], abs=1e-9), (policy, store)
            assert row[f"{store}_sigma_mah"] == pytest.approx(live[f"estimated_{store}_sigma_mah"], abs=1e-9)
        assert row["stage"] == live["stage"]


def test_a_recording_that_ends_as_the_next_charge_begins_loses_no_cycle(tmp_path):
    _, recorder, _ = closed_loop("none", cycles=2)
    current = np.array(recorder.columns["Current / A"])
    end = int(np.flatnonzero(current < 0)[-1]) + 2
    inventories = []
    for rows in (end, end + 1):
        columns = {name: list(values[:rows]) for name, values in recorder.columns.items()}
        if rows > end:
            columns["Current / A"][-1] = 0.08
        path = tmp_path / f"cell{rows}__20250101_001.bdf.csv"
        bdf.write(path, columns, digits=12)
        player = Player(load(PROFILE), joined([recording.read(path)], None), None, new=True)
        player.play()
        inventories.append([row["loss_mah"] for row in player.rows])
        assert len(player.curves) == len(player.rows) and all(c["discharge"] for c in player.curves.values())
    assert len(inventories[0]) == len(inventories[1]) >= 2
    assert inventories[1] == pytest.approx(inventories[0], abs=0.1)


def test_a_pulse_that_the_profile_allows_raises_no_alarm_and_a_load_as_strong_does():
    """A pulse may be stronger than a load: `pulse_max_permille` against `discharge_soft_permille`."""
    profile = load(PROFILE)
    assert profile.discharge_soft_permille < 1500 <= profile.pulse_max_permille
    one_c_a = profile.one_c_ua * 1e-6
    for pulse_s, slow_c, alarms in (
        (60, -0.1, set()),
        (700, -0.1, {"discharge_current"}),
        (60, 0.0, {"discharge_current"}),
    ):
        steps = [(60, 0.0), (1200, 0.3), (60, 0.0), (pulse_s, -1.5), (1200, slow_c)]
        current_c = np.concatenate([np.full(seconds, rate) for seconds, rate in steps])
        net_ah = np.cumsum(current_c) * one_c_a / 3600.0
        volts = 3.7 + 2.0 * net_ah + 0.1 * current_c
        player = Player(profile, history(np.arange(len(volts)), current_c * one_c_a, volts), None, new=True)
        player.play()
        assert set(player.alarms) == alarms, (pulse_s, slow_c)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(-100_000, 100_000)), min_size=2, max_size=40), st.data())
def test_rows_may_be_split_and_the_ledger_is_the_same(steps, data):
    """A row put between two others, on the straight line between them, changes nothing: whole counts, whole ms."""
    time_s, count = [0.0], [0]
    for seconds, counts in steps:
        time_s.append(time_s[-1] + 2 * seconds)
        count.append(2 * (counts // 2))
    lsb = load(PROFILE).current_lsb_na * 1e-9
    split_t, split_c = list(time_s), list(count)
    for k in range(len(time_s) - 1, 0, -1):
        even = (count[k] + count[k - 1]) % 2 == 0 and count[k] * count[k - 1] >= 0
        if even and data.draw(st.booleans()):
            split_t.insert(k, (time_s[k] + time_s[k - 1]) / 2)
            split_c.insert(k, (count[k] + count[k - 1]) // 2)
    volts = 3.7 + 1e-3 * np.sin(np.arange(len(split_t)))
    whole = ledger(history(time_s, np.array(count) * lsb, np.interp(time_s, split_t, volts)))
    split = ledger(history(split_t, np.array(split_c) * lsb, volts))
    assert split[:2] == whole[:2]
    assert whole[2] == split[2] == 0


@given(st.integers(1, 9), st.integers(100, 2000), st.integers(901, 2_000_000))
@settings(max_examples=20)
def test_a_gap_is_booked_as_a_gap_and_as_no_charge(before, ma, gap_s):
    """Nothing is booked for it, and as much as flowed on either side may be missing."""
    lsb = load(PROFILE).current_lsb_na * 1e-9
    count = ma * 10
    time_s = [10.0 * k for k in range(before + 1)] + [10.0 * before + gap_s, 10.0 * before + gap_s + 10.0]
    volts = 3.7 + 1e-3 * np.arange(len(time_s))
    charged, discharged, gaps, player = ledger(history(time_s, np.full(len(time_s), count * lsb), volts))
    assert charged == (before * 10 + 10) * count * 1_000_000
    assert discharged == 0
    assert gaps == gap_s * count * 1_000_000
    assert player.gaps == 1 and player.gap_s == gap_s


def test_the_cyclers_counter_bridges_a_gap():
    time_s = [0.0, 60.0, 7260.0, 7320.0]
    net = np.array([0.0, 0.1 / 60, 0.1 / 60 + 0.2, 0.2 / 60 + 0.2])
    charged, _, gaps, player = ledger(history(time_s, [0.1] * 4, [3.6, 3.61, 3.8, 3.81], net))
    assert gaps == 0 and player.gaps == 1 and player.bridged
    assert charged * 1e-6 * 2e-6 / 3600 == pytest.approx(net[-1], abs=1e-8)


def test_a_coarse_counter_is_no_disagreement():
    """A counter written in steps of 0.1 mAh beside samples a second apart: no gap is booked, no charge is lost."""
    time_s = np.arange(0.0, 600.0)
    net = np.floor(0.1 * time_s / 3600 * 1e4) / 1e4
    _, _, gaps, _ = ledger(history(time_s, np.full(600, 0.1), 3.6 + time_s * 1e-4, net, coarse_ah=1e-4))
    assert gaps == 0


def test_repeated_rows_carry_no_charge_and_a_steps_first_row_counts_from_there():
    rows = [(0.0, 0.1), (60.0, 0.1), (60.0, 0.1), (60.0, -0.1), (120.0, -0.1)]
    time_s, current = zip(*rows, strict=True)
    charged, discharged, _, player = ledger(history(time_s, current, [3.7, 3.8, 3.8, 3.6, 3.5]))
    assert player.repeated == 1
    assert charged * 2e-12 == pytest.approx(6.0, abs=2e-4)  # A·s, a millisecond between the steps
    assert discharged * 2e-12 == pytest.approx(6.0, abs=2e-4)


def test_rows_minutes_apart_are_joined_by_a_straight_line():
    far = ledger(history([0, 600, 1200], [0.05, 0.1, 0.1], [3.6, 3.7, 3.8]))
    assert far[2] == 0
    assert far[0] * 2e-12 == pytest.approx(0.075 * 600 + 60, abs=1e-3)


ROW = st.tuples(
    st.one_of(st.just(0.0), st.floats(0.001, 100.0), st.floats(100.0, 2e4)),
    st.one_of(st.just(0.0), st.floats(-1.0, 1.0)),
    st.floats(0.3, 5.6),
    st.floats(-45.0, 125.0),
)


@given(st.lists(ROW, min_size=1, max_size=40), st.booleans(), st.sampled_from([None, 1.0, 1e5]))
@settings(max_examples=30)
def test_whatever_happened_it_is_played_to_its_end(rows, new, gap_s):
    """Gaps, repeats, voltages and temperatures of no cell: no exception, and what is told stays in bounds."""
    waits, current, volts, degc = (np.array(column, float) for column in zip(*rows, strict=True))
    h = history(np.cumsum(waits), current, volts)
    h.temperature_degc[:, 0] = degc
    player = Player(load(PROFILE), h, gap_s, new)
    player.play()
    assert player.charged_mah >= 0.0 <= player.discharged_mah
    for row in player.rows:
        assert row["discharge_mah"] >= 0 and row["stage"] in (None, 1, 2, 3, 4)
        if row["known"] != "unknown":
            stores = [row[f"{store}_mah"] for store in ("active", "isolated", "sei", "cathode")]
            assert min(stores) >= 0.0
            assert 0.0 <= row["soc"] <= 1.0


def test_a_gap_of_years_is_told_in_parts():
    """The board's counter wraps after 12 days; the ledger still sees the whole gap."""
    two_years = 2 * 365 * 86_400.0
    h = history([0.0, 10.0, 10.0 + two_years, 20.0 + two_years], [0.001] * 4, [3.7, 3.71, 3.72, 3.73])
    charged, _, gaps, player = ledger(h)
    assert player.gap_s == two_years
    assert gaps == pytest.approx(two_years * 500 * 1e6, rel=1e-6)  # 1 mA is 500 counts
    assert charged == 20 * 500 * 1_000_000
