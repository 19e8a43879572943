"""Register-level models of the chips on the board's bus, from their data sheets: for tests and the virtual board."""
