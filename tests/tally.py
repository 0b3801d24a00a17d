"""How a call ended on input that must be refused, or accepted and treated rightly."""

import re
import traceback
from collections import Counter
from pathlib import Path

COUNTS = Counter()
_OURS = ("skvqts", "sklearn")


def refusal(call, types, message):
    """ "clear", "silent", or what is wrong with the error; counted for the summary of the run."""
    verdict = _refusal(call, types, message)
    COUNTS["refused: " + verdict.split(":")[0]] += 1
    return verdict


def _refusal(call, types, message):
    try:
        call()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if not isinstance(error, types) or not re.search(message, str(error)):
            return f"unclear: {type(error).__name__}: {error}"
        if not set(_OURS) & set(Path(last.filename).parts):
            return f"from inside {last.filename}:{last.lineno}: {error}"
        return "clear"
    return "silent"


def accepted(is_right):
    """Count one legitimate input; gives back whether its result was right."""
    COUNTS["accepted: right" if is_right else "accepted: wrong"] += 1
    return is_right


def summary():
    refused = {k[9:]: v for k, v in COUNTS.items() if k.startswith("refused")}
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(refused.items()))
    right, wrong = COUNTS["accepted: right"], COUNTS["accepted: wrong"]
    return [
        f"bad input: {sum(refused.values())} tried, {kinds}",
        f"legitimate input: {right + wrong} tried, {right} right, {wrong} wrong",
    ]
