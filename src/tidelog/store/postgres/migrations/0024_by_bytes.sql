-- Indexes over texts that the views show sort them by their bytes, whatever the locale of the database: that costs less than
-- to sort them as a language does, and an upgrade of the system, which may change how it does, damages no index
-- (https://wiki.postgresql.org/wiki/Locale_data_changes). They are made anew: some seconds for each million rows.

DO $$
DECLARE
    made RECORD;
BEGIN
    FOR made IN
        SELECT its.relname, pg_get_indexdef(its.oid) AS text FROM pg_class AS its
        JOIN pg_am ON pg_am.oid = its.relam AND amname = 'btree'
        WHERE its.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'checkpoints'::regclass)
        AND NOT its.relispartition AND pg_get_indexdef(its.oid) LIKE '%encode(%, ''hex''::text)))%'
    LOOP
        EXECUTE format('DROP INDEX %I', made.relname);
        EXECUTE regexp_replace(
            replace(made.text, ' ON ONLY ', ' ON '), '(encode\([^)]*, ''hex''::text\){3})', '\1 text_pattern_ops');
    END LOOP;
END
$$;
