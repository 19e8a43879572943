"""The virtual board as a board: mpremote, files that survive, pins and chips, a clock that steps, a watchdog."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hil import image
from hil.virtual.bench import Bench
from hil.virtual.board import Terminal, VirtualBoard, served
from hil.virtual.hardware import Reset, Watchdog
from hil.virtual.processor import MicroPythonError, Processor

MPREMOTE = Path(sys.executable).parent / "mpremote"


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def board(bench):
    with VirtualBoard(None, bench.hardware, stepped=True) as virtual:
        yield virtual


def mpremote(port, *words):
    return subprocess.run([MPREMOTE, "connect", port, *words], capture_output=True, text=True, timeout=30)


def test_mpremote_finds_a_board(tmp_path):
    flash = tmp_path / "flash"
    flash.mkdir()
    data = bytes(range(256)) * 40
    (tmp_path / "out.bin").write_bytes(data)
    (tmp_path / "script.py").write_text("import time\nfor i in range(3):\n    time.sleep(0.01)\n    print(i)\n")
    with VirtualBoard(flash) as board, served(board) as port:
        assert mpremote(port, "exec", "print(6*7)").stdout == "42\n"
        failed = mpremote(port, "exec", "1/0")
        assert failed.returncode == 1 and "ZeroDivisionError" in failed.stdout + failed.stderr
        assert mpremote(port, "run", str(tmp_path / "script.py")).stdout == "0\n1\n2\n"
        copy = (
            "fs",
            "cp",
            str(tmp_path / "out.bin"),
            ":in.bin",
            "+",
            "fs",
            "cp",
            ":in.bin",
            str(tmp_path / "back.bin"),
        )
        assert mpremote(port, *copy).returncode == 0
        assert (tmp_path / "back.bin").read_bytes() == data == (flash / "in.bin").read_bytes()
        assert mpremote(port, "soft-reset", "fs", "ls").stdout.split()[-1] == "in.bin"
        missing = mpremote(port, "fs", "cat", "nothing")
        assert missing.returncode == 1 and "No such file" in missing.stdout + missing.stderr
        assert mpremote(port, "resume", "exec", "x = 5", "exec", "print(x)").stdout == "5\n"


def test_boot_and_main_run_and_ctrl_c_stops_the_loop_safely(tmp_path):
    (tmp_path / "boot.py").write_text("order = ['boot']\n")
    (tmp_path / "main.py").write_text(
        "import _host\norder.append('main')\nturns = 0\n"
        "def turn():\n    global turns\n    turns += 1\n    return 5\n"
        "_host.forever(turn, lambda: order.append('safe'))\n"
    )
    with VirtualBoard(tmp_path) as board, served(board) as port:
        while b"turns" not in mpremote(port, "resume", "exec", "print('turns', turns > 0, order)").stdout.encode():
            pass
        told = mpremote(port, "resume", "exec", "print(turns > 0, order)").stdout
    assert told == "True ['boot', 'main', 'safe']\n"


@pytest.mark.safety(10)
def test_an_exception_in_the_loop_makes_safe_and_goes_to_the_prompt(tmp_path):
    (tmp_path / "main.py").write_text(
        "import _host\ndone = []\n_host.forever(lambda: 1 // 0, lambda: done.append('safe'))\n"
    )
    with VirtualBoard(tmp_path, stepped=True) as board:
        board.start()
        with pytest.raises(MicroPythonError) as caught:
            board.step()
        assert caught.value.type == "ZeroDivisionError"
        assert not board.processor.looping
        assert board.exec("print(done)") == "['safe']\n"


def test_ctrl_c_reaches_a_sleeping_program(tmp_path):
    with VirtualBoard(tmp_path) as board, served(board) as port:
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(fd, b"import time\rwhile True: time.sleep(9)\r\r")
            heard = b""
            while b"... " not in heard:
                heard += os.read(fd, 4096)
            os.write(fd, b"\x03")
            while b"KeyboardInterrupt" not in heard:
                heard += os.read(fd, 4096)
        finally:
            os.close(fd)


def test_files_survive_soft_reset_and_kill(tmp_path):
    with VirtualBoard(tmp_path, stepped=True) as board:
        board.exec("import os\nwith open('a.new', 'w') as f: f.write('old')\nos.rename('a.new', 'a')\nos.mkdir('d')")
        board.exec("f = open('d/open', 'w')\nf.write('never closed')")
        board.soft_reset()
        assert board.exec("import os\nprint(open('a').read(), sorted(os.listdir()))") == "old ['a', 'd']\n"
        board.exec("with open('a.new', 'w') as f: f.write('new')\n")
        os.kill(board.processor.pid, 9)
        with pytest.raises((ConnectionError, BrokenPipeError)):
            board.exec("os.rename('a.new', 'a')")
    with VirtualBoard(tmp_path, stepped=True) as board:
        assert board.exec("import os\nprint(open('a').read(), sorted(os.listdir()))") == "old ['a', 'a.new', 'd']\n"


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("open('nothing')", 2),
        ("import os\nos.mkdir('d')\nos.mkdir('d')", 17),
        ("import os\nos.remove('nothing')", 2),
        ("import os\nos.listdir('nothing')", 2),
    ],
)
def test_errors_carry_micropythons_numbers(board, code, number):
    indented = code.replace("\n", "\n ")
    assert board.exec(f"try:\n {indented}\nexcept OSError as e: print(e.errno)") == f"{number}\n"


def test_full_and_read_only_flash(tmp_path):
    (tmp_path / "kept").write_bytes(bytes(1000))
    fill = "try:\n with open('big', 'wb') as f:\n  for _ in range(9): f.write(bytes(1000))\n"
    fill += "except OSError as e: print(e.errno)"
    with Processor(tmp_path, capacity_bytes=8192) as mp:
        assert mp.exec(fill) == "28\n"  # ENOSPC
        assert mp.exec("import os\nos.remove('kept')\nos.remove('big')\nprint(os.statvfs('/')[3])") == "2\n"
    with Processor(tmp_path, readonly=True) as mp:
        assert mp.exec(fill) == "30\n"  # EROFS
    assert not list(tmp_path.iterdir())


def test_the_clock_steps_and_sleeping_moves_it(board):
    board.hardware.clock_ms = (1 << 30) - 100
    assert board.exec("import time\na = time.ticks_ms()\nprint(a)") == f"{(1 << 30) - 100}\n"
    board.exec("time.sleep_ms(250)")
    assert board.exec("print(time.ticks_ms(), time.ticks_diff(time.ticks_ms(), a))") == "150 250\n"
    board.advance(1000)
    assert board.exec("print(time.ticks_ms())") == "1150\n"


def test_pins_chips_and_converters(board, bench):
    board.exec("from machine import ADC, I2C, PWM, Pin\ni2c = I2C(0)\ncharge = Pin('charge', Pin.OUT, value=0)")
    assert (
        board.exec("print([hex(a) for a in i2c.scan()], i2c.readfrom_mem(0x40, 0x3E, 2))") == "['0x40', '0x48'] b'TI'\n"
    )
    bench.demand_a = 0.1
    board.exec("charge.on()")
    assert bench.hardware.pins["charge_sense"] == 1 and bench.current_a == 0.1
    board.exec("charge.off()\nPWM(Pin('level', Pin.OUT)).duty_u16(1234)")
    assert bench.current_a == 0.0 and bench.hardware.pwm["level"] == 1234
    bench.hardware.adc["a"] = 777
    assert board.exec("print(ADC(Pin('a')).read_u16())") == "777\n"
    bench.hardware.bus.stuck = True
    assert board.exec("try: i2c.readfrom_mem(0x40, 0, 2)\nexcept OSError as e: print(e.errno)") == "110\n"
    bench.hardware.bus.stuck = False
    bench.hardware.bus.unpowered = {0x40}
    assert board.exec("try: i2c.writeto_mem(0x40, 0, b'ab')\nexcept OSError as e: print(e.errno)") == "5\n"


@pytest.mark.safety(2)
def test_the_cut_off_ends_a_pulse_by_itself(board, bench):
    board.exec(
        "from machine import PWM, Pin\nlevel = PWM(Pin('level', Pin.OUT), duty_u16=32768)\n"
        "enable = Pin('enable', Pin.OUT, value=1)\ntrigger = Pin('trigger', Pin.OUT, value=1)\ntrigger.off()"
    )
    board.advance(329_000)
    assert bench.current_a == pytest.approx(-0.5, abs=1e-3)
    board.advance(2_000)
    assert bench.current_a == 0.0 and bench.hardware.pins["pulse_sense"] == 0


def test_a_second_power_off_in_the_middle_of_the_first_closes_no_terminal_twice(monkeypatch):
    """The thread that serves and the one that kills both close; a second close might close a stranger's file."""
    board = VirtualBoard(None)
    board.open_terminal()
    close, closed = Terminal.close, []

    def closing(self):
        closed.append(self)
        if len(closed) == 1:
            board.kill()
        close(self)

    monkeypatch.setattr(Terminal, "close", closing)
    board.kill()
    assert len(closed) == len(set(closed)) == 2
    assert board.terminal is None and board.link is None


@pytest.mark.safety(10)
def test_watchdog_resets_and_says_so(tmp_path):
    (tmp_path / "main.py").write_text(
        "import _host, machine\nprint('cause', machine.reset_cause())\n"
        "dog = machine.WDT(timeout=500)\n_host.forever(lambda: 100, lambda: None)\n"
    )
    with VirtualBoard(tmp_path, stepped=True) as board:
        board.start()
        board.advance(400)
        board.step()
        with pytest.raises(Watchdog):
            board.advance(400)
        board.reset(3)
        assert board.console.decode().count("cause 1") == 1 and "cause 3" in board.console.decode()


def test_watchdog_on_the_terminal(tmp_path):
    (tmp_path / "main.py").write_text(
        "import _host, machine\nwith open('boots', 'a') as f: f.write(str(machine.reset_cause()))\n"
        "dog = machine.WDT(timeout=200)\n_host.forever(lambda: 50, lambda: None)\n"
    )
    with VirtualBoard(tmp_path) as board, served(board):
        until = time.monotonic() + 20
        while not (tmp_path / "boots").exists() or "3" not in (tmp_path / "boots").read_text():
            assert time.monotonic() < until
            time.sleep(0.05)


def test_the_firmware_runs_on_it_and_tells(tmp_path, bench):
    image.write(image.build("virtual", image.profile_path("liu21_nmc532")), tmp_path)
    with VirtualBoard(tmp_path, bench.hardware, stepped=True) as board:
        assert (
            board.exec("import sys\nsys.path.insert(0, '/')\nimport relith\nrelith.status()")
            == "Relith is not running.\n"
        )
        board.start()
        bench.demand_a = 0.05
        for _ in range(30):
            board.advance(100)
            board.step()
        told = board.exec("relith.status()")
        tidies = board.exec(image.at_prompt("from relith.udfilter import Filter\nprint(Filter.tidy)"))
    assert "CHARGE" in told.splitlines()[0] and "switches: charge on, discharge on, pulse off" in told
    assert tidies == "<function>\n"  # gc.collect
    assert "current 500" in told and "lithium unknown: active" in told


def test_the_board_of_its_own_prints_its_ports(tmp_path):
    command = [sys.executable, "-m", "hil.virtual", "--files", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        words = process.stdout.readline().split()
        assert words[0] == "port" and words[2] == "link"
        assert mpremote(words[1], "exec", "print(1)").stdout == "1\n"
    finally:
        process.terminate()
    assert process.wait(10) == 0


def test_a_reboot_that_the_link_asked_for_happens_after_the_tick_with_switches_off(tmp_path, bench):
    image.write(image.build("virtual", image.profile_path("liu21_nmc532")), tmp_path)
    (tmp_path / "boot.py").write_text("import sys\nsys.path.insert(0, '/')\n")
    with VirtualBoard(tmp_path, bench.hardware, stepped=True) as board:
        board.start()
        for _ in range(10):
            board.advance(100)
            board.step()
        assert bench.hardware.pins["charge"] == 1
        board.exec(image.at_prompt("import relith\nrelith.running.wishes.restart = 1"))
        with pytest.raises(Reset):
            board.step()
        assert not any(bench.hardware.pins[name] for name in ("charge", "discharge", "enable"))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_console_tells_as_much_as_the_profile_says(tmp_path, bench, level):
    profile = json.loads((image.PROFILES / "liu21_nmc532.json").read_text()) | {"log_level": level}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    image.write(image.build("virtual", tmp_path / "profile.json"), tmp_path)
    (tmp_path / "boot.py").write_text("import sys\nsys.path.insert(0, '/')\n")
    with VirtualBoard(tmp_path, bench.hardware, stepped=True) as board:

        def told():
            del board.console[:]
            for _ in range(25):
                board.advance(100)
                board.step()
            return board.console.decode()

        board.start()
        under_alarm = told()
        board.exec(image.at_prompt("import relith\nrelith.running.calibrated()"))
        told()
        bench.demand_a = 0.05
        without = told()
    assert ("; alarms: calibration" in under_alarm) == (level > 0)
    assert ("CHARGE, " in without and "alarms: none" in without) == (level > 1)
    assert level or not under_alarm + without


@pytest.mark.parametrize("cells", [1, 4, 16])
def test_a_string_is_read_cell_by_cell(tmp_path, cells):
    bench = Bench(cells)
    profile = json.loads((image.PROFILES / "liu21_nmc532.json").read_text()) | {"cell_count": cells}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    image.write(image.build("virtual", tmp_path / "profile.json"), tmp_path)
    (tmp_path / "boot.py").write_text("import sys\nsys.path.insert(0, '/')\n")
    with VirtualBoard(tmp_path, bench.hardware, stepped=True) as board:
        board.start()
        for _ in range(10):
            board.advance(100)
            board.step()
        board.exec(image.at_prompt("import relith\nr = relith.running.readings"))
        seen = json.loads(board.exec(image.at_prompt("print(list(r.cell_uv))")))
        assert seen == pytest.approx([bench.cell_v * 1e6] * cells, abs=600)
        assert int(board.exec(image.at_prompt("print(r.pack_uv)"))) == pytest.approx(
            bench.cell_v * cells * 1e6, abs=10_000
        )
        assert board.exec("relith.status()").split(": ")[1].startswith("IDLE")
