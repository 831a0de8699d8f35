"""Lines of text: images of words and lines, and what transcripts, PAGE XML, ALTO and IAM say of them."""
