"""Make the scenes that finding characters is measured on: Chinese text over real photographs, listed as CTW does.

No photograph of CTW is at hand, so Chinese text is rendered. Run, with fonts such as Debian's ``fonts-noto-cjk`` and
``fonts-arphic-ukai``::

    python benchmarks/characters.py scenes --photos STREET/*.jpg --fonts NotoSansCJK-Regular.ttc ukai.ttc
    volumen compare characters scenes --out compared --size 128

A scene is a random square of a photograph, perhaps mirrored, with one to four signs: a word of street signs from left
to right or from top to bottom, on a panel or on the photograph itself, turned and in perspective. One sign of five
holds letters and digits, which are no Chinese: neither marked nor ignored. Half of the scenes have a sign too small
and blurred to read, which is listed to be ignored. What text the photographs themselves show is not listed: it is
background, as text that is not Chinese is in CTW. The same seed, photographs, fonts and Pillow make the same scenes.

Few photographs stand behind many scenes, so scenes that are held out share them with those that are learned from:
what is measured is finding text that was never seen on ground that was. It is also easier than streets are.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from volumen.sources.photos.filled import filled
from volumen.sources.synthetic.scenes import Scenery, write_scenes

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "scene_text" / "images"
NOTO = Path("/usr/share/fonts/opentype/noto")
FONTS = (
    *(NOTO / f"NotoSansCJK-{weight}.ttc" for weight in ("Regular", "Bold")),
    NOTO / "NotoSerifCJK-Bold.ttc",
    Path("/usr/share/fonts/truetype/arphic/ukai.ttc"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write images and scenes.jsonl to")
    parser.add_argument("--photos", type=Path, nargs="+", help="photographs to stand behind the text")
    parser.add_argument(
        "--fonts", type=Path, nargs="+", help="fonts with Chinese; Debian's where they are, if not given"
    )
    parser.add_argument("--count", type=int, default=400, help="how many scenes")
    parser.add_argument("--size", type=int, default=512, help="their side in px")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    photos = options.photos or sorted(DATA.glob("*.jpg"))
    fonts = options.fonts or [font for font in FONTS if font.exists()]
    scenery = Scenery(
        photos=tuple(map(str, photos)), fonts=tuple(map(str, fonts)), size=options.size, seed=options.seed
    )
    scenes = signs = ignored = 0
    marked = 0.0
    seen: Counter[str] = Counter()
    for line in write_scenes(scenery, options.out, count=options.count):
        scenes, signs, ignored = scenes + 1, signs + len(line["annotations"]), ignored + len(line["ignore"])
        chinese = [each for text in line["annotations"] for each in text if each["is_chinese"]]
        marked += filled([each["polygon"] for each in chinese], (options.size, options.size)).mean()
        seen.update({each["text"] for each in chinese})
    (character, count), *_ = seen.most_common(1)
    print(
        f"{scenes} scenes of {options.size} px over {len(photos)} photographs, in {len(fonts)} fonts: {signs} signs, "
        f"{len(seen)} different characters, {marked / scenes:.1%} of the pixels marked, {ignored} regions to ignore; "
        f"{character} is in most scenes, {count} ({count / scenes:.1%})."
    )


if __name__ == "__main__":
    main()
