"""The committed profile says what is measured on the fitted cell."""

import json

from host_sim.priors import PROFILE, profile_figures


def test_the_profile_is_that_of_the_fitted_cell():
    data = json.loads(PROFILE.read_text())
    measured = profile_figures(data)
    assert measured["pulse_share_permille"] == sorted(measured["pulse_share_permille"])
    assert {name: data[name] for name in measured} == measured  # else: python -m host_sim.priors
