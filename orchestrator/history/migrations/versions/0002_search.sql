-- An index over every stored look would cost a core at a few hundred rows a second: some of each track are enough.
ALTER TABLE embeddings ADD COLUMN searchable boolean NOT NULL DEFAULT true;
ALTER TABLE embeddings ALTER COLUMN searchable SET DEFAULT false;

-- HNSW wants a fixed length, and each model has its own. 16-bit floats: half the memory, and the similarities that are
-- answered are computed anew from the stored 32-bit ones.
CREATE FUNCTION spoton_index_looks(dimension integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS embeddings_looks_%1$s ON embeddings '
        'USING hnsw ((embedding::halfvec(%1$s)) halfvec_ip_ops) WHERE searchable AND vector_dims(embedding) = %1$s',
        dimension
    );
END $$;

DO $$
DECLARE
    stored integer[] := ARRAY(SELECT DISTINCT vector_dims(embedding) FROM embeddings);  -- read before the table changes
    dimension integer;
BEGIN
    FOREACH dimension IN ARRAY stored LOOP
        PERFORM spoton_index_looks(dimension);
    END LOOP;
END $$;
