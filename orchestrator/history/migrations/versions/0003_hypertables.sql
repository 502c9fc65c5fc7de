-- Partitioned tables cannot become hypertables: their rows move into new ones.
ALTER TABLE detections RENAME TO detections_before;
CREATE TABLE detections (LIKE detections_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
SELECT create_hypertable('detections', 'time', chunk_time_interval => INTERVAL '1 day', create_default_indexes => false);
INSERT INTO detections SELECT * FROM detections_before;
DROP TABLE detections_before;
ALTER TABLE detections ADD PRIMARY KEY (task_id, camera_id, track_id, time);
CREATE INDEX detections_time ON detections USING brin (time) WITH (pages_per_range = 32);

ALTER TABLE embeddings RENAME TO embeddings_before;
CREATE TABLE embeddings (LIKE embeddings_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
SELECT create_hypertable('embeddings', 'time', chunk_time_interval => INTERVAL '1 day', create_default_indexes => false);
INSERT INTO embeddings SELECT * FROM embeddings_before;
DROP TABLE embeddings_before;
ALTER TABLE embeddings ADD PRIMARY KEY (task_id, camera_id, track_id, time);
CREATE INDEX embeddings_time ON embeddings USING brin (time) WITH (pages_per_range = 32);
DO $$
DECLARE
    stored integer[] := ARRAY(SELECT DISTINCT vector_dims(embedding) FROM embeddings);  -- read before the table changes
    dimension integer;
BEGIN
    FOREACH dimension IN ARRAY stored LOOP
        PERFORM spoton_index_looks(dimension);
    END LOOP;
END $$;

-- Embeddings stay as they are: compressed chunks have no vector index.
ALTER TABLE detections SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'task_id, camera_id, track_id',
    timescaledb.compress_orderby = 'time'
);
SELECT add_compression_policy('detections', INTERVAL '7 days');

CREATE MATERIALIZED VIEW sightings_by_minute
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT task_id, camera_id, time_bucket('1 minute', time) AS minute, count(*) AS sightings
FROM detections
GROUP BY 1, 2, 3
WITH NO DATA;
SELECT add_continuous_aggregate_policy(
    'sightings_by_minute', start_offset => NULL, end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour'
);
