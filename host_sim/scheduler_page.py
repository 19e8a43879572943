"""The figure of docs/scheduler.md: life of Liu21's cell against pulse strength and rest length, and what adaptive does.

`python -m host_sim.scheduler_page` makes docs/scheduler.png. Every point is the mean over the equally good parameter
sets of the world `redealt`, the band their range: the data do not tell them apart.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from host_sim.firmware import load_profile
from host_sim.fit import load_ensemble
from host_sim.half_cycles import GOOD
from host_sim.policy_lives import GATE_FIELDS, Firmware, Fixed, play
from host_sim.run import PROFILE

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "scheduler.png"
NOMINAL_MAH_CM2, WINDOW, CYCLES = 2.39, (3.0, 4.2), 400
STRENGTHS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # of Liu21's 1C
LENGTHS_S = (120, 300)
RESTS_H = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0)
INK, FAINT, PULSE, LONG, REST, OWN = "#222222", "#999999", "#1f77b4", "#0b3d66", "#2ca02c", "#d62728"


def profile(weight_hour_ppm=None):
    """The profile of Liu21's cell, with the user's price of an hour."""
    prof = load_profile(str(PROFILE))
    fields = {name: getattr(prof, name) for name in dir(prof) if not name.startswith("_")}
    price = {} if weight_hour_ppm is None else {"weight_hour_ppm": weight_hour_ppm}
    return SimpleNamespace(**{**GATE_FIELDS, **fields, **price})


def lives(world: str):
    """(gain of each choice (sets, choices); of the scheduler (sets, 5): gain, pulses, rests, hours, and the strength of
    1C that gives the charge of its mean pulse in five minutes)."""
    sets = [one["liu21-carbonate"] for one in load_ensemble(world)]
    prof = profile()
    one_c = prof.one_c_ua / prof.nominal_capacity_uah
    choices = [(0.0, 0, 1, 0.0, 1)]
    choices += [(c * one_c, s, 1, 0.0, 1) for s in LENGTHS_S for c in STRENGTHS]
    choices += [(0.0, 0, 1, h, 1) for h in RESTS_H]
    columns = np.tile(np.array(choices, float), (len(sets), 1)).T
    each = [p for p in sets for _ in choices]
    efc = play(each, Fixed(*columns), "liu21", NOMINAL_MAH_CM2, WINDOW, prof.taper_permille, CYCLES).efc
    efc = efc.reshape(len(sets), -1)
    board = Firmware([prof] * len(sets), GOOD)
    own = play(list(sets), board, "liu21", NOMINAL_MAH_CM2, WINDOW, prof.taper_permille, CYCLES)
    strength = own.charge / np.maximum(own.pulses, 1) * 3600.0 / LENGTHS_S[1] / one_c
    return efc / efc[:, :1], np.column_stack([own.efc / efc[:, 0], own.pulses, own.rests, own.hours, strength])


def picture(path: Path) -> str:
    """Draw it; returns one line of figures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    gain, own = lives("redealt")
    n = len(STRENGTHS)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4), sharey=True, dpi=110)
    for k, (seconds, colour) in enumerate(zip(LENGTHS_S, (PULSE, LONG), strict=True)):
        part = gain[:, 1 + k * n : 1 + (k + 1) * n]
        band(left, STRENGTHS, part, colour, f"{seconds // 60} min after every charge")
    band(right, RESTS_H, gain[:, 1 + 2 * n :], REST, "rest after every discharge")
    mean, low, high = own[:, 0].mean(), own[:, 0].min(), own[:, 0].max()
    for axes in (left, right):
        axes.axhspan(low, high, color=OWN, alpha=0.12, lw=0)
        axes.axhline(mean, color=OWN, lw=1.5)
        axes.axhline(1.0, color=FAINT, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    left.plot(own[:, 4].mean(), mean, "o", color=OWN)
    right.plot(own[:, 3].sum() / own[:, 2].sum(), mean, "o", color=OWN)
    text = f"adaptive: {own[:, 1].mean():.0f} pulses and {own[:, 2].mean():.0f} rests in a life"
    right.text(24.0, mean + 0.04, text, color=OWN, fontsize=8, ha="right", va="bottom")
    left.set_xlabel("pulse strength in 1C (2.67 mA/cm²)")
    right.set_xlabel("rest in hours, discharged")
    left.set_ylabel("life over that without action")
    left.legend(fontsize=8, frameon=False, loc="upper left")
    right.legend(fontsize=8, frameon=False, loc="lower right")
    left.set_title("a stronger pulse reaches more, then corrodes it", fontsize=9, color=INK)
    right.set_title("a rest frees a share, and only hours buy more", fontsize=9, color=INK)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
    return (
        f"redealt, {gain.shape[0]} equally good sets: adaptive {mean:.2f} ({low:.2f} to {high:.2f}) times the life of "
        f"none, {own[:, 3].mean():.0f} h; best pulse {gain[:, 1 : 1 + 2 * n].mean(axis=0).max():.2f}, best rest "
        f"{gain[:, 1 + 2 * n :].mean(axis=0).max():.2f}"
    )


def band(axes, x, gains, colour, label):
    """Mean and range over the sets."""
    axes.fill_between(x, gains.min(axis=0), gains.max(axis=0), color=colour, alpha=0.15, lw=0)
    axes.plot(x, gains.mean(axis=0), color=colour, marker="o", ms=3, label=label)


if __name__ == "__main__":
    print(picture(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE))
