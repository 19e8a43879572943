"""docs/profile.md from firmware/relith/schema.txt: every field of a profile with its range and meaning.

`python -m host_sim.profile_page` writes it; with `--check` it only says whether it is up to date (exit 1 when not).
"""

from __future__ import annotations

import sys
from pathlib import Path

from host_sim.generated import keep

ROOT = Path(__file__).resolve().parents[1]
DOC = ROOT / "docs" / "profile.md"
SCHEMA = ROOT / "firmware" / "relith" / "schema.txt"

HEAD = """# Profiles

Made from `firmware/relith/schema.txt` by `python -m host_sim.profile_page`; `make test` checks that it is up to
date.

A profile is one JSON object, one cell or pack. Every figure is a whole number with its unit in its name: `uv`
microvolts, `ua` microamperes, `uah` microampere-hours, `na` nanoamperes, `cdegc` hundredths of a degree Celsius,
`ppm` millionths of nominal capacity where nothing else is said, `permille` thousandths, for a rate of 1C. All
fields must be there, and no other; `sources` is an object that says where each figure comes from. A profile is
refused whole, with one sentence that names file, field, value and range. The ranges are the compiled limits: a
profile may tighten them, never loosen them.

`current_lsb_na` is bound from both sides: the 20-bit monitor must see beyond the hard current limits, and 1 ppm of
nominal capacity must be 36 000 to 4 000 000 count·ms, between which the ledger is exact.
"""
TAIL = """
## How long a tick may be

`Outputs.next_tick_ms` is the longest wait until the next tick, chosen in `gate.py` so that no limit can be passed
unseen:

- 100 ms during a pulse, at boot, after a change of state, at the end of a half-cycle, and while any limit is
  exceeded but not yet for its delay; 1 s while something recovers, a decision waits for its time, or accumulator
  and samples seem to disagree.
- Otherwise as long as the cell can take to reach a limit, at most 60 s: at the present current a cell is taken to
  fall by 200 µV per ppm of charge towards the end of discharge (an anode that runs out falls by a volt within half
  a percent) and to rise by 20 µV per ppm towards the soft limit; at the greatest current that is permitted, to fall
  by 100 and rise by 20 µV per ppm to the hard limits, so that a load or charger that starts between two ticks is
  found in time.
- 60 s where every switch is off.
"""


def page() -> str:
    """docs/profile.md as text."""
    parts, orders = [HEAD], []
    for line in SCHEMA.read_text(encoding="utf-8").splitlines():
        kind, _, rest = line.partition(" ")
        words = rest.split()
        if kind == "figure":
            name, low, high = words[:3]
            parts.append(f"| `{name}` | {_spaced(low)} | {_spaced(high)} | {rest.split(maxsplit=3)[3]} |")
        elif kind == "table":
            x, x_low, x_high, y, y_low, y_high = words[:6]
            ranges = f"{_spaced(x_low)} … {_spaced(x_high)} | {_spaced(y_low)} … {_spaced(y_high)}"
            parts.append(f"| `{x}` | `{y}` | {ranges} | {rest.split(maxsplit=6)[6]} |")
        elif kind == "text":
            parts.append(f"| `{words[0]}` | {words[1]} characters | {rest.split(maxsplit=2)[2]} |")
        elif kind == "extra":
            members = [words[k : k + 3] for k in range(1, 22, 3)]
            ranges = "<br>".join(f"`{name}` {_spaced(low)} … {_spaced(high)}" for name, low, high in members)
            parts.append(f"| `{words[0]}` | {ranges} | {' '.join(words[22:])} |")
        elif kind == "order":
            orders.append("- " + " ≤ ".join(f"`{name}`" for name in words))
        elif kind == "#" and rest in HEADINGS:
            parts.append(f"\n## {HEADINGS[rest][0]}\n\n{HEADINGS[rest][1]}")
    return "\n".join(parts + orders) + "\n" + TAIL


FIGURES = "| field | from | to | meaning |\n|---|---|---|---|"
HEADINGS = {
    "cell": ("Cell", FIGURES),
    "voltages of one cell": ("Voltages of one cell", FIGURES),
    "rates, per mille of 1C": ("Rates, per mille of 1C", FIGURES),
    "temperatures": ("Temperatures", FIGURES),
    "interventions: bounds": ("Bounds of interventions", FIGURES),
    "sensors": ("Sensors", FIGURES),
    "loss prior: at 25 degC, full depth, reference rates": (
        "Loss, expected at 25 °C, full depth and slow rates",
        FIGURES,
    ),
    "recovery prior": ("Recovery, expected", FIGURES),
    "policy": ("Policy", FIGURES),
    "extras": (
        "Extras, armed by name",
        "What the literature names beside pulse and rest, each off. A profile that arms one has its field, an "
        "object of these seven figures, its own limits; a profile without the field cannot be asked for it. "
        "Nothing happens until a person asks for one by the command `extra` (dangerous: it answers a challenge, "
        "and the arm token must be valid): `which` is its place in this list, from 1, and it may begin `uses` "
        "times within a day. No more of it can be asked for in that day of power, restarts or not; a loss "
        "of power ends it, and so does `disarm`. The gate refuses and ends it for all that speaks against a pulse, "
        "and outside its own window of temperature (`high_cdegc` is the hot limit, which "
        "isolated lithium tightens), above `budget_ppm` of "
        "charge in one use, or, for the two of formation, when the cell is not new. The two pulses keep the "
        "limits of every pulse, too (window, strength, length, budgets, cool-down), and come after a full charge "
        "when the scheduler asks for nothing. The three others shape the current that charger and load are told; "
        "charging with pauses is refused while there is a deadline.\n\n"
        "| field | its figures | what it does |\n|---|---|---|",
    ),
    "tables": (
        "Tables",
        "Two lists of one length, x rising; straight lines between, held at the ends.\n\n"
        "| x | y | x from … to | y from … to | meaning |\n|---|---|---|---|---|",
    ),
    "texts": ("Texts", "| field | at most | meaning |\n|---|---|---|"),
    "none above the next": ("None above the next", ""),
}


def _spaced(number: str) -> str:
    return f"{int(number):,}".replace(",", " ")


def main(argv: list[str] | None = None) -> int:
    """Write docs/profile.md, or check it."""
    return keep(DOC, page(), "host_sim.profile_page", argv)


if __name__ == "__main__":
    sys.exit(main())
