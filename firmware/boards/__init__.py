"""One file a board. Flashed as `board`; importing it drives every switch off, `make(profile)` puts it together."""
