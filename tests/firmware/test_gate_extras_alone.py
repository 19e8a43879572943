"""What is armed by name, by itself: every step of it to the last unit, beside a controller of paper."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from relith import extras
from relith.clock import DAY_S
from relith.extras import Extras

from tests.firmware.gate_worlds import EXTRAS_WHY as WHY

HEATING, STRIP, PLATING, CHARGING, DISCHARGE = 1, 2, 3, 4, 5
IN, OUT = 2, 3  # places of CHARGE and DISCHARGE in states.TABLE
X = [500, 20, 5, 1500, 3500, 3, 1000]  # strength, length, pause, low, high, uses a day, budget


class Paper:
    """As much of a controller as extras look at."""

    def __init__(self, which=0, uses=2, now_s=1000):
        self.profile = SimpleNamespace(named=[list(X) for _ in range(5)], max_uv=4_200_000, one_c_count=1000)
        self.clock = SimpleNamespace(seconds=now_s, elapsed_ms=100)
        self.said = 0  # what speaks against any intervention
        self.extras = Extras(self.profile)
        self.gate = SimpleNamespace(armed_until_s=2000, asked=0, standing=lambda bms: self.said, extras=self.extras)
        self.scheduler = SimpleNamespace(pulse_permille=0, pulse_s=0, reason=0)
        self.outputs = SimpleNamespace(reason=0, decision=0)
        self.estimates = [SimpleNamespace(loss_ppm=0)]
        self.belief = SimpleNamespace(min_cdegc=2500, max_cdegc=2500, max_uv=4_000_000)
        self.protection = SimpleNamespace(tighter_cdegc=0)
        self.readings = SimpleNamespace(user_full_in_s=-1)
        self.ledger = SimpleNamespace(moved_ppm=0)
        self.machine = SimpleNamespace(state=1)
        self.moved = self.saved = 0
        if which:
            assert self.extras.arm(self, which, uses) == 0

    def kept(self):
        self.saved += 1
        return 0

    def enters(self, state):
        self.machine.state, self.moved = state, 1
        self.step(0)
        self.moved = 0

    def step(self, ms, moved_ppm=0):
        self.clock.elapsed_ms, self.ledger.moved_ppm = ms, moved_ppm
        self.extras.step(self)

    def against(self):
        return self.extras.against(self, X)


def test_at_power_up_nothing():
    e = Paper().extras
    assert (e.which, e.uses, e.forming, e.off, e._ms, e._moved_ppm) == (0, 0, 0, 0, 0, 0)
    assert list(e.until_s) == [0] * 5 and e.pulse is None and e.shape is None


@pytest.mark.parametrize("which", range(1, 6))
def test_asking_for_each(which):
    p = Paper()
    p.profile.named = [None if k != which - 1 else X for k in range(5)]
    for other in range(1, 6):
        assert p.extras.arm(p, other, 1) == (0 if other == which else WHY["NO_EXTRA"])
    assert p.saved == 1 and list(p.extras.until_s) == [0 if k != which - 1 else 1000 + DAY_S for k in range(5)]
    p.clock.seconds, p.gate.armed_until_s = 999 + DAY_S, 1 << 20
    assert p.extras.arm(p, which, 1) == WHY["USES"] and p.saved == 1
    p.clock.seconds += 1
    assert p.extras.arm(p, which, 4) == WHY["USES"] and p.extras.arm(p, which, 3) == 0
    assert (p.extras.which, p.extras.uses) == (which, 3)


def test_the_token_holds_to_its_last_second():
    p = Paper(now_s=2000)
    assert p.extras.arm(p, HEATING, 1) == WHY["UNARMED"] and p.saved == 0
    p.clock.seconds = 1999
    assert p.extras.arm(p, HEATING, 1) == 0


@pytest.mark.parametrize("which, forming", [(HEATING, 0), (STRIP, 1)])
def test_a_pulse_is_asked_for_after_a_full_charge_and_only_then(which, forming):
    p = Paper(which)
    p.extras.ask(p, False)
    assert p.extras.pulse is None and p.gate.asked == 0
    p.extras._moved_ppm = 7
    p.extras.ask(p, True)
    assert p.extras.pulse == X and p.extras.forming == forming and p.extras._moved_ppm == 0
    assert (p.scheduler.pulse_permille, p.scheduler.pulse_s) == (500, 20)
    assert p.scheduler.reason == p.outputs.reason == WHY["EXTRA"] and p.gate.asked == p.outputs.decision == 1
    p.extras.ask(p, False)
    assert p.extras.pulse is None and p.extras.forming == 0
    p.extras.uses = 0
    p.extras.ask(p, True)
    assert p.extras.pulse is None


@pytest.mark.parametrize("which", [PLATING, CHARGING, DISCHARGE])
def test_a_shape_is_no_pulse(which):
    p = Paper(which)
    p.extras.ask(p, True)
    assert p.extras.pulse is None and p.gate.asked == 0


def test_what_speaks_against_it_to_the_last_unit():
    def told(which=HEATING, forming=0, **changes):
        p = Paper(which)
        p.extras.forming = forming
        for name, value in changes.items():
            owner, _, field = name.partition("__")
            setattr(getattr(p, owner), field, value)
        return p.against()

    assert told() == 0
    assert told(clock__seconds=1000 + DAY_S - 1) == 0 and told(clock__seconds=1000 + DAY_S) == WHY["UNARMED"]
    assert told(belief__min_cdegc=1500) == 0 and told(belief__min_cdegc=1499) == WHY["WINDOW"]
    assert told(belief__max_cdegc=3500) == 0 and told(belief__max_cdegc=3501) == WHY["WINDOW"]
    assert told(belief__max_cdegc=3400, protection__tighter_cdegc=100) == 0
    assert told(belief__max_cdegc=3400, protection__tighter_cdegc=101) == WHY["WINDOW"]
    assert told(extras___moved_ppm=1000) == 0 and told(extras___moved_ppm=1001) == WHY["PULSE_BUDGET"]
    worn = [SimpleNamespace(loss_ppm=1)]
    p = Paper(STRIP)
    p.estimates, p.extras.forming = worn, 1
    assert p.against() == WHY["NOT_NEW"]
    p.estimates.append(SimpleNamespace(loss_ppm=0))
    assert p.against() == WHY["NOT_NEW"]
    p.extras.forming = 0
    assert p.against() == 0
    for deadline, said in ((-1, 0), (0, WHY["CALENDAR"])):
        assert told(CHARGING, readings__user_full_in_s=deadline) == said
        assert told(DISCHARGE, readings__user_full_in_s=deadline) == 0
    near = 4_200_000 - 20_000
    assert told(CHARGING, belief__max_uv=near) == 0 and told(CHARGING, belief__max_uv=near + 1) == WHY["DELIVERED"]
    assert told(DISCHARGE, belief__max_uv=near + 1) == 0
    assert told(PLATING, extras___ms=19_999) == 0 and told(PLATING, extras___ms=20_000) == WHY["DELIVERED"]
    assert told(CHARGING, extras___ms=20_000) == 0


@pytest.mark.parametrize("which, state, forming", [(PLATING, IN, 1), (CHARGING, IN, 0), (DISCHARGE, OUT, 0)])
def test_a_shape_begins_with_its_current(which, state, forming):
    p = Paper(which)
    p.machine.state = state
    p.step(100)
    assert p.extras.shape is None  # it was there before
    p.enters(IN + OUT - state)
    assert p.extras.shape is None and p.extras.uses == 2
    p.extras.off, p.extras._ms, p.extras._moved_ppm = 1, 5, 6
    p.enters(state)
    e = p.extras
    assert e.shape == X and (e.uses, e.forming, e.off, e._ms, e._moved_ppm) == (1, forming, 0, 0, 0)
    assert p.outputs.reason == WHY["EXTRA"]
    p.enters(1)
    assert e.shape is None
    e.uses = 0
    p.enters(state)
    assert e.shape is None


def test_what_speaks_against_it_keeps_it_from_beginning_and_ends_it():
    p = Paper(PLATING)
    p.said = 12
    p.enters(IN)
    assert p.extras.shape is None and p.extras.uses == 2 and p.outputs.reason == 12
    p.said = 0
    p.belief.min_cdegc = 0
    p.enters(IN)
    assert p.extras.shape is None and p.outputs.reason == WHY["WINDOW"]
    p.belief.min_cdegc = 2500
    p.enters(IN)
    assert p.extras.shape and p.extras.forming == 1
    p.outputs.reason = 0
    p.step(100)
    assert p.extras.shape and p.outputs.reason == 0
    p.said = 9
    p.step(100)
    assert p.extras.shape is None and p.extras.forming == 0 and p.outputs.reason == 9
    p = Paper(HEATING)
    p.enters(IN)
    assert p.extras.shape is None  # a pulse


def test_it_pauses_by_the_millisecond_and_counts_its_charge():
    p = Paper(CHARGING)
    p.enters(IN)
    seen = []
    for _ in range(5):
        for ms in (19_999, 1, 4_999, 1):
            p.step(ms, -10)
            seen.append(p.extras.off)
    assert seen == [0, 1, 1, 0] * 5 and p.extras._ms == 125_000 and p.extras._moved_ppm == 200
    p.step(0, 801)
    assert p.extras.shape is None and p.outputs.reason == WHY["PULSE_BUDGET"]


@pytest.mark.parametrize("which, charging, own", [
    (PLATING, 1, 500), (PLATING, 0, None), (CHARGING, 1, 500), (CHARGING, 0, None), (DISCHARGE, 0, 500),
    (DISCHARGE, 1, None),
])  # fmt: skip
def test_limits(which, charging, own):
    p = Paper(which)
    assert p.extras.limit(charging, 800) == 800
    p.enters(OUT if which == DISCHARGE else IN)
    assert p.extras.limit(charging, 800) == (own or 800)
    assert p.extras.limit(charging, 300) == (500 if which == PLATING and own else 300)
    p.extras.off = 1
    assert p.extras.limit(charging, 800) == (0 if own else 800)


def test_the_days_are_kept_and_nothing_else():
    p = Paper(CHARGING)
    other = Paper().extras
    assert other.unpack(p.extras.pack()) is True
    assert list(other.until_s) == [0, 0, 0, 1000 + DAY_S, 0] and other.uses == other.which == 0
    for size in (19, 21, 0):
        assert other.unpack(bytes(size)) is False


def test_its_reasons_are_lines_of_the_list():
    names = [line.split()[0] for line in (Path(extras.__file__).parent / "reasons.txt").read_text().splitlines()]
    mine = {name[5:]: number for name, number in vars(extras).items() if name.startswith("_WHY_")}
    assert len(mine) == 9 and all(names[number] == name for name, number in mine.items())


@pytest.mark.parametrize("state, left", [(1, 0), (4, 1)])
def test_taken_back_it_does_not_begin_and_what_flows_is_the_gates(state, left):
    p = Paper(STRIP)
    p.extras.ask(p, True)
    p.machine.state = state
    p.extras.cancel(p)
    assert p.extras.uses == 0 and p.gate.asked == p.extras.forming == left and bool(p.extras.pulse) == left
    p = Paper(STRIP)
    p.gate.asked = 1  # the scheduler's own
    p.extras.cancel(p)
    assert p.gate.asked == 1 and p.extras.uses == 0


def test_fewer_than_no_uses_begin_nothing():
    p = Paper(HEATING)
    p.extras.uses = -1
    p.extras.ask(p, True)
    assert p.extras.pulse is None
    p = Paper(CHARGING)
    p.extras.uses = -1
    p.enters(IN)
    assert p.extras.shape is None
