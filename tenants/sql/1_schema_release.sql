-- The version that migrated last, and the oldest code that runs on what it left
-- (infrastructure/postgres/schema_release.py). Written at the end of a migration: half of one leaves the old row.
create table if not exists tenants_schemarelease (
    id smallint primary key check (id = 1),
    version text not null,
    oldest_beside text not null,
    migrated_at timestamptz not null default now()
);
