-- Merges that go round in a circle, made by the seed and the file together, are left out: their clients stay apart.
{{ config(severity='warn') }}
select upper(trim(old_key)) as old_key from {{ ref('client_merge_map') }}
union
select old_key from {{ ref('stg_files__client_merge_map') }}
except
select old_key from {{ ref('int_client_merges') }}
