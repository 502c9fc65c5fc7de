SELECT remove_continuous_aggregate_policy('sightings_by_minute');
SELECT add_continuous_aggregate_policy(
    'sightings_by_minute',
    start_offset => NULL, end_offset => INTERVAL '1 minute', schedule_interval => INTERVAL '1 minute'
);
