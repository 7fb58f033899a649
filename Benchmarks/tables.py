"""Markdown: numbers as people read them, tables, and cells of figures with their marks."""

from __future__ import annotations

from .figures import BETTER, WORSE, Comparison, Figure


def number(value: float | None) -> str:
    """Three digits that mean something, thousands apart."""
    if value is None:
        return "—"
    size = abs(value)
    if size >= 1000:
        digits = len(str(int(size))) - 3
        return f"{round(value / 10**digits) * 10**digits if digits > 0 else round(value):,}"
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3g}" if size >= 0.0001 else f"{value:.5f}"


def size(count: float | None) -> str:
    """Bytes with a unit."""
    if count is None:
        return "—"
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(count) >= factor:
            return f"{number(count / factor)} {unit}"
    return f"{number(count)} bytes"


def percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"


class Page:
    """A page that grows; it knows what became of each figure since the stored run."""

    def __init__(self, comparison: Comparison, drawn: set[str] = frozenset()):
        self.comparison = comparison
        self.drawn = drawn
        self.parts: list[str] = []

    def text(self, paragraph: str) -> None:
        self.parts.append(wrapped(paragraph))

    def heading(self, title: str, level: int = 2) -> None:
        self.parts.append(f"{'#' * level} {title}")

    def table(self, head: list[str], rows: list[list[str]]) -> None:
        """A table; its first column is text, the others are numbers unless a word is in them."""
        if not rows:
            return
        lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(str(each) for each in row) + " |" for row in rows]
        self.parts.append("\n".join(lines))

    def list(self, items: list[str]) -> None:
        if items:
            self.parts.append("\n".join(wrapped(f"- {each}", "  ") for each in items))

    def code(self, lines: list[str]) -> None:
        if lines:
            self.parts.append("\n".join(["```sh", *lines, "```"]))

    def image(self, name: str, title: str) -> None:
        if name in self.drawn:
            self.parts.append(f"![{title}](benchmarks/{name}.svg)")

    def cell(self, one: Figure | None, show=number) -> str:
        """A figure, with what it was where it got worse or better by more than its noise."""
        if one is None:
            return "—"
        text = show(one.value)
        verdict = self.comparison.verdict(one)
        if verdict == WORSE:
            return f"**{text} (worse: was {show(self.comparison.before[one.id].value)})**"
        if verdict == BETTER:
            return f"{text} (was {show(self.comparison.before[one.id].value)})"
        return text

    def spread(self, one: Figure | None, show=number) -> str:
        """A figure with the lowest and highest of its rounds."""
        if one is None:
            return "—"
        around = f" ({show(one.low)} to {show(one.high)})" if one.rounds > 1 else ""
        return self.cell(one, show) + around

    def target(self, one: Figure | None) -> str:
        """Whether a figure's target is met."""
        if one is None or one.target is None:
            return "—"
        if one.is_met:
            return "met"
        if one.accepted is not None and one.reaches(one.accepted):
            return "accepted"
        return "**not met**"

    @property
    def markdown(self) -> str:
        return "\n\n".join(self.parts) + "\n"


def wrapped(text: str, indent: str = "", columns: int = 100) -> str:
    """Text in lines; a line is not broken inside of `code` or of a link."""
    lines, line = [], ""
    for word in _pieces(text):
        if line and len(line) + 1 + len(word) > columns:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, line])


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for word in text.split():
        if pieces and pieces[-1].count("`") % 2:
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces
