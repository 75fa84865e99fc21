"""Noise with the spectrum of the data: every scale has the same signal-to-noise ratio."""

import rgdiff_core as rg

fields = rg.data.load("phi4-6x6", limit=4000).images
basis = rg.bases.FourierBasis(fields.shape[1:], momentum="lattice")
modes = rg.Modes.fit(basis, fields, symmetries="lattice")
schedule = rg.schedules.LinearGamma(-9.0, 6.0)

print("colour         bits left at t = ½   power of the noised fields / that of the data")
for color in (rg.colors.White(), rg.colors.FreeTheory(mass2=0.5), rg.colors.Matched()):
    process = rg.Process(basis, color, schedule, modes)
    noised = process.perturb(fields, 0.5)
    ratio = (
        rg.spectra.power_spectrum(noised, momentum="lattice").power
        / rg.spectra.power_spectrum(fields, momentum="lattice").power
    )
    by_scale = " ".join(f"{each:5.2f}" for each in ratio)
    bits = rg.spectra.information_left(process, 0.5)
    print(f"{type(color).__name__:14} {bits:8.1f}             {by_scale}")
