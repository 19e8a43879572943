"""The diagnostic table: well-formed, debounced in milliseconds, latched as it says."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import protection
from relith.profile import ProfileError, lines
from relith.protection import Protection
from relith.schema import rows as schema_rows

from host_sim.tables import BLOCKS, LEVELS, TABLE
from tests.firmware.protection_rows import IDS, ROWS, guard, limit_of
from tests.firmware.rigging import World, at_power_up, profile

WARN, SOFT, HARD, LOCK = range(4)
FIELDS = [row[1] for row in schema_rows() if row[0] == "figure"]
with (Path(__file__).parent / "diagnostics.csv").open(newline="") as _file:
    REQUIRED = list(csv.DictReader(_file))  # what is demanded, and why


def test_the_table_is_what_is_demanded():
    quantities = [line.split()[1] for line in lines("protection.txt", protection.CRC) if line.startswith("quantity")]
    named = [
        row._asdict()
        | {"quantity": quantities[row.quantity], "level": LEVELS[row.level], "blocks": BLOCKS[row.blocks]}
        | {"black_box": "yes" if row.black_box else "no"}
        for row in TABLE
    ]
    demanded = [{name: value for name, value in row.items() if name != "why"} for row in REQUIRED]
    assert [{name: str(value) for name, value in row.items()} for row in named] == demanded
    assert all(row["why"] for row in REQUIRED)


def test_a_damaged_table_is_noticed(monkeypatch):
    """Before anything conducts: the controller does not even start."""
    monkeypatch.setattr(protection, "CRC", protection.CRC ^ 1)
    with pytest.raises(ProfileError, match=r"^protection.txt: is damaged or of another version"):
        World()


def test_the_table_is_well_formed():
    assert len(set(IDS)) == len(TABLE) <= 31
    for row in ROWS:
        assert isinstance(row["limit"], int) or row["limit"].lstrip("-") in FIELDS
        assert row["level"] in (WARN, SOFT, HARD, LOCK)
        assert row["blocks"] == {WARN: 0, HARD: 3, LOCK: 3}.get(row["level"], row["blocks"])
        assert row["level"] != SOFT or row["blocks"] in (1, 2, 3)
        assert row["response_ms"] > row["delay_ms"] >= 0
        assert row["below"] >= 0 and row["recover_ms"] >= 0 and row["black_box"] in (True, False)
        assert row["black_box"] == (row["level"] >= HARD)  # what latches is kept in the black box


def test_every_quantity_is_watched():
    assert sorted({row["quantity"] for row in ROWS}) == list(range(protection._QUANTITIES))


STEPS = st.lists(st.integers(1, 60_000), min_size=1, max_size=40)


@pytest.mark.safety(13)
@pytest.mark.parametrize("row", ROWS, ids=IDS)
@given(steps=STEPS)
def test_delay_is_elapsed_time_however_it_is_cut(row, steps):
    """Not active before the delay, active in the first tick at or after it, whatever the ticks."""
    p, watched = guard()
    bit = 1 << IDS.index(row["id"])
    watched._values[row["quantity"]] = limit_of(row, p) + 1
    watched.update(steps[0])  # seen for the first time: time counts from here
    above_ms = 0
    for step in steps[1:]:
        assert bool(watched.active & bit) == (above_ms >= row["delay_ms"])
        assert bool(watched.pending & bit) == (above_ms < row["delay_ms"])
        above_ms += step
        watched.update(step)
    assert bool(watched.active & bit) == (above_ms >= row["delay_ms"])
    assert bool(watched.latched & bit) == (row["level"] >= HARD and above_ms >= row["delay_ms"])


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_at_its_limit_nothing_happens(row):
    p, watched = guard()
    watched._values[row["quantity"]] = limit_of(row, p)
    for _ in range(10):
        watched.update(60_000)
    same = [k for k, other in enumerate(ROWS) if other["quantity"] == row["quantity"]]
    assert not watched.active & (1 << IDS.index(row["id"]))
    assert watched.active & ~sum(1 << k for k in same) == 0


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_short_excess_is_forgotten(row):
    """Below the limit once, and the delay begins anew."""
    if row["delay_ms"] < 2:
        return
    p, watched = guard()
    above, inside = limit_of(row, p) + 1, -(1 << 29)
    for _ in range(5):
        watched._values[row["quantity"]] = above
        watched.update(10)
        watched.update(row["delay_ms"] - 1)
        assert watched.pending & (1 << IDS.index(row["id"]))
        watched._values[row["quantity"]] = inside
        watched.update(10)
        assert not watched.active and not watched.pending


@pytest.mark.parametrize("row", [row for row in ROWS if row["level"] < HARD], ids=lambda row: row["id"])
@given(steps=STEPS)
def test_recovery_is_elapsed_time_below_the_hysteresis(row, steps):
    p, watched = guard()
    bit = 1 << IDS.index(row["id"])
    value = watched._values
    value[row["quantity"]] = limit_of(row, p) + 1
    watched.update(1)
    watched.update(row["delay_ms"])
    assert watched.active & bit and not watched.latched
    if row["below"]:
        value[row["quantity"]] = limit_of(row, p) - row["below"] + 1
        for _ in range(5):
            watched.update(60_000_000)
        assert watched.active & bit and not watched.recovering
    value[row["quantity"]] = limit_of(row, p) - row["below"]
    watched.update(steps[0])
    inside_ms = 0
    for step in steps[1:]:
        assert bool(watched.active & bit) == (inside_ms < row["recover_ms"])
        assert bool(watched.recovering & bit) == (inside_ms < row["recover_ms"])
        inside_ms += step
        watched.update(step)


@pytest.mark.parametrize("row", [row for row in ROWS if row["recover_ms"]], ids=lambda row: row["id"])
def test_recovery_is_over_at_its_last_millisecond_and_begins_anew(row):
    p, watched = guard()
    bit = BITS[IDS.index(row["id"])]
    above, inside = limit_of(row, p) + 1, limit_of(row, p) - row["below"]
    for value, ms in ((above, 1), (above, row["delay_ms"]), (inside, 7), (inside, row["recover_ms"] - 1)) * 2:
        watched._values[row["quantity"]] = value
        watched.update(ms)
    assert watched.active & bit and watched.recovering & bit
    watched.update(1)
    assert not watched.active & bit and not watched.recovering & bit


@pytest.mark.safety(12)
@pytest.mark.parametrize("row", [row for row in ROWS if row["level"] >= HARD], ids=lambda row: row["id"])
def test_a_latch_stays_until_a_person_clears_it(row):
    p, watched = guard()
    bit = 1 << IDS.index(row["id"])
    watched._values[row["quantity"]] = limit_of(row, p) + 1
    watched.update(1)
    watched.update(row["delay_ms"])
    before = watched.latched
    assert before & bit and not watched.clear() and watched.latched == before  # it is still there
    watched._values[row["quantity"]] = -(1 << 29)
    for _ in range(5):
        watched.update(60_000_000)
    assert not watched.active and watched.latched == watched.latched == before
    assert bool(watched.lockout) == (row["level"] == LOCK) and bool(watched.fault & bit) == (row["level"] == HARD)
    assert watched.clear()
    watched.update(0)
    assert watched.alarms == watched.fault == watched.lockout == 0


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_what_a_row_blocks(row):
    p, watched = guard()
    watched._values[row["quantity"]] = limit_of(row, p) + 1
    watched.update(1)
    watched.update(row["delay_ms"])
    mine = 1 << IDS.index(row["id"])
    assert bool(watched.no_charge & mine) == bool(row["blocks"] & 1)
    assert bool(watched.no_discharge & mine) == bool(row["blocks"] & 2)
    assert bool(watched.soft & mine) == (row["level"] == SOFT)


def test_quiet_time_counts_from_the_last_alarm():
    p, watched = guard()
    for _ in range(10):
        watched.update(500)
    assert watched.quiet_s == 5
    watched._values[ROWS[IDS.index("deadline")]["quantity"]] = 2000
    watched.update(100)
    assert watched.quiet_s == 0 and watched.active
    watched._values[ROWS[IDS.index("deadline")]["quantity"]] = 0
    watched.update(100)
    watched.update(60_000)
    assert not watched.active and watched.quiet_s == 60
    assert p.cell_count == 1


def test_quiet_time_is_kept_to_the_millisecond():
    _, watched = guard()
    for ms, quiet_s in ((999, 0), (1, 1), (1999, 2), (1, 3), (10_500, 13), (500, 14)):
        watched.update(ms)
        assert watched.quiet_s == quiet_s


BITS = [*(1 << k for k in range(30)), -(1 << 30)]  # the last one is the sign of a small int


@pytest.mark.safety(11)
def test_a_lock_adds_every_lockout_and_forgets_no_fault():
    _, watched = guard()
    watched.latched = 1
    watched.lock()
    assert watched.latched == 1 | sum(BITS[k] for k, row in enumerate(ROWS) if row["level"] == LOCK)


def test_a_new_protection_has_seen_nothing():
    watched = Protection(profile())
    assert watched.soft == watched.no_charge == watched.no_discharge == watched.alarms == watched.fault == 0
    at_power_up(
        watched,
        _values=[0, 0, -(1 << 29), *[0] * 24],
        _met=[-1, 0, 0],
        _rows=list(watched._rows),
        _level=[sum(BITS[k] for k, row in enumerate(ROWS) if row["level"] == level) for level in range(4)],
        _blocks=[sum(BITS[k] for k, row in enumerate(ROWS) if row["blocks"] == blocks) for blocks in range(4)],
        boxed=sum(BITS[k] for k, row in enumerate(ROWS) if row["black_box"]),
    )


@pytest.mark.safety(12)
def test_another_cell_ends_at_once_what_was_of_the_old_one_alone():
    """The short and what its rested voltages said; while another fault is there nothing is changed."""
    p = Protection(profile())
    short, ocv, lost = (IDS.index(name) for name in ("soft_short", "ocv_ledger", "sensor_lost"))
    p._values[protection._SHORT], p._values[protection._OCV_PPM], p._met[0] = 1, 80_001, 5
    p._values[protection._SUM_UV] = p._values[protection._LOST_MS] = 10_000_000
    p.update(0)
    p.update(1999)
    latched = p.latched
    assert latched == 1 << short | 1 << lost
    assert not p.renew() and p.latched == latched and p._met[0] == 5 and p._values[protection._OCV_PPM] == 80_001
    assert p._timer[IDS.index("pack_sum")] == 1999
    p._values[protection._LOST_MS] = 0
    p.update(0)
    assert p.renew() and p.latched == 0 and p._met[0] == -1 and p._values[protection._OCV_PPM] == 0
    p.update(0)
    assert not (p.active >> ocv | p.active >> short) & 1


@pytest.mark.safety(12)
def test_a_refused_clear_forgets_nothing():
    p = Protection(profile())
    trip, hot = IDS.index("hardware_trip"), IDS.index("hot_hard")
    p.latched = 1 << trip | 1 << hot
    p._values[protection._TRIP] = 1
    p.update(0)
    assert not p.clear() and p.latched == 1 << trip | 1 << hot
    p._values[protection._TRIP] = 0
    p.update(0)
    assert p.clear() and p.latched == 0
