"""The record: all SQL and everything that knows Postgres."""
