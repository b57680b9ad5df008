"""How this plugin is held to the behaviour of the original: reference cases run through the plugin's own functions.

    python -m stable_core_sd.parity [--vectors DIR]

No job needs this package.
"""
