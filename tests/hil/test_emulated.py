"""The emulated Pico's wiring, without the emulator: the bench's chips behind the callbacks of its I2C peripheral."""

import re
import struct

import pytest

from hil import emulated, flash
from host_sim.errors import InputError

NEEDS = "the emulator is for those who bring a MicroPython UF2: pip install -e '.[pico]'"


class Peripheral:
    """The face of rp2040py's I2C peripheral (rp2040py 0.3.6, peripherals/i2c.py): callbacks in, completions out."""

    def __init__(self):
        self.acknowledged = None
        self.got = bytearray()

    def complete_connect(self, ack):
        self.acknowledged = ack

    def complete_write(self, ack):
        self.acknowledged &= ack

    def complete_read(self, value):
        self.got.append(value)

    def complete_stop(self):
        pass

    def transfer(self, address, out, count):
        """One transaction as the controller makes it: write, repeated start, read, stop."""
        self.got.clear()
        self.on_connect(address, 0)
        if self.acknowledged:
            for byte in out:
                self.on_write_byte(byte)
            if count:
                self.on_connect(address, 1)
                for _ in range(count):
                    self.on_read_byte(True)
        self.on_stop()
        return bytes(self.got) if self.acknowledged else None


class Registers:
    """rp2040py's own I2C peripheral, driven through its registers as a program on the RP2040 does (data sheet §4.3)."""

    CON, TAR, DATA_CMD, RAW_INTR_STAT, CLR_INTR, ENABLE = 0x00, 0x04, 0x10, 0x34, 0x40, 0x6C
    READ, STOP, RESTART, ABORTED = 1 << 8, 1 << 9, 1 << 10, 1 << 6

    def __init__(self, i2c):
        self.i2c = i2c
        i2c.write_uint32(self.CON, 1 << 6 | 1 << 5 | 2 << 1 | 1)  # no slave, restarts, fast mode, master

    def transfer(self, address, out, count):
        i2c = self.i2c
        i2c.write_uint32(self.ENABLE, 0)
        i2c.write_uint32(self.TAR, address)
        i2c.write_uint32(self.ENABLE, 1)
        words = list(out) + [self.READ] * count
        if count and out:
            words[len(out)] |= self.RESTART
        words[-1] |= self.STOP
        got = bytearray()
        for word in words:
            i2c.write_uint32(self.DATA_CMD, word)
            if i2c.read_uint32(self.RAW_INTR_STAT) & self.ABORTED:
                i2c.read_uint32(self.CLR_INTR)
                return None
            if word & self.READ:
                got.append(i2c.read_uint32(self.DATA_CMD) & 0xFF)
        return bytes(got)


@pytest.fixture(params=["as written down", "rp2040py's own"])
def i2c(request):
    if request.param != "as written down":
        pico = pytest.importorskip("rp2040py.rp2040", reason=NEEDS).RP2040()
        emulated.Wiring().attach(pico)
        return Registers(pico.i2c[0])

    class Pico:
        i2c = (Peripheral(), Peripheral())

    emulated.Wiring().attach(Pico)
    return Pico.i2c[0]


def test_chips_answer_at_their_addresses(i2c):
    assert i2c.transfer(0x40, b"\x3e", 2) == b"TI"
    assert i2c.transfer(0x48, b"\x01", 2) == b"\x85\x83"
    assert i2c.transfer(0x41, b"\x3e", 2) is None


def test_a_register_keeps_what_is_written(i2c):
    i2c.transfer(0x40, b"\x02\x0f\xd2", 0)
    assert i2c.transfer(0x40, b"\x02", 2) == b"\x0f\xd2"
    i2c.transfer(0x40, b"\x02", 0)
    assert i2c.transfer(0x40, b"", 2) == b"\x0f\xd2"  # the pointer stays


def test_without_the_emulator_one_sentence(tmp_path, monkeypatch):
    uf2 = tmp_path / "micropython.uf2"
    uf2.write_bytes(b"UF2\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="the emulator is not installed"), emulated.emulated(uf2):
        pass


def test_an_emulator_that_does_not_start_is_told_in_its_own_words(tmp_path, monkeypatch):
    uf2 = tmp_path / "micropython.uf2"
    uf2.write_bytes(b"no firmware")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(emulated.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="the emulator did not start"), emulated.emulated(uf2):
        pass


def test_a_uf2_without_micropython_is_no_board(tmp_path, capsys, monkeypatch):
    """The whole way of `make flash PORT=emulated` through rp2040py itself, as far as it goes without a MicroPython."""
    pytest.importorskip("rp2040py", reason=NEEDS)
    head = (0x0A324655, 0x9E5D5157, 0x2000, 0x10000000, 256, 0, 1, 0xE48BFF56)  # UF2: one block of zeros for an RP2040
    uf2 = tmp_path / "empty.uf2"
    uf2.write_bytes(struct.pack("<8I", *head) + bytes(476) + struct.pack("<I", 0x0AB16F30))
    monkeypatch.setattr(flash, "ANSWER_S", 1.0)
    assert flash.main(["--port", "emulated", "--uf2", str(uf2)]) == 2
    assert re.fullmatch(r"PORT=\S+: no MicroPython board answers there\n", capsys.readouterr().err)
