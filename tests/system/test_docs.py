"""What the pages name is there: files, commands and their options, make's targets."""

import contextlib
import importlib
import io
import re
from pathlib import Path

import pytest

from hil import cli as hil_cli
from host_sim import cli as host_cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {"relith-sim": host_cli.COMMANDS, "relith-hil": hil_cli.COMMANDS}
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
CALL = re.compile(r"\b(relith-sim|relith-hil) ([a-z]+)\b([^`\n|]*)")


def code(page):
    """The page's code: blocks and words in backticks, where commands stand."""
    return "\n".join(CODE.findall(page.read_text(encoding="utf-8")))


def heads(page):
    """Anchors of a page, as the usual viewers make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            name, _, anchor = target.partition("#")
            there = page.parent / name if name else page
            assert there.exists(), target
            assert not anchor or there.suffix != ".md" or anchor in heads(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_are_there(page):
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", code(page))) <= targets


def usage(program, name):
    """What `--help` of a command prints."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        importlib.import_module(COMMANDS[program][name][0]).main(["--help"])
    return shown.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_are_there(page):
    for program, name, rest in CALL.findall(code(page)):
        assert name in COMMANDS[program], f"{program} {name}"
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest.split("#")[0]):
            assert option in usage(program, name), f"{program} {name} {option}"


def test_every_command_is_on_a_page():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for program, commands in COMMANDS.items():
        for name in commands:
            assert f"{program} {name}" in text or f"make {name}" in text, f"{program} {name}"
