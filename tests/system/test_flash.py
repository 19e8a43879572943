"""`make flash` on the virtual board: nothing to running, nothing changed, pulled in the middle, and every bad input."""

import base64
import io
import json
import time

import pytest
from mpremote.transport import TransportExecError
from relith import memory
from relith.bms import Bms
from relith.journal import encode

from hil import bench_board, flash, image, pulls
from hil.pulls import Watched, board_on, what_starts
from hil.virtual.board import VirtualBoard
from hil.virtual.hardware import WDT_RESET, Hardware
from host_sim.errors import InputError
from host_sim.loop import MemoryStore
from host_sim.profiles import load
from host_sim.tables import REASONS

PROFILE = image.PROFILES / "liu21_nmc532.json"


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """The images of this module's boards, so that the compiler runs once each."""
    kept = {}
    build = image.build

    def cached(board, profile):
        key = board, profile.read_bytes()
        if key not in kept:
            kept[key] = build(board, profile)
        return dict(kept[key])

    patch = pytest.MonkeyPatch()
    patch.setattr(image, "build", cached)
    yield
    patch.undo()


def profile_named(folder, name, **changes):
    path = folder / f"{name}.json"
    path.write_text(json.dumps(json.loads(PROFILE.read_text()) | {"name": name} | changes))
    return path


def test_from_nothing_to_running_and_again_with_nothing_changed(tmp_path):
    said = []
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, PROFILE, None, said.append)
        assert "bytes sent" in said[0] and "a new board" in said[1] and "runs relith 0.1.0, profile 'Liu21" in said[2]
        files = {p: p.stat().st_mtime_ns for p in (tmp_path / "flash").rglob("*") if "journal" not in p.name}
        flash.flash(port, PROFILE, None, said.append)
        assert "nothing changed" in said[3]
        assert files == {p: p.stat().st_mtime_ns for p in files}
    assert what_starts(tmp_path / "flash").startswith("Liu21")


def test_only_what_changed_is_sent(tmp_path):
    said = []
    other = profile_named(tmp_path, "other")
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, PROFILE, None, said.append)
        flash.flash(port, other, None, said.append)
        assert said[3].startswith(f"virtual: {other.stat().st_size} of ")
        flash.flash(port, PROFILE, None, said.append)  # still there, in the folder that is not in use
        assert said[5].startswith("virtual: 0 of ")
    assert what_starts(tmp_path / "flash").startswith("Liu21")


def test_journal_survives_flashing(tmp_path):
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, PROFILE, None, lambda text: None)
    what_starts(tmp_path / "flash")
    before = (tmp_path / "flash" / "journal.0").read_bytes()
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, profile_named(tmp_path, "other"), None, lambda text: None)
    assert what_starts(tmp_path / "flash") == "other"
    assert (tmp_path / "flash" / "journal.0").read_bytes() != b"" != before


@pytest.mark.parametrize("answer", ["", "n\n", "y\n", "flag"])
def test_a_journal_of_another_cell_is_said_before_it_locks_the_board_out(tmp_path, monkeypatch, answer):
    other = profile_named(tmp_path, "other", nominal_capacity_uah=478_000)
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, PROFILE, None, lambda text: None)
    what_starts(tmp_path / "flash")
    kept = (tmp_path / "flash" / "journal.0").read_bytes()

    class Terminal(io.StringIO):
        def isatty(self):
            return answer != ""

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    said = []
    with board_on(tmp_path / "flash") as (_, port):
        if answer in ("y\n", "flag"):
            flash.flash(port, other, None, said.append, another_cell=answer == "flag")
            told = said[0]
        else:
            with pytest.raises(InputError) as caught:
                flash.flash(port, other, None, said.append)
            told = str(caught.value)
            assert "; CELL=another goes on; nothing was changed" in told and (tmp_path / "flash" / "journal.0").exists()
    assert told.startswith(
        f"PORT={port}: the journal on the board is of 1 cell of 239 mAh, the profile 'other' of 1 cell of 478 mAh: "
        "the board will be locked out until a person clears it"
    )
    went_on = answer in ("y\n", "flag")
    bench = Watched()
    with VirtualBoard(tmp_path / "flash", bench.hardware, stepped=True) as board:
        board.start()
        for _ in range(5):
            board.advance(100)
            board.step()
        name, locked, reason = board.exec(
            image.at_prompt(
                "import relith\nb = relith.running\n"
                "print(b.profile.name, b.protection.lockout, b.outputs.reason, sep='|')"
            )
        ).split("|")
    assert (name == "other", locked != "0") == (went_on, went_on)
    assert not went_on or "a journal that is damaged or of another cell" in REASONS[int(reason)]
    assert kept


def test_a_running_watchdog_is_fed_while_this_end_takes_its_time(tmp_path, monkeypatch):
    """A slow computer that compiles, or a person who thinks it over; the virtual board's 8 s are 2 s here."""
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, PROFILE, None, lambda text: None)
    resets = []
    feed_within, reset, build = Hardware._do_wdt, VirtualBoard.reset, image.build
    monkeypatch.setattr(Hardware, "_do_wdt", lambda self, timeout_ms: feed_within(self, timeout_ms // 4))
    monkeypatch.setattr(VirtualBoard, "reset", lambda self, cause: (resets.append(cause), reset(self, cause))[1])
    monkeypatch.setattr(image, "build", lambda board, profile: (time.sleep(3.5), build(board, profile))[1])
    monkeypatch.setattr(flash, "FEED_S", 0.2)
    with board_on(tmp_path / "flash") as (_, port):
        time.sleep(0.5)
        flash.flash(port, profile_named(tmp_path, "other"), None, lambda text: None)
    assert WDT_RESET not in resets
    assert what_starts(tmp_path / "flash") == "other"


def test_what_the_journal_on_a_board_means_for_a_profile():
    profile = load(PROFILE)
    kept = memory.pack_all(Bms(profile, MemoryStore()))
    older = encode(1, bytes([kept[0] - 1]) + kept[1:])

    class Board:
        def __init__(self, *slots):
            self.slots = slots

        def run(self, code):
            slot = self.slots["journal.1" in code]
            if slot is None:
                raise TransportExecError(b"", "OSError: 2")
            return base64.b64encode(slot).decode()

    assert flash.lockout(Board(None, None), profile) == ""  # a board without a past
    assert flash.lockout(Board(b"rubbish", b"rubbish"), profile) == ""  # locked out before, too
    assert flash.lockout(Board(encode(1, kept), None), profile) == ""
    assert flash.lockout(Board(older, None), profile).endswith("is of another version of the firmware")
    assert flash.lockout(Board(older, encode(2, kept)), profile) == ""  # the newest counts
    assert flash.lockout(Board(encode(0, b""), None), profile) == ""  # a new board
    profile.current_lsb_na *= 2
    assert "is of counts of 2000 nA, the profile" in flash.lockout(Board(encode(1, kept), None), profile)


def test_pulled_at_ten_random_points_it_starts_the_old_or_the_new(tmp_path):
    old, new = (profile_named(tmp_path, name, sources={"padding": name * 2000}) for name in ("old", "new"))
    seen = pulls.pull(tmp_path / "flash", old, new, points=10)
    assert [one.starts for one in seen if one.starts not in (one.old, one.new)] == []
    assert not any(one.on for one in seen), "a switch was on while the board was being flashed"
    assert {one.starts == one.new for one in seen} == {True, False}, "every pull came before, or after, the choice"


def test_the_budget_on_a_port_is_that_of_the_processor(tmp_path):
    """What `make bench UF2=…` does to an emulated Pico, on a virtual board."""
    with board_on(tmp_path / "flash") as (_, port):
        there = bench_board.heap_on_port(port, PROFILE)
    assert there == pytest.approx(bench_board.heap_after_start(1), rel=0.05)


def refused(folder, bench=None, profile=PROFILE, board=None, running=False, **options):
    """The one sentence that refuses; every switch is off then, although one was on when the board was `running`."""
    bench = bench or Watched()
    with board_on(folder, bench, **options) as (_, port):
        until = time.monotonic() + 30
        while running and not bench.on:
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(InputError) as caught:
            flash.flash(port, profile, board, lambda text: None)
        assert not any(bench.hardware.pins.get(name) for name in pulls.SWITCHES)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(port, "PORT")


def test_no_board_on_the_port(tmp_path, capsys):
    assert flash.main(["--port", str(tmp_path / "ttyNone")]) == 2
    told = capsys.readouterr()
    assert told.err == f"PORT={tmp_path}/ttyNone: no MicroPython board answers there\n" and told.out == ""


def test_something_else_on_the_port(tmp_path):
    from hil.virtual.board import Terminal

    terminal = Terminal()
    with pytest.raises(InputError, match="no MicroPython board answers there"), pytest.MonkeyPatch().context() as patch:
        patch.setattr(flash, "ANSWER_S", 0.5)
        flash.Board(terminal.port)
    terminal.close()


def test_wrong_micropython_version(tmp_path, monkeypatch):
    monkeypatch.setattr(flash, "LEAST_VERSION", (9, 0))
    told = refused(tmp_path / "flash")
    assert "runs MicroPython 1.29.0 (.mpy version 6), must be 9.0 or newer with .mpy version 6" in told
    assert not list((tmp_path / "flash").iterdir())


def test_full_flash(tmp_path):
    assert "KiB free" in refused(tmp_path / "flash", capacity_bytes=60_000)


def test_flash_that_fills_up_on_the_way(tmp_path):
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, profile_named(tmp_path, "old"), None, lambda text: None)
    used = sum(p.stat().st_size for p in (tmp_path / "flash").rglob("*") if p.is_file())
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(flash, "BLOCK", -100_000)  # as if the board had said that there is room
        told = refused(tmp_path / "flash", board="rig_virtual", capacity_bytes=used + 3000, running=True)
    assert told == "PORT=PORT: the flash is full; what ran before stays"
    assert what_starts(tmp_path / "flash") == "old"


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("OSError: [Errno 28] ENOSPC", "the flash is full"),
        ("OSError: 28", "the flash is full"),
        ("OSError: [Errno 30] EROFS", "the file system is read-only"),
        ("OSError: [Errno 1] EPERM", "the file system is read-only"),
        ("ValueError: out of the INA228's range", "the board says ValueError: out of the INA228's range"),
        ("ValueError: pulse_max_s is 1300", "the board says ValueError: pulse_max_s is 1300"),
    ],
)
def test_what_the_board_raised_is_told(last, told):
    assert flash._why(TransportExecError("", f"Traceback (most recent call last):\n{last}\n")) == told


def test_read_only_file_system(tmp_path):
    assert (
        refused(tmp_path / "flash", readonly=True) == "PORT=PORT: the file system is read-only; what ran before stays"
    )


def test_a_profile_for_another_board(tmp_path):
    with board_on(tmp_path / "flash") as (_, port):
        flash.flash(port, profile_named(tmp_path, "old"), None, lambda text: None)
    told = refused(tmp_path / "flash", profile=profile_named(tmp_path, "big", pulse_max_s=1200), running=True)
    assert told == (
        "PORT=PORT: self-test: ValueError: pulse_max_s is 1200, this board's one-shot ends at 330; "
        "outputs are off, what ran before stays"
    )
    assert what_starts(tmp_path / "flash") == "old"


def test_a_missing_chip(tmp_path):
    bench = Watched()
    bench.hardware.bus.unpowered = {0x40}
    told = refused(tmp_path / "flash", bench)
    assert told == "PORT=PORT: self-test: INA228 at 0x40 does not answer; outputs are off, what ran before stays"
    assert not bench.on and what_starts(tmp_path / "flash") == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--board", "abacus"], "BOARD=abacus: no such board, must be one of esp32, "),
        (["--profile", "nothing"], "PROFILE=nothing: no such file, and no profile of that name (known: "),
        (["--port", "emulated"], "PORT=emulated: no UF2 was given; name a MicroPython UF2 for the Pico with UF2=file"),
        (["--port", "emulated", "--uf2", "none.uf2"], "PORT=emulated: none.uf2 is not there; name a "),
    ],
)
def test_one_sentence_before_anything_is_touched(words, sentence, capsys):
    assert flash.main(["--port", "virtual", *words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(sentence) and told.err.count("\n") == 1 and told.out == ""


def test_without_the_interpreter_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr("hil.virtual.processor.PACKAGE", image.FIRMWARE.parent / "node_modules/none")
    assert flash.main(["--port", "virtual"]) == 2
    told = capsys.readouterr()
    assert told.err == "node_modules/none: the MicroPython interpreter is not installed; npm ci installs it\n"


def test_a_board_file_for_another_board(tmp_path):
    assert refused(tmp_path / "flash", board="pico") == "BOARD=pico: what answers on PORT is a virtual"


def test_a_profile_that_is_not_sound(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    assert refused(tmp_path / "flash", profile=bad).startswith(f"{bad}: line 1, column 2: ")
    bad.write_text('{"name": "a", "name": "b"}')
    assert refused(tmp_path / "flash", profile=bad).startswith(f"{bad}: line 1: name stands there twice")
