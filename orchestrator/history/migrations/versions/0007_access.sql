-- Databases from before this revision may have these tables already: the API made them beside the revisions.
CREATE TABLE IF NOT EXISTS api_tokens (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE, -- SHA-256 of the token, which is random: no salt and no slow hash is needed
    role text NOT NULL,
    environments text[], -- NULL: all
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS api_tokens_live_name ON api_tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE IF NOT EXISTS audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    role text NOT NULL,
    action text NOT NULL,
    path text NOT NULL,
    query text NOT NULL,
    what text NOT NULL,
    status smallint NOT NULL,
    client text NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_log_at ON audit_log (at);
