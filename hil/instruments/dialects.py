"""One table per model: how it spells each quantity, and which way its signs run.

A header is written as in the manuals: capitals are the short form, `[...]` may be left out, `<n>` is the channel.
The driver sends the short form, the loopback server understands every form. Sources are the makers' programming
guides named in `source`; a model of another maker is one more row here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# how a channel is addressed
LIST = "list"  # after the value: VOLT 3.7,(@1)
PREFIX = "prefix"  # before the value: OUTP CH1,ON
SELECT = "select"  # by a command of its own before: CHAN 1
NONE = "none"

SIGNED = "signed"  # the negative current limit is sent as a negative number
MAGNITUDE = "magnitude"  # ... as a positive one


@dataclass(frozen=True)
class Dialect:
    """`headers`: quantity -> header pattern (set form; the query is the same with `?`). A missing quantity does not
    exist on the model. `prefixed`: quantities that take `CH1,` (PREFIX dialects). `mode_words`: what to send for
    voltage and current priority. `reading_sign`: +1: a positive reading leaves the instrument, -1: enters it."""

    name: str
    idn: tuple[str, ...]
    capabilities: frozenset[str]
    headers: dict[str, str]
    source: str
    channel: str = NONE
    prefixed: frozenset[str] = frozenset()
    negative_limit: str | None = None
    reading_sign: int = 1
    mode_words: dict[str, str] = field(default_factory=dict)
    start: tuple[str, ...] = ()


_MEASURE = {
    "measure_voltage": "MEASure[:SCALar]:VOLTage[:DC]",
    "measure_current": "MEASure[:SCALar]:CURRent[:DC]",
}
_SOURCE = {
    "voltage": "[SOURce:]VOLTage[:LEVel][:IMMediate][:AMPLitude]",
    "current": "[SOURce:]CURRent[:LEVel][:IMMediate][:AMPLitude]",
    "output": "OUTPut[:STATe]",
}
_PRIORITY = {"voltage": "VOLT", "current": "CURR"}

_TABLE = (
    Dialect(
        name="keysight-n67xx",
        idn=("N670", "N678", "N679"),
        capabilities=frozenset({"source", "sink", "emulator", "meter"}),
        channel=LIST,
        negative_limit=SIGNED,
        mode_words=_PRIORITY,
        headers={
            **_SOURCE,
            **_MEASURE,
            "mode": "[SOURce:]FUNCtion",
            "positive_limit": "[SOURce:]CURRent[:LEVel]:LIMit[:POSitive][:IMMediate][:AMPLitude]",
            "negative_limit": "[SOURce:]CURRent[:LEVel]:LIMit:NEGative[:IMMediate][:AMPLitude]",
            "voltage_limit": "[SOURce:]VOLTage[:LEVel]:LIMit[:POSitive][:IMMediate][:AMPLitude]",
            "over_voltage": "[SOURce:]VOLTage:PROTection[:LEVel]",
            "watchdog_s": "OUTPut:PROTection:WDOG:DELay",
            "watchdog": "OUTPut:PROTection:WDOG[:STATe]",
        },
        source="Keysight N6700 Operating and Service Guide, SCPI Source and Output subsystems (SMU modules)",
    ),
    Dialect(
        name="itech-m3400",
        idn=("IT-M34", "IT-M39"),
        capabilities=frozenset({"source", "sink", "emulator", "meter"}),
        negative_limit=SIGNED,
        mode_words=_PRIORITY,
        start=("SYST:REM",),
        headers={
            **_SOURCE,
            **_MEASURE,
            "mode": "[SOURce:]FUNCtion",
            "positive_limit": "[SOURce:]CURRent[:LEVel]:LIMit:POSitive",
            "negative_limit": "[SOURce:]CURRent[:LEVel]:LIMit:NEGative",
            "voltage_limit": "[SOURce:]VOLTage[:LEVel]:LIMit[:HIGH]",
            "over_voltage": "[SOURce:]VOLTage[:OVER]:PROTection[:LEVel]",
            "over_current": "[SOURce:]CURRent[:OVER]:PROTection[:LEVel]",
            "watchdog_s": "OUTPut:PROTection:WDOG:DELay",
            "watchdog": "OUTPut:PROTection:WDOG[:STATe]",
        },
        source="ITECH IT-M3400 Programming Guide (2020), Source and Output commands",
    ),
    Dialect(
        name="rigol-dp800",
        idn=("DP81", "DP82", "DP83"),
        capabilities=frozenset({"source", "meter"}),
        channel=PREFIX,
        prefixed=frozenset({"over_voltage", "over_current", "over_voltage_on", "over_current_on", "output"})
        | frozenset(_MEASURE),
        headers={
            "voltage": "[:SOURce<n>]:VOLTage[:LEVel][:IMMediate][:AMPLitude]",
            "current": "[:SOURce<n>]:CURRent[:LEVel][:IMMediate][:AMPLitude]",
            "over_voltage": ":OUTPut:OVP:VALue",
            "over_voltage_on": ":OUTPut:OVP[:STATe]",
            "over_current": ":OUTPut:OCP:VALue",
            "over_current_on": ":OUTPut:OCP[:STATe]",
            "output": ":OUTPut[:STATe]",
            **_MEASURE,
        },
        source="RIGOL DP800 Programming Guide, OUTPut, SOURce and MEASure commands",
    ),
    Dialect(
        name="rigol-dl3000",
        idn=("DL302", "DL303"),
        capabilities=frozenset({"sink", "meter"}),
        reading_sign=-1,
        mode_words={"current": "CURR"},
        headers={
            "mode": "[:SOURce]:FUNCtion",
            "sink_current": "[:SOURce]:CURRent[:LEVel][:IMMediate]",
            "sink_limit": "[:SOURce]:CURRent:ILIMt",
            "voltage_limit": "[:SOURce]:CURRent:VLIMt",
            "output": "[:SOURce]:INPut[:STATe]",
            **_MEASURE,
        },
        source="RIGOL DL3000 Programming Guide, SOURce and MEASure commands",
    ),
    Dialect(
        name="chroma-6310",
        idn=("6312", "6314", "6310", "6311"),
        capabilities=frozenset({"sink", "meter"}),
        channel=SELECT,
        reading_sign=-1,
        mode_words={"current": "CCH"},
        headers={
            "select": "CHANnel",
            "mode": "MODE",
            "sink_current": "CURRent:STATic:L1",
            "output": "LOAD[:STATe]",
            "measure_voltage": "MEASure:VOLTage",
            "measure_current": "MEASure:CURRent",
        },
        source="Chroma 6310A Operation & Programming Manual, Load, Mode, Current and Measure subsystems",
    ),
    Dialect(
        name="generic",
        idn=("",),
        capabilities=frozenset({"source", "meter"}),
        headers={**_SOURCE, **_MEASURE, "over_voltage": "[SOURce:]VOLTage:PROTection[:LEVel]"},
        source="SCPI-1999 volume 2, SOURce, OUTPut and MEASure",
    ),
    Dialect(
        name="generic-bidirectional",
        idn=("",),
        capabilities=frozenset({"source", "sink", "emulator", "meter"}),
        negative_limit=MAGNITUDE,
        mode_words=_PRIORITY,
        headers={
            **_SOURCE,
            **_MEASURE,
            "mode": "[SOURce:]FUNCtion:MODE",
            "positive_limit": "[SOURce:]CURRent[:LEVel]:LIMit:POSitive",
            "negative_limit": "[SOURce:]CURRent[:LEVel]:LIMit:NEGative",
            "over_voltage": "[SOURce:]VOLTage:PROTection[:LEVel]",
        },
        source="Kepco BOP-1K operator manual, appendix B: four-quadrant, limits as magnitudes",
    ),
    Dialect(
        name="generic-meter",
        idn=("",),
        capabilities=frozenset({"meter"}),
        headers=dict(_MEASURE),
        source="SCPI-1999 volume 2, MEASure",
    ),
    Dialect(
        name="generic-chamber",
        idn=("",),
        capabilities=frozenset({"chamber"}),
        headers={"temperature": "[SOURce:]TEMPerature:SPOint", "measure_temperature": "MEASure[:SCALar]:TEMPerature"},
        source="SCPI-1999 volume 2, SOURce:TEMPerature and MEASure",
    ),
    Dialect(
        name="generic-relay",
        idn=("",),
        capabilities=frozenset({"relay"}),
        channel=LIST,
        headers={"close": "ROUTe:CLOSe", "open": "ROUTe:OPEN"},
        source="SCPI-1999 volume 2, ROUTe",
    ),
)
DIALECTS = {dialect.name: dialect for dialect in _TABLE}


def short_form(header: str, channel: int = 1) -> str:
    """The shortest spelling that a manual's header pattern allows: `[SOURce:]VOLTage[:LEVel]` -> `VOLT`.

    An optional part that carries the channel number is kept (`[:SOURce<n>]:VOLTage` -> `:SOUR2:VOLT`)."""
    kept = re.sub(r"\[([^\[\]]*)\]", lambda part: part[1] if "<n>" in part[1] else "", header)
    return re.sub(r"[a-z]+", "", kept.replace("<n>", str(channel)))


def matcher(header: str) -> re.Pattern[str]:
    """A pattern for every spelling of a header with a colon before it: long or short words, optional parts, any
    case. A channel number is in group `n`."""
    rooted = re.sub(r"^\[(\w+):\]", r"[:\1]:", header)
    rooted = rooted if rooted.startswith((":", "[:")) else ":" + rooted
    out = re.escape(rooted).replace(r"\[", "(?:").replace(r"\]", ")?").replace("<n>", r"(?P<n>\d+)?")
    return re.compile(re.sub(r"([A-Z]+)([a-z]+)", r"\1(?:\2)?", out), re.IGNORECASE)
