-- One row per set of requisites of a contact or a company, latest version. Renames and casts only.
with source as (
    select * from {{ source('bitrix24', 'requisites') }}
)

select
    {{ to_id('id') }} as requisite_id,
    {{ to_id('entity_type_id') }} as owner_type_id,
    {{ to_id('entity_id') }} as owner_id,
    {{ to_id('preset_id') }} as preset_id,
    {{ to_text('name') }} as name,
    {{ to_text('rq_company_name') }} as company_name,
    {{ to_text('rq_company_full_name') }} as company_full_name,
    {{ to_text('rq_inn') }} as inn,
    {{ to_text('rq_kpp') }} as kpp,
    {{ to_text('rq_ogrn') }} as ogrn,
    {{ to_text('rq_ogrnip') }} as ogrnip,
    {{ to_text('rq_iin') }} as iin,
    {{ to_text('rq_bin') }} as bin,
    {{ to_text('rq_edrpou') }} as edrpou,
    {{ to_text('rq_vat_id') }} as vat_id,
    coalesce({{ to_int('sort') }}, 0) as sort,
    {{ to_flag('active') }} as is_active,
    {{ to_flag('address_only') }} as is_address_only,
    {{ to_instant('date_create') }} as created_at,
    {{ to_instant('date_modify') }} as modified_at,
    _deleted_at is not null as is_deleted,
    {{ to_instant('_deleted_at') }} as deleted_at,
    {{ to_instant('_loaded_at') }} as loaded_at

from source
