"""Everything that speaks to Redis; the only package that imports its client.

`connection` pipelines calls on one connection, `topology` finds the connection of a key, `scripts` has one typed
function per Lua script, `keys` spells every key, `listener` hears tenants' channels and the doorbell.
"""
