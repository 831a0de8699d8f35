"""What the runs of a comparison stand on is told in full, and what is not known is not told."""

from volumen.recipes.comparing.provenance import provenance


def test_weights_versions_and_data_are_told_name_by_name() -> None:
    content = {
        "encoders": {"flip": {"file": "flip.safetensors", "origin": {"pretext": "flip", "form": {"height": 32}}}},
        "versions": {"torch": "2"},
        "segments": [{"name": "words.tsv", "lines": 5, "list_hash": None}],
    }
    assert provenance(content, source="Lines") == [
        ("Weights flip", [("file", "flip.safetensors"), ("pretext", "flip"), ("height", "32")]),
        ("Versions", [("torch", "2")]),
        ("Lines words.tsv", [("name", "words.tsv"), ("lines", "5")]),
    ]
