"""
Repositories and stores in SQLite and PostgreSQL, with the same SQLAlchemy Core statements for both.
"""
