CREATE OR REPLACE FUNCTION spoton_index_looks(dimension integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS embeddings_looks_%1$s ON embeddings '
        'USING hnsw ((embedding::halfvec(%1$s)) halfvec_ip_ops) WITH (m = 24, ef_construction = 200) '
        'WHERE searchable AND vector_dims(embedding) = %1$s',
        dimension
    );
END $$;

DO $$
DECLARE
    index_name text;
BEGIN
    FOREACH index_name IN ARRAY ARRAY(
        SELECT indexname::text FROM pg_indexes WHERE tablename = 'embeddings' AND indexname LIKE 'embeddings\_looks\_%'
    ) LOOP
        EXECUTE format('DROP INDEX %I', index_name);
        PERFORM spoton_index_looks(substring(index_name FROM '\d+$')::integer);
    END LOOP;
END $$;
