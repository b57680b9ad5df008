"""The command line of stable-core: a client among others, in a package of its own. It is no part of the core."""
