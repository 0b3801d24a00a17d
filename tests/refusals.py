"""A check that bad input is refused with a clear error."""

import re
import traceback
from pathlib import Path

PACKAGES = ("skvqts", "sklearn")


def assert_refused(call, types, message, case=None):
    """Fail unless `call` raises an error that tells a user what is wrong.

    The error must be one of `types`, its text must match the pattern `message`, and it must be
    raised by skvqts or scikit-learn themselves, not somewhere inside torch or NumPy.
    """
    start = "" if case is None else f"{case!r}: "
    try:
        call()
    except Exception as error:
        problem = _problem(error, types, message)
        if problem is not None:
            raise AssertionError(start + problem) from error
    else:
        raise AssertionError(f"{start}accepted silently; expected an error like {message!r}")


def _problem(error, types, message):
    if not isinstance(error, types):
        expected = " or ".join(each.__name__ for each in types)
        return f"expected {expected}, got {type(error).__name__}: {error}"
    if not re.search(message, str(error)):
        return f"the message does not match {message!r}: {error}"
    raised_in = traceback.extract_tb(error.__traceback__)[-1]
    if not set(PACKAGES) & set(Path(raised_in.filename).parts):
        return f"raised inside {raised_in.filename}:{raised_in.lineno}: {error}"
    return None
