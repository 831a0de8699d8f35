"""Tables of a comparison of encoders: tags, pretext tasks, masks, and what was found; as CSV and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from volumen.recipes.comparing.apparel.cells import lacking
from volumen.recipes.comparing.apparel.results import (
    CHANCE,
    MASKED,
    MASKING,
    WHOLE,
    deviation,
    drawn_verdict,
    matrix_lines,
)
from volumen.recipes.comparing.apparel.scoring import MASKS, TAGGING
from volumen.recipes.comparing.rows import (
    Mark,
    best_of,
    by_line,
    csv_header,
    csv_line,
    mark_of,
    markdown,
    number_text,
    row_json,
)
from volumen.recipes.reporting.tables import Cell as Number
from volumen.recipes.reporting.tables import csv_text
from volumen.settings.compare_apparel import IMAGENET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from volumen.recipes.comparing.apparel.cells import ApparelCell
    from volumen.recipes.comparing.apparel.scoring import Finds
    from volumen.recipes.comparing.rows import Row
    from volumen.settings.compare_apparel import CompareApparel

NAMES = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "accuracy": "Accuracy",
    "micro_f1": "F1, pooled",
    "macro_f1": "F1, mean of tags",
    "loss": "Loss",
    "overlap": "Overlap of neighbours",
    "alignment": "Alignment",
    "uniformity": "Uniformity",
    "effective_rank": "Effective rank",
    "mean_patch": "Loss of the mean patch",
    "inpaint": "Loss of inpainting",
    "iou_hard_image": "IoU, mean of images",
    "iou_hard_pooled": "IoU, pooled",
    "iou_soft_image": "Soft IoU, mean of images",
}

_REPORT = "in the retrieval report"
"""Of the report on image retrieval whose routes these are; `_PUBLISHED` are its numbers."""
_PUBLISHED = {
    ("scratch-plain", "f1"): 0.69,
    ("scratch", "f1"): 0.73,
    ("finetuned-imagenet", "f1"): 0.77,
    ("rotation", "accuracy"): 0.99,
    ("segmenter", "iou_hard_image"): 0.91,
}
_NOT_GIVEN = "no ImageNet file given"


@dataclass(frozen=True, kw_only=True)
class ApparelTable:
    """A table: what it is of, the names of its columns, and its lines."""

    name: str
    title: str
    about: str
    header: tuple[str, ...]
    lines: Sequence[tuple[str, Sequence[Mark]]]


def all_tables(
    chosen: CompareApparel,
    scores: Sequence[Row[ApparelCell]],
    differences: Sequence[Row[ApparelCell]],
    retrieval: Sequence[Row[ApparelCell]],
    finds: tuple[Finds, Finds],
) -> list[ApparelTable]:
    """Lay out all rows; tables that would be empty are left out."""
    tables = [
        _scored("tags", "Tags", _TAGS, TAGGING, [row for row in scores if row.cell.work == "tagger"], chosen),
        ApparelTable(
            name="tag-differences",
            title="Differences between taggers",
            about=_DIFFERENCES,
            header=tuple(NAMES[score] for score in TAGGING[:4]),
            lines=[(name, [_difference(row) for row in rows]) for name, rows in by_line(differences)],
        ),
    ]
    for work, title in (("rotation", "Rotation"), ("triplet", "Triplets"), ("spark", "Masked reconstruction")):
        rows = [row for row in scores if row.cell.work == work]
        names = tuple(dict.fromkeys(row.score for row in rows))
        tables.append(_scored(work, title, _PRETEXTS[work], names, rows, chosen))
    masks = [row for row in scores if row.cell.work == "segmenter"]
    tables.append(_scored("masks", "Masks", _MASKS, MASKS, masks, chosen))
    tables += [_found(retrieval, finds, chosen), _pairs(retrieval)]
    return [table for table in tables if table.lines]


def table_csv(rows: Iterable[Row[ApparelCell]]) -> str:
    """Write a line for each route or difference, and score; ``shown`` is the verdict of the interval over photos."""
    header = (*csv_header("photos"), "shown")
    return csv_text(header, [(*csv_line(row), drawn_verdict(row) if row.than else "") for row in rows])


def rows_json(rows: Iterable[Row[ApparelCell]]) -> list[dict[str, Any]]:
    """Return plain values, for ``comparison.json`` and the last event."""
    return [
        {**row_json(row, drawn="photos"), **({"shown": drawn_verdict(row)} if row.than is not None else {})}
        for row in rows
    ]


def table_markdown(tables: Sequence[ApparelTable], title: str, lead: str, remarks: Sequence[str]) -> str:
    """Write all tables, and what to know about them."""
    parts = [f"# {title}\n", f"{lead}\n"]
    for table in tables:
        lines = [[name, *map(_text, marks)] for name, marks in table.lines]
        parts += [f"## {table.title}\n", f"{table.about}\n", markdown(["", *table.header], lines)]
    parts += ["## Remarks\n", "".join(f"- {remark}\n" for remark in remarks)]
    return "\n".join(parts)


def _scored(
    name: str,
    title: str,
    about: str,
    names: tuple[str, ...],
    rows: Sequence[Row[ApparelCell]],
    chosen: CompareApparel,
) -> ApparelTable:
    best = best_of(by_line(rows)) if name == "tags" else {}  # of read-outs, none is best
    published = [score for score in names if any((row.cell.name, score) in _PUBLISHED for row in rows)]
    lines = []
    for line, of_line in by_line(rows):
        marks = [mark_of(row, best=best.get(row.score) == line) for row in of_line]
        lines.append((line, [*marks, *(_said(_PUBLISHED.get((line, score))) for score in published)]))
    if name == "tags" and lines:
        for row in lacking(chosen):
            if row != IMAGENET:
                said = (_said(_PUBLISHED.get((row, score))) for score in published)
                lines.append((row, [_word(_NOT_GIVEN), *[_word("–")] * (len(names) - 1), *said]))
    header = (*(NAMES[score] for score in names), *(f"{NAMES[score]} {_REPORT}" for score in published))
    return ApparelTable(name=name, title=title, about=about, header=header, lines=lines)


def _found(rows: Sequence[Row[ApparelCell]], finds: tuple[Finds, Finds], chosen: CompareApparel) -> ApparelTable:
    """Lay out what each encoder finds, against chance, and what taking the background away changes."""
    means = {(row.cell, row.score): row for row in rows if row.than is None}
    gaps = {(row.cell, row.score): row for row in rows if row.than in (CHANCE, row.cell)}
    scores = [score for score, each in ((WHOLE, finds[0]), (MASKED, finds[1])) if each]
    best = {score: max(finds[0], key=lambda cell: means[cell, score].estimate.mean) for score in scores}
    lines = []
    for cell in (CHANCE, *finds[0]):
        marks = []
        for score, each in zip((WHOLE, MASKED), finds, strict=True):
            if each:
                mark = mark_of(means[cell, score], best=best[score] == cell)
                spread = f" ± {deviation(each, cell):.3f}" if cell != CHANCE else ""
                marks.append(replace(mark, cell=replace(mark.cell, text=mark.cell.text + spread)))
                marks.append(_difference(gaps[cell, score]) if cell != CHANCE else _word("–"))
        if finds[1]:
            marks.append(_difference(gaps[cell, MASKING]) if cell != CHANCE else _word("–"))
        lines.append((cell.name, marks))
    width = len(lines[0][1]) if lines else 0
    lines += [(row, [_word(_NOT_GIVEN), *[_word("–")] * (width - 1)]) for row in lacking(chosen)]
    parts = (("whole", finds[0]), ("masked", finds[1]))
    header = [title for name, each in parts if each for title in (f"Overlap, {name}", f"{name}, minus chance")]
    return ApparelTable(
        name="found",
        title="Found alike",
        about=_FOUND,
        header=(*header, *(["masked minus whole"] if finds[1] else [])),
        lines=lines,
    )


def _pairs(rows: Sequence[Row[ApparelCell]]) -> ApparelTable:
    pairs = list(matrix_lines(rows))
    scores = tuple(dict.fromkeys(row.score for row in pairs))
    words = {WHOLE: "Overlap, whole", MASKED: "Overlap, masked"}
    lines = [(name, [_difference(row) for row in of_pair]) for name, of_pair in by_line(pairs)]
    return ApparelTable(
        name="found-differences",
        title="Differences between encoders",
        about=_DIFFERENCES,
        header=tuple(words[score] for score in scores),
        lines=lines,
    )


def _difference(row: Row[ApparelCell]) -> Mark:
    """Write a difference, its verdict that of the interval over photographs."""
    return replace(mark_of(row), verdict=drawn_verdict(row))


def _word(text: str) -> Mark:
    return Mark(cell=Number(text=text), drawn="", verdict="")


def _said(value: float | None) -> Mark:
    return _word("–" if value is None else f"{value:.2f}")


def _text(mark: Mark) -> str:
    shown = number_text(mark.cell)
    shown = f"{shown}, photos {mark.drawn}" if mark.drawn else shown
    return f"{shown}, {mark.verdict}" if mark.verdict else shown


_TAGS = (
    "Means over the seeds, of held-out photographs. F1, precision, recall and accuracy (the overlap of tags) are taken "
    "of each photograph by itself, then averaged, at the threshold that is best for F1 on the same photographs: a "
    "little too good, as in the report on image retrieval whose numbers stand beside. After “photos” stands the 95 % "
    "interval over photographs (bootstrap, these runs given)."
)
_PRETEXTS = {
    "rotation": "Share of the four turns of every held-out photograph that are told right.",
    "triplet": (
        "Overlap is that of the tags of held-out photographs with their five nearest among each other. Uniformity near "
        "0 and an effective rank near 1 are collapse."
    ),
    "spark": "Mean squared error of hidden patches, each brought to mean 0 and deviation 1, beside that of guesses.",
}
_MASKS = "Of a U-Net over the same encoder, learned by Dice: all that is marked in the masks against the background."
_FOUND = (
    "Overlap (IoU) of the tags of a query with those of what an encoder finds nearest to it among the photographs that "
    "were learned from, vectors compared by direction: mean ± standard deviation over queries and, after “photos”, the "
    "95 % interval of the mean. Chance is exact. Masked photographs are black where the seed's segmenter predicts "
    "background. Verdicts are of the intervals over queries, these runs given."
)
_DIFFERENCES = (
    "Paired bootstrap of photographs: a difference holds, or does not, where its whole interval over them says so, "
    "these runs given. Intervals are each for itself, not corrected for how many there are."
)
