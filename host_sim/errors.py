"""What a user did wrong, in one sentence."""


class InputError(ValueError):
    """Message: one sentence naming file, field, value and allowed range. Commands print it on stderr and exit 2."""
