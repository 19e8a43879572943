"""What the tests of protection share: the rows of its table, their limits, a protection far below all of them."""

from relith.protection import Protection

from host_sim.tables import TABLE
from tests.firmware.rigging import profile

IDS = [row[0] for row in TABLE]
ROWS = [row._asdict() for row in TABLE]


def limit_of(row, p):
    limit = row["limit"]
    if isinstance(limit, int):
        return limit
    return -getattr(p, limit[1:]) if limit[0] == "-" else getattr(p, limit)


def guard():
    p = profile()
    watched = Protection(p)
    for row in ROWS:  # far below every limit
        watched._values[row["quantity"]] = -(1 << 29)
    return p, watched
