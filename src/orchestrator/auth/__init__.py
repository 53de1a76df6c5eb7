"""Who is calling, and from where: an `Identity` that every later step requires."""
