"""docs/safety.md: the safety rules, each with the tests that fail when it is broken, and the table of diagnostics.

A test names its rules with `@pytest.mark.safety(3)`, or a module with `pytestmark = pytest.mark.safety(3, 5)`.
`python -m host_sim.safety_page` writes the page; `--check` only says whether it is up to date. A rule without a test is
one sentence and exit 1 either way.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from relith import protection
from relith.profile import lines

from host_sim import wear
from host_sim.generated import keep
from host_sim.tables import BLOCKS, LEVELS, TABLE

ROOT = Path(__file__).resolve().parents[1]
DOC = ROOT / "docs" / "safety.md"
TESTS = ROOT / "tests"

TEXT = """Precedence
Hardware trip > hard limit > lockout > soft limit > scheduler > operator. One gate grants. An operator's stop or
refusal outranks the scheduler, always and at once.

Independent cut-off
Pulse current and width are bounded by hardware (one-shot, monitor alert, fuse) as well as by the loop. The board file
says by which; a board without one refuses to arm a pulse.

Discharge direction only
An activation pulse discharges. Charge-direction and self-heating pulses exist only in a profile that arms them by
name (`extra_self_heating`, `extra_pulse_charging`), and only when a person asks for them over the link.

Arm only if
Every reading is fresh, in range and plausible; calibration is in date; the journal is sound; no fault is active or
recently cleared; load and calendar consent; the arm token, given at commissioning, kept in the journal and renewable
over the link, has not expired.

Predict first, abort live
The lowest voltage a pulse will reach, from measured resistance, clears the limit before it begins. It is aborted on
voltage, current, temperature and its rate, a resistance jump, a stale sample or a missed deadline.

Temperature
A pulse has a narrower window than normal use. A missing sensor means no.

Deep discharge
A rest sits above the floor with a margin for self-discharge and the board's own draw, wakes to check, and has a
longest time. Falling through is a lockout that survives power loss.

Soft short
Abnormal sag at rest, or charge that never comes out, stops and latches. It is never answered with a pulse.

Budgets
Charge per pulse, per day, per life; a cool-down; a stop after N measurable interventions without benefit. A profile
may set budgets within the compiled limits. After a power loss no cool-down or day elapses while off; without a known
clock no calendar and no rest.

Outputs off
Boot, brown-out, watchdog and exception leave every output off. A pulse is never resumed. The journal records intent
before action.

Journal
Two copies with CRC and sequence number: a cut at any byte leaves one good copy. Both bad: inventory unknown,
interventions off, never zeros or defaults. An unreadable lockout is a lockout.

Latches and limits
Clearing a latch is a deliberate act, and logged. A profile may tighten compiled limits, never loosen them. Limits
tighten with the estimated isolated lithium.

Diagnostics
Every diagnostic row states its response time and has a fault-injection test that measures it, simulated and on the
rig.

Black box
The last events before a latch are kept: readings, state, request, grant. Sixteen ticks; when more comes before a person
has cleared, the eight that led to the first event stay and the eight before the newest stand behind them.

Refused whole
A profile or command with a wrong unit, range, checksum or version is refused whole, with a message that names the
field; what ran before keeps running.

No injected readings near a switch
A build that takes injected readings (rig, virtual) cannot enable a real switch: its board file has none to enable.
"""
RULES = [rule.strip().split("\n", 1) for rule in TEXT.split("\n\n")]  # (name, text), rule 1 first

HEAD = """# Safety

Made by `python -m host_sim.safety_page` from the rules, the markers of the tests and `firmware/relith/protection.txt`;
`make test` checks that it is up to date and that no rule is without a test. Four short files and one table hold all
of it, to be read in this order: `protection.txt` (the table) and `protection.py` (what is watched), `states.py` (what
may follow what), `gate.py` (what may conduct), `journal.py` (what is not forgotten); all in `firmware/relith`. Beside
them, without a say of their own: `budgets.py` and `pace.py` reckon for the gate, `extras.py` has what a profile arms by
name, `memory.py` lists what the journal holds.

A controller that pulses a lithium-metal cell can hurt someone. These rules are not negotiable.
"""
NOTES = """
## Figures behind the rules

**Limits that tighten** (rule 12). Every upper limit of temperature, the hard one too, comes down by 1 °C for each tenth
of nominal capacity that the worst cell has as isolated lithium, by 10 °C at most: a cell full of it fails harder. The
slope is assumed, no source gives one.

@wear@
**New boards and lost journals** (rule 11). A board whose slots are erased, empty, absent or damaged is locked out:
nobody can tell what they held. A new board is one whose slots hold a record with nothing in it, which `make flash`
writes on a board without a journal. A latch is written to both slots, so that the loss of either leaves it.

**The fault campaign** (rule 13). `make faults` breaks eleven parts in seven ways in ten states, 770 cases, as
`host_sim/faults_table.csv` demands, and the cells' voltages again in a string of five, 70 cases. How long a fault may
take to show is reckoned beforehand from stated figures (`host_sim/faults_evidence.py`); from when the readings show a
row's quantity beyond its limit, the outputs have that row's response time, as often as that happens until the end of
the play. A cell's voltage that stands is played until charge has moved the others away from it for good: it must end
in the soft limit. A fault that lies hidden in a state in which nothing flows is played on until the
part is used: a load, a charger, a pulse, the charge switch once a hot cell has cooled. Where no row can answer the
table says why, and a twin without the fault proves that switches, cells and booked charge stay the same, the charge
within 10 ppm of nominal (5 % of it where samples stand in for the counter), each by its own truth. The cells'
truth is watched every 0.1 s; they stand tight and, when the thermometer breaks, in an oven of 59 °C: a controller
without the row `sensor_stuck` lets them pass 62 °C there (`test_a_blind_controller_would_let_the_cells_get_too_hot`).
The independent cut-off, a one-shot and a comparator on the sink, acts by itself; what it has cut is the row
`hardware_trip`.

**The tests themselves** are tried by `make mutants`: small faults put into functions, limits and tables of the safety
modules (the four files, ledger and link, and the files that they have parts in), each to be noticed by a test
(`host_sim/mutants.py`; what is called equivalent is listed with its reason in `host_sim/mutants_equivalent.csv`).
"""
TABLE_HEAD = """
## Diagnostics

Limits are numbers or fields of the profile; times are elapsed milliseconds. `response` runs from the moment the
quantity passes its limit to the outputs that answer it; `make faults` measures it in closed loop.

| row | quantity | limit | delay ms | level | blocks | back below by | for ms | response ms | black box |
|---|---|---|---|---|---|---|---|---|---|
"""


def _numbers(decorator: ast.expr) -> Iterator[int]:
    """Rule numbers in `pytest.mark.safety(1, 2)`; none in anything else."""
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.safety":
        for argument in decorator.args:
            yield ast.literal_eval(argument)


def _marked(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(rule, test) for every marker in a test module."""
    everywhere: list[int] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            everywhere += _numbers(node.value)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = [number for decorator in node.decorator_list for number in _numbers(decorator)]
            for number in sorted({*everywhere, *own}):
                yield number, node.name


def tests_of_rules(folder: Path = TESTS) -> dict[int, list[str]]:
    """Rule number -> the tests that name it, `path::test`, sorted."""
    found: dict[int, list[str]] = {number: [] for number in range(1, len(RULES) + 1)}
    for path in sorted(folder.rglob("test_*.py")):
        for number, name in _marked(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(number, []).append(f"{path.relative_to(folder.parent).as_posix()}::{name}")
    return found


def problems(found: dict[int, list[str]]) -> list[str]:
    """Rules without a test, and tests of rules that are none; one sentence each."""
    known = range(1, len(RULES) + 1)
    none = [f"safety rule {number} ({RULES[number - 1][0]}) has no test" for number in known if not found[number]]
    return none + [f"{found[number][0]} names safety rule {number}, of {len(RULES)}" for number in found.keys() - known]


def page(found: dict[int, list[str]]) -> str:
    """docs/safety.md."""
    parts = [HEAD]
    for number, (name, text) in enumerate(RULES, 1):
        parts.append(f"\n## {number}. {name}\n\n{text}\n\n")
        by_file: dict[str, list[str]] = {}
        for test in found[number]:
            path, _, function = test.partition("::")
            by_file.setdefault(path, []).append(f"`{function}`")
        parts += [f"- [{path}](../{path}): {', '.join(names)}\n" for path, names in by_file.items()]
    parts.append(NOTES.replace("@wear@", wear.text()) + TABLE_HEAD)
    words = [line.split(None, 2) for line in lines("protection.txt", protection.CRC)]
    quantities = [word[2] for word in words if word[0] == "quantity"]
    for row in TABLE:
        latched = row.level >= 2
        limit = row.limit if isinstance(row.limit, int) else f"`{row.limit}`"
        cells = (
            f"`{row.id}`", quantities[row.quantity], limit, row.delay_ms,
            LEVELS[row.level], BLOCKS[row.blocks] if row.blocks else "", "latched" if latched else row.below,
            "" if latched else row.recover_ms, row.response_ms, "yes" if row.black_box else "",
        )  # fmt: skip
        parts.append(f"| {' | '.join(str(cell) for cell in cells)} |\n")
    return "".join(parts)


def main(argv: list[str] | None = None) -> int:
    """Write docs/safety.md, or check it."""
    found = tests_of_rules()
    if wrong := problems(found):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    return keep(DOC, page(found), "host_sim.safety_page", argv)


if __name__ == "__main__":
    sys.exit(main())
