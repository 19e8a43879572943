"""The message catalogue: plain tuples that the board packs from, and that host codec, docs and CAN DBC are made from.

A frame on the wire: 00, COBS of (code, session, sequence, fields, CRC-32), 00; little-endian, the CRC that of zlib.
`session` is new at every boot; `sequence` counts the frames of one direction. A message is (name, names of its fields,
their kinds). Names carry the unit; in what the board sends they are the attributes that the values come from. Kinds are
struct's letters B H i, an i within ±(2**30 - 1); and "?" one bit, eight to a byte, lowest first; "[" a count byte and
that many i; "*" the rest of the frame, bytes. Bits stand last. What is too large for its kind is sent as its limit.
"""

# fmt: off
_READINGS = (
    "now_ms", "current_count", "current_ms", "charge_hi", "charge_lo", "charge_restarts",
    "cell_uv", "cell_ms", "pack_uv", "temp_cdegc", "temp_ms", "user_free_s", "user_full_in_s",
    "current_ok", "charge_ok", "cell_ok", "temp_ok", "charge_switch", "discharge_switch", "pulse_switch",
    "hardware_trip", "user_consent", "clock_known", "stop", "watchdog_reset",
)
_READINGS_KINDS = b"iiiiiH[ii[iii????????????"

# Code on the wire: place in this table.
TO_BOARD = (
    ("hello", (), b""),
    ("command", ("command", "a", "b"), b"Bii"),
    ("challenge", (), b""),
    ("answer", ("command", "a", "b", "answer"), b"Biii"),
    ("begin", ("size", "crc30"), b"ii"),
    ("chunk", ("offset", "data"), b"i*"),
    ("read", ("area", "offset"), b"Bi"),
    ("inject", _READINGS, _READINGS_KINDS),
)

# Code on the wire: 16 + place in this table.
TO_HOST = (
    ("welcome", (
        "catalogue", "version", "profile_crc30", "current_lsb_na", "nominal_capacity_uah", "boots", "cells",
        "expected", "rig"), b"HiiiiiBH?"),
    ("done", ("expected", "message", "refusal", "field", "reason"), b"HBBBB"),
    ("refused", ("expected", "cause", "counts", "message", "refusal", "field", "reason"), b"HB[BBBB"),
    ("nonce", ("expected", "nonce"), b"Hi"),
    ("data", ("expected", "area", "offset", "total", "data"), b"HBii*"),
    ("readings", _READINGS, _READINGS_KINDS),
    ("outputs", (
        "state", "decision", "reason", "pulse_count", "pulse_ms", "balance_mask", "charge_limit_count",
        "discharge_limit_count", "next_tick_ms", "alarms", "charge_enable", "discharge_enable",
        "journal_due"), b"BBBiiiiiii???"),
    ("estimate", (
        "cell_index", "known", "limited_by", "stage", "cathode_ppm", "cathode_sigma_ppm", "active_ppm",
        "active_sigma_ppm", "isolated_ppm", "isolated_sigma_ppm", "sei_ppm", "sei_sigma_ppm", "loss_ppm",
        "loss_sigma_ppm", "capacity_ppm", "capacity_sigma_ppm", "ce_cell_ppm", "ce_li_ppm"), b"BBBBiiiiiiiiiiiiii"),
)

# Code: place in this table. (name, 1 when it must answer a challenge, a, least a, greatest a, b, least b, greatest b)
COMMANDS = (
    ("stop", 0, "", 0, 0, "", 0, 0),
    ("resume", 0, "", 0, 0, "", 0, 0),
    ("clear_latch", 1, "", 0, 0, "", 0, 0),
    ("arm", 1, "days", 1, 366, "", 0, 0),
    ("disarm", 0, "", 0, 0, "", 0, 0),
    ("consent", 0, "given", -1, 1, "", 0, 0),
    ("calendar", 0, "free_s", 0, 31536000, "full_in_s", -1, 31536000),
    ("calibrate", 1, "offset_mcount", -1000000, 1000000, "gain_ppm", -100000, 100000),
    ("commission", 1, "", 0, 0, "", 0, 0),
    ("storage", 0, "on", 0, 1, "", 0, 0),
    ("set_clock", 0, "day", 0, 99999, "second", 0, 86399),
    ("reboot", 1, "", 0, 0, "", 0, 0),
    ("commit_profile", 1, "", 0, 0, "", 0, 0),
)
AREAS = ("journal_0", "journal_1", "black_box", "log", "profile", "refusal")
# fmt: on
CRC16 = 0xD35E  # of these tables, by which host and board agree (hil/codec.py, `fingerprint`)
