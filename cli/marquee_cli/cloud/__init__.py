"""Marquee's laptop cloud: the template of AWS on an emulator, on loopback, without an account.

`cloud` brings it up and down; `home` is where it lives; `emulator` and `stand_ins` are its two
processes, `processes` knows them again; `upstreams` decides who is real; `fit` adapts the build
output to the emulator; `stack` builds and deploys; `fingerprint` tells whether that is needed.
"""
