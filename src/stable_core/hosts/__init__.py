"""Hosts: places where workers run. This machine for now; SSH and Ray are to stand beside it."""
