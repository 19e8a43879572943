"""Chips and switches, each from its data sheet, bus and pins passed in. Whole numbers only."""
