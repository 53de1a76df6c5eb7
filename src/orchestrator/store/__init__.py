"""Tenants and what they may use, in SQLite or Postgres: the only package that imports SQLAlchemy."""
