"""A board that is nothing but a link: a controller as docs/interfaces.md says, and both ends of a wire."""

from relith.inventory import Estimate
from relith.ledger import Ledger
from relith.link import Link
from relith.log import Log
from relith.readings import Outputs, Readings


class Profile:
    link_key = b"key"
    crc30 = 12345
    current_lsb_na = 1000
    nominal_capacity_uah = 2_000_000
    ppm_count_ms, ppm_count_us, idle_count, one_c_count, cell_count = 7200, 0, 10, 2000, 1


class Controller:
    """Keeps what it was told; `says` is the reason it answers commands with, `unrecorded` challenges; 0 for yes."""

    def __init__(self, cells=1):
        self.boots = 7
        self.profile = Profile()
        self.ledger = Ledger(self.profile)
        self.news = False
        self.events = Log()
        self.log = []  # what the link refused: (message, refusal, reason)
        self.readings = Readings(cells, 1)
        self.outputs = Outputs()
        self.estimates = [Estimate(k) for k in range(cells)]
        self.says = self.unrecorded = 0
        self.booked_ppm = 0
        self.commands = []
        self.profiles = []
        self.records = {2: bytes(range(200)), 4: b'{"profile": 1}', 5: b"field min_uv is too low"}

    def command(self, code, a, b):
        self.commands.append((code, a, b))
        return self.says

    def profile_commit(self, data):
        self.profiles.append(bytes(data))
        return self.says

    def recorded(self):
        return self.unrecorded

    def record(self, area):
        return self.records.get(area)

    def refused(self, message, refusal, reason):
        self.log.append((message, refusal, reason))


class Board:
    """The link between its two ends: `arriving` is what the board will read, `left` what it has written."""

    def __init__(self, controller=None, rig=False):
        self.bms = controller or Controller()
        self.link = Link(self)
        if rig:
            from boards.inject import Injector

            self.link.injector = Injector(self.bms.readings)
        self.arriving = []
        self.left = bytearray()

    def read(self):
        """The stream, as the board sees it."""
        return self.arriving.pop(0) if self.arriving else None

    def write(self, data):
        self.left += data

    def tick(self, step_ms=100):
        self.bms.readings.now_ms = (self.bms.readings.now_ms + step_ms) & (2**30 - 1)
        self.link.poll(self.bms)
        self.bms.news = self.bms.events.watch(self.bms.outputs, 0)
        self.link.send(self.bms)

    def drain(self):
        """What the board has sent since the last call."""
        data = bytes(self.left)
        self.left = bytearray()
        return data


class HostPort:
    """The host's end: reading lets the board do a tick (a rig build: when it has readings)."""

    def __init__(self, board):
        self.board = board

    def write(self, data):
        self.board.arriving.append(bytes(data))

    def read(self):
        board = self.board
        if board.link.injector is None:
            board.tick()
        elif board.link.inject(board.bms):
            board.link.send(board.bms)
        return board.drain()
