"""Bench instruments over SCPI.

`capabilities` says what the rig may ask of an instrument, `dialects` how each model spells it, `driver` does it with
a read-back after every set, `bench` holds several together and switches all of them off when anything goes wrong,
`loopback` is an instrument without hardware for CI and for learning.
"""
