"""Other people's cells and tools, for comparison and as alternative plants. Optional extra `bench`."""
