"""The one exception that is the user's to mend."""


class InputError(ValueError):
    """Bad input from a person, a file or a topic.

    The message is one line that names the thing and the remedy. The command line prints it on stderr and ends with
    code 2; the node reports it in /diagnostics. Anything else that escapes is a defect and keeps its traceback.
    """


class FrozenError(InputError):
    """The thermal camera repeats a frame (its shutter is closed) and the configuration says not to fuse such frames."""


class EngineError(InputError):
    """No backend can run the network for pictures of this size."""
