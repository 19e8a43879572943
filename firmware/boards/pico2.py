"""Raspberry Pi Pico 2 and Pico 2 W (RP2350), wired as a Pico; erratum RP2350-E9 asks for the 4.7 kohm pull-downs."""

from boards import pico  # first act: every switch off

NAME = "pico2"
CUTOFF = pico.CUTOFF


def make(profile):
    """The board with a cell or string of this profile on it."""
    board = pico.make(profile)
    board.name = NAME
    return board
