"""Relith: battery-management firmware that wins isolated lithium back."""

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
