"""The database of evaluation runs: SQLite or PostgreSQL, by SQLAlchemy Core. All synchronous: threads call it."""
