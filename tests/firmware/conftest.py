"""The fixture of the link's tests."""

import pytest

from tests.firmware.link_host import Host
from tests.link_stub import Board


@pytest.fixture
def host():
    """At the other end of a board that has just started."""
    return Host(Board())
