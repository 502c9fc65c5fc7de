CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE IF NOT EXISTS tasks (
    id uuid PRIMARY KEY,
    environment_id text NOT NULL,
    cameras text[],
    start_batch integer,
    end_batch integer,
    status text NOT NULL DEFAULT 'QUEUED',
    paused_from text,
    attempt integer NOT NULL DEFAULT 0,
    progress double precision NOT NULL DEFAULT 0,
    current_step text NOT NULL DEFAULT 'Waiting for a worker',
    details jsonb NOT NULL DEFAULT '{}',
    focus_global_id text,
    total_sub_video_batches integer,
    completed_sub_video_batches integer NOT NULL DEFAULT 0,
    processed_frames bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'PAUSED') = (paused_from IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS tasks_newest ON tasks (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS tasks_active ON tasks (status) WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED');

-- One row per track and tick. The key makes a repeated row an error, never a duplicate, and serves reading one tracklet.
CREATE TABLE IF NOT EXISTS detections (
    task_id uuid NOT NULL,
    camera_id text NOT NULL,
    track_id integer NOT NULL,
    global_frame_index integer NOT NULL,
    time timestamptz NOT NULL,
    media_time_s double precision NOT NULL,
    x1 real NOT NULL,
    y1 real NOT NULL,
    x2 real NOT NULL,
    y2 real NOT NULL,
    confidence real NOT NULL,
    map_x double precision,
    map_y double precision,
    PRIMARY KEY (task_id, camera_id, track_id, time)
) PARTITION BY RANGE (time);
CREATE INDEX IF NOT EXISTS detections_time ON detections USING brin (time) WITH (pages_per_range = 32);

CREATE TABLE IF NOT EXISTS embeddings (
    task_id uuid NOT NULL,
    camera_id text NOT NULL,
    track_id integer NOT NULL,
    global_frame_index integer NOT NULL,
    time timestamptz NOT NULL,
    confidence real NOT NULL,
    model_name text NOT NULL,
    model_version text NOT NULL,
    embedding vector NOT NULL,
    PRIMARY KEY (task_id, camera_id, track_id, time)
) PARTITION BY RANGE (time);
CREATE INDEX IF NOT EXISTS embeddings_time ON embeddings USING brin (time) WITH (pages_per_range = 32);

-- Who a track is: the only table that a correction of identities rewrites.
CREATE TABLE IF NOT EXISTS tracklets (
    task_id uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
    camera_id text NOT NULL,
    track_id integer NOT NULL,
    global_id text,
    first_frame integer NOT NULL,
    last_frame integer NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    PRIMARY KEY (task_id, camera_id, track_id)
);
CREATE INDEX IF NOT EXISTS tracklets_global_id ON tracklets (global_id, task_id);

CREATE TABLE IF NOT EXISTS checkpoints (
    task_id uuid PRIMARY KEY REFERENCES tasks ON DELETE CASCADE,
    next_batch integer NOT NULL,
    next_frame integer NOT NULL,
    state bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
