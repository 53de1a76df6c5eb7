"""Agents of well-known frameworks as agents of a worker: one module each, for one extra each."""
