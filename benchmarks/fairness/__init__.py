"""Whose task is next, by three rules."""
