"""Profiles as the host loads them: what MicroPython's json lets pass is refused, with line and column."""

import json

import pytest

from host_sim.errors import InputError
from host_sim.profiles import changed, checked, load
from host_sim.sample_data import PROFILE

TEXT = PROFILE.read_bytes()


def refused(tmp_path, text, *words):
    path = tmp_path / "cell.json"
    path.write_bytes(text)
    with pytest.raises(InputError) as error:
        load(path)
    for word in ("cell.json", *words):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_field_twice_names_field_and_line(tmp_path):
    twice = TEXT.replace(b'"cell_count": 1,', b'"cell_count": 1,\n  "cell_count": 2,')
    line = twice[: twice.rindex(b'"cell_count"')].count(b"\n") + 1
    refused(tmp_path, twice, f"line {line}: cell_count stands there twice")


def test_a_byte_order_mark(tmp_path):
    refused(tmp_path, b"\xef\xbb\xbf" + TEXT, "begins with a byte-order mark")
    refused(tmp_path, TEXT.decode().encode("utf-16"), "byte-order mark")


def test_where_it_is_no_json(tmp_path):
    line = TEXT[: TEXT.index(b'"cell_count"')].count(b"\n") + 1
    refused(tmp_path, TEXT.replace(b'"cell_count": 1,', b'"cell_count": 1'), f"line {line + 1}, column ", "JSON")
    refused(tmp_path, b"", "line 1, column 1", "JSON")
    refused(tmp_path, TEXT[: len(TEXT) // 2], "JSON")
    refused(tmp_path, b"[1]", "is a list, must be one whole JSON object")
    line = TEXT[: TEXT.index(b"Liu21 full")].count(b"\n") + 1
    refused(tmp_path, TEXT.replace(b"Liu21 full", b"Liu21 \xff full", 1), f"line {line} is not UTF-8")
    refused(tmp_path, b"[" * 200_000, "JSON")


def test_the_shipped_profiles_are_sound():
    for path in PROFILE.parent.glob("*.json"):
        checked(path.read_bytes(), path.name)
        load(path)


def test_scaled_to_a_capacity():
    profile = load(PROFILE)
    large = changed(profile, PROFILE, capacity_mah=2390.0)
    assert large.nominal_capacity_uah == 2_390_000
    assert large.one_c_ua == 10 * profile.one_c_ua
    assert abs(large.resistance_uohm * 10 - profile.resistance_uohm) <= 5
    assert changed(profile, PROFILE) is profile
    assert changed(profile, PROFILE, cells=3).cell_count == 3


def test_a_field_set_by_hand():
    assert changed(load(PROFILE), PROFILE, settings=["reservoir_ppm=255_000"]).reservoir_ppm == 255_000
    for setting, sentence in (
        ("reservoir_ppm", "must be FIELD=N"),
        ("colour=1", "must be FIELD=N"),
        ("name=1", "must be FIELD=N"),
        ("reservoir_ppm=many", "must be a whole number"),
        ("reservoir_ppm=-1", "reservoir_ppm is -1, must be a whole number from 0"),
        ("max_uv=2000000", "max_uv"),
    ):
        with pytest.raises(InputError) as error:
            changed(load(PROFILE), PROFILE, settings=[setting])
        assert sentence in str(error.value), setting


def test_a_key_that_json_escapes_is_still_found_twice():
    with pytest.raises(InputError, match="stands there twice"):
        checked(b'{"a": {"b": 1, "b": 2}}', "x.json")
    assert checked(json.dumps({"a": [1]}).encode(), "x.json") == {"a": [1]}


def test_a_scenario_says_where_its_profile_is_no_json(tmp_path):
    from hil.scenario import read_profile

    (tmp_path / "bad.json").write_text('{\n "name": "x"\n "policy": "none"}')
    with pytest.raises(InputError, match=r"^s\.toml: profile bad\.json: line 3, column 2: "):
        read_profile("bad.json", {}, tmp_path / "s.toml")
