"""What a scenario may speak of: every signal that a rig records at each tick, with its unit or its words.

`TRUTH` signals come from the simulated cell and plant, so a rig with a real cell does not have them; `MEASURED` ones
are true where the cell is simulated, and what the board reads where it is real; `SAID` ones come from the board's own
outputs and telemetry; so every rig has both.
"""

from __future__ import annotations

from dataclasses import dataclass

TRUTH, MEASURED, SAID, RIG = "truth", "measured", "said", "rig"


@dataclass(frozen=True)
class Signal:
    """`kind`: a unit kind (`hil.units`), `word` (one of a list), `flag` (on/off) or `words` (a set of names)."""

    name: str
    kind: str
    source: str
    what: str


SIGNALS = {
    one.name: one
    for one in (
        Signal("lowest_cell_voltage", "voltage", MEASURED, "true voltage of the lowest cell"),
        Signal("highest_cell_voltage", "voltage", MEASURED, "true voltage of the highest cell"),
        Signal("current", "current", MEASURED, "true cell current; positive charges"),
        Signal("temperature", "temperature", MEASURED, "true cell temperature"),
        Signal("pulse_current", "current", TRUTH, "what the pulse sink truly draws"),
        Signal("isolated_lithium", "share", TRUTH, "true isolated lithium, of nominal capacity"),
        Signal("active_lithium", "share", TRUTH, "true active lithium on the anode, of nominal capacity"),
        Signal("sei_lithium", "share", TRUTH, "true lithium in the SEI, of nominal capacity"),
        Signal("lithium_balance_error", "share", TRUTH, "sum of the four stores less what was built in"),
        Signal("charge_switch", "flag", TRUTH, "whether the board's charge switch conducts"),
        Signal("discharge_switch", "flag", TRUTH, "whether the board's discharge switch conducts"),
        Signal("cycles", "count", TRUTH, "discharges that the user has finished"),
        Signal("capacity", "share", TRUTH, "charge of the last full discharge, of nominal capacity"),
        Signal("state", "word", SAID, "the state the firmware is in"),
        Signal("decision", "word", SAID, "what the scheduler asked for last"),
        Signal("reason", "word", SAID, "why, in plain words"),
        Signal("alarm", "words", SAID, "diagnostic rows that are active or latched"),
        Signal("charge_permitted", "flag", SAID, "charge output of the gate"),
        Signal("discharge_permitted", "flag", SAID, "discharge output of the gate"),
        Signal("pulse_ordered", "current", SAID, "pulse current that the gate has granted"),
        Signal("charge_limit", "current", SAID, "charge current that charger and user may use"),
        Signal("discharge_limit", "current", SAID, "discharge current that load and user may use"),
        Signal("estimated_isolated", "share", SAID, "the firmware's own estimate, of nominal capacity"),
        Signal("estimated_active", "share", SAID, "the firmware's own estimate, of nominal capacity"),
        Signal("estimated_cathode", "share", SAID, "the firmware's own estimate, of nominal capacity"),
        Signal("known", "word", SAID, "how the inventory is known"),
        Signal("ce_cell", "share", SAID, "cell efficiency of the last cycle, as the firmware reports it"),
        Signal("board", "flag", RIG, "whether the board has power"),
        Signal("rig_build", "flag", RIG, "whether the board says that it takes injected readings and has no switch"),
        Signal("boots", "count", RIG, "boots of the board since the scenario began"),
        Signal("link_refused", "count", RIG, "frames that the board has refused"),
        Signal("answer", "word", RIG, "the board's answer to the last command: done, refused, silent"),
        Signal("readings_age", "time", RIG, "age of what the board was last told or last said"),
    )
}
FLAG_WORDS = ("off", "on")
