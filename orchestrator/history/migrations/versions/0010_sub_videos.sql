CREATE TABLE sub_videos (
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    batch integer NOT NULL,
    camera_id text NOT NULL,
    filename text NOT NULL,
    first_frame integer NOT NULL,
    first_time timestamptz NOT NULL,
    rate double precision NOT NULL,
    start_time_s double precision NOT NULL,
    frames integer NOT NULL,
    media_times_s double precision[] NOT NULL, -- of each tick, within the file
    PRIMARY KEY (task_id, batch, camera_id)
);
