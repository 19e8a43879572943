"""The firmware's state table on the host: as names, as a `transitions.Machine`, as a diagram, and checked for sense.

`python -m host_sim.statechart` writes docs/states.md from `relith.states.TABLE`; with `--check` it only says whether
that file is up to date (exit 1 when not). There is no second copy of the table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from relith.gate import PERMITS
from relith.states import TABLE

from host_sim.generated import keep
from host_sim.tables import GUARDS, MEANINGS, STATES, TRIGGERS

DOC = Path(__file__).resolve().parents[1] / "docs" / "states.md"
SAFE = ("BOOT", "FAULT", "LOCKOUT", "REST")  # nothing conducts in these


@dataclass(frozen=True)
class Row:
    """One row of the table in names."""

    state: str
    trigger: str
    guards: tuple[str, ...]
    target: str
    effects: tuple[str, ...]


def _names(bits: int, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for k, name in enumerate(names) if bits >> k & 1)


def _effects(before: str, after: str) -> tuple[str, ...]:
    """What comes with leaving one state for another (`Bms._enter`)."""
    ends = ("pulse_ends",) if before == "PULSE" else ()
    begins = {"PULSE": "pulse_begins", "REST": "rest_begins", "FAULT": "latched", "LOCKOUT": "latched"}
    return (*ends, begins[after]) if after in begins else ends


def rows(table: tuple = TABLE) -> list[Row]:
    """`relith.states.TABLE` in names, in its order."""
    facts = TRIGGERS + GUARDS
    found = []
    for before, row in zip(STATES, table, strict=True):
        for bits, target in zip(row[::2], row[1::2], strict=True):
            names, after = _names(bits, facts), STATES[target]
            found.append(Row(before, names[0], names[1:], after, _effects(before, after)))
    return found


def problems(table: tuple = TABLE, permits: tuple = PERMITS) -> list[str]:
    """Everything wrong with a table, one sentence each; none when it is sound.

    Checked: known states and bits, one trigger a pair, order of pairs, none shadowed by an earlier one, every state
    reachable and left again, faults and lockouts taken from every state, a pulse or rest only when granted, and outputs
    off where they must be.
    """
    if len(table) != len(STATES):
        return [f"{len(table)} rows for {len(STATES)} states"]
    triggers, facts = (1 << len(TRIGGERS)) - 1, (1 << len(TRIGGERS) + len(GUARDS)) - 1
    found = []
    for number, pairs_of in enumerate(table):
        pairs = list(zip(pairs_of[::2], pairs_of[1::2], strict=False))
        for k, (bits, target) in enumerate(pairs):
            where = f"{STATES[number]}, pair {k}"
            trigger = bits & triggers
            if len(pairs_of) % 2 or not 0 <= target < len(STATES):
                return [f"{where}: state {target} is none of {len(STATES)}, or a pair is not whole"]
            if trigger & (trigger - 1) or not trigger:
                found.append(f"{where}: trigger {trigger} is not one trigger")
            if bits & ~facts:
                found.append(f"{where}: unknown guard")
            if number == target:
                found.append(f"{where}: leads to itself")
            if k and trigger < pairs[k - 1][0] & triggers:
                found.append(f"{where}: pairs must stand in the order of the triggers")
            if any(not earlier & ~bits for earlier, _ in pairs[:k]):
                found.append(f"{where}: never fires, an earlier pair takes everything")
    if found:
        return found
    named = rows(table)
    reached = {"BOOT"}
    while more := {row.target for row in named if row.state in reached} - reached:
        reached |= more
    found += [f"{state} cannot be reached" for state in STATES if state not in reached]
    for state in STATES:
        out = {row.trigger: row.target for row in named if row.state == state}
        if not out:
            found.append(f"{state} is never left")
        if state != "LOCKOUT" and out.get("lockout") != "LOCKOUT":
            found.append(f"{state} does not answer a lockout")
        if state not in ("LOCKOUT", "FAULT") and out.get("fault") != "FAULT":
            found.append(f"{state} does not answer a fault")
        if state in ("PULSE", "REST") and out.get("stop") != "IDLE":
            found.append(f"{state} does not answer a stop")
    for row in named:
        for target, due in (("PULSE", "pulse_due"), ("REST", "rest_due")):
            if row.target == target and (row.trigger != due or "granted" not in row.guards):
                found.append(f"{row.state} to {target} without {due} and granted")
        latched = row.state in ("FAULT", "LOCKOUT") and row.target != "LOCKOUT"
        if latched and (row.trigger != "cleared" or "sound" not in row.guards):
            found.append(f"{row.state} is left without a person's clear")
    if len(permits) != len(STATES):
        return [*found, f"gate.PERMITS has {len(permits)} places for {len(STATES)} states"]
    for state, permit in zip(STATES, permits, strict=True):
        if (state in SAFE and permit) or (permit & 4 and state != "PULSE"):
            found.append(f"{state} must not permit {permit}")
    return found


def machine(model=None):
    """The table as a `transitions.Machine` with one trigger, `tick(facts)`: bits as `relith.states.facts` gives them.

    The first row whose conditions hold fires; `model.effects` then names what came with it. Needs transitions 0.9.3.
    """
    from transitions import Machine

    class Model:
        effects: tuple[str, ...] = ()

    facts = TRIGGERS + GUARDS
    model = Model() if model is None else model

    def holds(name):
        bit = 1 << facts.index(name)
        return lambda bits: bool(bits & bit)

    def brings(effects):
        return lambda bits: setattr(model, "effects", effects)

    return Machine(
        model,
        states=list(STATES),
        initial="BOOT",
        auto_transitions=False,
        send_event=False,
        transitions=[
            {
                "trigger": "tick",
                "source": row.state,
                "dest": row.target,
                "conditions": [holds(name) for name in (row.trigger, *row.guards)],
                "after": brings(row.effects),
            }
            for row in rows()
        ],
        ignore_invalid_triggers=True,
    )


def mermaid() -> str:
    """The table as a mermaid state diagram; rows that every state has (lockout, fault) are told below it instead."""
    lines = ["stateDiagram-v2", "    [*] --> BOOT"]
    for row in rows():
        if row.trigger in ("lockout", "fault") and row.state != "FAULT":
            continue
        guards = f" [{', '.join(row.guards)}]" if row.guards else ""
        effects = f" / {', '.join(row.effects)}" if row.effects else ""
        lines.append(f"    {row.state} --> {row.target}: {row.trigger}{guards}{effects}")
    return "\n".join(lines)


def page() -> str:
    """docs/states.md."""
    parts = [
        "# States",
        "",
        "Made from `firmware/relith/states.py` by `python -m host_sim.statechart`; `make test` checks that it is up to",
        "date. In a tick the first row of the present state whose trigger and guards hold fires, at most one. Leaving",
        "any state makes safe: the gate starts every tick from all off. The effects follow from the states left and",
        "entered. From every state a lockout leads to `LOCKOUT`, and from every state but `LOCKOUT` a fault leads to",
        "`FAULT`; they are left out of the picture.",
        "",
        "```mermaid",
        mermaid(),
        "```",
        "",
        "| state | charge switch | discharge switch | pulse sink |",
        "|---|---|---|---|",
    ]
    for state, permit in zip(STATES, PERMITS, strict=True):
        cells = ["may conduct" if permit & bit else "off" for bit in (1, 2, 4)]
        parts.append(f"| `{state}` | {' | '.join(cells)} |")
    parts += ["", "| trigger or guard | holds when |", "|---|---|"]
    parts += [f"| `{name}` | {MEANINGS[name]} |" for name in TRIGGERS + GUARDS]
    parts += ["", "| state | trigger | guards | next state | effects |", "|---|---|---|---|---|"]
    for row in rows():
        parts.append(
            f"| `{row.state}` | {row.trigger} | {', '.join(row.guards)} | `{row.target}` | {', '.join(row.effects)} |"
        )
    return "\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write docs/states.md, or check it."""
    if wrong := problems():
        print(f"states.py: {wrong[0]}", file=sys.stderr)
        return 2
    return keep(DOC, page(), "host_sim.statechart", argv)


if __name__ == "__main__":
    sys.exit(main())
