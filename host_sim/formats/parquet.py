"""Named columns in and out of Parquet, whole or not at all.

A file is written beside its place and renamed, so that a cut leaves the old file or the new one, never half of one.
Needs pyarrow (the `campaign` extra).
"""

import json
import os
from pathlib import Path

import numpy as np

from host_sim.errors import InputError


def needed():
    """pyarrow. Raises InputError: it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "Parquet files need pyarrow, which is not installed; `make test` installs it once, or "
            "pip install -e '.[campaign]'"
        ) from error
    return pyarrow


def write(path, columns, about=None):
    """Write columns (name -> 1-D array or list, one length) and `about` (a dict that JSON can hold) to `path`."""
    pyarrow = needed()
    table = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
    table = table.replace_schema_metadata({"relith": json.dumps(about or {}, sort_keys=True)})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        pyarrow.parquet.write_table(table, beside, compression="zstd", write_page_checksum=True)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def read(path):
    """(columns, about) of a file that `write` made. Raises InputError naming the file when it is missing or damaged."""
    pyarrow = needed()
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        about = json.loads((table.schema.metadata or {}).get(b"relith", b"{}"))
        return {name: np.asarray(table[name].to_numpy()) for name in table.column_names}, about
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{path}: is not a whole Parquet file ({reason[:120]})") from error
