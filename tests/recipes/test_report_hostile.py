"""Reports of what strangers named: a page shows it as text, never as markup, and is a page still."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_report import Reader, make_run, make_segment, read, write_report
from test_report_pretraining import make_run as make_pretraining

import volumen.recipes
from volumen.events import Scored, Stepped, Warned, to_json

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "a\u202eb\u2028c",
)
TEMPLATES = sorted(Path(volumen.recipes.__file__).parent.rglob("*.j2"))


def check_harmless(page: Reader, like: Reader) -> None:
    """See that a page has the elements and attributes of a harmless one, and only links into itself."""
    assert {tag for tag, _ in page.found} <= {tag for tag, _ in like.found}
    for _, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset"):
            link = attributes.get(name)
            assert link is None or link.startswith(("#", "data:image/png;base64,"))


def test_the_name_of_a_run_stays_text(tmp_path: Path) -> None:
    make_segment(tmp_path)
    attack = " ".join(attack for attack in ATTACKS if "/" not in attack)
    write_report(make_run(tmp_path, "plain"), out=tmp_path / "one")
    write_report(make_run(tmp_path, attack), out=tmp_path / "other")
    page = read(tmp_path / "other" / "report.html")
    check_harmless(page, read(tmp_path / "one" / "report.html"))
    assert attack in page.text


@pytest.mark.parametrize("make", [make_run, make_pretraining])
def test_what_a_run_says_of_itself_stays_text(tmp_path: Path, make: object) -> None:
    make_segment(tmp_path)
    plain, hostile = (_made(make, tmp_path, name) for name in ("plain", "hostile"))
    recipe = json.loads((hostile / "recipe.json").read_text())
    recipe["versions"] = dict(zip(ATTACKS, reversed(ATTACKS), strict=True))
    recipe["segments"][0]["name"] = ATTACKS[0]
    recipe["settings"] |= {"views": ATTACKS[1], "encoder": ATTACKS[3], "seed": ATTACKS[4], "device": ATTACKS[2]}
    (hostile / "recipe.json").write_text(json.dumps(recipe))
    with (hostile / "events.jsonl").open("a") as file:
        for attack in ATTACKS:
            file.write(to_json(Warned(message=attack)) + "\n")
            file.write(to_json(Stepped(done=1, total=2, values={attack: 0.5})) + "\n")
            file.write(to_json(Scored(step=2, scores={attack: 0.5})) + "\n")
    for run, out in ((plain, "one"), (hostile, "other")):
        write_report(run, out=tmp_path / out)
    page = read(tmp_path / "other" / "report.html")
    check_harmless(page, read(tmp_path / "one" / "report.html"))
    assert all(attack in page.text for attack in ATTACKS)


def _made(make: object, folder: Path, name: str) -> Path:
    return make(folder, name) if make is make_run else make(folder / name)  # type: ignore[operator]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_lets_markup_pass(path: Path) -> None:
    """Escaping is on everywhere, so it is enough that nobody switches it off, and that attributes stand in quotes."""
    text = path.read_text("utf-8")
    assert not re.search(r"\|\s*safe|Markup|autoescape|xmlattr", text)
    assert not re.search(r"=\s*{{", text)
    scripts = re.findall(r"<script.*?</script>", text, re.DOTALL)
    assert not any("{{" in script for script in scripts)
    assert not re.search(r"(?:href|src|srcset)=\"{{(?!.*data_uri)", text)


def test_every_page_is_filled_by_the_one_function_that_escapes() -> None:
    users = [path for path in Path(volumen.__file__).parent.rglob("*.py") if "jinja2" in path.read_text("utf-8")]
    assert [path.name for path in users] == ["page.py"]
