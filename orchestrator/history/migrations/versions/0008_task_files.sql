CREATE TABLE task_files (
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    camera_id text NOT NULL,
    batch integer NOT NULL,
    etag text NOT NULL,
    first_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL, -- when the next batch begins
    PRIMARY KEY (task_id, camera_id, batch)
);

INSERT INTO task_files
SELECT DISTINCT task_id, camera_id, 0, 'of task ' || task_id, '-infinity'::timestamptz, 'infinity'::timestamptz
FROM tracklets;
