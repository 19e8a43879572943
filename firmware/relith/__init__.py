"""Relith: battery-management firmware that wins isolated lithium back."""

import sys

try:
    from micropython import const  # a number that the compiler puts in place of its name
except ImportError:
    const = int  # type: ignore

VERSION = 100  # 0.1.0: 10000 * major + 100 * minor + patch
running = None  # the Bms that main.py runs


def status():
    """What the running controller knows, in words, for people at the REPL."""
    from relith.tell import tell

    tell(running)
    forget("tell")


def note():
    """One line about what has just changed: main.py calls it as the profile's log_level says."""
    from relith.tell import note

    note(running)
    forget("tell")


def forget(name):
    """Give back the memory of a module that is needed no more; it is loaded again when asked for."""
    if sys.implementation.name == "micropython":
        del sys.modules["relith." + name]
        delattr(sys.modules["relith"], name)
