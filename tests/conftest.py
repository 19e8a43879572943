"""One hypothesis profile for all: the same examples every time, no wall-clock deadline. HYPOTHESIS_PROFILE=long
searches more."""

import os
import signal

import pytest
from hypothesis import HealthCheck, Phase, settings
from relith.udfilter import Filter

pytest_plugins = ["hil.dut"]  # the `dut` fixture

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("ci"), max_examples=2000)
settings.register_profile("stateful", settings.get_profile("ci"))  # a million steps: tests/firmware/test_stateful.py
settings.register_profile(  # many runs, each short; a failure need not be made small
    "mutants", settings.get_profile("ci"), max_examples=25, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts what runs in its background deaf to Ctrl-C, and so would be the programs that tests send it to
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_collecting_of_garbage_after_main(monkeypatch):
    """main.py, run by some tests, tells the filter to collect garbage: on a PC that takes a second each time."""
    monkeypatch.setattr(Filter, "tidy", None)
