"""What the virtual board's `machine` is wired to: pins, an I2C bus with chip models, a clock, a link, a watchdog."""

import time
from collections.abc import Callable

from hil.chips.bus import Bus

WRAP_MS = 1 << 30
WDT_RESET = 3
POWER_ON_RESET = 1
INTERRUPT = -1


class Watchdog(Exception):
    """The watchdog was not fed in time: the board resets."""


class Reset(Exception):
    """The program asked for a hard reset."""


class Hardware:
    """Pins and buses of one board. `plant(milliseconds)`: called as time passes, to move what is wired to the pins.

    The clock is real, or stepped when `clock_ms` is set: it then moves only by `advance` and by the program's sleeps.
    """

    def __init__(self, plant: Callable[[float], None] | None = None):
        self.bus = Bus()
        self.plant = plant
        self.pins: dict[str, int] = {}  # level of every pin, by name, whoever drives it
        self.modes: dict[str, int] = {}
        self.pwm: dict[str, int] = {}  # duty, 0 … 65535
        self.adc: dict[str, int] = {}  # 0 … 65535
        self.clock_ms: int | None = None
        self.reset_cause = POWER_ON_RESET
        self.interrupted: Callable[[float], bool] = self._sleep  # sleeps; True when Ctrl-C came meanwhile
        self.link_in = bytearray()
        self.link_out = bytearray()
        self._watchdog_ms: int | None = None
        self._unfed_ms = 0.0
        self._last = time.monotonic()

    @staticmethod
    def _sleep(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    def reset(self, cause: int) -> None:
        """What a reset does to the hardware: pins float, the watchdog stops; chips on the bus keep running."""
        self.pins.clear()
        self.modes.clear()
        self.pwm.clear()
        self.reset_cause = cause
        self._watchdog_ms = None
        self.link_in.clear()

    def advance(self, milliseconds: float) -> None:
        """Let time pass for chips, plant and watchdog. Raises Watchdog."""
        if self.clock_ms is not None:
            self.clock_ms = (self.clock_ms + int(milliseconds)) % WRAP_MS
        if self.plant:
            self.plant(milliseconds)
        self.bus.advance(milliseconds)
        if self._watchdog_ms is not None:
            self._unfed_ms += milliseconds
            if self._unfed_ms > self._watchdog_ms:
                raise Watchdog(f"not fed for {self._unfed_ms:.0f} ms")

    def catch_up(self) -> None:
        """Real clock: let the time pass that has passed since the last call."""
        now = time.monotonic()
        elapsed, self._last = now - self._last, now
        if self.clock_ms is None:
            self.advance(elapsed * 1000)

    def ask(self, what: str, args: list) -> object:
        """One question of the `machine` shim. I/O errors are answered as negative MicroPython error numbers."""
        self.catch_up()
        try:
            return getattr(self, "_do_" + what)(*args)
        except OSError as error:
            return -(error.errno or 5)

    # ---- pins and converters
    def _do_pin_mode(self, name: str, mode: int) -> int:
        self.modes[name] = mode
        return 0

    def _do_pin_write(self, name: str, level: int) -> int:
        self.pins[name] = level
        if self.plant:
            self.plant(0)
        return 0

    def _do_pin_read(self, name: str) -> int:
        return self.pins.get(name, 0)

    def _do_adc(self, name: str) -> int:
        return self.adc.get(name, 0)

    def _do_pwm(self, name: str, duty: int) -> int:
        self.pwm[name] = duty
        return 0

    # ---- buses
    def _do_i2c(self, _bus: int, address: int, out: str, count: int) -> str:
        return self.bus.transfer(address, bytes.fromhex(out), count).hex()

    def _do_i2c_scan(self, _bus: int) -> str:
        return bytes(self.bus.scan()).hex()

    def _do_link_any(self) -> int:
        return len(self.link_in)

    def _do_link_read(self, count: int) -> str:
        count = len(self.link_in) if count < 0 else count
        data = bytes(self.link_in[:count])
        del self.link_in[:count]
        return data.hex()

    def _do_link_write(self, data: str) -> int:
        self.link_out += bytes.fromhex(data)
        return len(data) // 2

    # ---- time
    def _do_sleep(self, milliseconds: int) -> int:
        if self.clock_ms is not None:
            self.advance(milliseconds)
            return 0
        interrupted = self.interrupted(milliseconds / 1000)
        self.catch_up()
        return INTERRUPT if interrupted else 0

    def _do_wdt(self, timeout_ms: int) -> int:
        self._watchdog_ms, self._unfed_ms = timeout_ms, 0.0
        return 0

    def _do_wdt_feed(self) -> int:
        self._unfed_ms = 0.0
        return 0

    def _do_reset(self) -> int:
        raise Reset

    def _do_reset_cause(self) -> int:
        return self.reset_cause
