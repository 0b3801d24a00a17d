"""Tables in files as DataFrames of numbers, dates and text, by pandas."""

import csv
import gzip
import io
import re
import warnings

import numpy as np

TEXT = (".csv", ".tsv", ".txt")
TABLES = (*TEXT, ".parquet", ".xlsx")
_MISSING = ["", "?", "nan", "NaN", "NAN", "NA", "N/A", "na", "null", "NULL", "None", "none", "-"]
_SEPARATORS = ("\t", ";", "|", ",")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_MOST_LINES = 50  # that the separator is looked for in
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|[+-]?inf", re.ASCII | re.I)
_THREE_DIGITS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+", re.ASCII)
_OFFSET = re.compile(r"\d:\d{2}.*?(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$")
_DAY_AND_MONTH = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def suffix_of(path):
    """The ending of a file's name in small letters, without that of a compressed one."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else suffixes[-1]


def read_table(path):
    """The table in a file: columns of float64, dates or text, and whether they have names.

    Parameters
    ----------
    path : Path
        Text with tabs, semicolons, commas, bars or blanks between cells, of which the latter may
        have decimal commas; parquet; or the first sheet of a workbook. Text may be compressed.

    Returns
    -------
    table : DataFrame
        Missing cells are NaN, NaT or None. Dates keep their zone, or if all have one their offset;
        of several offsets they are in UTC. Columns without names are numbered from 0.
    has_names : bool

    Raises
    ------
    ValueError
        If it is no table.
    """
    import pandas as pd

    suffix = suffix_of(path)
    if suffix == ".parquet":
        table = pd.read_parquet(path)
        if table.index.nlevels > 1 and None in table.index.names:
            raise ValueError("its index has levels without names.")
        has_index = table.index.names[0] is not None or table.index.dtype.kind == "M"
        return _typed(table.reset_index(drop=not has_index)), True
    if suffix == ".xlsx":
        cells = pd.read_excel(path, header=None, dtype=object).astype(object)
        rows = [["" if pd.isna(cell) else str(cell) for cell in row] for row in cells.to_numpy()]
    else:
        rows = _rows_of_text(_text(path))
    if not rows:
        raise ValueError("it is empty.")
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        row = next(i for i, row in enumerate(rows) if len(row) != len(rows[0]))
        raise ValueError(
            f"its rows do not all have the same number of cells: row {row + 1} has "
            f"{len(rows[row])}, the first {len(rows[0])}."
        )
    has_names = _is_header(rows)
    names = rows[0] if has_names else range(len(rows[0]))
    body = rows[1:] if has_names else rows
    if not body:
        raise ValueError("it has names of columns, and no row of values.")
    columns = _unique([str(name).strip() or f"unnamed {i}" for i, name in enumerate(names)])
    table = pd.DataFrame(np.array(body, dtype=object), columns=columns if has_names else None)
    return _typed(table), has_names


def _text(path):
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    encoding = _MARKS.get(content[:2], "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("its text is not in UTF-8: save it as UTF-8.") from None


def _rows_of_text(text):
    """Cells of every line without blanks around them.

    Blank lines between others are left out, but in a single column, where they are missing values.
    """
    lines = re.split(r"\r\n|\r|\n", text.strip("\r\n"))
    text = "\n".join(lines)
    separator = _separator([line for line in lines if line.strip()][:_MOST_LINES])
    if separator == " ":
        return [line.split() for line in lines if line.strip()]
    csv.field_size_limit(2**24)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"it is no table of text: {error}.") from None
    is_single = max(map(len, rows), default=0) == 1
    rows = [[cell.strip() for cell in row or [""]] for row in rows if row or is_single]
    while rows and not any(rows[0]):  # what stands above the table
        rows = rows[1:]
    # Some programs end every line with a separator.
    if rows and len(rows[0]) > 1 and all(len(row) > 1 and row[-1] == "" for row in rows):
        rows = [row[:-1] for row in rows]
    return rows


def _separator(lines):
    """What stands between cells: the first mark that is in every line.

    A column of numbers with decimal commas and no more is a table of two columns too; so it is
    refused, as the error of `_refuse_unclear_commas` says.
    """
    _refuse_unclear_commas(lines)
    for separator in _SEPARATORS:
        if lines and all(separator in line for line in lines):
            return separator
    if lines and all(len(line.split()) > 1 for line in lines) and _are_numbers(lines[-1].split()):
        return " "
    return ","


def _refuse_unclear_commas(lines):
    body = [line.strip() for line in lines[1:]]
    if len(body) > 1 and all(_DECIMAL_COMMA.fullmatch(line) for line in body):
        raise ValueError(
            "its lines may be numbers with decimal commas or two columns of whole numbers: write "
            "it with semicolons between columns, or with decimal points."
        )


def _is_header(rows):
    """Whether the first row has names of columns.

    It has where text stands above what is no text, or above none of the texts below it, beside
    numbers that count or are evenly spaced times; or where there are such numbers alone.
    """
    first, below = rows[0], rows[1:]
    cells = first[1:] if first[0] == "" else first  # no name above row names
    numbers = [_as_float(cell) for cell in cells if is_number(cell)]
    texts = [i for i, cell in enumerate(first) if cell and _kind(cell) == "text"]
    if any(first[i] in {row[i] for row in below} for i in texts):  # a class, not its column's name
        return False
    if not numbers:
        return bool(texts) or not below
    if any(_kind(row[i]) != "text" for i in texts for row in below[:1]):
        return True
    return _are_times(numbers)


def _are_times(numbers):
    """Whether numbers count from 0 or 1, or are at least five evenly spaced times."""
    steps = np.diff(numbers)
    if len(numbers) < 3 or (steps <= 0).any():
        return False
    counts = numbers[0] in (0, 1) and (steps == 1).all()
    return bool(counts or (len(numbers) >= 5 and np.ptp(steps) < 1e-6 * steps.max()))


def _kind(cell):
    if is_number(cell) or cell in _MISSING:
        return "number"
    return "date" if _DATE.match(cell) else "text"


_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{1,2}:\d{2}")


def is_number(cell):
    """Whether a cell of text is a number, with a decimal point or comma."""
    return _as_float(cell) is not None


def _as_float(cell):
    if not _NUMBER.fullmatch(cell):
        return float("nan") if cell.lower() == "nan" else None
    return float(cell.replace(",", "."))


def _are_numbers(cells):
    return all(is_number(cell) or cell in _MISSING for cell in cells)


def _unique(names):
    """Names with a number where one occurs twice."""
    seen = {}
    for i, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            while f"{name} {seen[name]}" in names:
                seen[name] += 1
            names[i] = f"{name} {seen[name]}"
    return names


def _typed(table):
    """A table whose columns are float64, dates or text."""
    for name in table.columns:
        table[name] = _typed_column(table[name])
    return table


def _typed_column(column):
    """Numbers, dates or text, whichever all cells that are not missing are."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    cells = ["" if pd.isna(cell) else str(cell).strip() for cell in column]
    cells = [None if cell in _MISSING else cell for cell in cells]
    text = pd.Series(cells, dtype=object, name=column.name)
    present = text.dropna()
    if _are_numbers(present):
        _refuse_thousands(present, column.name)
        numbers = [np.nan if cell is None else _as_float(cell) for cell in cells]
        return pd.Series(numbers, dtype=np.float64, name=column.name)
    if present.map(lambda cell: bool(_DATE.match(cell))).all():
        dates = _as_dates(text, present, column.name)
        if dates is not None:
            return _in_own_offset(dates, present)
    return text


def _as_dates(text, present, name):
    """A column of dates, or None if they cannot be read.

    Where the day may come before the month, dots have it so; slashes and dashes have what gives
    even steps.
    """
    import pandas as pd

    def parsed(**how):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that pandas has to guess
            dates = pd.to_datetime(text, errors="coerce", utc=True, **how)
        return dates if dates.notna().sum() == len(present) else None

    if not present.map(lambda cell: bool(_DAY_AND_MONTH.match(cell))).all():
        has_year_first = present.str.match(r"\d{4}-").all()
        return parsed(format="ISO8601") if has_year_first else parsed()
    day_first, month_first = parsed(dayfirst=True, format="mixed"), parsed(format="mixed")
    if day_first is None or month_first is None:
        return month_first if day_first is None else day_first
    if day_first.equals(month_first) or present.str.match(r"\d{1,2}\.").all():
        return day_first
    even = [dates for dates in (day_first, month_first) if _are_even(dates)]
    if len(even) != 1:
        raise ValueError(
            f"dates of column {name!r}, such as {present.iloc[0]!r}, may have the day or the month "
            "first: write them as YYYY-MM-DD, or leave them out by --channels."
        )
    return even[0]


def _in_own_offset(dates, texts):
    """Dates in UTC of texts, with the offset that all texts have, or without a zone if none has."""
    import pandas as pd

    offsets = texts.str.extract(_OFFSET, expand=False)
    if offsets.isna().all():
        return dates.dt.tz_localize(None)
    if offsets.nunique(dropna=False) > 1:
        return dates
    return dates.dt.tz_convert(pd.Timestamp(f"2000-01-01 00:00{offsets.iloc[0]}").tz)


def _are_even(dates):
    steps = np.diff(np.unique(dates.dropna().astype("int64")))
    return len(steps) > 0 and bool(np.ptp(steps) <= 0.1 * np.median(steps))


def _refuse_thousands(cells, name):
    """Refuse numbers whose mark may stand between thousands: no two kinds of marks in a column."""
    marked = [cell for cell in cells if _THREE_DIGITS.fullmatch(cell)]
    if not marked:
        return
    others = [cell for cell in cells if cell not in set(marked)]
    plain = [cell for cell in others if re.fullmatch(r"[+-]?\d+", cell)]
    fractions = [cell for cell in others if re.search(r"[.,]\d", cell)]
    has_comma = any("," in cell for cell in marked)
    is_unclear = (plain and not fractions) or (has_comma and not fractions)
    if is_unclear or {"," in cell for cell in [*marked, *fractions]} == {True, False}:
        raise ValueError(
            f"the mark in {marked[0]!r} of column {name!r} may be a decimal one or stand between "
            "thousands: write the numbers without marks between thousands, with decimal points."
        )
