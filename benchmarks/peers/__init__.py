"""What the service is measured against: the same task, written by the book of each framework, and the bare server."""
