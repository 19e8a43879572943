"""The virtual board: the official MicroPython WebAssembly build with pins, I2C chips, flash files and a clock."""
