"""A page under docs/ that is made from the sources: written, or with `--check` compared with what lies there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def keep(doc: Path, text: str, module: str, argv: list[str] | None) -> int:
    """Exit status; 1 when `--check` finds another text in `doc` than the one that `python -m module` writes."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"Makes docs/{doc.name} from the sources.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is out of date")
    if not parser.parse_args(argv).check:
        doc.write_text(text, encoding="utf-8")
    elif not doc.exists() or doc.read_text(encoding="utf-8") != text:
        print(f"docs/{doc.name} is out of date: run python -m {module}", file=sys.stderr)
        return 1
    return 0
