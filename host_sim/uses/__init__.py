"""Charger, load and user: the world outside, as actors with a calendar."""

from host_sim.errors import InputError
from host_sim.uses.base import Actor, Ratings, Terminals, User
from host_sim.uses.calendar import Commuter, Grid, Phone
from host_sim.uses.drive import Drive
from host_sim.uses.lab import Lab

USES = {"lab": Lab, "commuter": Commuter, "grid": Grid, "phone": Phone, "drive": Drive}

__all__ = ["USES", "Actor", "Ratings", "Terminals", "User", "make"]


def make(name: str, ratings: Ratings, seed: int = 0, obey: bool = True) -> Actor:
    """The actor called `name`; InputError lists the names there are."""
    if name not in USES:
        raise InputError(f"use {name!r} is unknown; there are {', '.join(USES)}")
    return USES[name](ratings, seed=seed, obey=obey)
