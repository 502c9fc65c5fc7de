"""The schema as a chain of revisions in raw SQL, run by Alembic. A database older than these is at 0001.

A revision that has been released is never edited: the next one changes what it made.
"""
