"""An exception at every line of a tick in which somebody commands, uploads or downloads over the link."""

import copy
import json
import zlib
from pathlib import Path

import pytest

from hil.codec import MOST
from host_sim.loop import MemoryStore
from tests.firmware.test_commands import TEXT
from tests.system.test_exceptions import lines_of, raising_at
from tests.system.test_refusals import Host

BAD = json.dumps(json.loads(TEXT) | {"min_uv": 1}).encode()
ASKED = {  # what arrives in the tick -> files whose lines it must come to
    "stop": (lambda h: h.frame("command", command=0, a=0, b=0), {"link.py", "commands.py", "bms.py"}),
    "arm": (lambda h: h.answered("arm", 3), {"link.py", "commands.py", "memory.py", "journal.py"}),
    "clear_latch": (lambda h: h.answered("clear_latch"), {"link.py", "commands.py", "journal.py"}),
    "calibrate": (lambda h: h.answered("calibrate", 5, 100), {"commands.py", "ledger.py", "journal.py"}),
    "commission": (lambda h: h.answered("commission"), {"commands.py", "inventory.py", "journal.py"}),
    "a refused frame": (lambda h: h.frame("command", session=1, command=0, a=0, b=0), {"link.py", "log.py"}),
    "a chunk": (
        lambda h: (h.ask("begin", size=60, crc30=1), h.frame("chunk", offset=0, data=b"x" * 60))[1],
        {"link.py"},
    ),
    "a download": (lambda h: h.frame("read", area=3, offset=0), {"link.py", "commands.py", "log.py"}),
    "a profile": (
        lambda h: h.upload(TEXT, zlib.crc32(TEXT) & MOST),
        {"link.py", "commands.py", "profile.py", "schema.py"},
    ),
    "a bad profile": (lambda h: h.upload(BAD, zlib.crc32(BAD) & MOST), {"commands.py", "profile.py", "schema.py"}),
}


@pytest.fixture(scope="module", params=ASKED)
def asked(request):
    """A host whose next tick takes the frame, and the files that tick must come to."""
    make, files = ASKED[request.param]
    host = Host()
    host.board.arriving.append(make(host))
    return host, files


def tick(host):
    host.board.tick()


@pytest.mark.safety(10, 14, 15)
def test_at_every_line_of_a_tick_that_is_talked_to(asked):
    """Outputs off, a black-box entry; the next start finds a whole journal, and a profile that is whole or none."""
    first, files = asked
    places = lines_of(copy.deepcopy(first), tick)
    assert files <= {Path(file).name for file, _ in places}
    thrown = 0
    for place in places:
        host = copy.deepcopy(first)
        if not raising_at(place, host, tick):
            continue  # before the tick, or expected there: a store or a stream that fails, a sentence about a profile
        thrown += 1
        o = host.bms.outputs
        assert not (o.charge_enable or o.discharge_enable or o.pulse_count or o.balance_mask), place
        assert not (o.charge_limit_count or o.discharge_limit_count), place
        assert host.bms.black_box.kept, place
        store = MemoryStore()
        store.slots = dict(host.bms.journal.store.slots)
        assert store.slots.get(2) in (None, TEXT), place
        again = type(host.bms)(host.bms.profile, store)
        assert (
            again.black_box.kept and not again.journal_bad and again.protection.latched == host.bms.protection.latched
        ), place
    assert thrown > 100
