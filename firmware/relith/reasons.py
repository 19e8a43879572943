"""Why, in plain words. `Outputs.reason` is the number of a line of reasons.txt, from 0; a line is a name and the
words.

The firmware knows the numbers only, as `_WHY_NAME = const(number)` where they are used (a test compares). The words are
for people and cost the board no memory: `from relith.reasons import REASONS` reads the file.
"""


def _lines():
    with open(__file__[: __file__.rindex("/") + 1] + "reasons.txt") as file:
        return [line.strip() for line in file]


def __getattr__(name):
    if name == "REASONS":
        return tuple([line[line.index(" ") + 1 :] for line in _lines()])
    raise AttributeError(name)
