"""Chips and switches, each from its data sheet, bus and pins passed in. Whole numbers only."""

try:
    from micropython import const
except ImportError:  # CPython
    const = int
