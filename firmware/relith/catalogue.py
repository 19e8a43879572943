"""The message catalogue: what the board packs from, and what host codec, docs and CAN DBC are made from.

A frame on the wire: 00, COBS of (code, session, sequence, fields, CRC-32), 00; little-endian, the CRC that of zlib.
`session` is new at every boot; `sequence` counts the frames of one direction. Kinds of fields are struct's letters
B H i, an i within ±(2**30 - 1); and "A" an account of the ledger, cycles and ppm as two i; "?" one bit, eight to a
byte, lowest first; "[" a count byte and that many i; "*" the rest of the frame, bytes. Bits stand last. What is too
large for its kind is sent as its limit. Names carry the unit.

The comments belong to the tables: name, fields and meaning of each row, for the host (hil/codec.py reads them); what
only people need costs the board no memory.
"""

# fmt: off
READINGS = (
    "now_ms", "current_count", "current_ms", "charge_hi", "charge_lo", "charge_restarts",
    "cell_uv", "cell_ms", "pack_uv", "temp_cdegc", "temp_ms", "user_free_s", "user_full_in_s",
    "current_ok", "charge_ok", "cell_ok", "temp_ok", "charge_switch", "discharge_switch", "pulse_switch",
    "hardware_trip", "user_consent", "clock_known", "stop", "watchdog_reset",
)
READINGS_KINDS = b"iiiiiH[ii[iii????????????"

# Kinds of the fields. Code on the wire: place in this table.
TO_BOARD = (
    # hello(): Opens a conversation; taken whatever its session and sequence number are.
    b"",
    # command(command, a, b): Has a command carried out that is not dangerous.
    b"Bii",
    # challenge(): Asks for a nonce, which the very next frame must answer.
    b"",
    # answer(command, a, b, answer): Has any command carried out; `answer` is 30 bits of SHA-256 over link key, nonce,
    # command, a and b.
    b"Biii",
    # begin(size, crc30): Announces a profile: the first of the two phases of an upload.
    b"ii",
    # chunk(offset, data): The next bytes of that profile. The command `commit_profile` ends the upload.
    b"i*",
    # read(area, offset): Asks for a share of a record, by its number in the list of records below.
    b"Bi",
    # inject(READINGS): The readings of one tick. Only a rig build takes them, and it has no switch to enable.
    READINGS_KINDS,
)

# Names of the fields, which are the attributes that the values come from, and their kinds. Code: 16 + place.
TO_HOST = (
    # welcome: Answers `hello`: who the board is, and which sequence number it expects next.
    (("catalogue", "version", "profile_crc30", "current_lsb_na", "nominal_capacity_uah", "boots", "cells", "expected",
      "rig"), b"HiiiiiBH?"),
    # done: A frame was taken: with `refusal` 0 what it asked is done, else that says why it is not.
    (("expected", "message", "refusal", "field", "reason"), b"HBBBB"),
    # refused: A frame was not taken; and what became of the last one that was, in case its reply was lost.
    (("expected", "cause", "counts", "message", "refusal", "field", "reason"), b"HB[BBBB"),
    # nonce: Answers `challenge`.
    (("expected", "nonce"), b"Hi"),
    # data: Answers `read`: up to 64 bytes from `offset` on.
    (("expected", "area", "offset", "total", "data"), b"HBii*"),
    # readings: What the board measured; every second.
    (READINGS, READINGS_KINDS),
    # outputs: What the tick decided; every second, when state, decision, reason or alarms change, after `inject`.
    (("state", "decision", "reason", "pulse_count", "pulse_ms", "balance_mask", "charge_limit_count",
      "discharge_limit_count", "next_tick_ms", "alarms", "charge_enable", "discharge_enable", "journal_due"),
     b"BBBiiiiiii???"),
    # ledger: Charge so far, in and out kept apart; every second.
    (("charged", "discharged", "gaps", "offset_mcount", "gain_ppm", "corrections", "under_way_ppm"), b"AAAiiii"),
    # estimate: Where one cell's lithium is; every second, the cells in turn.
    (("cell_index", "known", "limited_by", "stage", "cathode_ppm", "cathode_sigma_ppm", "active_ppm",
      "active_sigma_ppm", "isolated_ppm", "isolated_sigma_ppm", "sei_ppm", "sei_sigma_ppm", "loss_ppm",
      "loss_sigma_ppm", "capacity_ppm", "capacity_sigma_ppm", "ce_cell_ppm", "ce_li_ppm"), b"BBBBiiiiiiiiiiiiii"),
    # outlook: What a user asks of the same cell, as it was at the end of its last half-cycle; after `estimate`.
    (("cell_index", "end_foreseen", "advice", "soc_ppm", "soc_sigma_ppm", "soh_ppm", "soh_sigma_ppm", "energy_mwh",
      "energy_sigma_mwh", "charge_limit_permille", "charge_limit_sigma_permille", "discharge_limit_permille",
      "discharge_limit_sigma_permille", "resistance_uohm", "resistance_sigma_uohm", "cycles_left", "cycles_left_sigma",
      "cycles_to_end", "cycles_to_end_sigma", "normalized_life_permille", "short_suspected"), b"BBBiiiiiiiiiiiiiiiii?"),
)

# 1 when it is dangerous and must answer a challenge, 2 when it is with any a but 0; least and greatest a, least and
# greatest b. Code: place. What gives leave is dangerous, what takes it back is not.
COMMANDS = (
    # stop(): Everything off, at once; outranks the scheduler until `resume`.
    (0, 0, 0, 0, 0),
    # resume(): Takes `stop` back.
    (1, 0, 0, 0, 0),
    # clear_latch(): Forgets the latches of faults that are gone.
    (1, 0, 0, 0, 0),
    # arm(days): Consent to interventions for so many days; the profile bounds them.
    (1, 1, 366, 0, 0),
    # disarm(): Takes that consent back.
    (0, 0, 0, 0, 0),
    # consent(given): 1: interventions are welcome now, unless a line of the board says no; 0: they are not; -1: the
    # board's line alone decides. Only 0 needs no challenge.
    (2, -1, 1, 0, 0),
    # calendar(free_s, full_in_s): The user does not need the cell for `free_s`, and needs it full in `full_in_s`
    # (-1: no deadline).
    (0, 0, 31536000, -1, 31536000),
    # calibrate(offset_mcount, gain_ppm): What the current monitor reads at no current, 1/1000 count, and its gain
    # error; dated.
    (1, -1000000, 1000000, -100000, 100000),
    # commission(): A new cell of this profile is in: what the profile says of it is believed from here on.
    (1, 0, 0, 0, 0),
    # storage(on): 1: rest in the storage state as soon as there is no current.
    (0, 0, 1, 0, 0),
    # set_clock(day, second): Wall-clock time: days since 1970-01-01 and second of the day, UTC. Known until the power
    # goes.
    (0, 0, 99999, 0, 86399),
    # reboot(): Everything off, then a restart.
    (1, 0, 0, 0, 0),
    # commit_profile(): Checks the uploaded profile whole and keeps it for the next start; until then the old one runs.
    (1, 0, 0, 0, 0),
    # extra(which, uses): Arms one of the extras that the profile names, by its place in schema.txt (1 self_heating,
    # 2 first_strip, 3 first_plating, 4 pulse_charging, 5 pulse_discharge), for so many uses, a day at most.
    (1, 1, 5, 1, 100),
    # quiet(from_min, until_min): Between these minutes of the day (UTC, as the clock is set) no pulse begins, nor while
    # the clock is not set; the same minute twice: at any time. Kept when the power goes. A rest is silent and goes on.
    (0, 0, 1439, 0, 1439),
)

# AREAS: records that `read` asks for, by place.
    # journal_0: journal, first slot
    # journal_1: journal, second slot
    # black_box: the last events before a latch
    # log: 32-bit numbers: seconds since commissioning, day and second of the clock (-1: not set); then three for each
    # of up to 32 events (relith/log.py)
    # profile: the profile that the next start will read; an uploaded one is kept there
    # refusal: the sentence that says why the last profile was refused
# fmt: on
CRC16 = 0x9F46  # of these tables, by which host and board agree (`hil.codec.fingerprint`)
