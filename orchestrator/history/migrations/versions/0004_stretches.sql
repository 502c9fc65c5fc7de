-- One row a track while a task runs; stretches of one track follow each other without a gap.
ALTER TABLE tracklets ADD COLUMN stretch integer NOT NULL DEFAULT 0;
ALTER TABLE tracklets DROP CONSTRAINT tracklets_pkey;
ALTER TABLE tracklets ADD PRIMARY KEY (task_id, camera_id, track_id, stretch);
