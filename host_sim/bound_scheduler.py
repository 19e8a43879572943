"""`python -m host_sim.bound_scheduler`: what any policy can reach that does not know the world while nothing shows.

As long as a reservoir covers the loss, every discharge ends at the cathode and no outcome tells the worlds apart
(physics.md §6.3). So whoever decides is blind until the reservoir is spent. Here a blind choice holds until then, and
afterwards the choice that is best in this world, known for certain: no policy that has to find out is better. For
each blind choice: its value over the tuned fixed policy's, per world, and over the best published one's.
"""

from __future__ import annotations

import sys

import numpy as np
from relith.halfcycle import END_LOW

from host_sim.bench_scheduler import NO_PULSE, NO_REST, PUBLISHED, PULSES, RESTS, WEIGHTS, Kind, fixed, lived, values
from host_sim.estimator_lives import WORLDS
from host_sim.policy_lives import Fixed

PULSE = (1.0, 600)
BLIND = (
    NO_PULSE + NO_REST,
    *((*PULSE, every, *NO_REST) for every in (1, 2, 3, 9)),
    *((*PULSE, every, 8.0, 1) for every in (1, 2, 3, 9)),
    *((*NO_PULSE, 8.0, every) for every in (1, 3)),
)
SEEING = (
    NO_PULSE + NO_REST,
    *((*PULSE, every, *NO_REST) for every in (1, 3)),
    *((*NO_PULSE, hours, 1) for hours in (4.0, 8.0)),
    *((*PULSE, 1, hours, 1) for hours in (4.0, 8.0)),
)


class Switch:
    """`blind` while the reservoir lasts, `seeing` for good from the first discharge that the anode ends."""

    def __init__(self, blind: Fixed, seeing: Fixed):
        self.blind, self.seeing = blind, seeing
        self.seen = np.zeros(blind.rest_s.size, bool)

    def after_charge(self, k, totals, lives, free_s):
        """See Fixed."""
        blind = self.blind.after_charge(k, totals, lives, free_s)
        seeing = self.seeing.after_charge(k, totals, lives, free_s)
        return tuple(np.where(self.seen, s, b) for s, b in zip(seeing, blind, strict=True))

    def after_discharge(self, k, totals, lives, free_s):
        """See Fixed."""
        self.seen |= lives.anode_limited & (np.asarray(totals["end"]) == END_LOW)
        blind = self.blind.after_discharge(k, totals, lives, free_s)
        seeing = self.seeing.after_discharge(k, totals, lives, free_s)
        return np.where(self.seen, seeing, blind)

    def completed(self, rest_s, ocv_v):
        """Nothing to learn."""


def shares(kind: Kind) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By weighting: value over the tuned fixed policy's and over the best published one's, of each blind choice."""
    good = ~kind.hopeless()
    pairs = [p + r for p in PULSES[12:15] for r in RESTS[::3]]  # 1C for 10 min beside every daily rest
    choices = [*PUBLISHED.values(), *(p + NO_REST for p in PULSES), *(NO_PULSE + r for r in RESTS), *pairs]
    found = fixed(kind, choices)
    rows = [(blind, seeing) for blind in BLIND for seeing in SEEING]
    columns = [np.tile(np.array(side, float), (kind.cells, 1)).T for side in zip(*rows, strict=True)]
    ours = values(lived(kind, Switch(Fixed(*columns[0]), Fixed(*columns[1])), len(rows)), len(rows))
    out = {}
    for name in WEIGHTS:
        mean = found[name][good].mean(axis=0)
        best = ours[name][good].mean(axis=0).reshape(len(BLIND), len(SEEING)).max(axis=1)
        out[name] = best / mean.max(), best / mean[: len(PUBLISHED)].max()
    return out


def main(life="lab", ratio=1.5, cells=8) -> int:
    """Print the table and, per weighting, the blind choice whose worst world is best."""
    by_world = {world: shares(Kind(world, life, ratio, cells)) for world in WORLDS}
    print(f"{life}, N/P {ratio:g}, {cells} cells a world; share of the tuned policy / of the best published one, in %")
    for name in WEIGHTS:
        print(f"time {name}: " + ", ".join(WORLDS))
        tuned = 100 * np.array([by_world[world][name][0] for world in WORLDS])  # (worlds, blind choices)
        published = 100 * np.array([by_world[world][name][1] for world in WORLDS])
        for k, blind in enumerate(BLIND):
            figures = "  ".join(f"{t:5.1f}/{p:5.1f}" for t, p in zip(tuned[:, k], published[:, k], strict=True))
            print(f"  {figures}  until it shows {blind}")
        worst = np.minimum(tuned.min(axis=0) / 95, published.min(axis=0) / 99)
        k = int(np.argmax(worst))
        verdict = "reaches both" if worst[k] >= 1 else "none reaches 95 and 99 in every world; nearest"
        print(
            f"  {verdict}: {BLIND[k]} with {tuned[:, k].min():.1f} of tuned, {published[:, k].min():.1f} of published"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(cells=int(sys.argv[1]) if len(sys.argv) > 1 else 8))
