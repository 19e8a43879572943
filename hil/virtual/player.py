# Plays recorded ticks through the firmware: the same lines on CPython and on MicroPython, where this text is executed.
# A row is: what a person does, its argument, then every whole number of Readings in
# the order of the names, then cell voltages, then temperatures.
from array import array

from relith.bms import Bms
from relith.journal import encode
from relith.profile import load
from relith.readings import Readings

ACTIONS = ("", "commission", "arm", "clear", "stop", "calibrated", "disarm")
WITH_ARGUMENT = (2, 4)


class Tape:
    """Journal store and link stream at once: what the firmware writes goes onto the tape, in order."""

    def __init__(self):
        self.slots = [encode(0, b"")] * 2  # a new board's
        self.log = []  # None: forget what is written, so that the tape itself allocates nothing
        self.arriving = None

    def write_slot(self, slot, data):
        self.slots[slot] = bytes(data)
        if self.log is not None:
            self.log.append(b"J%d" % slot + bytes(data))

    def take(self):
        data, self.arriving = self.arriving, None
        return data

    def tell(self, data):
        if self.log is not None:
            self.log.append(b"T" + bytes(data))


class Store:
    def __init__(self, tape):
        self.tape = tape

    def read(self, slot):
        return self.tape.slots[slot]

    def write(self, slot, data):
        self.tape.write_slot(slot, data)


class Stream:
    def __init__(self, tape):
        self.tape = tape

    def read(self):
        return self.tape.take()

    def write(self, data):
        self.tape.tell(data)


class Player:
    """`frames`: {tick: bytes that arrive on the link in it}. `scalars`, `results`: names of the whole numbers in
    Readings and Outputs, in the order of a row."""

    def __init__(self, profile_path, frames, scalars, results):
        profile = load(profile_path)
        self.tape = Tape()
        self.bms = Bms(profile, Store(self.tape), Stream(self.tape))
        self.bms.gate.cutoff_present = 1
        self.readings = Readings(profile.cell_count)
        self.scalars = scalars
        self.results = results
        self.width = 2 + len(self.scalars) + len(self.readings.cell_uv) + len(self.readings.temp_cdegc)
        self.frames = frames
        self.played = 0

    def place(self, row):
        """A row into the readings; what a person does in this tick is done."""
        action = row[0]
        if action:
            method = getattr(self.bms, ACTIONS[action])
            method(row[1]) if action in WITH_ARGUMENT else method()
        k = 2
        r = self.readings
        for name in self.scalars:
            setattr(r, name, row[k])
            k += 1
        for values in (r.cell_uv, r.temp_cdegc):
            for i in range(len(values)):
                values[i] = row[k]
                k += 1
        if self.played in self.frames:
            self.tape.arriving = self.frames[self.played]
        self.played += 1

    def measure(self, source, count, mem_alloc, lock, unlock, locked):
        """Bytes that each of `count` ticks allocated; those in `locked` run with the heap locked."""
        row = array("i", [0] * self.width)
        self.tape.log = None
        allocated = []
        for _ in range(count):
            source.readinto(row)
            self.place(row)
            hold = self.played in locked
            before = mem_alloc()
            if hold:
                lock()
            try:
                self.bms.tick(self.readings)
            finally:
                if hold:
                    unlock()
            allocated.append(mem_alloc() - before)
        return allocated

    def play(self, source, sink, events, count):
        """`count` rows from a file of 32-bit numbers; outputs into one file, journal and telemetry into another."""
        row = array("i", [0] * self.width)
        out = array("i", [0] * len(self.results))
        log = self.tape.log
        for _ in range(count):
            source.readinto(row)
            self.place(row)
            outputs = self.bms.tick(self.readings)
            for k in range(len(out)):
                out[k] = getattr(outputs, self.results[k])
            sink.write(out)
            for entry in log:
                events.write(b"%d " % self.played + entry)
            log.clear()
