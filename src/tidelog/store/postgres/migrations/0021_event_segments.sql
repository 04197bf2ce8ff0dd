-- Indexes of the tables of contracts' events begin with a segment, as those of transactions and logs do (0009).

DO $$
DECLARE
    made RECORD;
    index RECORD;
BEGIN
    FOR made IN
        SELECT relation.oid, relation.relname FROM pg_class AS relation
        WHERE relkind = 'r' AND relname NOT LIKE '%\_\_children'
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'checkpoints'::regclass)
        AND EXISTS (
            SELECT FROM pg_index JOIN pg_class AS its ON its.oid = indexrelid
            WHERE indrelid = relation.oid AND its.relname = relation.relname || '__0'
        )
        AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation.oid AND attname = 'segment')
    LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN segment INTEGER NOT NULL DEFAULT 0', made.relname);
        EXECUTE format(
            'UPDATE %I AS made SET segment = coalesce((SELECT segments.segment FROM segments WHERE scope = made.chain_id'
            ' AND first <= made.block_number ORDER BY first DESC LIMIT 1), 0)', made.relname);
        EXECUTE format(
            'ALTER TABLE %I ALTER COLUMN segment SET DEFAULT current_setting(''tidelog.segment'')::integer', made.relname);
        FOR index IN
            SELECT its.relname, pg_get_indexdef(indexrelid) AS text FROM pg_index
            JOIN pg_class AS its ON its.oid = indexrelid WHERE indrelid = made.oid AND NOT indisprimary
        LOOP
            EXECUTE format('DROP INDEX %I', index.relname);
            EXECUTE replace(index.text, ' USING btree (', ' USING btree (segment, ');
        END LOOP;
    END LOOP;
END
$$;
