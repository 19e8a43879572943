"""Every dialect's set, read-back and sign test through PyVISA and the loopback server; every misbehaviour found."""

import contextlib

import pytest

from hil.instruments import bench as bench_module
from hil.instruments import dialects, errors, loopback
from hil.instruments.bench import Bench, build
from hil.instruments.capabilities import Limits
from hil.instruments.driver import Instrument
from host_sim.errors import InputError

POWER = [name for name, one in dialects.DIALECTS.items() if one.capabilities & {"source", "sink"}]
LIMITS = Limits(voltage_v=4.3, source_current_a=2.0, sink_current_a=2.0)
DEADLINE_S = 0.05  # of the misbehaving instrument only, so that a busy machine is not taken for a slow one


class Spy:
    """Stands where the VISA resource does and keeps what was sent; answers queries with what was set last."""

    timeout = 1000

    def __init__(self):
        self.sent, self.answers = [], {}

    def write(self, text):
        self.sent.append(text)
        return len(text)

    def query(self, text):
        self.sent.append(text)
        return self.answers.get(text, "0")

    def close(self):
        pass


def lab(dialect, misbehaviour=None, cell=True):
    node = loopback.Node(loopback.ResistiveCell() if cell else None)
    one = loopback.LoopbackInstrument(node, dialect)
    one.misbehaviour = misbehaviour
    return node, one, loopback.Serving(one)


def driver(server, dialect):
    return build("unit", server.address, dialect, timeout_s=0.5, deadline_s=5.0)


@pytest.mark.parametrize("dialect", POWER)
def test_set_read_back_sign(dialect):
    node, one, server = lab(dialect)
    with server, Bench({"unit": driver(server, dialect)}) as rig:
        unit = rig["unit"]
        unit.program_limits(LIMITS)
        said = unit.sign_test()
        assert "V and" in said
        if unit.has("voltage"):
            unit.set_voltage_v(4.0)
            assert one.values["voltage"] == 4.0
            if not unit.has("positive_limit"):
                unit.set_current_a(1.0)
        else:
            unit.priority("current")
            unit.set_sink_current_a(1.0)
        unit.on()
        assert one.output_on()
        current_a = unit.measure_current_a()
        assert current_a > 0.5 if unit.has("voltage") else current_a == pytest.approx(-1.0)
        assert unit.measure_voltage_v() == pytest.approx(node.settle()[0], abs=1e-3)
    assert not one.output_on()


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("keysight-n67xx", ["CURR:LIM:NEG -2,(@1)", "CURR:LIM 2,(@1)", "VOLT:PROT 4.3,(@1)", "OUTP:PROT:WDOG:DEL 2"]),
        ("itech-m3400", ["CURR:LIM:NEG -2", "CURR:LIM:POS 2", "VOLT:PROT 4.3", "CURR:PROT 2", "OUTP:PROT:WDOG ON"]),
        ("rigol-dp800", [":OUTP:OVP:VAL CH1,4.3", ":OUTP:OCP:VAL CH1,2", ":OUTP:OVP CH1,ON"]),
        ("rigol-dl3000", [":CURR:ILIM 2", ":CURR:VLIM 4.3"]),
        ("generic-bidirectional", ["CURR:LIM:NEG 2", "CURR:LIM:POS 2", "VOLT:PROT 4.3"]),
        ("generic", ["VOLT:PROT 4.3"]),
    ],
)
def test_limits_are_spelled_as_the_manuals_spell_them(dialect, expected):
    """The strings are transcribed from the programming guides, not from the table."""
    spy = Spy()
    unit = Instrument("unit", spy, dialect)
    sent = set()

    def remember(quantity, value):
        spy.answers[unit._text(quantity, None)] = str(value)
        unit.__class__.set(unit, quantity, value)

    unit.set = remember
    unit._set_word = lambda quantity, word: sent.add(unit._text(quantity, word))
    unit.program_limits(LIMITS)
    assert sent | set(spy.sent) >= set(expected)


def test_chroma_and_rigol_spell_their_loads():
    assert Instrument("l", Spy(), "chroma-6310")._text("sink_current", "1.5") == "CURR:STAT:L1 1.5"
    assert Instrument("l", Spy(), "chroma-6310", channel=3)._text("select", "3") == "CHAN 3"
    assert Instrument("s", Spy(), "rigol-dp800", channel=2)._text("voltage", "3.7") == ":SOUR2:VOLT 3.7"
    assert Instrument("s", Spy(), "rigol-dp800")._text("measure_voltage", None) == "MEAS:VOLT? CH1"
    assert Instrument("l", Spy(), "rigol-dl3000")._text("output", "ON") == ":INP ON"


def test_long_short_joined_and_error_queue():
    _, one, server = lab("itech-m3400")
    with server:
        assert one.message("SOURce:VOLTage:LEVel:IMMediate:AMPLitude 3.7;:VOLT?") == "3.7"
        assert one.message("volt:prot 4.2;:CURR:LIM:POS 1;NEG -1;NEG?") == "-1"
        assert one.message("VOLT?;CURR?;*IDN?").startswith("3.7;")
        assert one.message("VOLTS 3") is None
        assert one.message("CURR:LIM:NEG 1") is None
        assert one.message("SYSTem:ERRor?;SYST:ERR:NEXT?;:SYST:ERR?") == (
            '-113,"Undefined header";-222,"Data out of range";+0,"No error"'
        )


@pytest.mark.parametrize("dialect", POWER)
@pytest.mark.parametrize(
    ("misbehaviour", "error"),
    [
        (loopback.SILENT, errors.Silent),
        (loopback.SLOW, errors.Slow),
        (loopback.LYING, errors.ReadBackDiffers),
        (loopback.DISCONNECTING, errors.Lost),
    ],
)
def test_misbehaviour_is_found_and_output_goes_off(dialect, misbehaviour, error):
    _, one, server = lab(dialect)
    one.delay_s = DEADLINE_S * 2
    with server, pytest.raises(errors.InstrumentError) as caught, Bench({"unit": driver(server, dialect)}) as rig:
        unit = rig["unit"]
        unit.program_limits(LIMITS)
        unit.sign_test()
        unit.on()
        unit._resource.timeout = 1000 if misbehaviour == loopback.SLOW else 50
        unit.deadline_s = DEADLINE_S if misbehaviour == loopback.SLOW else 5.0
        one.misbehaviour = misbehaviour
        unit.set_voltage_v(3.9) if unit.has("voltage") else unit.set_sink_current_a(1.5)
    chain, at = [], caught.value
    while at is not None:
        chain.append(at)
        at = at.__cause__ or at.__context__
    assert error in [type(link) for link in chain]
    assert "unit" in str(caught.value)
    assert not one.output_on()


def test_dead_instrument_is_reported_with_its_output_unknown():
    _, one, server = lab("rigol-dp800")
    with (
        server,
        pytest.raises(errors.Lost, match="output state unknown"),
        Bench({"u": driver(server, "rigol-dp800")}) as rig,
    ):
        rig["u"].program_limits(LIMITS)
        one.misbehaviour = loopback.DEAD
        rig["u"].set_voltage_v(3.0)


def test_watchdog_switches_off_when_nobody_talks():
    now = [0.0]
    node = loopback.Node(loopback.ResistiveCell(), clock=lambda: now[0])
    one = loopback.LoopbackInstrument(node, "keysight-n67xx")
    one.message("OUTP:PROT:WDOG:DEL 2;:OUTP:PROT:WDOG ON;:OUTP ON,(@1)")
    now[0] = 1.9
    assert one.output_on()
    now[0] = 2.1
    assert not one.output_on()


@pytest.mark.parametrize(
    ("spoken", "table"), [("itech-m3400", "generic-bidirectional"), ("generic-bidirectional", "itech-m3400")]
)
def test_wrong_sign_table_is_found_before_output_on(spoken, table):
    node = loopback.Node(loopback.ResistiveCell())
    one = loopback.LoopbackInstrument(node, spoken, identity="Loopback,IT-M3432,0,1")
    with (
        loopback.Serving(one) as server,
        pytest.raises(errors.InstrumentError),
        Bench({"u": driver(server, table)}) as rig,
    ):
        rig["u"].program_limits(LIMITS)
        rig["u"].sign_test()
    assert not one.output_on()


def test_reversed_cell_is_found_before_output_on():
    class Reversed(loopback.ResistiveCell):
        def open_circuit_v(self):
            return -3.7

    node = loopback.Node(Reversed())
    one = loopback.LoopbackInstrument(node, "generic")
    with (
        loopback.Serving(one) as server,
        pytest.raises(errors.WrongSign, match="reversed"),
        Bench({"u": driver(server, "generic")}) as rig,
    ):
        rig["u"].program_limits(LIMITS)
        rig["u"].sign_test()


def test_nothing_is_switched_on_out_of_order_or_past_a_limit():
    _, one, server = lab("keysight-n67xx")
    with (
        server,
        pytest.raises(errors.NotAllowed, match="outside"),
        Bench({"u": driver(server, "keysight-n67xx")}) as rig,
    ):
        unit = rig["u"]
        with pytest.raises(errors.NotAllowed, match="limits"):
            unit.on()
        unit.program_limits(LIMITS)
        with pytest.raises(errors.NotAllowed, match="sign test"):
            unit.on()
        unit.sign_test()
        unit.set_voltage_v(4.4)
    assert not one.output_on()


def test_any_exception_switches_every_output_off():
    node = loopback.Node(loopback.ResistiveCell())
    source, sink = loopback.LoopbackInstrument(node, "rigol-dp800"), loopback.LoopbackInstrument(node, "rigol-dl3000")
    relay = loopback.LoopbackInstrument(node, "generic-relay")
    with loopback.Serving(source) as a, loopback.Serving(sink) as b, loopback.Serving(relay) as c:
        units = {
            "source": driver(a, "rigol-dp800"),
            "sink": driver(b, "rigol-dl3000"),
            "relay": driver(c, "generic-relay"),
        }
        with pytest.raises(ZeroDivisionError), Bench(units) as rig:
            rig["relay"].close_contact()
            for name in ("source", "sink"):
                rig[name].program_limits(LIMITS)
                rig[name].sign_test()
                rig[name].on()
            assert source.output_on() and sink.output_on()
            raise ZeroDivisionError
    assert not source.output_on() and not sink.output_on() and not node.contact_closed


def trouble(kind, unit, monkeypatch):
    """Something goes wrong with `unit` just before it is switched off."""
    query, raised = unit._resource.query, []

    def fails(text):
        if not raised:
            raised.append(text)
            raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "no text") if kind == "nonsense" else KeyboardInterrupt
        return query(text)

    monkeypatch.setattr(unit._resource, "query", fails)


@pytest.mark.parametrize("kind", ["nonsense", "second Ctrl-C", "relay's line drops"])
def test_trouble_on_the_way_out_leaves_nothing_on(kind, monkeypatch):
    node = loopback.Node(loopback.ResistiveCell())
    names = {"relay": "generic-relay", "source": "rigol-dp800", "sink": "rigol-dl3000"}
    ours = {role: loopback.LoopbackInstrument(node, name) for role, name in names.items()}
    with contextlib.ExitStack() as stack:
        at = {role: stack.enter_context(loopback.Serving(one)) for role, one in ours.items()}
        with (
            pytest.raises(ZeroDivisionError),
            Bench({role: driver(at[role], name) for role, name in names.items()}) as rig,
        ):
            rig["relay"].close_contact()
            for role in ("source", "sink"):
                rig[role].program_limits(LIMITS)
                rig[role].sign_test()
                rig[role].on()
            if kind == "relay's line drops":
                ours["relay"].misbehaviour = loopback.DISCONNECTING
            else:
                trouble(kind, rig["source"], monkeypatch)
            raise ZeroDivisionError
    assert not ours["source"].output_on() and not ours["sink"].output_on() and not node.contact_closed


def test_chamber_and_meter():
    node = loopback.Node(loopback.ResistiveCell())
    chamber, meter = (
        loopback.LoopbackInstrument(node, "generic-chamber"),
        loopback.LoopbackInstrument(node, "generic-meter"),
    )
    with (
        loopback.Serving(chamber) as a,
        loopback.Serving(meter) as b,
        Bench({"oven": driver(a, "generic-chamber"), "meter": driver(b, "generic-meter")}) as rig,
    ):
        for degc in (40.0, -8.0):
            rig["oven"].set_temperature_degc(degc)
            assert rig["oven"].measure_temperature_degc() == degc
        assert rig["meter"].measure_voltage_v() == pytest.approx(3.6)


def test_board_terminals_close_the_loop():
    """On a board's terminals the emulator gives the voltage and sees pack current minus what the board draws."""
    node = loopback.Node()
    emulator = loopback.LoopbackInstrument(node, "itech-m3400")
    pack = loopback.LoopbackInstrument(node, "rigol-dp800")
    node.emulator = emulator
    for line in ("VOLT 3.7;:OUTP ON",):
        emulator.message(line)
    pack.message(":SOUR1:VOLT 4.2;:SOUR1:CURR 0.8;:OUTP CH1,ON")
    assert node.settle() == (3.7, 0.8)
    node.board_draw_a = lambda: 0.3
    assert float(emulator.message("MEAS:CURR?")) == pytest.approx(-0.5)


def test_unknown_dialect_and_address_are_one_sentence():
    with pytest.raises(InputError, match="dialect 'tektronix' is not known"):
        build("u", "TCPIP::127.0.0.1::1::SOCKET", "tektronix")
    with pytest.raises(InputError, match="cannot be opened"):
        bench_module.connect("TCPIP::127.0.0.1::1::SOCKET", 0.2)
