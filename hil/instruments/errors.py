"""What can go wrong with an instrument. Each ends a run with its reason and with every output off."""


class InstrumentError(Exception):
    """Base: `str(error)` is one sentence that names the instrument."""


class Silent(InstrumentError):
    """No reply within the timeout."""


class Slow(InstrumentError):
    """A reply came, but later than the deadline of the closed loop."""


class ReadBackDiffers(InstrumentError):
    """The instrument says that it is set to something else than it was told."""


class Refused(InstrumentError):
    """The instrument's error queue was not empty, or its reply was not a number."""


class Lost(InstrumentError):
    """The connection is gone."""


class WrongSign(InstrumentError):
    """A limit or a reading has the other sign than the dialect table says."""


class NotAllowed(InstrumentError):
    """The rig asked for something beyond the programmed limits, or in the wrong order."""
