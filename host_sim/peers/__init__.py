"""Other people's cells and tools, for comparison and as alternative plants. Optional extra `bench`."""

import os

os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"  # else its first import asks, and later ones send
