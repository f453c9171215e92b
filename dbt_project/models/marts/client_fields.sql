{{ config(contract={'enforced': false}) }}
-- One row per client: the custom fields of its contact or company card, null where the other kind of card has them.
select * from {{ ref('int_companies__fields') }}
union all by name
select * from {{ ref('int_contacts__fields') }}
