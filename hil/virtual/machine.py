# mypy: ignore-errors
# Runs inside the virtual board at every reset: the `machine` module that the WebAssembly build lacks, and a `time` that
# sleeps without burning the host. Every call ends in one question to hil/virtual/hardware.py.
import binascii
import time

import _host

_ask = _host.ask
_INTERRUPT = -1  # what the host answers when Ctrl-C came while the board slept

PWRON_RESET = 1
WDT_RESET = 3


def _check(reply):
    if type(reply) is int and reply < 0:
        raise OSError(-reply)
    return reply


class Pin:
    IN, OUT, OPEN_DRAIN = 0, 1, 2
    PULL_UP, PULL_DOWN = 1, 2

    def __init__(self, id, mode=IN, pull=None, value=None):
        self.id = str(id)
        self.init(mode, pull, value)

    def init(self, mode=IN, pull=None, value=None):
        _ask("pin_mode", self.id, mode)
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            return _ask("pin_read", self.id)
        _ask("pin_write", self.id, 1 if level else 0)

    def __call__(self, level=None):
        return self.value(level)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class I2C:
    def __init__(self, id=0, scl=None, sda=None, freq=400000, timeout=50000):
        self.id = id

    def _transfer(self, address, out, count):
        reply = _check(_ask("i2c", self.id, address, binascii.hexlify(out).decode(), count))
        return binascii.unhexlify(reply)

    def scan(self):
        return list(binascii.unhexlify(_check(_ask("i2c_scan", self.id))))

    def writeto(self, address, buf, stop=True):
        self._transfer(address, buf, 0)
        return len(buf)

    def readfrom(self, address, count, stop=True):
        return self._transfer(address, b"", count)

    def readfrom_into(self, address, buf, stop=True):
        buf[:] = self._transfer(address, b"", len(buf))

    def writeto_mem(self, address, register, buf, addrsize=8):
        self._transfer(address, bytes([register]) + bytes(buf), 0)

    def readfrom_mem(self, address, register, count, addrsize=8):
        return self._transfer(address, bytes([register]), count)

    def readfrom_mem_into(self, address, register, buf, addrsize=8):
        buf[:] = self._transfer(address, bytes([register]), len(buf))


class ADC:
    def __init__(self, pin):
        self.id = pin.id if isinstance(pin, Pin) else str(pin)

    def read_u16(self):
        return _ask("adc", self.id)


SoftI2C = I2C


class PWM:
    def __init__(self, pin, freq=0, duty_u16=0):
        self.id = pin.id
        self._duty = duty_u16
        _ask("pwm", self.id, duty_u16)

    def freq(self, hertz=None):
        return hertz

    def duty_u16(self, duty=None):
        if duty is None:
            return self._duty
        self._duty = duty
        _ask("pwm", self.id, duty)

    def deinit(self):
        self.duty_u16(0)


class WDT:
    def __init__(self, id=0, timeout=5000):
        _ask("wdt", timeout)

    def feed(self):
        _ask("wdt_feed")


class UART:
    def __init__(self, id=0, baudrate=115200, tx=None, rx=None, rxbuf=256, timeout=0):
        pass

    def any(self):
        return _ask("link_any")

    def read(self, count=-1):
        data = _ask("link_read", count)
        return binascii.unhexlify(data) if data else None

    def write(self, buf):
        return _ask("link_write", binascii.hexlify(buf).decode())


def _sleep_ms(duration):
    if duration > 0 and _ask("sleep", duration) == _INTERRUPT:
        raise KeyboardInterrupt


def _sleep(seconds):
    _sleep_ms(int(seconds * 1000))


def _sleep_us(duration):
    _sleep_ms((duration + 999) // 1000)


def reset():
    _ask("reset")


def reset_cause():
    return _ask("reset_cause")


def unique_id():
    return b"virtual!"


def idle():
    _sleep_ms(1)


def lightsleep(duration):
    _sleep_ms(duration)


time.sleep_ms = _sleep_ms
time.sleep = _sleep
time.sleep_us = _sleep_us
