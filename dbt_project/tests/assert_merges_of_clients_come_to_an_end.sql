-- A client that replaced another must not itself lead back to a replaced one: the map would go round in a circle.
select merges.old_key, merges.new_key
from {{ ref('int_client_merges') }} as merges
inner join {{ ref('int_client_merges') }} as onward on onward.old_key = merges.new_key
