"""One cell or pack: every field of its JSON file as an attribute, and what follows from them.

Every figure is a whole number with its unit in its name; schema.txt lists them with meaning and range.
"""

from binascii import crc32

from relith import const, forget

_FLAT_PPM = const(100000)  # content that one sigma of voltage may stand for


class ProfileError(ValueError):
    """Message: one sentence naming file, field, value and allowed range."""


def lines(name, crc):
    """A text beside this module, comments left out. Raises ProfileError when it is not the one with this checksum."""
    with open(__file__[: __file__.rindex("/") + 1] + name, "rb") as file:
        text = file.read()
    if crc32(text) != crc:
        raise ProfileError(name + ": is damaged or of another version, must have the checksum %d" % crc)
    return [line for line in text.decode().split("\n") if line and line[0] != "#"]


class Profile:
    """`text`: JSON, str or bytes; `source`: what errors call it. Refused whole: raises ProfileError.

    Tables are lists; `policy` is an index into scheduler.POLICIES, `link_key` bytes. `ppm_count_ms` and `ppm_count_us`
    are 1 ppm of nominal capacity in count·ms and, beyond that, count·us; `*_count` are currents in counts of
    `current_lsb_na`; `crc30` is the lower 30 bits of the text's CRC-32.
    """

    def __init__(self, text, source="profile"):
        from relith import schema

        schema.fill(self, text, source)
        forget("schema")

    def sloping(self, uv):
        """A rested voltage, or 0 where the OCV curve is so flat that it says nothing of the cathode's content."""
        ppm, ocv = self.ocv_content_ppm, self.ocv_uv
        k = 1
        while k < len(ppm) - 1 and uv < ocv[k]:
            k += 1
        return uv if (ocv[k - 1] - ocv[k]) * _FLAT_PPM >= (ppm[k] - ppm[k - 1]) * self.voltage_sigma_uv else 0


def load(path):
    """The profile in a file. Raises ProfileError."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ProfileError("%s: cannot be read (%s)" % (path, error))
    return Profile(text, path)
