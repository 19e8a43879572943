"""Board files on CPython, with a `machine` of paper: safe pins first, a stated cut-off, refusal, readings, outputs."""

import ast
import importlib
import sys
import types
from pathlib import Path

import pytest
from relith.profile import load
from relith.readings import Outputs, Readings

from hil import image
from hil.virtual import bench as virtual_bench
from hil.virtual.bench import Bench

FIRMWARE = Path(__file__).parents[3] / "firmware"
PROFILE = FIRMWARE / "profiles" / "liu21_nmc532.json"
BOARDS = ["esp32", "pico", "pico2", "pyboard", "virtual"]
SWITCHES = {"pico": (2, 3, 4, 5), "pico2": (2, 3, 4, 5), "esp32": (13, 25, 18, 19),
            "pyboard": ("Y1", "Y2", "Y3", "Y4"), "virtual": ("charge", "discharge", "enable", "trigger")}  # fmt: skip


class Paper:
    """A `machine` that writes down what is done to pins and passes I2C to the bench's chips."""

    def __init__(self, bench):
        from hil.chips.bus import I2C as BusI2C

        paper = self
        self.done = []
        self.level = {}

        class Pin:
            IN, OUT = 0, 1

            def __init__(self, number, mode=0, pull=None, value=None):
                self.number = number
                if value is not None:
                    self.value(value)

            def value(self, level=None):
                if level is None:
                    return paper.level.get(self.number, 0)
                paper.done.append((self.number, level))
                paper.level[self.number] = level

        class PWM:
            def __init__(self, pin, freq=0, duty_u16=0):
                self.duty_u16(duty_u16)

            def duty_u16(self, duty):
                paper.duty = duty

        class Dac:
            def __init__(self, pin):
                pass

            def write(self, value):
                paper.duty = value << 8

        class Uart:
            def __init__(self, *args, **kwargs):
                pass

            def any(self):
                return 0

        class Dog:
            def __init__(self, timeout):
                paper.fed = 0

            def feed(self):
                paper.fed += 1

        machine = types.ModuleType("machine")
        machine.Pin, machine.PWM, machine.UART, machine.WDT = Pin, PWM, Uart, Dog
        machine.I2C = lambda *args, **kwargs: BusI2C(bench.hardware.bus)
        pyb = types.ModuleType("pyb")
        pyb.DAC = Dac
        host = types.ModuleType("_host")
        self.modules = {"machine": machine, "pyb": pyb, "_host": host}


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def paper(bench, monkeypatch):
    import time

    made = Paper(bench)
    made.now_ms = 1000
    for name, module in made.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(time, "sleep_ms", bench.hardware.advance, raising=False)
    monkeypatch.setattr(time, "ticks_ms", lambda: made.now_ms, raising=False)
    monkeypatch.setattr(time, "ticks_diff", lambda a, b: a - b, raising=False)
    for name in [n for n in sys.modules if n == "boards" or n.startswith("boards.")]:
        monkeypatch.delitem(sys.modules, name)
    yield made
    for name in [n for n in sys.modules if n == "boards" or n.startswith("boards.")]:
        del sys.modules[name]


@pytest.fixture
def board(paper, bench):
    made = importlib.import_module("boards.pico").make(load(str(PROFILE)))
    assert made.start(100_000, 100_000) == ""
    bench.hardware.advance(100)
    return made


@pytest.mark.parametrize("name", BOARDS)
def test_importing_a_board_drives_every_switch_off_before_anything_else(paper, name):
    module = importlib.import_module(f"boards.{name}")
    assert paper.done[:4] == [(number, 0) for number in SWITCHES[name]]
    assert name == module.NAME and module.CUTOFF
    board = module.make(load(str(PROFILE)))
    assert board.name == name and board.cutoff == module.CUTOFF
    assert not any(level for number, level in paper.done if number in SWITCHES[name])


@pytest.mark.parametrize("path", sorted((FIRMWARE / "boards").glob("*.py")), ids=lambda p: p.stem)
def test_a_board_file_can_be_read_in_a_minute(path):
    if path.stem in image.boards():
        assert len(path.read_text().splitlines()) <= 60


@pytest.mark.parametrize("path", sorted((FIRMWARE / "boards").glob("*.py")), ids=lambda p: p.stem)
def test_before_the_switches_are_off_only_pins_are_imported(path):
    """Safety rule 10: nothing that could fail stands before the first act."""
    if path.stem not in image.boards() or path.stem == "rig_virtual":
        return
    for node in ast.parse(path.read_text()).body[1:]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert getattr(node, "module", "") == "machine" or path.stem == "pico2"
        else:
            break


@pytest.mark.parametrize("name", ["rig_pico", "rig_virtual"])
def test_a_rig_build_has_no_switch_to_enable(paper, name):
    """Safety rule 16."""
    board = importlib.import_module(f"boards.{name}").make(load(str(PROFILE)))
    before = list(paper.done)
    outputs = Outputs()
    outputs.charge_enable = outputs.discharge_enable = 1
    outputs.pulse_count, outputs.pulse_ms = 1000, 1000
    board.apply(outputs)
    board.safe()
    assert paper.done == before and not any(level for _, level in before)


def test_readings_come_from_the_chips(board, paper, bench):
    bench.demand_a = 0.1
    readings = Readings(1)
    bench.hardware.pins["charge"] = 1
    bench.hardware.advance(1000)
    assert board.read(readings) == 1
    assert (readings.current_ok, readings.charge_ok, readings.cell_ok, readings.temp_ok) == (1, 1, 1, 1)
    assert readings.now_ms == readings.current_ms == readings.cell_ms == 1000
    assert readings.current_count == pytest.approx(50_000, rel=0.002)  # 2 uA a count
    assert (readings.charge_hi << 20) + readings.charge_lo == pytest.approx(50_000, rel=0.002)
    assert readings.cell_uv[0] == pytest.approx(bench.cell_v * 1e6, abs=200)
    assert readings.pack_uv == pytest.approx(bench.cell_v * 1e6, abs=200)
    assert readings.temp_cdegc[0] == pytest.approx(2500, abs=25)


def test_a_silent_chip_keeps_its_old_time(board, paper, bench):
    readings = Readings(1)
    board.read(readings)
    paper.now_ms = 1100
    bench.hardware.bus.unpowered = {0x40}
    board.read(readings)
    assert (readings.current_ok, readings.charge_ok, readings.cell_ok) == (0, 0, 1)
    assert (readings.current_ms, readings.cell_ms, readings.now_ms) == (1000, 1100, 1100)


def test_a_monitor_with_damaged_trim_memory_is_not_believed(board, bench):
    bench.monitor.registers[0x0B] &= ~1  # MEMSTAT
    readings = Readings(1)
    board.read(readings)
    assert (readings.current_ok, readings.charge_ok) == (0, 0)


def test_absent_chips_are_named(paper, bench):
    made = importlib.import_module("boards.pico").make(load(str(PROFILE)))
    bench.hardware.bus.unpowered = {0x40, 0x48}
    assert made.start(100_000, 100_000) == "INA228 at 0x40, ADS1115 at 0x48"


def test_user_lines_and_trip(board, paper):
    readings = Readings(1)
    paper.level.update({9: 1, 14: 1, 15: 1})
    board.after_watchdog = 1
    board.read(readings)
    assert (readings.hardware_trip, readings.stop, readings.user_consent, readings.watchdog_reset) == (1, 1, 1, 1)
    board.read(readings)
    assert readings.watchdog_reset == 0


@pytest.mark.safety(4)
def test_a_line_that_is_not_there_is_no_line_that_says_no(board, paper):
    """Then the link alone gives consent (commands.Wishes)."""
    readings = Readings(1)
    board.read(readings)
    assert readings.user_consent == 0
    board.lines.consent = None
    board.read(readings)
    assert readings.user_consent == 2
    board.cutoff = ""
    board.read(readings)
    assert readings.user_consent == 0


def pulse(board, count=100_000, width_ms=60_000):
    outputs = Outputs()
    outputs.discharge_enable, outputs.pulse_count, outputs.pulse_ms = 1, count, width_ms
    board.apply(outputs)


def test_pulse_is_armed_once_held_and_ended(board, paper):
    pulse(board)
    assert paper.level[4] == 1 and paper.done.count((5, 1)) == 1
    pulse(board)
    assert paper.done.count((5, 1)) == 1
    board.apply(Outputs())
    assert (paper.level[4], paper.duty) == (0, 0)


def test_without_a_cut_off_no_pulse_and_no_consent(board, paper):
    """Safety rule 2."""
    board.cutoff = ""
    pulse(board)
    assert paper.level[4] == 0 and (5, 1) not in paper.done
    paper.level[15] = 1
    readings = Readings(1)
    board.read(readings)
    assert readings.user_consent == 0


def test_the_loop_leaves_every_switch_off_whatever_ends_it(board, paper):
    def turn():
        pulse(board)
        board.charge.set(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.forever(turn)
    assert [paper.level[number] for number in (2, 3, 4, 5)] == [0, 0, 0, 0] and paper.duty == 0


def test_wait_is_cut_short_by_the_link_and_bounded_by_the_watchdog(board, paper, bench):
    waits = []

    def sleep(milliseconds):
        waits.append(milliseconds)
        paper.now_ms += milliseconds

    board.sleep = sleep

    def turn():
        if len(waits) > 100:
            raise KeyboardInterrupt
        return 60_000

    with pytest.raises(KeyboardInterrupt):
        board.forever(turn)
    assert max(waits) <= 100 and 4000 <= sum(waits) <= 3 * 4000
    waits.clear()
    board.stream.uart.any = lambda: 5
    board.wait(1000)
    assert waits == []


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("pulse_max_permille", 6000, "pulse_max_permille asks for 1602000 uA, this board's sink gives 1000000"),
        ("pulse_max_s", 1200, "pulse_max_s is 1200, this board's one-shot ends at 330"),
        (
            "charge_hard_permille",
            6200,
            "^charge_hard_permille, .*: 1655400 uA is not within this board's shunt",
        ),
        ("discharge_hard_permille", 6135, "discharge_hard_permille: 1638044 uA is not within this board's shunt"),
        ("one_c_count", 34, "^charge_hard_permille, .*: 46 uA is not within this board's shunt"),
        ("current_lsb_na", 5_000_000, "current_lsb_na 5000000 does not fit this board's shunt of 100000 uohm"),
    ],
)
def test_a_profile_for_another_board_is_refused(paper, field, value, sentence):
    profile = load(str(PROFILE))
    setattr(profile, field, value)
    with pytest.raises(ValueError, match=sentence):
        importlib.import_module("boards.pico").make(profile)


def test_a_profile_that_fits_can_start(paper):
    """At both ends of the shunt's range as well: what the link lets in must not stop the next start."""
    for one_c_count, most in ((133_500, 6134), (36, 2600)):
        profile = load(str(PROFILE))
        profile.one_c_count, profile.discharge_hard_permille = one_c_count, most
        made = importlib.import_module("boards.pico").make(profile)
        limits = [one_c_count * permille // 1000 for permille in (profile.charge_hard_permille, most)]
        assert made.start(*limits) == ""


def test_a_running_board_says_the_same_of_a_profile_that_comes_over_the_link(board):
    profile = load(str(PROFILE))
    bms = types.SimpleNamespace(gate=types.SimpleNamespace(), profile=profile)
    board.attach(bms)
    bms.fits(profile)
    other = load(str(PROFILE))
    other.cell_count = 4
    with pytest.raises(ValueError, match="cell_count is 4, this board measures 1"):
        bms.fits(other)
    other.cell_count, other.pulse_max_s = 1, 1200
    with pytest.raises(ValueError, match="pulse_max_s is 1200, this board's one-shot ends at 330"):
        bms.fits(other)


def test_journal_files_are_old_or_new(board, tmp_path, monkeypatch):
    board.store.folder = str(tmp_path)
    assert board.store.read(0) is None
    board.store.write(0, b"first")
    monkeypatch.setattr("os.rename", lambda a, b: (_ for _ in ()).throw(OSError(5)))
    with pytest.raises(OSError):
        board.store.write(0, b"second")
    assert board.store.read(0) == b"first"


def test_the_virtual_bench_is_wired_as_the_boards_are(paper):
    base = importlib.import_module("boards.base")
    assert virtual_bench.SHUNT_OHM * 1e6 == base.SHUNT_UOHM
    assert virtual_bench.SINK_A * 1e6 == base.SINK_UA
    assert virtual_bench.ONE_SHOT_MS == base.ONE_SHOT_MS


@pytest.mark.parametrize("name", ["esp32", "pico", "pyboard"])
def test_the_wiring_page_has_every_pin(name):
    row_of = {"pico": 2, "esp32": 3, "pyboard": 4}[name]
    rows = [line.split("|") for line in (FIRMWARE.parent / "docs" / "wiring.md").read_text().splitlines()]
    cells = " ".join(row[row_of + 1] for row in rows if len(row) == 7)
    for node in ast.walk(ast.parse((FIRMWARE / "boards" / f"{name}.py").read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Pin":
            pin = node.args[0].value
            assert f" GP{pin} " in cells if name == "pico" else f" {pin} " in cells, pin
