"""Pictures for the README: the head of a rig's report, and what the monitor shows, as small PNG files.

make hil ARGS="--picture docs/hil.png"          the report of that run
python -m hil.pictures docs/monitor.png         the monitor on a board in the middle of a pulse
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hil import monitor, report
from hil.runner import Result
from host_sim.cli import Parser, guarded
from host_sim.errors import InputError

WIDTH, EDGE, DPI = 1000, 24, 100  # pixels
COLOURS = 128  # of the PNG
SHOWN = ("power_cut_in_pulse", "pulse_after_charge")  # the scenario whose part of the report is in the picture
ROWS = 12  # of the list of scenarios
INK, PALE, LINE, NIGHT, DAY = "#1b1f24", "#4a525b", "#d7dce1", "#14171c", "#dfe4ea"


class Sheet:
    """Takes what `host_sim.report.page.Page` takes, and draws it into one picture instead."""

    def __init__(self) -> None:
        self.figure_ = Figure(figsize=(WIDTH / DPI, 40), dpi=DPI)
        self.top = self.figure_.get_figheight() * DPI - EDGE  # pixels from below: what is still free

    def _text(self, x: float, text: object, size: float, **style: Any) -> None:
        height = self.figure_.get_figheight() * DPI
        self.figure_.text(x / WIDTH, (self.top - size) / height, str(text), fontsize=size * 72 / DPI, **style)

    def heading(self, text: str, size: float = 17) -> None:
        size = min(size, (WIDTH - 2 * EDGE) / (0.65 * len(text)))
        self.top -= 14
        self._text(EDGE, text, size, color=INK, weight="bold")
        self.top -= size + 14

    def text(self, text: str, kind: str = "") -> None:
        for line in textwrap.wrap(text, 130):
            self._text(EDGE, line, 13, color=PALE)
            self.top -= 20
        self.top -= 2

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        cells = [[str(cell) for cell in row] for row in (header, *rows)]
        most = [max(len(row[j]) for row in cells) + 3 for j in range(len(header))]
        right = EDGE + np.cumsum(most) / sum(most) * (WIDTH - 2 * EDGE)
        for k, row in enumerate(cells):
            for j, cell in enumerate(row):
                side = {"ha": "left"} if j == 0 else {"ha": "right"}
                self._text(EDGE if j == 0 else right[j], cell, 12, color=INK, weight="normal" if k else "bold", **side)
            self.top -= 20
            height = self.figure_.get_figheight() * DPI
            self.figure_.add_artist(_line(EDGE / WIDTH, 1 - EDGE / WIDTH, (self.top + 3) / height, LINE if k else PALE))
        self.top -= 8

    def figure(self, figure: Figure, caption: str) -> None:
        figure.set_size_inches((WIDTH - 2 * EDGE) / DPI, figure.get_figheight())
        figure.set_dpi(DPI)
        figure.tight_layout()
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())
        self.top -= picture.shape[0]
        self.figure_.figimage(picture, EDGE, int(self.top))
        self.top -= 6
        self.text(caption)

    def save(self, path: Path) -> None:
        """The part that was drawn on."""
        canvas = FigureCanvasAgg(self.figure_)
        canvas.draw()
        used = np.asarray(canvas.buffer_rgba())
        _png(used[: used.shape[0] - int(self.top) + EDGE], path)


def _line(left: float, right: float, y: float, colour: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([left, right], [y, y], color=colour, lw=0.8)


def _png(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels[..., :3]).quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


def of_report(results: list[Result], path: Path) -> None:
    """The head of the page that `hil.report.page` makes, and one scenario of it."""
    out: Any = Sheet()
    out.heading(report.title(results), 22)
    report.head(out, results, ROWS)
    known = {one.scenario.name: one for one in results}
    report.part(out, known[next((name for name in SHOWN if name in known), results[0].scenario.name)])
    out.save(path)


def of_lines(lines: list[str], path: Path) -> None:
    """Lines of a terminal, with the monitor's bold and red."""
    size, step = 15.0, 21.0  # pixels
    letter = 0.602 * size  # how wide DejaVu Sans Mono is
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    wide, high = 2 * EDGE + letter * max(map(len, plain)), 2 * EDGE + step * len(lines)
    figure = Figure(figsize=(wide / DPI, high / DPI), dpi=DPI, facecolor=NIGHT)
    for k, line in enumerate(lines):
        at, style = 0, monitor.PLAIN
        for piece in re.split(r"(\x1b\[[\d;]*m)", line):
            if piece.startswith("\x1b"):
                style = piece
                continue
            figure.text(
                (EDGE + at * letter) / wide,
                1 - (EDGE + (k + 0.8) * step) / high,
                piece,
                fontsize=size * 72 / DPI,
                family="DejaVu Sans Mono",
                weight="normal" if style == monitor.PLAIN else "bold",
                color={monitor.RED: "#ff7b72", monitor.BOLD: "#ffffff"}.get(style, DAY),
            )
            at += len(piece)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    _png(np.asarray(canvas.buffer_rgba()), path)


def monitored(name: str, condition: str, cycles: int) -> list[str]:
    """What the monitor shows of the virtual board when `condition` holds in a scenario, after so many cycles of life.

    Raises InputError when it never does."""
    from hil import rigs, scenario
    from hil.condition import parse_condition
    from hil.staging import stage

    one = scenario.load(scenario.find(name))
    one = replace(one, life=one.life | {"cycles": cycles})
    until = parse_condition(condition, "hil.pictures")
    board = rigs.load(rigs.find("virtual")).make_board(one)
    try:
        world = stage(one, board)
        view = monitor.View("/dev/ttyACM0", board.latest()["welcome"])
        now_s = 0.0
        board.client.on_message = lambda message: view.take(message, now_s)
        for time_s in world.run():
            now_s = time_s
            if until.holds(world.row) and view.is_whole():
                return view.lines(now_s, style=True)
    finally:
        board.close()
    raise InputError(f"hil.pictures: in {name} it never comes to '{condition}'")


def main(argv: list[str]) -> int:
    """The picture of the monitor."""
    parser = Parser(prog="python -m hil.pictures", description="the monitor in the middle of a pulse, as PNG")
    parser.add_argument("file", type=Path, help="such as docs/monitor.png")
    path = parser.parse_args(argv).file
    of_lines(
        monitored("pulse_after_charge", "pulse_current above 0.2 A and lowest_cell_voltage below 3.99 V", 12), path
    )
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
