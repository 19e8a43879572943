"""What persons ask over the link, on the real controller."""

import json
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from relith import commands, journal
from relith.bms import Bms
from relith.profile import Profile
from relith.readings import Readings

from hil.catalogue import AREAS, COMMANDS
from hil.codec import MOST, Client, Refused
from host_sim import tables
from host_sim.loop import MemoryStore

TEXT = (Path(__file__).parents[2] / "firmware/profiles/liu21_nmc532.json").read_bytes()
CODE = {name: command.code for name, command in COMMANDS.items()}


class Board:
    """A real controller with good readings; a codec.Port whose every read is one tick."""

    def __init__(self, store=None):
        self.arriving, self.left = [], b""
        self.bms = Bms(Profile(TEXT), store or MemoryStore(), self)
        r = self.readings = Readings()
        r.cell_uv[0] = 3_800_000
        r.pack_uv = 3_800_000
        r.current_ok = r.charge_ok = r.cell_ok = r.temp_ok = 1
        self.end = self.End(self)
        self.client = Client(self.end, key=self.bms.profile.link_key)

    class End:
        def __init__(self, board):
            self.board = board

        def write(self, data):
            self.board.arriving.append(data)

        def read(self):
            self.board.tick()
            data, self.board.left = self.board.left, b""
            return data

    def read(self):
        return self.arriving.pop(0) if self.arriving else None

    def write(self, data):
        self.left += data

    def tick(self, step_ms=100):
        r = self.readings
        r.now_ms = r.current_ms = r.cell_ms = r.temp_ms = (r.now_ms + step_ms) & MOST
        r.charge_switch, r.discharge_switch = self.bms.outputs.charge_enable, self.bms.outputs.discharge_enable
        return self.bms.tick(r)


@pytest.fixture
def board():
    made = Board()
    made.client.hello()
    for _ in range(10):
        made.tick()
    return made


def test_the_constants_are_places_in_the_tables():
    for name, code in CODE.items():
        if name != "commit_profile":  # the link does that with what was uploaded
            assert commands.__dict__[f"_{name.upper()}"] == code
    for name in ("BLACK_BOX", "LOG", "PROFILE", "REFUSAL"):
        assert commands.__dict__[f"_{name}"] == AREAS.index(name.lower())


def test_stop_and_resume(board):
    assert board.tick().discharge_enable == 1
    board.client.command("stop")
    assert (board.bms.outputs.charge_enable, board.bms.outputs.discharge_enable) == (0, 0)
    board.client.command("resume")
    for _ in range(5):
        outputs = board.tick()
    assert outputs.discharge_enable == 1


@pytest.mark.safety(4)
def test_arming_is_kept_and_ended(board):
    board.client.command("arm", 3)
    armed = board.bms.gate.armed_until_s
    assert armed == board.bms.clock.seconds + 3 * 86400 or armed == board.bms.clock.seconds - 1 + 3 * 86400
    assert Board(board.bms.journal.store).bms.gate.armed_until_s == armed
    board.client.command("disarm")
    assert Board(board.bms.journal.store).bms.gate.armed_until_s == 0


def test_longer_consent_than_the_profile_allows_is_refused():
    data = json.loads(TEXT)
    data["arm_days"] = 5
    board = Board()
    board.bms.profile.arm_days = 5
    board.client.hello()
    with pytest.raises(Refused, match="days must be 1 to the profile's arm_days"):
        board.client.command("arm", 6)
    assert board.bms.gate.armed_until_s == 0


@pytest.mark.safety(12)
def test_a_latch_is_cleared_when_its_fault_is_gone(board):
    board.readings.cell_uv[0] = board.readings.pack_uv = board.bms.profile.hard_max_uv + 50_000
    for _ in range(20):
        board.tick()
    assert tables.STATES[board.bms.machine.state] == "FAULT"
    with pytest.raises(Refused, match="the fault is still there"):
        board.client.command("clear_latch")
    board.readings.cell_uv[0] = board.readings.pack_uv = 3_800_000
    for _ in range(20):
        board.tick()
    assert tables.STATES[board.bms.machine.state] == "FAULT"
    board.client.command("clear_latch")
    for _ in range(5):
        board.tick()
    assert tables.STATES[board.bms.machine.state] != "FAULT"


@pytest.mark.safety(1, 4)
@pytest.mark.parametrize("line, told, holds", [
    (1, -1, 1), (1, 0, 0), (1, 1, 1),
    (0, -1, 0), (0, 0, 0), (0, 1, 0),  # a line that says no is not talked over
    (2, -1, 0), (2, 0, 0), (2, 1, 1),  # no line on this board
])  # fmt: skip
def test_consent_is_given_by_line_and_link_together(board, line, told, holds):
    board.client.command("consent", told)
    board.readings.user_consent = line
    board.tick()
    assert board.readings.user_consent == holds


@pytest.mark.safety(1, 4)
def test_leave_is_taken_without_a_challenge_and_given_with_one_alone(board):
    """A stray or replayed stream may stop and refuse; it takes neither back (rule 1)."""
    board.client.key = b"wrong"
    board.client.command("stop")
    board.client.command("consent", 0)
    for name, a in (("resume", 0), ("consent", 1), ("consent", -1)):
        with pytest.raises(Refused, match="answer"):
            board.client.command(name, a)
        assert board.bms.gate.stopped == 1 and board.bms.wishes.consent == 0
    board.client.key = board.bms.profile.link_key
    board.client.command("resume")
    board.client.command("consent", 1)
    assert board.bms.gate.stopped == 0 and board.bms.wishes.consent == 1


def test_the_calendar_runs_down(board):
    board.client.command("calendar", 100, 50)
    start_s = board.bms.clock.seconds
    for _ in range(4):
        board.tick(30_000)
        gone = board.bms.clock.seconds - board.bms.clock.elapsed_ms // 1000 - start_s
        assert abs(board.readings.user_free_s - max(0, 100 - gone)) <= 1
        assert abs(board.readings.user_full_in_s - max(0, 50 - gone)) <= 1
    board.client.command("calendar", 0, -1)
    board.readings.user_full_in_s = -1
    board.tick()
    assert (board.readings.user_free_s, board.readings.user_full_in_s) == (0, -1)


def test_the_clock_is_known_until_the_next_start(board):
    assert board.readings.clock_known == 0
    board.client.command("set_clock", 20_000, 3_600)
    board.tick()
    assert board.readings.clock_known == 1
    board.tick(60_000)
    now_s, day, second = struct.unpack("<iii", board.client.download("log")[:12])
    assert day == 20_000 and second - 3_600 in (60, 61) and now_s >= 60
    again = Board(board.bms.journal.store)
    again.tick()
    assert again.readings.clock_known == 0
    assert again.bms.wishes.wall_s(5) == -1


def test_calibration_is_applied_dated_and_kept(board):
    board.client.command("calibrate", -300, 250)
    assert (board.bms.ledger.offset_mcount, board.bms.ledger.gain_ppm) == (-300, 250)
    again = Board(board.bms.journal.store).bms
    assert (again.ledger.offset_mcount, again.ledger.gain_ppm) == (-300, 250)
    assert again.gate.calibrated_until_s >= board.bms.profile.calibration_days * 86400


def test_commissioning_makes_a_new_cell(board):
    before = board.bms.estimates[0]
    board.client.command("commission")
    assert board.bms.estimates[0] is not before


def test_storage_on_request(board):
    board.client.command("storage", 1)
    for _ in range(5):
        board.tick()
    assert tables.STATES[board.bms.machine.state] == "STORAGE"


def test_reboot_is_asked_of_the_board(board):
    assert board.bms.wishes.restart == 0
    board.client.command("reboot")
    assert board.bms.wishes.restart == 1


# ---- profiles
def test_a_profile_is_kept_for_the_next_start(board):
    data = json.loads(TEXT)
    data["name"] = "another"
    text = json.dumps(data).encode()
    name = board.bms.profile.name
    board.client.upload_profile(text)
    assert board.bms.profile.name == name, "what ran before keeps running"
    assert board.bms.journal.store.read(2) == text
    assert board.client.download("profile") == text
    assert board.client.download("refusal") == b""
    assert board.client.hello()["profile_crc30"] == zlib.crc32(TEXT) & MOST


@pytest.mark.safety(15)
@pytest.mark.parametrize("change, field", [({"min_uv": 1}, "min_uv"), ({"min_mv": 1}, "min_mv")])
def test_a_bad_profile_is_refused_whole_and_names_the_field(board, change, field):
    text = json.dumps(json.loads(TEXT) | change).encode()
    with pytest.raises(Refused, match=field):
        board.client.upload_profile(text)
    assert field in board.client.download("refusal").decode()
    assert board.bms.journal.store.read(2) is None
    board.tick()


@pytest.mark.safety(15)
def test_a_profile_for_another_board_is_refused_in_the_boards_words(board):
    """What the board says of it at its start would come too late: nothing would run then."""

    def fits(profile):
        if profile.pulse_max_s > 330:
            raise ValueError(f"pulse_max_s is {profile.pulse_max_s}, this board's one-shot ends at 330")

    board.bms.fits = fits
    with pytest.raises(Refused, match="pulse_max_s is 1200, this board's one-shot ends at 330"):
        board.client.upload_profile(json.dumps(json.loads(TEXT) | {"pulse_max_s": 1200}).encode())
    assert board.bms.journal.store.read(2) is None
    board.client.upload_profile(TEXT)
    assert board.bms.journal.store.read(2) == TEXT


def test_a_refusal_may_name_what_no_text_can_hold(board):
    """Half of a surrogate pair is JSON, and no UTF-8."""
    assert board.bms.profile_commit(b'{"\\ud800":1}') == commands._WHY_PROFILE
    assert b"upload" in board.bms.wishes.refusal


def test_a_full_flash_is_told(board):
    def full(slot, data):
        raise OSError(28)

    board.bms.journal.store.write = full
    assert board.bms.profile_commit(TEXT) == commands._WHY_FLASH


def test_an_unreadable_slot_is_nothing_to_download(board):
    def broken(slot):
        raise OSError(5)

    assert board.client.download("journal_0") == board.bms.journal.store.read(0)
    board.bms.journal.store.read = broken
    assert board.client.download("journal_1") == b""
    assert board.client.download("black_box") == b""


@pytest.mark.safety(4, 11)
def test_no_session_that_was_given_a_nonce_comes_back(board):
    """A start that the journal does not hold yet is written there first, or there is no nonce."""
    store = board.bms.journal.store
    board.bms.journal.day_records = journal.OWN_MOST
    board.bms.save(0)
    sessions = []
    for _ in range(journal.MOST - journal.OWN_MOST + 3):
        again = Board(store)
        assert not again.bms.journal.written
        again.client.hello()
        try:
            again.client.command("reboot")
            sessions.append(again.bms.link.session)
        except Refused as error:
            assert "the journal was written too often today" in str(error) and not again.bms.wishes.restart
    assert len(set(sessions)) == len(sessions) == journal.MOST - journal.OWN_MOST
    again.client.command("stop")  # what takes leave is heard all the same
    assert again.bms.gate.stopped == 1


@pytest.mark.safety(4)
def test_a_flash_that_cannot_be_written_takes_no_dangerous_command():
    class Full(type(Board().bms.journal.store)):
        def write(self, slot, data):
            raise OSError(28)

    again = Board(Full())
    again.client.hello()
    with pytest.raises(Refused, match="the flash could not be written"):
        again.client.command("clear_latch")
    with pytest.raises(Refused, match="the flash could not be written"):  # it holds, but not over a restart
        again.client.command("stop")
    assert again.bms.gate.stopped == 1


@pytest.mark.safety(12)
# ---- the log
def test_the_log_keeps_changes_and_refusals(board):
    board.client.command("stop")
    with pytest.raises(Refused):
        board.client.command("arm", 400)
    data = board.client.download("log")
    events = list(struct.iter_unpack("<iii", data))[1:]
    kinds = [code >> 24 for _, code, _ in events]
    assert kinds.count(1) == 1 and kinds.count(0) >= 2
    (refusal,) = [code for _, code, _ in events if code >> 24]
    assert refusal & 0xFFFF == 3 << 8 | 6, "message answer, refused for a field"
    changes = [code >> 16 & 255 for _, code, _ in events if not code >> 24]
    assert changes[-1] == board.bms.outputs.state


def test_what_no_table_has_does_nothing_and_gives_nothing(board):
    wishes = dict(vars(board.bms.wishes))
    assert board.bms.command(99, 1, 1) == 0 and vars(board.bms.wishes) == wishes
    assert board.bms.record(6) is None and board.bms.record(99) is None


def test_wishes_to_the_second():
    wishes = commands.Wishes()
    names = "consent free_until_s full_at_s day second set_at_s storage restart refusal"
    assert [getattr(wishes, name) for name in names.split()] == [-1, -1, -1, -1, -1, 0, 0, 0, b""]
    readings = Readings()
    readings.user_consent, readings.user_free_s, readings.user_full_in_s = 1, 7, 9
    wishes.apply(readings, 100)
    assert (readings.user_consent, readings.user_free_s, readings.user_full_in_s, readings.clock_known) == (1, 7, 9, 0)
    wishes.free_until_s, wishes.full_at_s, wishes.consent, wishes.day = 130, 140, 0, 0
    left_s = {100: (30, 40), 130: (0, 10), 131: (0, 9), 140: (0, 0), 141: (0, 0)}  # at that second: free, until full
    for second, left in left_s.items():
        readings.user_consent = 1
        wishes.apply(readings, second)
        assert (readings.user_free_s, readings.user_full_in_s) == left
    assert readings.user_consent == 0 and readings.clock_known == 1
    wishes.full_at_s = 0
    wishes.apply(readings, 0)
    assert readings.user_full_in_s == 0
    wishes.second, wishes.set_at_s = 50, 30
    assert wishes.wall_s(100) == 120


def test_what_is_told_is_kept_as_it_was_told():
    bms = Board().bms
    bms.clock.seconds = 1000
    run = {name: lambda *given, code=code: bms.command(code, *(*given, 0, 0)[:2]) for name, code in CODE.items()}
    assert run["stop"]() == 0 and bms.gate.stopped == 1
    assert run["resume"]() == 0 and bms.gate.stopped == 0
    assert run["calendar"](20, 0) == 0 and (bms.wishes.free_until_s, bms.wishes.full_at_s) == (1020, 1000)
    assert run["calendar"](20, 30) == 0 and bms.wishes.full_at_s == 1030
    assert run["calendar"](20, -1) == 0 and bms.wishes.full_at_s == -1
    assert run["set_clock"](5, 60) == 0 and (bms.wishes.day, bms.wishes.second, bms.wishes.set_at_s) == (5, 60, 1000)
    assert bms.wishes.wall_s(1001) == 61
    heard = []
    bms.inventories[0].corrected = heard.append
    bms.inventories[0].estimate.gain_ppm = 77
    assert run["calibrate"](3, 4) == 0 and heard == [77]
    assert (bms.ledger.offset_mcount, bms.ledger.gain_ppm) == (3, 4)


def test_a_start_that_is_written_or_can_be_is_recorded():
    def told(written=0, may=True, saves=True):
        saved, journal_most = [], journal.MOST
        kept = SimpleNamespace(written=written, may=lambda now_s, most: may and (now_s, most) == (9, journal_most))
        bms = SimpleNamespace(
            journal=kept, clock=SimpleNamespace(seconds=9), kept=lambda: saved.append(1) or (0 if saves else 35)
        )
        return commands.recorded(bms), len(saved)

    assert told(written=1) == (0, 0) and told() == (0, 1)
    assert told(may=False) == (58, 0) and told(saves=False) == (35, 1)


@pytest.mark.safety(11)
def test_what_is_given_waits_when_the_days_records_are_used_up():
    bms = Board().bms
    bms.journal.day_records = journal.MOST
    slots = dict(bms.journal.store.slots)
    for name, a in (("resume", 0), ("clear_latch", 0), ("arm", 3), ("calibrate", 1), ("commission", 0), ("extra", 1),
                    ("quiet", 60), ("consent", 1)):  # fmt: skip
        assert bms.command(CODE[name], a, 1) == 58
    assert bms.profile_commit(TEXT) == 58 and bms.journal.store.slots == slots and bms.wishes.refusal == b""


def test_wishes_of_the_first_second():
    wishes, readings = commands.Wishes(), Readings()
    readings.user_free_s, readings.user_full_in_s = 7, 9
    wishes.free_until_s = wishes.full_at_s = 0
    wishes.apply(readings, 0)
    assert (readings.user_free_s, readings.user_full_in_s) == (0, 0)


def test_quiet_hours_and_a_sound_profile_are_taken():
    bms = Board().bms
    assert bms.command(CODE["quiet"], 60, 120) == 0 and (bms.gate.quiet_from_min, bms.gate.quiet_until_min) == (60, 120)
    assert bms.profile_commit(b"{") and bms.wishes.refusal
    assert bms.profile_commit(TEXT) == 0 and bms.wishes.refusal == b""


def test_an_uploaded_profile_is_counted_before_it_is_written():
    bms = Board().bms
    records, slots = bms.journal.day_records, dict(bms.journal.store.slots)
    assert bms.profile_commit(TEXT) == 0
    assert bms.journal.day_records == records + 1 and bms.journal.store.slots[2] == TEXT
    assert bms.journal.store.slots[0] != slots[0] or bms.journal.store.slots[1] != slots[1]
    assert [bms.record(area) for area in (0, 1, 2, 4)] == [
        bms.journal.store.slots[0], bms.journal.store.slots[1], bms.black_box.kept, TEXT
    ]  # fmt: skip
