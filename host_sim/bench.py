"""`make bench`: every figure that was promised, measured beside its peers in one run, into build/bench.json.

A section is a module `bench_<section>.py` in `host_sim` or `hil` with `rows() -> list[dict]`; a row has `name`,
`value`, `unit` and `target`, and where there is one `peer`, `ratio` and `spread`. Whether a row is ok is decided
here, from value and target.
"""

from __future__ import annotations

import importlib
import json
import math
import operator
import os
import pkgutil
import platform
import re
import sys
from pathlib import Path

from host_sim.cli import Parser, out_folder
from host_sim.errors import InputError
from host_sim.report.page import plain_table
from host_sim.version import version

COLUMNS = ("section", "name", "value", "unit", "target", "ok", "peer", "ratio", "spread")
_TARGET = re.compile(r"^(<=|>=|<|>|==)\s*(\S+)$")
_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq}


def meets(value: float | int | bool | None, target: str | None) -> bool | None:
    """Whether `value` meets `target` (`"<= 1.0"`, `">= 20"`, `"< 3"`, `"> 100"`, `"== 0"` or `"93..97"`, ends
    included).

    None without a target (a figure for information). A value that is missing or not a number meets none. Raises
    ValueError.
    """
    if target is None or target == "":
        return None
    low, dots, high = target.partition("..")
    match = _TARGET.match(target)
    try:
        if dots:
            bounds, compare = (float(low), float(high)), None
        elif match:
            bounds, compare = (float(match[2]), math.inf), _COMPARE[match[1]]
        else:
            raise ValueError
    except ValueError:
        raise ValueError(f"target {target!r} is neither a comparison with a number nor a range low..high") from None
    if value is None or math.isnan(value):
        return False
    return bool(compare(value, bounds[0]) if compare else bounds[0] <= value <= bounds[1])


def sections() -> dict[str, str]:
    """Section name -> module, in alphabetical order."""
    found = {}
    for package in ("host_sim", "hil"):
        paths = importlib.import_module(package).__path__
        for module in pkgutil.iter_modules(paths):
            if module.name.startswith("bench_"):
                found[module.name.removeprefix("bench_")] = f"{package}.{module.name}"
    return dict(sorted(found.items()))


def judged(section: str, row: dict) -> dict:
    """One row of the file: all columns, `ok` computed. Raises ValueError on a row with an unknown or missing key."""
    unknown = set(row) - set(COLUMNS) | ({"ok"} & set(row))
    if unknown or "name" not in row or "value" not in row:
        raise ValueError(
            f"bench section {section}: row {row.get('name')!r} has {sorted(unknown)} or lacks name or value"
        )
    full = {column: row.get(column) for column in COLUMNS}
    return full | {"section": section, "ok": meets(row["value"], row.get("target"))}


def machine() -> str:
    """What it ran on, in one line."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main(argv: list[str]) -> int:
    """`relith-sim bench [SECTION]`: 1 when a row that was just measured is not ok. A section merges into what is
    there."""
    parser = Parser(prog="relith-sim bench", description="Speed, memory and accuracy, beside the peers, in one run.")
    parser.add_argument("section", nargs="?", default="", help="one of: " + ", ".join(sections()))
    parser.add_argument("--out", default="build/bench.json", help="where the rows go")
    arguments = parser.parse_args(argv)
    path = Path(arguments.out)
    out_folder("bench", path.parent)  # now, not after minutes of measuring
    return run(arguments.section, path)


def run(section: str, path: Path) -> int:
    """Run one section, or all when it is empty, and write `path`. Returns the exit status."""
    known = sections()
    if section and section not in known:
        raise InputError(f"SECTION: {section!r} is no bench section; there are {', '.join(known) or 'none'}")
    kept = []
    if section and path.exists():  # a section alone replaces its own rows and leaves the others
        try:
            kept = [row for row in json.loads(path.read_text())["rows"] if row["section"] != section]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}: is not a bench file; remove it and run again") from None
    measured = []
    for name in [section] if section else known:
        print(f"bench {name} …", file=sys.stderr, flush=True)
        measured += [judged(name, row) for row in importlib.import_module(known[name]).rows()]
    rows = sorted(kept + measured, key=lambda row: row["section"])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"version": version(), "machine": machine(), "rows": rows}, indent=1) + "\n")
    temporary.replace(path)
    print(plain_table(COLUMNS, [["" if row[c] is None else _show(row[c]) for c in COLUMNS] for row in measured]))
    failed = [row["name"] for row in measured if row["ok"] is False]
    print(f"relith.bench: rows={len(measured)} not_ok={len(failed)} -> {path}")
    return 1 if failed else 0


def _show(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
