"""What holds for all tests: none is timed, also not by Hypothesis, since machines are busy now and then."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
