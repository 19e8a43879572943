"""Bad input by hand: one sentence with file and field or port, exit 2, and no instrument's output was ever on."""

import contextlib
import os
import pty
import threading
import tty

import pytest

from hil import cli, rigs, scenario, usb
from hil.boards import HostBoard
from hil.instruments import loopback
from hil.instruments.driver import Instrument
from host_sim.loop import NEW_BOARD

SCENARIO = (scenario.FOLDER / "watch.toml").read_text()  # asks nothing of a rig
BENCH = (rigs.FOLDER / "bench-loopback.toml").read_text()
USB = 'board = "usb"\nport = "{port}"\nbaud = {baud}\n'


@contextlib.contextmanager
def device(answer):
    """A port with something on it: `answer(bytes)` is what it says to bytes."""
    master, slave = pty.openpty()
    tty.setraw(slave)

    def run():
        with contextlib.suppress(OSError):
            while data := os.read(master, 1000):
                os.write(master, answer(data))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(slave)
        thread.join()
        os.close(master)


def modem(data):
    return b"OK\r\n"


def at_another_speed(data):
    """What a line at the wrong baud makes of a frame: as many bytes, none of them right."""
    return bytes(byte >> 1 | 0x80 for byte in data)


def board(**link):
    """A rig build that is ours; `link`: what is different about it."""
    one = scenario.load(scenario.find("watch"))
    ours = HostBoard(one.profile, one.profile_text)
    ours.start(NEW_BOARD)
    for name, value in link.items():
        setattr(ours.bms.link, name, value)
    port = ours.wire.port

    def answer(data):
        port.write(data)
        return port.read()

    return answer


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Runs the command with these files; gives what it said, once that is one sentence and nothing was switched on."""
    monkeypatch.setattr(usb, "HELLO_S", 0.1)
    heard = []
    message = loopback.LoopbackInstrument.message

    def listen(self, text):
        heard.append(text)
        return message(self, text)

    monkeypatch.setattr(loopback.LoopbackInstrument, "message", listen)
    switched = []
    for name in ("on", "close_contact"):
        monkeypatch.setattr(Instrument, name, lambda self: switched.append(self))

    def run(rig, given=SCENARIO):
        (tmp_path / "s.toml").write_text(given)
        (tmp_path / "r.toml").write_text(rig)
        out = tmp_path / "out"
        monkeypatch.setattr(
            "sys.argv", ["relith-hil", "run", f"{tmp_path}/s.toml", "--rig", f"{tmp_path}/r.toml", "--out", str(out)]
        )
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and "Traceback" not in said.err
        assert not switched and not out.exists()
        run.heard = heard
        return said.err

    return run


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("title ", 'colour = "red"\ntitle ', "s.toml: colour is not a field of a scenario"),
        (
            'for = "',
            'for = "1 fortnight"#',
            "s.toml: run.for: '1 fortnight' has an unknown unit 'fortnight' (allowed: s",
        ),
        (
            "[[expect]]",
            '[[fault]]\nat = "1 s"\ncomponent = "magnet"\nverb = "off"\n[[expect]]',
            "s.toml: fault[1].component is 'magnet' (allowed: current",
        ),
    ],
)
def test_a_scenario_with_something_unknown(refused, old, new, sentence):
    assert old in SCENARIO
    assert sentence in refused('board = "host"', SCENARIO.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[limits]", "[limits]\npower = 3", "r.toml: limits.power is not a field of a rig file"),
        ('"4.3 V"', '"4.3 kg"', "r.toml: limits.voltage: '4.3 kg' has an unknown unit 'kg' (allowed: V"),
        ("[instruments.sink]", "[instruments.toaster]", "r.toml: instruments.toaster is not a role of an instrument"),
        ('"rigol-dl3000"', '"toaster"', "r.toml: instruments.sink.dialect is 'toaster' (allowed: keysight-n67xx"),
    ],
)
def test_a_rig_file_with_something_unknown(refused, old, new, sentence):
    assert old in BENCH
    assert sentence in refused(BENCH.replace(old, new, 1))


def test_nothing_at_an_instruments_address(refused):
    said = refused(BENCH.replace('"loopback"', '"TCPIP::127.0.0.1::9::SOCKET"'))
    assert "r.toml: instruments.emulator.address: instrument address 'TCPIP::127.0.0.1::9::SOCKET' cannot" in said


KINDS = ["simulated", "bench", "real"]


def rig(kind, port, baud=460800):
    """A rig file with a board on `port`, and for a bench or a real cell with instruments that listen."""
    text = USB.format(port=port, baud=baud)
    if kind == "simulated":
        return text
    text = BENCH.replace('board = "host"\n', text).replace('cell  = "bench"', f'cell  = "{kind}"')
    if kind == "real":
        text = text.replace("[limits]", '[limits]\nlowest_voltage = "2.5 V"\ntemperature = "50 degC"')
    return text + '\n[instruments.relay]\naddress = "loopback"\ndialect = "generic-relay"\n'


def answering(kind):
    return 1 if kind == "simulated" else 0  # the build that this rig needs


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_port(refused, kind):
    assert "r.toml: PORT /dev/no-such-port: cannot be opened" in refused(rig(kind, "/dev/no-such-port"))
    assert kind == "simulated" or "*IDN?" in refused.heard  # the instruments were there, and were left off


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("answer", "baud"), [(modem, 460800), (at_another_speed, 9600)])
def test_a_foreign_device_or_a_wrong_baud(refused, kind, answer, baud):
    with device(answer) as port:
        assert f"r.toml: port {port} at {baud} baud: the board does not answer 'hello'" in refused(
            rig(kind, port, baud)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_another_firmware_version(refused, kind):
    with device(board(catalogue=1, rig=answering(kind))) as port:
        said = refused(rig(kind, port))
    assert f"port {port} at 460800 baud: the board runs firmware" in said and "this program is for" in said


@pytest.mark.parametrize("kind", KINDS)
def test_the_wrong_kind_of_build(refused, kind):
    with device(board(rig=1 - answering(kind))) as port:
        assert "this rig needs a" in refused(rig(kind, port))
