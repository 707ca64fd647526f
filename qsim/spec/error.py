"""The one exception of a bad specification."""


class SpecError(ValueError):
    """A format file or an option that states something impossible; the text names file, key, value and what is allowed."""
