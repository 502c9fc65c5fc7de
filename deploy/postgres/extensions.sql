-- What SpotOn's tables use; made by the superuser when the database is made.
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE EXTENSION IF NOT EXISTS vector;
