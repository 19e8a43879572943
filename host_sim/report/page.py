"""One self-contained HTML page: text, tables and matplotlib pictures as inline SVG. Needs no network."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Sequence

STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff }
body { max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #d7dce1; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left } thead th { border-bottom: 2px solid #6b7480 }
figure { margin: 1rem 0 0 } figure svg { width: 100%; height: auto } figcaption { font-size: .9rem; color: #4a525b }
.note { background: #f3f5f7; border-left: 4px solid #6b7480; padding: .6rem .9rem }
.warning { background: #fff2e0; border-left: 4px solid #c25700; padding: .6rem .9rem; font-weight: 600 }
"""


def doubted(value: float, sigma: float) -> str:
    """A figure and its doubt, both to the doubt's second digit: 344 ± 220, 0.00 ± 0.12."""
    digits = 1 - math.floor(math.log10(sigma)) if sigma > 0.0 else 3
    shown = max(digits, 0)
    return f"{round(value, digits):.{shown}f} ± {round(sigma, digits):.{shown}f}"


class Page:
    """Collects parts in order; `html()` gives the whole page. Text is escaped; pictures and links are not."""

    def __init__(self, title: str):
        self.title = title
        self.parts: list[str] = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A section heading."""
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, kind: str = "") -> None:
        """A paragraph; `kind` may be `note` or `warning`."""
        self.parts.append(f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; cells are shown as they are given."""
        head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
        self.parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")

    def figure(self, figure, caption: str, csv_name: str | None = None) -> None:
        """A matplotlib figure as inline SVG, with its numbers beside it as CSV."""
        link = f' Numbers: <a href="{csv_name}">{csv_name}</a>.' if csv_name else ""
        svg = svg_of(figure, salt=csv_name or caption)
        self.parts.append(f"<figure>{svg}<figcaption>{html.escape(caption)}{link}</figcaption></figure>")

    def html(self) -> str:
        """The page."""
        body = "\n".join(self.parts)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
        )


def svg_of(figure, salt: str) -> str:
    """The figure as an `<svg>` element whose bytes depend on nothing but the picture. `salt` keeps ids apart on a
    page."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def plain_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The same table for a terminal: first column left, the others right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[j]) for row in cells) for j in range(len(header))]
    lines = [
        "  ".join(c.ljust(w) if j == 0 else c.rjust(w) for j, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
