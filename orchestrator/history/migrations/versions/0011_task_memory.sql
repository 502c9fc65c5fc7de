ALTER TABLE tasks
    ADD COLUMN recorded_from timestamptz, -- when frame 0 was, whatever the site file says later
    ADD COLUMN failures smallint NOT NULL DEFAULT 0, -- passing ones, since a batch was last completed
    ADD COLUMN deaths smallint NOT NULL DEFAULT 0; -- of its workers, since a batch was last completed

UPDATE tasks SET recorded_from = begun.first_time - begun.first_frame / begun.rate * interval '1 second'
FROM (
    SELECT DISTINCT ON (task_id) task_id, first_time, first_frame, rate FROM sub_videos ORDER BY task_id, first_frame
) AS begun
WHERE begun.task_id = tasks.id;
