"""What many of something cost: sockets, tenants, sessions, events of one log, tasks of one worker."""
