"""Invocations: runs made of several jobs, described as a graph so that the core can spread them. No torch in here."""
