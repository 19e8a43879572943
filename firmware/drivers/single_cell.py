"""Front end for one cell: an ADS1115 on the cell's own sense leads and on a thermistor beside it."""

from drivers.ads1115 import CELL, NODE, SUPPLY


class SingleCell:
    """`sample()` fills `cell_uv` and `cdegc` (lists of one) and `temp_ok`; 1, or 0 without a voltage."""

    NAME = "ADS1115"

    def __init__(self, adc, thermistor):
        self.adc = adc
        self.thermistor = thermistor
        self.address = adc.address
        self.cell_uv = [0]
        self.cdegc = [0]
        self.temp_ok = 0
        self.stack_uv = 0  # not measured here
        self.tripped = 0

    def start(self):
        self.adc.start()

    def sample(self):
        adc = self.adc
        self.temp_ok = 0
        if not adc.sample(CELL):
            return 0
        self.cell_uv[0] = adc.microvolts()
        if adc.sample(NODE):
            node = adc.raw
            if adc.sample(SUPPLY) and self.thermistor.convert(node, adc.raw):
                self.cdegc[0] = self.thermistor.cdegc
                self.temp_ok = 1
        return 1

    BLEED_OHM = 0

    def balance(self, mask, now_ms):
        """One cell needs no balancing."""
        return 1
