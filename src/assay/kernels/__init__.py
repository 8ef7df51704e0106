"""The only folder that imports numba: arrays in, arrays out, each kernel with a plain reference twin."""
