"""Figures: medians over rounds, their noise, and what got worse than a stored run."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import statistics

FORMAT = 1

# What a figure moves by from one run to the next where nothing changed. Rounds of one run are
# closer together than two runs are, so their spread is not taken for less than this.
LEAST_NOISE = 0.03
# Of a figure that one run gives once, nothing is known of its spread.
SINGLE_NOISE = 0.10

LOWER, HIGHER = "lower", "higher"

# What a new figure is, compared with the stored one.
WORSE, BETTER, SAME = "worse", "better", "same"


@dataclasses.dataclass
class Figure:
    """One number of the page: the median of its rounds, with the lowest and the highest."""

    id: str
    section: str
    title: str
    value: float
    low: float
    high: float
    unit: str
    better: str
    command: str
    rounds: int = 1
    # What it should be, at most or at least; and what is still taken where that can't be had.
    target: float | None = None
    accepted: float | None = None
    # Differences below this mean nothing, whatever the rounds say.
    resolution: float = 0.0
    # Whose figure it is: those of other brokers are shown, and never compared.
    of: str = "bifrost"

    def reaches(self, wanted: float) -> bool:
        return self.value <= wanted if self.better == LOWER else self.value >= wanted

    @property
    def is_met(self) -> bool | None:
        return None if self.target is None else self.reaches(self.target)


def figure(section: str, name: str, title: str, values: list[float], unit: str, better: str,
           command: str, **more) -> Figure:  # fmt: skip
    """The figure that the values of some rounds make."""
    if not values:
        raise ValueError(f"{section}.{name} has no value")
    return Figure(
        id=f"{section}.{name}",
        section=section,
        title=title,
        value=median(values),
        low=min(values),
        high=max(values),
        unit=unit,
        better=better,
        command=command,
        rounds=len(values),
        **more,
    )


def median(values: list[float]) -> float:
    return statistics.median(values)


def noise(one: Figure) -> float:
    """How far a figure may be off in either direction, in its unit."""
    floor = LEAST_NOISE if one.rounds > 1 else SINGLE_NOISE
    return max((one.high - one.low) / 2, abs(one.value) * floor, one.resolution)


def compare(new: Figure, old: Figure) -> str:
    """Whether a figure got worse or better than a stored one by more than the noise of both.

    The new median has to lie outside of what the stored rounds found, widened by both noises.
    """
    margin = noise(new) + noise(old)
    if new.value > old.high + margin:
        return WORSE if new.better == LOWER else BETTER
    if new.value < old.low - margin:
        return BETTER if new.better == LOWER else WORSE
    return SAME


@dataclasses.dataclass
class Section:
    """What one section found. `data` has what its table and plots need besides the figures."""

    id: str
    when: str = ""
    seconds: float = 0.0
    quick: bool = False
    rounds: int = 1
    machine: dict = dataclasses.field(default_factory=dict)
    versions: dict = dataclasses.field(default_factory=dict)
    # Why it was not measured, in words.
    skipped: str | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    commands: list[str] = dataclasses.field(default_factory=list)
    figures: list[Figure] = dataclasses.field(default_factory=list)
    data: dict = dataclasses.field(default_factory=dict)

    def get(self, name: str) -> Figure | None:
        wanted = f"{self.id}.{name}"
        return next((each for each in self.figures if each.id == wanted), None)

    def add(self, name: str, title: str, values: list[float], unit: str, better: str,
            command: str, **more) -> Figure:  # fmt: skip
        made = figure(self.id, name, title, values, unit, better, command, **more)
        self.figures.append(made)
        return made

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def command(self, text: str) -> None:
        if text not in self.commands:
            self.commands.append(text)


def is_comparable(new: Section, old: Section) -> bool:
    """Whether two runs can be compared: of one size, on one kind of machine."""
    same_machine = all(new.machine.get(key) == old.machine.get(key) for key in ("cpu", "cores"))
    return same_machine and new.quick == old.quick and not new.skipped and not old.skipped


class Comparison:
    """What became of each figure since a stored run."""

    def __init__(self, new: dict[str, Section], old: dict[str, Section]):
        self.verdicts: dict[str, str] = {}
        self.before: dict[str, Figure] = {}
        for name, section in new.items():
            if name not in old or not is_comparable(section, old[name]):
                continue
            stored = {each.id: each for each in old[name].figures}
            for each in section.figures:
                before = stored.get(each.id)
                if before is None or before.unit != each.unit or each.of != "bifrost":
                    continue
                self.before[each.id] = before
                self.verdicts[each.id] = compare(each, before)

    def verdict(self, one: Figure) -> str | None:
        return self.verdicts.get(one.id)

    def worse(self, sections: dict[str, Section]) -> list[tuple[Figure, Figure]]:
        """Each figure that got worse, with what it was."""
        return [
            (each, self.before[each.id])
            for section in sections.values()
            for each in section.figures
            if self.verdicts.get(each.id) == WORSE
        ]


def parse_results(text: str) -> dict[str, Section]:
    """The sections of a results.json; none where its format is another one."""
    stored = json.loads(text)
    if stored.get("format") != FORMAT:
        return {}
    sections = {}
    for name, members in stored["sections"].items():
        figures = [Figure(**each) for each in members.pop("figures")]
        sections[name] = Section(**members, figures=figures)
    return sections


def load_results(path: pathlib.Path) -> dict[str, Section]:
    return parse_results(path.read_text()) if path.exists() else {}


def results_text(sections: dict[str, Section]) -> str:
    """A results.json, a member of a figure on each line, so that a change of it can be read."""
    stored = {name: dataclasses.asdict(section) for name, section in sections.items()}
    text = json.dumps({"format": FORMAT, "sections": rounded(stored)}, indent=1)
    # Lists of numbers, and lists of those, on one line.
    for _ in range(2):
        text = re.sub(
            r"\[\s*([-+.\d\s,eE\[\]null]+?)\s*\]",
            lambda found: "[" + " ".join(found.group(1).split()) + "]", text,
        )  # fmt: skip
    return text + "\n"


def rounded(value):
    """Numbers with as many digits as mean something."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return value
