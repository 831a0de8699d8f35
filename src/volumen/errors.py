"""The error tree: each error is also a built-in, and says what was expected, what came, and the cure."""

from __future__ import annotations


class VolumenError(Exception):
    """Base of every error that volumen raises on purpose; the CLI prints it without a traceback."""


class SourceError(VolumenError, ValueError):
    """Data on disk is damaged, inconsistent or in a form that is not understood."""


class SourceNotFoundError(VolumenError, FileNotFoundError):
    """A path or URL that should hold data does not exist."""


class LabelError(VolumenError, ValueError):
    """A label or mask does not fit its volume, or holds nothing to learn from or to score."""


class SettingsError(VolumenError, ValueError):
    """A setting is out of bounds, or two settings contradict each other."""


class OutputExistsError(VolumenError, FileExistsError):
    """The output is already there, and nobody said to resume or overwrite it."""


class InUseError(VolumenError, BlockingIOError):
    """Another process is writing there; the message says which."""


class OutOfSpaceError(VolumenError, OSError):
    """The disk is full; what was finished is kept and can be resumed."""


class CheckpointError(VolumenError, ValueError):
    """A checkpoint is damaged, unsafe, or does not fit the model or data it is meant for."""


class MissingExtraError(VolumenError, ImportError):
    """An optional package is needed for what was asked; the message names the extra to install."""


class DivergedError(VolumenError, ArithmeticError):
    """Training left the numbers: a loss or gradient is NaN or infinite."""


class OutOfMemoryError(VolumenError, MemoryError):
    """The device has too little memory even for one sample at a time."""


class ClusterError(VolumenError, ConnectionError):
    """The workers that share the work cannot be reached, do not fit, or were lost; what was finished is kept."""
