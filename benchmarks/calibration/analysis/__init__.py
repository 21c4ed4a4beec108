"""What the calibration's table says, one question a file.

Every module has a `TITLE`, a `NOTE` on how to read it, and `measured(calibration)`, which returns
records with one figure a field.
"""
