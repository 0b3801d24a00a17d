"""The command line: what its words mean, and which job they start."""

import argparse
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from .._version import __version__
from ..exceptions import DivergedError, ModelFileError
from ..metrics._report import MIN_SERIES
from . import commands
from .files import BUNDLED, Recorded, load
from .output import ENDINGS
from .recording_report import report_on_recording
from .series_report import report_on_series
from .understanding import READINGS, Flags

_JOBS = {
    "fit": (commands.fit_model, "fit a generator, or a tokenizer, and keep it in a file"),
    "encode": (commands.encode, "write the tokens of series, or of a recording with their times"),
    "sample": (commands.sample, "write new series, or a new recording"),
    "score": (commands.score, "write how likely series, or windows of a recording, are"),
    "impute": (commands.impute, "write series, or a recording, with missing values filled"),
    "anomalies": (commands.anomalies, "write how strange every time point is"),
}
_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    MemoryError,
    DivergedError,
    ModelFileError,
)


def main(arguments=None):
    """Run the command line.

    Parameters
    ----------
    arguments : list of str or None
        The words of the command line; those of the process if None. Without a command the first
        one is "report", and without any word at all "demo".

    Returns
    -------
    status : int
        0, or 2 after an error that is reported in one line, or 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # alphabets that lack a letter get its number
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments) or ["demo"]
    if words[0] not in {"demo", "report", *_JOBS, "-h", "--help", "--version"}:
        words = ["report", *words]
        later = [word for word in words[2:] if word in _JOBS]
        if words[1].startswith("-") and later:
            print(
                f"error: the command {later[0]!r} comes first, before its flags.", file=sys.stderr
            )
            return 2
    options = _parser().parse_args(words)
    try:
        options.job(options)
    except _ERRORS as error:
        told = str(error).splitlines() or [type(error).__name__]
        print(f"error: {told[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def report(options):
    """Fit a tokenizer and a generator, judge both, and draw what they do."""
    flags = Flags(options.reading, options.time, options.channels, options.label)
    data = load(options.data or _default_data(), flags)
    if data.words:
        print(f"{data.name}: {data.words}", flush=True)
    Path(options.out).mkdir(parents=True, exist_ok=True)
    if isinstance(data, Recorded):
        report_on_recording(data, options)
    else:
        report_on_series(data, options)


def _default_data():
    if find_spec("aeon"):
        return "GunPoint"
    print("aeon is not installed (pip install 'skvqts[data]'): using made series, not real ones.")
    return "made"


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m skvqts",
        description="Tokens, features, new series, filled gaps and anomalies of a set of series or "
        "of one long recording.",
        epilog="A file without a command is reported on; without a file, too, it is the demo.",
    )
    parser.add_argument("--version", action="version", version=f"skvqts {__version__}")
    jobs = parser.add_subparsers(metavar="COMMAND", required=True)
    reading, training, reporting = _reading_flags(), _training_flags(), _reporting_flags()
    reported = _reading_flags("; default: GunPoint")
    words = "fit a tokenizer and a generator, judge and draw what they do: pictures, or a page"
    job = jobs.add_parser("report", parents=[reported, training, reporting], help=words)
    job.set_defaults(job=report)
    words = "report on a bundled set, GunPoint"
    job = jobs.add_parser("demo", parents=[training, reporting], help=words)
    job.set_defaults(job=report, data=None, reading=None, time=None, channels=None, label=None)
    for name, (run, words) in _JOBS.items():
        job = jobs.add_parser(name, parents=[reading, training], help=words, description=words)
        job.set_defaults(job=run)
        _add_files(job, name)
    return parser


def _add_files(job, name):
    """The flags of what a command takes and writes."""
    if name == "fit":
        job.add_argument("--out", metavar="MODEL", help="file of the model (default: NAME.skvqts)")
        return
    job.add_argument(
        "--model", metavar="MODEL", help="file of a fitted model (default: one is fitted first)"
    )
    job.add_argument(
        "--out",
        type=_table_file,
        metavar="FILE",
        help="where the table goes: .csv, .parquet or .npy (default: NAME_<command>.csv)",
    )
    number = partial(_whole_number, 1)
    if name == "sample":
        job.add_argument(
            "-n", "--number", type=number, help="of series, or of time points (default: as many)"
        )
    if name == "impute":
        job.add_argument(
            "--draws",
            type=number,
            default=1,
            help="the median of so many fillings, with columns of their 5 and 95 %% quantiles",
        )
    if name == "anomalies":
        job.add_argument(
            "--top", type=number, default=5, help="how many stretches are named (default: 5)"
        )


def _reading_flags(default=""):
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument(
        "data",
        nargs="?",
        metavar="NAME_OR_FILE",
        help="a set of the UCR or UEA archive (aeon bundles "
        f"{', '.join(BUNDLED)}), 'made', or a file: .ts, .csv, .tsv and .txt "
        "(also .gz; label first if it has no names), .parquet, .xlsx, .npz (X, y or X_train, ...), "
        f".npy{default}",
    )
    flags.add_argument(
        "--as",
        dest="reading",
        choices=READINGS,
        help="what the file holds: one recording with a row for each time, a row for each series, "
        "or a row for each time of each series (default: what is plausible; where two are, it "
        "stops and says so)",
    )
    flags.add_argument(
        "--label", metavar="COLUMN", help="column of the classes, name or index; 'none' for none"
    )
    flags.add_argument("--time", metavar="COLUMN", help="column of the times of a recording")
    flags.add_argument(
        "--channels", metavar="A,B", help="columns of a table to use, others are left out"
    )
    return flags


def _training_flags():
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument(
        "--codes",
        type=partial(_whole_number, 1),
        help="codebook size (default: 32, or 128 from 200 training series or windows on, counting "
        "each channel)",
    )
    flags.add_argument(
        "--tokenizer-only", action="store_true", help="fit no prior and generate nothing"
    )
    flags.add_argument(
        "--epochs",
        type=partial(_whole_number, 1),
        help="epochs of tokenizer, decoder and prior (default: by the number of series)",
    )
    flags.add_argument(
        "--seed", type=partial(_whole_number, 0), default=0, help="random_state (default: 0)"
    )
    flags.add_argument(
        "--threads",
        type=partial(_whole_number, 1),
        metavar="N",
        help="n_threads of every fit, at most what OMP_NUM_THREADS and the CPUs allow (default: 1)",
    )
    return flags


def _reporting_flags():
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("--out", default=".", metavar="FOLDER", help="where the pictures go")
    flags.add_argument(
        "--samples",
        type=partial(_whole_number, MIN_SERIES),
        default=500,
        metavar="N",
        help=f"number of series to generate, at least {MIN_SERIES} (default: 500)",
    )
    return flags


def _table_file(text):
    if not text.lower().endswith(ENDINGS):
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(ENDINGS)}: {text!r}")
    return text


def _whole_number(minimum, text):
    if not text.isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}: {text!r}")
    return int(text)
