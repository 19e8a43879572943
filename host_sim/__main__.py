"""`python -m host_sim …` is `relith-sim …`."""

from host_sim.cli import main

main()
