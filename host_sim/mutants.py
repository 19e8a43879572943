"""Mutation testing of the safety rooms: small wrongs in functions, table rows and limits; a test must see each.

mutator.py makes them, mutant_judge.py finds the test that tells. Results are kept in build/mutants.json by what the
mutant is, so that an interrupted run goes on: a killed one is judged anew when its function or the test that told it
has changed, a survivor when any firmware or test has. A mutant that cannot be told from the original stands in
mutants_equivalent.csv with the reason.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import random
import sys
from functools import cache
from pathlib import Path

from host_sim.cli import Parser
from host_sim.errors import InputError
from host_sim.mutant_judge import FAULT, FOLDER, ROOMS, ROOT, judge, tests_of
from host_sim.mutator import RELITH, Mutant, every, prints

EQUIVALENT = Path(__file__).with_name("mutants_equivalent.csv")
SHARE = 0.95  # of those that differ


def equivalents(path: Path = EQUIVALENT) -> dict[str, str]:
    """Mutant -> why it cannot be told from the original. Raises InputError when a reason is missing."""
    with path.open(newline="", encoding="utf-8") as file:
        found = {row["mutant"]: row["reason"] for row in csv.DictReader(file)}
    for mutant, reason in found.items():
        if len(reason or "") < 10:
            raise InputError(f"{path.name}: {mutant}: reason is {reason!r}, must say why nothing differs")
    return found


def version_of() -> str:
    """A fingerprint of firmware and of the tests that judge: when they change, survivors are judged anew."""
    tests = [ROOT / name for name in tests_of()]
    shared = [path for path in (ROOT / FOLDER).glob("*.py") if not path.name.startswith("test_")]
    files = [*RELITH.glob("*.*"), *tests, *shared, ROOT / "tests" / "link_stub.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:16]


@cache
def _prints_of(file: str) -> dict[str, str]:
    path = ROOT / file
    return prints(path.read_text(encoding="utf-8")) if path.exists() else {}


def print_of(told: str) -> str:
    """The fingerprint of the test that told a mutant; empty when there is none of that name (any more)."""
    file, _, name = told.removeprefix("timeout in ").partition("::")
    return _prints_of(file).get(name.partition("[")[0], "") if name else ""


def holds(result: dict[str, str], mutant: Mutant, version: str) -> bool:
    """Whether a result is still one of this mutant."""
    if not result["by"]:
        return result["version"] == version
    return result["of"] == mutant.print and result["test"] == print_of(result["by"])


def summary(results: dict[str, str], known: dict[str, str]) -> tuple[int, int, list[str]]:
    """(killed, not equivalent, survivors) of mutant -> told by."""
    survivors = sorted(key for key, by in results.items() if not by and key not in known)
    killed = sum(bool(by) for key, by in results.items() if key not in known)
    return killed, killed + len(survivors), survivors


def interval(killed: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, killed / count
    middle, half = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


class Results:
    """What has been judged, in a file from which a later run goes on."""

    def __init__(self, path: Path, todo: list[Mutant], known: dict[str, str]):
        self.path, self.known, self.version = path, known, version_of()
        self.of = {mutant.key: mutant for mutant in todo}
        kept = json.loads(path.read_text(encoding="utf-8")).get("results", {}) if path.exists() else {}
        self.all = {key: one for key, one in kept.items() if isinstance(one, dict)}
        self.mine = {
            key: self.all[key]["by"]
            for key, mutant in self.of.items()
            if key in self.all and holds(self.all[key], mutant, self.version)
        }
        path.parent.mkdir(parents=True, exist_ok=True)

    def left(self) -> list[Mutant]:
        """Those that are to be judged."""
        return [mutant for key, mutant in self.of.items() if key not in self.mine and key not in self.known]

    def note(self, key: str, by: str) -> None:
        """One more."""
        self.mine[key] = by
        self.all[key] = {"by": by, "of": self.of[key].print, "test": print_of(by), "version": self.version}

    def rooms(self) -> dict[str, dict[str, int]]:
        """Room -> how many mutants it has, were judged, killed, differ, are called equivalent."""
        found = {}
        for room in ROOMS:
            keys = {key for key, mutant in self.of.items() if mutant.room == room}
            killed, differing, _ = summary({key: by for key, by in self.mine.items() if key in keys}, self.known)
            same = len(keys & self.known.keys())
            if keys:
                found[room] = {"mutants": len(keys), "killed": killed, "differing": differing, "equivalent": same}
        return found

    def save(self) -> None:
        """All of it, for the next run and for people."""
        killed, differing, survivors = summary(self.mine, self.known)
        low, high = interval(killed, differing)
        told = {"mutants": len(self.of), "killed": killed, "differing": differing, "low": low, "high": high}
        document = {"summary": told, "rooms": self.rooms(), "survivors": survivors, "results": self.all}
        self.path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Judge what has not been judged; 0 when enough were killed and the harness did not fail."""
    parser = Parser(prog="relith-sim mutants", description=__doc__)
    parser.add_argument("--room", choices=ROOMS, action="append", help="only this one (may be given again)")
    parser.add_argument("--sample", type=int, default=0, help="so many, drawn by --seed; 0: all")
    parser.add_argument("--seed", type=int, default=6, help="of the sample, and of the order")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("build/mutants.json"), help="results, to go on from")
    chosen = parser.parse_args(argv)
    todo = every(tuple(chosen.room or ROOMS))
    count = len(todo)
    random.Random(chosen.seed).shuffle(todo)  # whatever has been judged is a sample of all
    if 0 < chosen.sample < count:
        todo = todo[: chosen.sample]
    results = Results(chosen.out, todo, equivalents())
    rest, faults = results.left(), 0
    judged = judge(rest, chosen.jobs, chosen.out.with_suffix(".map"), results.version) if rest else ()
    for number, (key, by) in enumerate(judged, 1):
        if by.startswith(FAULT):
            faults += 1
            print(f"relith-sim mutants: {key}: {by.strip()}", file=sys.stderr, flush=True)
            continue
        results.note(key, by)
        if not by:
            print(f"survives: {key}", flush=True)
        if number % 20 == 0:
            results.save()
    results.save()
    for room, told in results.rooms().items():
        print(f"{room}: {told['killed']} of {told['differing']} killed, {told['equivalent']} equivalent")
    killed, differing, survivors = summary(results.mine, results.known)
    share = killed / differing if differing else 1.0
    same = len(results.of.keys() & results.known.keys())
    print(f"{killed} of {differing} killed ({share:.1%}), {same} equivalent, {len(survivors)} survive")
    if len(todo) < count:
        low, high = interval(killed, differing)
        print(f"a sample of {len(todo)} of {count}, seed {chosen.seed}: 95 % interval {low:.1%} to {high:.1%}")
    if faults:
        print(f"relith-sim mutants: {faults} not judged, the harness failed on them", file=sys.stderr)
    return int(share < SHARE or faults > 0)


if __name__ == "__main__":
    sys.exit(main())
