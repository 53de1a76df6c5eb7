"""Measurements of the service on this machine: CPU per message from the kernel's accounting, and ratios."""
