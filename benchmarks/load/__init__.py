"""People, sockets and agents that cost as little as Python allows, so that what is measured is the service."""
