"""
Rows in a relational database, by SQLAlchemy Core: one code for SQLite and PostgreSQL.
"""
