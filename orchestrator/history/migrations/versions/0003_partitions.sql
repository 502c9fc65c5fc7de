-- The same relation as TimescaleDB's continuous aggregate, computed when it is asked.
CREATE VIEW sightings_by_minute AS
SELECT task_id, camera_id, date_bin('1 minute', time, '2000-01-01 00:00Z') AS minute, count(*) AS sightings
FROM detections
GROUP BY 1, 2, 3;
