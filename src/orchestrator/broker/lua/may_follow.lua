#!lua flags=no-writes
-- Whether a tenant's sockets may stay, after its records were changed.
-- KEYS[1] callback queue   ARGV[1] tier
-- result  msgpack {outcome: allowed | ask | access_denied | tier_mismatch, detail, limits: the tenant's own}

local verdict, detail, own = judge_access({ T = '{' .. KEYS[1] .. '}:' }, ARGV[1], {})
own = type(own) == 'table' and next(own) and own or nil
return cmsgpack.pack({ outcome = verdict or 'allowed', detail = detail or '', limits = own })
