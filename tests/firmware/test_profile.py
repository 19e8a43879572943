"""Profiles: what is right is taken whole, what is wrong is refused whole with one sentence."""

import json
from binascii import crc32
from fnmatch import fnmatch
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relith import schema
from relith.profile import Profile, ProfileError, load

from host_sim import profile_page
from tests.firmware.rigging import PROFILE, data, profile
from tests.firmware.test_reasons import RELITH, numbers

ROWS = schema.rows()
FIGURES = [row[1:4] for row in ROWS if row[0] == "figure"]
TABLES = [row[1:7] for row in ROWS if row[0] == "table"]
NAMES = [row[0] for row in FIGURES] + [name for row in TABLES for name in (row[0], row[3])]


def sentence(text, source="x.json"):
    with pytest.raises(ProfileError) as caught:
        Profile(text if isinstance(text, str | bytes) else json.dumps(text), source)
    message = str(caught.value)
    assert message.startswith(source + ": ") and "\n" not in message and len(message) < 200
    return message.removeprefix(source + ": ")


def without(name):
    fields = data()
    del fields[name]
    return fields


def renamed(name, wrong):
    return {**without(name), wrong: data()[name]}


@pytest.mark.parametrize("path", sorted(PROFILE.parent.glob("*.json")), ids=lambda path: path.stem)
def test_ours_are_right(path):
    p = load(str(path))
    assert p.crc30 == crc32(path.read_bytes()) & (1 << 30) - 1
    patterns = " ".join(json.loads(path.read_text())["sources"]).split()
    for name in NAMES:
        if name not in ("schema", "cell_count"):
            assert any(fnmatch(name, pattern) for pattern in patterns), f"{name} has no source"


def test_counts_follow():
    p = profile()
    assert p.one_c_count == 133_500 and p.ppm_count_ms == 430_200 and p.ppm_count_us == 0
    assert p.policy == 4 and p.link_key == b"liu21-bench"
    assert (p.idle_count, p.taper_count, p.step_count) == (400, 13_483, 6675)
    assert (p.charge_max_count, p.discharge_max_count) == (66_750, 166_875)


@given(st.integers(1000, 10**9), st.integers(0, 10**6))
def test_one_ppm_is_right_from_1_mah_to_1000_ah(capacity, where):
    one_c = capacity
    least = max(capacity * 3600 // 4_000_000, one_c * 2600 // ((1 << 19) - 1)) + 1
    most = min(capacity * 3600 // 36_000, 20_000_000)
    lsb = least + (most - least) * where // 10**6
    p = profile(nominal_capacity_uah=capacity, one_c_ua=one_c, current_lsb_na=lsb)
    exact = Fraction(capacity * 3600, lsb)  # count·ms
    assert abs(Fraction(p.ppm_count_ms * 1000 + p.ppm_count_us, 1000) / exact - 1) < Fraction(2, 10**8)
    assert p.one_c_count * 2600 // 1000 < 1 << 19
    for outside in (least - 1, most + 1):
        if 1 <= outside <= 20_000_000:
            message = sentence(data(nominal_capacity_uah=capacity, one_c_ua=one_c, current_lsb_na=outside))
            assert message.startswith(
                f"current_lsb_na is {outside}, must be from {least} to {capacity * 3600 // 36_000}"
            )


@pytest.mark.parametrize("name", [*NAMES, "name", "policy", "link_key", "sources"])
def test_a_missing_field(name):
    assert sentence(without(name)).startswith(f"{name} is missing, must be a")


@pytest.mark.safety(12, 15)
@pytest.mark.parametrize("name, low, high", FIGURES)
def test_out_of_range_and_not_whole(name, low, high):
    wanted = f"must be a whole number from {low} to {high}"
    for value in (int(low) - 1, int(high) + 1, 1.5, "7", None, True, [1], {}, 1e400, 12345.0):
        message = sentence(data(**{name: value}))
        assert message.startswith(f"{name} is ") and message.endswith(wanted)


@pytest.mark.parametrize("x, x_low, x_high, y, y_low, y_high", TABLES)
def test_tables(x, x_low, x_high, y, y_low, y_high):
    fields = data()
    for name, low, high in ((x, x_low, x_high), (y, y_low, y_high)):
        for value in (int(low) - 1, int(high) + 1, 0.5):
            message = sentence({**fields, name: [*fields[name][:-1], value]})
            assert message.endswith(f"must be a list of 2 to 64 whole numbers from {low} to {high}")
            assert message.startswith(f"a number of {name} is {value}")
        for value in (7, [], [1], [1] * 65, "1,2"):
            assert f"{name} is" in sentence({**fields, name: value})
    assert "must have the same number" in sentence({**fields, y: fields[y][1:]})
    assert f"{x} must rise" in sentence({**fields, x: fields[x][::-1]})


def test_voltage_must_fall_with_content():
    uv = data()["ocv_uv"]
    assert "ocv_uv must fall, but 4200000 follows 4200000" in sentence(data(ocv_uv=[uv[0], *uv[:-1]]))


@pytest.mark.safety(15)
@pytest.mark.parametrize(
    "name, wrong",
    [
        ("nominal_capacity_uah", "nominal_capacity_mah"),
        ("max_uv", "max_mv"),
        ("max_uv", "max"),
        ("pulse_low_cdegc", "pulse_low_degc"),
        ("heating_cdegc_per_min", "heating_degc_per_min"),
        ("offset_sigma_ppm_per_h", "offset_sigma_permille_per_h"),
        ("ocv_uv", "ocv_mv"),
        ("rest_tau_s", "rest_tau_h"),
    ],
)
def test_a_wrong_unit_is_named(name, wrong):
    assert sentence(renamed(name, wrong)).startswith(f"{wrong} has the wrong unit, must be {name}, a ")


@pytest.mark.safety(3, 15)
def test_an_unknown_field():
    assert sentence(data(colour=3)) == "colour is 3, must be left out, no profile has such a field"
    assert "..." in sentence(data(colour="x" * 300))


@pytest.mark.parametrize("row", [row[1:] for row in ROWS if row[0] == "order"], ids=lambda row: "<".join(row))
def test_contradictory_windows(row):
    """Each pair of neighbours of a chain, the wrong way round as far as their ranges allow it."""
    ranges = {name: (int(low), int(high)) for name, low, high in FIGURES}
    for low, high in pairwise(row):
        value = data()[high] + 1
        if value <= ranges[low][1]:
            message = sentence(data(**{low: value}))
            assert "must not be above" in message and message.split()[0] in NAMES


def test_a_pulse_above_the_hard_limit():
    message = sentence(data(pulse_max_permille=2601))
    assert message == "pulse_max_permille is 2601, must not be above discharge_hard_permille, which is 2600"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", "{}{}", '{"a": }', "\x00", "[" * 100_000, PROFILE.read_text()[:-3]]
)
def test_not_whole_json(text):
    assert sentence(text) == "must be one whole JSON object with a field for each figure"


@given(st.integers(0, len(PROFILE.read_bytes()) - 2))
def test_truncated_anywhere(end):
    sentence(PROFILE.read_bytes()[:end])


@given(st.binary(max_size=200))
def test_garbage(text):
    sentence(text)


@pytest.mark.safety(15)
@pytest.mark.parametrize("version", [0, 2, "1", 1.0, None])
def test_another_schema_version(version):
    assert sentence(data(schema=version)).endswith("must be a whole number from 1 to 1")


@pytest.mark.parametrize("name", ["name", "policy", "link_key"])
def test_texts(name):
    for value in ("", "x" * 300, 7, None):
        assert f"{name} is" in sentence(data(**{name: value}))
    assert "policy is 'magic', must be one of none, liu21" in sentence(data(policy="magic"))


def test_no_file(tmp_path):
    with pytest.raises(ProfileError, match="cannot be read"):
        load(str(tmp_path / "none.json"))


def test_a_damaged_schema_is_noticed(monkeypatch):
    monkeypatch.setattr(schema, "CRC", 1)
    with pytest.raises(ProfileError, match="damaged"):
        profile()


def test_sentences_are_where_their_numbers_say():
    names = [line.split()[0] for line in (RELITH / "refusals.txt").read_text().splitlines()]
    known = numbers(RELITH / "schema.py", "_")
    assert [known[name] for name in names] == list(range(len(names)))


@pytest.mark.safety(15)
def test_with_damaged_sentences_what_is_wrong_is_refused_all_the_same(monkeypatch):
    monkeypatch.setattr(schema, "_SAID", 1)
    profile()
    with pytest.raises(ProfileError, match=r"refusals\.txt: is damaged"):
        profile(max_uv=1)


def test_flat_regions_say_nothing():
    lfp = profile(ocv_content_ppm=[0, 50_000, 950_000, 1_000_000], ocv_uv=[3_500_000, 3_350_000, 3_300_000, 2_600_000])
    steep = profile()
    assert lfp.sloping(3_320_000) == 0 or lfp.voltage_sigma_uv * 9 < 50_000
    assert (
        profile(
            ocv_content_ppm=[0, 50_000, 950_000, 1_000_000],
            ocv_uv=[3_500_000, 3_301_000, 3_299_000, 2_600_000],
        ).sloping(3_300_000)
        == 0
    )
    for uv in (4_190_000, 3_700_000, 3_100_000, 2_000_000, 4_500_000):
        assert steep.sloping(uv) == uv


def test_the_page_is_up_to_date(tmp_path, monkeypatch, capsys):
    assert profile_page.main(["--check"]) == 0
    text = profile_page.DOC.read_text()
    assert all(f"`{name}`" in text for name in NAMES)
    monkeypatch.setattr(profile_page, "DOC", tmp_path / "profile.md")
    assert profile_page.main(["--check"]) == 1 and "out of date" in capsys.readouterr().err
    assert profile_page.main([]) == 0 and profile_page.main(["--check"]) == 0


@pytest.mark.parametrize("sources", [{}, [], "a paper", None])
def test_sources_say_something(sources):
    assert sentence({**data(), "sources": sources}).startswith("sources ")


def test_a_board_gives_the_memory_of_the_check_back(monkeypatch):
    """On MicroPython alone: elsewhere the module stays."""
    import sys
    from types import SimpleNamespace

    import relith

    monkeypatch.setitem(sys.modules, "relith.schema", schema)
    monkeypatch.setattr(relith, "schema", schema)
    monkeypatch.setattr("relith.sys", SimpleNamespace(
        implementation=SimpleNamespace(name="micropython"), modules=sys.modules
    ))  # fmt: skip
    Profile(json.dumps(data()), "x.json")
    assert "relith.schema" not in sys.modules and not hasattr(relith, "schema")


def test_in_an_image_a_field_may_have_a_short_name_and_is_told_by_its_own(monkeypatch):
    """As hil/image.py writes schema.txt: NAME=SHORT."""
    short = {"log_level": "L", "loss_temp_factor_permille": "F"}
    rows = [
        [f"{word}={short[word]}" if row[0] != "order" and word in short else word for word in row]
        for row in schema.rows()
    ]
    wanted = data()
    monkeypatch.setattr(schema, "rows", lambda: [list(row) for row in rows])
    profile = Profile(json.dumps(wanted), "x.json")
    for name, other in short.items():
        assert getattr(profile, other) == wanted[name] and not hasattr(profile, name)
    with pytest.raises(ProfileError, match="log_level is missing"):
        Profile(json.dumps({name: value for name, value in wanted.items() if name != "log_level"}), "x.json")


EXTRA = {
    "strength_permille": 2000, "length_s": 30, "pause_s": 0, "low_cdegc": 1500, "high_cdegc": 3500, "day_uses": 3,
    "budget_ppm": 50_000,
}  # fmt: skip


def test_an_extra_is_there_when_it_is_named():
    assert profile().named == [None] * 5
    assert profile(extra_self_heating=EXTRA).named == [[2000, 30, 0, 1500, 3500, 3, 50_000], None, None, None, None]


@pytest.mark.parametrize(
    "given, said",
    [
        (None, "extra_self_heating is None, must be an object of 7 figures"),
        ([1], "extra_self_heating is [1], must be an object of 7 figures"),
        ({}, "extra_self_heating is {}, must be an object of 7 figures"),
        (EXTRA | {"length_s": 121}, "extra_self_heating.length_s is 121, must be a whole number from 1 to 120"),
        (EXTRA | {"day_uses": True}, "extra_self_heating.day_uses is True, must be a whole number from 1 to 24"),
        (EXTRA | {"more": 1}, "must be an object of 7 figures"),
        (
            {name if name != "length_s" else "length_ms": value for name, value in EXTRA.items()},
            "extra_self_heating.length_s is None, must be a whole number from 1 to 120",
        ),
    ],
)
def test_a_wrong_extra_is_refused(given, said):
    assert sentence(data(extra_self_heating=given)).endswith(said)


def test_an_extra_that_there_is_not_is_refused():
    assert "extra_heating" in sentence(data(extra_heating=EXTRA))


def test_a_1c_that_is_no_thousand_counts_is_refused():
    """Below that a per mille of 1C is less than one count."""
    said = sentence(data(one_c_ua=500, nominal_capacity_uah=10_000_000, current_lsb_na=1_000_000))
    assert said == "one_c_ua is 500, must be at least 1000000 for this current_lsb_na"
