-- A table that is gone by now (NULL) has nothing to be searched.
CREATE FUNCTION spoton_index_looks(dimension integer, of_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF of_table IS NOT NULL THEN
        EXECUTE format(
            'CREATE INDEX IF NOT EXISTS %2$I ON %3$s '
            'USING hnsw ((embedding::halfvec(%1$s)) halfvec_ip_ops) WITH (m = 24, ef_construction = 200) '
            'WHERE searchable AND vector_dims(embedding) = %1$s',
            dimension, format('%s_looks_%s', (SELECT relname FROM pg_class WHERE oid = of_table), dimension), of_table
        );
    END IF;
END $$;

CREATE OR REPLACE FUNCTION spoton_index_looks(dimension integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM spoton_index_looks(dimension, 'embeddings');
END $$;
