"""Everything that speaks to Redis; the only package that imports its client.

`connection` pipelines calls on one connection, `topology` finds the connection of a key, `broker` runs a script or a
command there, `keys` spells every key, `listener` hears tenants' channels and the doorbell.

Each script in `lua/` has one typed function: path 1's are in `admissions`, path 2's in `callbacks`, those of a log in
`logs`, of tasks in `tasks`, of access in `access_cache`, of what is due in `agenda`. `agent_queues` is for agents.
"""
