"""Board, profile, journal, run. Ctrl-C stops it, every switch off; `import relith; relith.status()` tells more."""

import gc
import time

import board
import machine
import relith
from relith.bms import Bms
from relith.profile import load
from relith.udfilter import Filter


class Trial:
    """The journal as it is, to read; what is written stays in memory."""

    def __init__(self, store):
        self.store = store
        self.slots = {}

    def read(self, slot):
        return self.slots[slot] if slot in self.slots else self.store.read(slot)

    def write(self, slot, data):
        self.slots[slot] = data


def build(trial=0):
    """The board, the controller on it, and the names of chips that do not answer ("" when all do)."""
    profile = load("profile.json")
    b = board.make(profile)
    one_c = profile.one_c_count
    absent = b.start(one_c * profile.charge_hard_permille // 1000, one_c * profile.discharge_hard_permille // 1000)
    b.after_watchdog = 1 if machine.reset_cause() == machine.WDT_RESET else 0
    bms = Bms(profile, Trial(b.store) if trial else b.store, b.stream)
    b.attach(bms)
    return b, bms, absent


def self_test():
    """Everything once, outputs off, nothing kept. Returns what is wrong, or ""."""
    b, bms, absent = build(1)
    if not absent and b.read(bms.readings):
        bms.tick(bms.readings)
    b.safe()
    return absent and absent + " does not answer"


def run():
    """For good."""
    b, bms, absent = build()
    if absent:
        print(absent, "does not answer")
    relith.running = bms
    Filter.tidy = gc.collect
    profile = bms.profile
    gc.collect()

    def turn():
        if not b.read(bms.readings):
            return 0
        outputs = bms.tick(bms.readings)
        b.apply(outputs)
        b.feed()  # only after a whole tick
        if bms.news and profile.log_level > (0 if outputs.alarms else 1):
            relith.note()
        gc.collect()  # here, where there is time, and not in the middle of a tick
        if bms.wishes.restart:
            b.safe()
            time.sleep_ms(50)  # for the link to send what it answered
            machine.reset()
        return outputs.next_tick_ms

    b.forever(turn)


if __name__ == "__main__":
    run()
