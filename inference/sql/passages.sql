-- The vectors of knowledge bases, where PostgreSQL has pgvector (inference/knowledge/vectors.py).
--
-- Where pgvector is a trusted extension, as in most packages, a role that may create things in the
-- database may create it; else a superuser does so. Without it all else works, and a later `migrate`
-- adds the column. An index is for vectors
-- of one length: a base whose model makes others is searched passage by passage.
do $$
declare
    length int;
begin
    if to_regtype('halfvec') is null
       and exists (select from pg_available_extension_versions
                   where name = 'vector' and (trusted or current_setting('is_superuser') = 'on'))
       and has_database_privilege(current_database(), 'create') then
        create extension vector;
    end if;
    if to_regtype('halfvec') is null then
        return;
    end if;
    if not exists (select from pg_attribute where attname = 'embedding' and not attisdropped
                   and attrelid = 'inference_passage'::regclass) then
        alter table inference_passage add column embedding halfvec;
        alter table inference_passage alter column embedding set storage main;
    end if;
    foreach length in array array[256, 384, 512, 768, 1024, 1536, 2048, 2560, 3072] loop
        if to_regclass(format('inference_passage_nearest_%s', length)) is null then
            execute format(
                'create index inference_passage_nearest_%1$s on inference_passage '
                'using hnsw ((embedding::halfvec(%1$s)) halfvec_ip_ops) where dimensions = %1$s',
                length);
        end if;
    end loop;
end $$;
