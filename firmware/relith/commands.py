"""What persons ask over the link: commands, a new profile, records to read. The link has checked frame and challenge.

Wishes hold until the power goes; what must outlive that (arming, calibration, quiet hours, a stop, consent) is kept in
the journal.
"""

from relith import const
from relith.journal import MOST
from relith.profile import Profile

# lines of reasons.txt
_WHY_GRANTED = const(0)
_WHY_PROFILE = const(34)
_WHY_FLASH = const(35)
_WHY_WORN = const(58)

# places in catalogue.COMMANDS
_STOP = const(0)
_RESUME = const(1)
_CLEAR_LATCH = const(2)
_ARM = const(3)
_DISARM = const(4)
_CONSENT = const(5)
_CALENDAR = const(6)
_CALIBRATE = const(7)
_COMMISSION = const(8)
_STORAGE = const(9)
_SET_CLOCK = const(10)
_REBOOT = const(11)
_EXTRA = const(13)
_QUIET = const(14)
# a record each; what withdraws is never refused, and there is no more of it than of what was given
_WRITES = (_RESUME, _CLEAR_LATCH, _ARM, _CALIBRATE, _COMMISSION, _EXTRA, _QUIET)

# places in catalogue.AREAS
_BLACK_BOX = const(2)
_LOG = const(3)
_PROFILE = const(4)
_REFUSAL = const(5)
_PROFILE_SLOT = const(2)  # of the store, after the journal's two


class Wishes:
    """What was asked and still holds. Times are seconds of `Clock`; -1: nothing was asked."""

    def __init__(self):
        self.consent = -1  # 1 given, 0 withdrawn; -1: nothing said
        self.free_until_s = self.full_at_s = -1
        self.day = self.second = -1  # when the clock was set: days since 1970-01-01 (UTC), second of the day
        self.set_at_s = 0
        self.storage = 0  # 1: the cell waits for no use
        self.restart = 0  # 1: the board is to restart after this tick
        self.refusal = b""  # why the last profile was refused

    def apply(self, readings, now_s):
        """What was told over the link counts as if the board had read it. A line that says no is not talked over."""
        line = readings.user_consent
        readings.user_consent = 1 if line and self.consent > 0 or line == 1 and self.consent else 0
        if self.free_until_s >= 0:
            readings.user_free_s = max(0, self.free_until_s - now_s)
        if self.full_at_s >= 0:
            readings.user_full_in_s = max(0, self.full_at_s - now_s)
        if self.day >= 0:
            readings.clock_known = 1

    def wall_s(self, now_s):
        """Second of the day, or more when days have passed since the clock was set; -1: not set."""
        return -1 if self.day < 0 else self.second + now_s - self.set_at_s


def run(bms, code, a, b):
    """Carry out a command. Returns an index into REASONS, 0 = done."""
    wishes, now_s = bms.wishes, bms.clock.seconds
    if (code in _WRITES or code == _CONSENT and a) and not bms.journal.may(now_s, MOST):
        return _WHY_WORN
    if code == _STOP:
        return bms.stop(1)
    if code == _RESUME:
        return bms.stop(0)
    if code == _CLEAR_LATCH:
        return bms.clear()
    if code == _ARM:
        return bms.arm(a)
    if code == _DISARM:
        return bms.disarm()
    if code == _COMMISSION:
        return bms.commission()
    if code == _QUIET:
        return bms.quiet(a, b)
    if code == _EXTRA:
        return bms.gate.extras.arm(bms, a, b)
    if code == _CALIBRATE:
        bms.ledger.calibrate(a, b)
        for inventory in bms.inventories:
            inventory.corrected(inventory.estimate.gain_ppm)  # a meter knows better than anchors
        return bms.calibrated()
    elif code == _CONSENT:
        if wishes.consent != a or bms._failed:
            wishes.consent = a
            return bms.kept(a == 0)
    elif code == _CALENDAR:
        wishes.free_until_s = now_s + a
        wishes.full_at_s = now_s + b if b >= 0 else -1
    elif code == _SET_CLOCK:
        wishes.day = a
        wishes.second = b
        wishes.set_at_s = now_s
    elif code == _STORAGE:
        wishes.storage = a
    elif code == _REBOOT:
        wishes.restart = 1
    return _WHY_GRANTED


def commit(bms, data):
    """Keep an uploaded profile, to be in force from the next start on; refused whole when anything is wrong with it."""
    bms.wishes.refusal = b""
    try:
        profile = Profile(data, "upload")
        if bms.fits:
            bms.fits(profile)
        if data != record(bms, _PROFILE):
            if not bms.journal.may(bms.clock.seconds, MOST):
                return _WHY_WORN
            bms.save()  # so that it counts
            bms.journal.store.write(_PROFILE_SLOT, data)
    except ValueError as error:  # ProfileError is one
        bms.wishes.refusal = str(error).encode("utf-8", "replace")
        return _WHY_PROFILE
    except OSError:
        return _WHY_FLASH
    return _WHY_GRANTED


def recorded(bms):
    """Is this start in the journal, so that its session is no other's? 0, or why it cannot be."""
    journal = bms.journal
    if journal.written:
        return _WHY_GRANTED
    if not journal.may(bms.clock.seconds, MOST):
        return _WHY_WORN
    return bms.kept()


def record(bms, area):
    """Bytes to download, or None."""
    if area < _BLACK_BOX or area == _PROFILE:
        try:
            return bms.journal.store.read(_PROFILE_SLOT if area == _PROFILE else area)
        except OSError:
            return None
    if area == _BLACK_BOX:
        return bms.black_box.kept
    if area == _REFUSAL:
        return bms.wishes.refusal
    if area == _LOG:
        now_s = bms.clock.seconds
        return bms.log.pack(now_s, bms.wishes.day, bms.wishes.wall_s(now_s))
    return None
