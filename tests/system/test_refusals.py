"""Every refusal: its reason in one frame and in the log, and what ran runs on."""

import json
import struct
import zlib

import pytest
from cobs import cobs
from relith import link as link_module
from relith.log import CHANGE, REFUSAL

from hil import catalogue
from hil.catalogue import COMMANDS
from hil.codec import MOST, Decoder, answer, encode, frame
from host_sim.tables import REASONS
from tests.firmware.gate_worlds import SPOIL, WHY, order, pulsing, ready, resting
from tests.firmware.test_commands import TEXT, Board


class Host:
    """Frames by hand to a controller that discharges."""

    def __init__(self):
        self.board = Board()
        self.bms = self.board.bms
        self.board.readings.current_count = -20_000
        self.board.readings.charge_ok = 0
        self.link = self.bms.link
        self.say(encode("hello", {}, 0, 0))
        for _ in range(20):
            self.board.tick()

    def say(self, data):
        """What the board answers to these bytes, in the tick that takes them."""
        self.board.left = b""
        self.board.arriving.append(data)
        self.board.tick()
        replies = ("welcome", "done", "refused", "nonce", "data")
        return [one for one in Decoder().feed(self.board.left) if one.name in replies]

    def frame(self, name, ahead=0, session=0, **values):
        return encode(name, values, self.link.session ^ session, (self.link.expected + ahead) & 0xFFFF)

    def bare(self, name, fields):
        return frame(catalogue.TO_BOARD[name][0], self.link.session, self.link.expected, fields)

    def ask(self, name, **values):
        return self.say(self.frame(name, **values))

    def answered(self, command, a=0, b=0, wrong=0):
        code = COMMANDS[command].code
        (nonce,) = self.ask("challenge")
        right = answer(self.bms.profile.link_key, nonce["nonce"], code, a, b)
        return self.frame("answer", command=code, a=a, b=b, answer=right ^ wrong)

    def upload(self, data, crc30):
        self.ask("begin", size=len(data), crc30=crc30)
        for at in range(0, len(data), 90):
            self.ask("chunk", offset=at, data=data[at : at + 90])
        return self.answered("commit_profile")

    def last(self):
        """The last event of the log: kind, message or state and decision, refusal or reason, detail."""
        code, detail = struct.unpack("<ii", self.bms.log.pack(0, -1, -1)[-8:])
        return code >> 24, code >> 8 & 0xFFFF, code & 0xFF, detail


def no_room(host):
    def none(size):
        raise MemoryError

    link_module.bytearray = none
    return host.frame("begin", size=100, crc30=1)


def full_flash(host):
    """Room for the journal's records, which are there already, and no more."""
    store = host.bms.journal.store
    kept = store.write

    def write(slot, data):
        if slot > 1:
            raise OSError(28)
        kept(slot, data)

    data = host.upload(TEXT, zlib.crc32(TEXT) & MOST)
    store.write = write
    return data


def bad_profile(host):
    data = json.dumps(json.loads(TEXT) | {"min_uv": 1}).encode()
    return host.upload(data, zlib.crc32(data) & MOST)


def still_there(host):
    host.bms.short_suspected = 1
    return host.answered("clear_latch")


STOP = {"command": COMMANDS["stop"].code, "a": 0, "b": 0}
CASES = {  # name -> (frame that is refused, refusal, field, reason)
    "damaged": (lambda h: h.frame("command", **STOP)[:-6] + b"\x55\0", "MALFORMED", 0, 0),
    "unknown message": (lambda h: frame(99, h.link.session, h.link.expected, b""), "UNKNOWN", 0, 0),
    "other session": (lambda h: h.frame("command", session=1, **STOP), "SESSION", 0, 0),
    "taken before": (lambda h: h.frame("command", ahead=-1, **STOP), "REPLAYED", 0, 0),
    "one is missing": (lambda h: h.frame("command", ahead=1, **STOP), "MISPLACED", 0, 0),
    "no such command": (lambda h: h.frame("command", command=200, a=0, b=0), "FIELD", 1, 0),
    "a out of range": (lambda h: h.frame("command", **STOP | {"a": 1}), "FIELD", 2, 0),
    "b out of range": (lambda h: h.frame("command", **STOP | {"b": 1}), "FIELD", 3, 0),
    "field missing": (
        lambda h: h.bare("command", b"\0"),
        "FIELD",
        2,
        0,
    ),
    "size of an upload": (lambda h: h.frame("begin", size=8193, crc30=0), "FIELD", 1, 0),
    "not challenged": (lambda h: h.frame("command", command=COMMANDS["arm"].code, a=1, b=0), "CHALLENGE", 0, 0),
    "wrong answer": (lambda h: h.answered("arm", 1, wrong=1), "ANSWER", 0, 0),
    "no rig": (
        lambda h: h.bare("inject", bytes(60)),
        "RIG",
        0,
        0,
    ),
    "chunk of nothing": (lambda h: h.frame("chunk", offset=0, data=b"x"), "ORDER", 0, 0),
    "commit of nothing": (lambda h: h.answered("commit_profile"), "ORDER", 0, 0),
    "wrong checksum": (lambda h: h.upload(TEXT, 5), "CHECKSUM", 0, 0),
    "no room": (no_room, "MEMORY", 0, 0),
    "no such record": (lambda h: h.frame("read", area=77, offset=0), "NOTHING", 0, 0),
    "nothing so far on": (lambda h: h.frame("read", area=3, offset=100_000), "NOTHING", 0, 0),
    "days": (lambda h: h.answered("arm", 366), "CONTROLLER", 0, 33),
    "still there": (still_there, "CONTROLLER", 0, 32),
    "bad profile": (bad_profile, "CONTROLLER", 0, 34),
    "full flash": (full_flash, "CONTROLLER", 0, 35),
}


def running(bms):
    o = bms.outputs
    return o.state, o.charge_enable, o.discharge_enable, o.charge_limit_count, o.discharge_limit_count, o.alarms


@pytest.mark.safety(15)
@pytest.mark.parametrize("name", CASES)
def test_a_refused_frame(name):
    make, refusal, field, reason = CASES[name]
    host = Host()
    data, code = make(host), catalogue.REFUSAL[refusal]
    host.bms.profile.arm_days = 30
    before, profile, armed = running(host.bms), host.bms.profile, host.bms.gate.armed_until_s
    assert before[2] == (name != "still there")  # the load is on
    try:
        (reply,) = host.say(data)
    finally:
        vars(link_module).pop("bytearray", None)
    if reply.name == "refused":
        assert reply["cause"] == code
    else:
        assert (reply.name, reply["refusal"], reply["reason"]) == ("done", code, reason)
        assert reply["field"] == field or not field
    kind, message, told, detail = host.last()
    assert (kind, told, detail) == (REFUSAL, code, reason)
    assert message == (0 if refusal == "MALFORMED" else 99 if refusal == "UNKNOWN" else code_of(data))
    for _ in range(3):
        host.board.tick()
    assert running(host.bms) == before and host.bms.profile is profile and host.bms.gate.armed_until_s == armed
    assert host.ask("command", **STOP)[-1]["refusal"] == 0  # and the next sound frame is taken
    assert not host.bms.outputs.discharge_enable


def code_of(data):
    """The message code in an encoded frame."""
    return cobs.decode(data.strip(b"\0"))[0]


def test_every_refusal_of_the_link_is_here():
    assert {case[1] for case in CASES.values()} == set(catalogue.REFUSAL) - {"ACCEPTED"}


# -- the gate: why no pulse, no rest, or no more of it ----------------------------------------------------------------


def told(world):
    """Reasons of the state changes in the log."""
    data = world.bms.log.pack(0, -1, -1)[12:]
    events = struct.iter_unpack("<iii", data)
    return {code & 0xFF for _, code, _ in events if code >> 24 == CHANGE}


def useless(estimate):
    estimate.pulse_trials, estimate.pulse_factor_permille, estimate.pulse_factor_sigma_permille = 20, 0, 0


NO_PULSE = {
    "TOO_STRONG": lambda w, r: setattr(w.bms.scheduler, "pulse_permille", 9999),
    "PULSE_BUDGET": lambda w, r: setattr(w.p, "pulse_budget_ppm", 1),
    "NO_BENEFIT": lambda w, r: useless(w.bms.estimates[0]),
    "ALARM": lambda w, r: setattr(w.bms.tracker, "jump_permille", 2100),
    "STALE": lambda w, r: setattr(r, "temp_ok", 0),
    "WORN": lambda w, r: setattr(w.bms.journal, "torn", 1),
    "PASSED": lambda w, r: setattr(w.bms.tracker, "since_end_ppm", 5000),
}
for _name in (
    "JOURNAL", "CALIBRATION", "UNARMED", "STOP", "CONSENT", "CUTOFF", "NO_RESISTANCE", "PREDICTED", "DAY_BUDGET",
    "LIFE_BUDGET", "COOLDOWN", "UNKNOWN", "QUIET",
):  # fmt: skip
    NO_PULSE[_name] = lambda w, r, name=_name: SPOIL[name](w)
END_REST = {name: NO_PULSE[name] for name in ("JOURNAL", "CALIBRATION", "UNARMED", "STOP", "CONSENT", "UNKNOWN")} | {
    "STALE": lambda w, r: setattr(r, "current_ms", r.now_ms - 301),
    "NO_CLOCK": lambda w, r: setattr(r, "clock_known", 0),
    "CALENDAR": lambda w, r: setattr(r, "user_free_s", 0),
    "FLOOR": lambda w, r: r.cell_uv.__setitem__(0, w.p.rest_floor_uv - 1),
    "RESTED": lambda w, r: setattr(w.bms.gate, "rest_s", 0),
}
END_PULSE = {
    name: NO_PULSE[name] for name in ("UNARMED", "STOP", "CONSENT", "UNKNOWN", "STALE", "ALARM", "PULSE_BUDGET")
} | {
    "TRIPPED": lambda w, r: setattr(r, "hardware_trip", 1),
    "HARD": lambda w, r: setattr(w.bms, "short_suspected", 1),
    "LOCKED": lambda w, r: w.bms.protection.lock(),
    "VOLTAGE": lambda w, r: r.cell_uv.__setitem__(0, 2_999_999),
    "HEAT": lambda w, r: r.temp_cdegc.__setitem__(0, 3501),
    "LATE": lambda w, r: None,
    "CURRENT": lambda w, r: setattr(r, "current_count", -100_000),
    "DELIVERED": lambda w, r: setattr(w.bms.gate, "pulse_ms", 0),
}


def listened(world):
    """(sent at once, reason) of every tick from here on."""
    seen = []
    world.bms.link.send = lambda bms: seen.append((bms.news, bms.outputs.reason))
    return seen


@pytest.mark.safety(4, 15)
@pytest.mark.parametrize("name", NO_PULSE)
def test_why_no_pulse_is_told_and_logged(name):
    world = ready()
    seen = listened(world)
    order(world)
    world.alter = lambda r: NO_PULSE[name](world, r)
    world.tick(100, 0)
    assert world.state != "PULSE" and not world.outputs.pulse_count
    assert (True, WHY[name]) in seen and WHY[name] in told(world) and REASONS[WHY[name]] == world.reason
    assert world.state == "IDLE" and (name == "STOP" or world.outputs.discharge_enable)  # what ran runs on


@pytest.mark.safety(7, 15)
@pytest.mark.parametrize("name", END_REST)
def test_why_a_rest_ends_is_told_and_logged(name):
    world = resting()
    seen = listened(world)
    world.alter = lambda r: END_REST[name](world, r)
    world.tick(1000, 0)
    assert world.state == "IDLE" and (True, WHY[name]) in seen and WHY[name] in told(world)


@pytest.mark.safety(5, 15)
@pytest.mark.parametrize("name", END_PULSE)
def test_why_a_pulse_ends_is_told_and_logged(name):
    world = pulsing()
    world.run(2)
    seen = listened(world)
    world.alter = lambda r: END_PULSE[name](world, r)
    world.tick(400 if name == "LATE" else 100, -world.outputs.pulse_count)
    assert not world.outputs.pulse_count and (True, WHY[name]) in seen and WHY[name] in told(world)


def test_every_reason_of_the_gate_is_here():
    """A cell outside the pulse window is an alarm already, and told as one; slow charging is no refusal."""
    assert set(WHY) - {"WINDOW", "SLOW"} == set(NO_PULSE) | set(END_REST) | set(END_PULSE)
