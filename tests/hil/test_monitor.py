"""The monitor: what it shows of a board, once and live, and what it says when there is none."""

import io
import os
import threading
import tty

import pytest

from hil import monitor
from hil.codec import Client
from host_sim.errors import InputError
from host_sim.tables import REASONS, STATES, TABLE
from tests.link_stub import Board, Controller, HostPort

FAULT, IDLE = STATES.index("FAULT"), STATES.index("IDLE")


def known_board(cells=1, rig=False):
    bms = Controller(cells)
    r, o = bms.readings, bms.outputs
    r.current_ok = r.cell_ok = r.temp_ok = 1
    r.current_count = -26_800  # 1 µA each
    o.state, o.charge_limit_count, o.discharge_limit_count, o.discharge_enable = IDLE, 800_000, 2_700_000, 1
    bms.ledger.charged.cycles, bms.ledger.discharged.ppm, bms.ledger.gaps.ppm = 2, 500_000, 1000
    for k, e in enumerate(bms.estimates):
        r.cell_uv[k] = 3_801_200 + k
        e.known, e.stage, e.limited_by = 2, 3, 1
        e.cathode_ppm, e.active_ppm, e.isolated_ppm, e.sei_ppm = 500_000, 250_000, 150_000, 100_000
        e.isolated_sigma_ppm, e.capacity_ppm, e.capacity_sigma_ppm = 10_000, 900_000, 5_000
        e.ce_cell_ppm, e.ce_li_ppm = 998_100, 0
        e.soc_ppm, e.soc_sigma_ppm, e.soh_ppm, e.soh_sigma_ppm = 600_000, 10_000, 950_000, 20_000
        e.energy_mwh, e.energy_sigma_mwh, e.cycles_to_end, e.cycles_to_end_sigma = 5_400, 100, 70 * (1 - k), 10
        e.charge_limit_permille, e.discharge_limit_permille = 800, 2_700
    bms.booked_ppm = 1_410_000  # 9 % of nominal since then
    return Board(bms, rig)


def shown(board, ticks=30):
    client = Client(HostPort(board))
    view = monitor.connect(client, "PORT")
    for k in range(ticks):
        for message in client.pump():
            view.take(message, float(k))
    return view


def test_state_cell_and_inventory_are_shown():
    text = "\n".join(shown(known_board()).lines(30.0))
    for part in (
        "Relith 0.1.0 on PORT",
        "boot 7 · 1 cell",
        "state      IDLE",
        "current    -26.8 mA",
        "allowed    charger +0.8 A, load -2.7 A",
        "3.8012 V",
        "25.0 °C",
        "charge off   discharge ON   pulse off",
        "ledger     4000.00 mAh in, 1000.00 out   at most 2.00 unseen",
        "measured · life stage 3 · the last discharge was ended by the anode",
        "isolated       300 ± 39 mAh",
        "capacity 1800 ± 20 mAh · CE_cell 99.81 %",
        "state of charge 70.0 ± 2.0 % · of health 95.0 ± 3.9 % · 70 ± 20 full cycles to 80 %",
        "at its last turn: energy 5.40 ± 0.20 Wh · charge up to 0.8 C · discharge up to 2.7 C",
        f"next       none: {REASONS[0]}",
        "faults     none",
        "frames lost 0",
    ):
        assert part in text, part
    assert "\x1b" not in text and "CE_Li" not in text


def test_in_a_pulse_the_sink_alone_draws_though_the_discharge_switch_is_on():
    board = known_board()
    o = board.bms.outputs
    o.state, o.charge_limit_count, o.discharge_limit_count = STATES.index("PULSE"), 0, 0
    o.pulse_count, o.pulse_ms = 267_000, 83_900
    text = "\n".join(shown(board).lines(30.0))
    assert "allowed    no charger, no load, only the pulse sink: -0.267 A, 84 s more" in text
    assert "discharge ON   pulse ON" in text


def test_every_cell_is_shown():
    view = shown(known_board(3), 50)
    assert view.is_whole()
    text = "\n".join(view.lines(50.0))
    assert all(f"lithium of cell {k}" in text for k in (1, 2, 3))
    assert "3.8012 V  3.8012 V  3.8012 V" in text


def test_unknown_is_said_and_what_would_tell():
    board = known_board()
    board.bms.estimates[0].known = 0
    text = "\n".join(shown(board).lines(30.0))
    assert "unknown; a full charge and a full discharge" in text
    assert "capacity" not in text and "±" not in text


def test_what_was_not_read_is_not_shown_as_a_figure():
    board = known_board()
    r = board.bms.readings
    r.current_ok = r.cell_ok = r.temp_ok = 0
    r.stop = 1
    text = "\n".join(shown(board).lines(30.0))
    assert text.count("not read") == 3 and "3.80" not in text
    assert "STOPPED BY THE OPERATOR" in text


def test_changes_are_told_newest_first():
    board = known_board()
    client = Client(HostPort(board))
    view = monitor.connect(client, "PORT")

    def turn(now_s):
        for message in client.pump():
            view.take(message, now_s)

    turn(1.0)
    board.bms.outputs.state, board.bms.outputs.alarms = FAULT, 0b11
    turn(2.0)
    board.bms.outputs.alarms = 0b10
    board.bms.outputs.decision, board.bms.outputs.reason = 1, 200
    turn(5.0)
    view.heard_s = 5.0
    lines = view.lines(12.0, style=True)
    told = [line.split("ago  ")[1] for line in lines if "ago  " in line]
    assert told == [
        "pulse: no. 200", f"{TABLE[0][0]} is over", f"alarm {TABLE[1][0]}", f"alarm {TABLE[0][0]}", "IDLE → FAULT",
    ]  # fmt: skip
    assert any("nothing heard for 7 s" in line for line in lines)
    assert any(monitor.RED in line and TABLE[1][0] in line for line in lines)


def test_refusals_are_counted():
    board = known_board()
    client = Client(HostPort(board))
    view = monitor.connect(client, "PORT")
    board.arriving.append(b"\1\2\3\0")
    for message in client.pump():
        view.take(message, 1.0)
    assert "refused 1" in "\n".join(view.lines(1.0))


def test_a_rig_build_is_named():
    view = monitor.View("PORT", shown(known_board()).welcome | {"rig": 1})
    assert "RIG BUILD" in view.lines(0.0)[0]
    assert "it waits: a rig build has no sensors" in "\n".join(view.lines(0.0))
    whole = shown(known_board())
    whole.welcome["rig"] = 1
    assert not any("it waits" in line for line in whole.lines(0.0))


# ---- on a pseudo-terminal, as a user runs it
@pytest.fixture
def port():
    """A board that ticks in a thread behind a pseudo-terminal; gives the port's name."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    board, ended = known_board(2), threading.Event()

    def read():
        try:
            return os.read(master, 4096) or None
        except BlockingIOError:
            return None

    board.read = read
    board.write = lambda data: os.write(master, data)

    def run():
        while not ended.wait(0.002):
            board.tick()

    thread = threading.Thread(target=run)
    thread.start()
    yield os.ttyname(slave)
    ended.set()
    thread.join()
    os.close(slave)
    os.close(master)


def test_once_on_a_terminal(port, capsys):
    assert monitor.main([port, "--once"]) == 0
    text = capsys.readouterr().out
    assert "lithium of cell 2: measured" in text and text.count("\n") < 40
    assert "\x1b" not in text


class Interrupted(HostPort):
    """Lets `reads` reads pass; then the user presses Ctrl-C. `restart_at`: then another boot of the board answers."""

    def __init__(self, board, reads, restart_at=-1):
        super().__init__(board)
        self.reads, self.restart_at = reads, restart_at

    def read(self):
        self.reads -= 1
        if self.reads == self.restart_at:
            self.board = known_board()
            self.board.bms.boots = 8
        if self.reads < 0:
            raise KeyboardInterrupt
        return super().read()


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves a second every time it is read."""
    seconds = iter(range(1, 10**6))
    monkeypatch.setattr(monitor.time, "monotonic", lambda: float(next(seconds)))


def test_live_draws_until_interrupted(clock):
    out = io.StringIO()
    client = Client(Interrupted(known_board(), 60), timeout_s=1e9)
    assert monitor.live(client, "PORT", out) == 0
    drawn = out.getvalue()
    assert drawn.startswith(monitor.HIDE) and drawn.endswith(monitor.SHOW + "\n")
    assert drawn.count(monitor.HOME) > 10 and "state      \x1b[1mIDLE" in drawn


def test_a_restart_is_greeted(clock):
    out = io.StringIO()
    client = Client(Interrupted(known_board(), 80, restart_at=40), timeout_s=1e9)
    assert monitor.live(client, "PORT", out) == 0
    assert "the board has restarted" in out.getvalue() and "boot 8" in out.getvalue()


# ---- bad input
def test_no_such_port():
    with pytest.raises(InputError, match="PORT /dev/nothing: cannot be opened at 460800 baud"):
        monitor.main(["/dev/nothing", "--once"])


def test_a_port_that_is_silent():
    class Silent:
        def read(self):
            return b""

        def write(self, data):
            pass

    with pytest.raises(InputError, match=r"PORT x: the board does not answer 'hello'.*is it a Relith board"):
        monitor.connect(Client(Silent(), timeout_s=0.001), "x")


def test_another_firmware():
    board = known_board()
    board.link.catalogue = 1
    with pytest.raises(InputError, match="PORT x: the board runs firmware"):
        monitor.connect(Client(HostPort(board)), "x")


def test_hello_and_then_nothing(clock):
    class Mute(HostPort):
        def read(self):
            return b"" if self.board.link._sequence > 1 else super().read()

    client = Client(Mute(known_board()), timeout_s=1e9)
    with pytest.raises(InputError, match="PORT x: the board said hello, but sent no full telemetry within 40 s"):
        monitor.once(client, "x", 40.0)
