"""A digital-to-analogue converter in place of a PWM."""


class Converter:
    """An 8-bit digital-to-analogue converter with the face of a PWM (`machine.DAC`, `pyb.DAC`)."""

    def __init__(self, dac):
        self.dac = dac

    def duty_u16(self, duty):
        self.dac.write(duty >> 8)
