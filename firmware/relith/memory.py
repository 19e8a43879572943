"""What the journal holds of a `Bms`: whole numbers by name, then what estimator and scheduler keep of their own."""

from struct import calcsize, pack, unpack

# owner and names; the first _FIXED must be those of the running profile, or the record is another cell's
_NUMBERS = (
    "profile cell_count nominal_capacity_uah current_lsb_na|boots|clock seconds|protection latched|tracker index|"
    "gate armed_until_s calibrated_until_s day_began_s day_spent_ppm life_spent_ppm last_pulse_s pulses rests "
    "quiet_from_min quiet_until_min stopped|wishes consent|"
    "ledger offset_mcount gain_ppm corrections|booked_ppm|ahead_ppm|updated|torn|"
    "journal day_began_s day_records|black_box first|"
    "charged cycles ppm ms us|discharged cycles ppm ms us|gaps cycles ppm ms us"
)
_FIXED = 3
_VERSION = 10


def _places(bms):
    """For every number the object that holds it and its name there."""
    places = []
    for group in _NUMBERS.split("|"):
        names = group.split()
        owner = getattr(bms if hasattr(bms, names[0]) else bms.ledger, names[0])
        if type(owner) is int:
            places.append((bms, names[0]))
        for name in names[1:]:
            places.append((owner, name))
    for owner in bms.ledger.bled:
        for name in names[1:]:  # as of an account
            places.append((owner, name))
    return places


def _parts(bms):
    return bms.inventories + [bms.scheduler, bms.black_box, bms.gate.extras]


def pack_all(bms):
    """The whole state as bytes."""
    data = [pack("<B", _VERSION)]
    for owner, name in _places(bms):
        data.append(pack("<q", getattr(owner, name)))
    for part in _parts(bms):
        own = part.pack()
        data.append(pack("<H", len(own)))
        data.append(own)
    return b"".join(data)


def unpack_all(bms, data):
    """Take back what pack_all() gave. False when it cannot be that, or is of another cell: all starts from unknown."""
    places = _places(bms)
    form = "<B%dq" % len(places)
    at = calcsize(form)
    if len(data) < at:
        return False
    numbers = unpack(form, data[:at])
    if numbers[0] != _VERSION:
        return False
    for k in range(_FIXED):
        if numbers[k + 1] != getattr(*places[k]):
            return False
    for part in _parts(bms):
        if len(data) < at + 2:
            return False
        end = at + 2 + unpack("<H", data[at : at + 2])[0]
        if not part.unpack(data[at + 2 : end]):
            return False
        at = end
    if at != len(data):
        return False
    for k in range(_FIXED, len(places)):
        setattr(places[k][0], places[k][1], numbers[k + 1])
    return True
