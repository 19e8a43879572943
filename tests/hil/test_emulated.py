"""The emulated Pico's wiring, without the emulator: the bench's chips behind the callbacks of its I2C peripheral."""

import pytest

from hil import emulated
from host_sim.errors import InputError


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


@pytest.fixture
def i2c():
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
