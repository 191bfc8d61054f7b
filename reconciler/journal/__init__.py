"""The append-only record of what was sent and what came of it, and the lock that keeps applies apart.

entry     what is written, how it chains by hash, and how a chain is verified          pure
history   entries → what happened, one row for each operation                          pure
witness   entries → what is known of the account beside what it shows                  pure
database  SQLite or PostgreSQL: opened, brought up to date, errors made ours
process   which process this is, and whether another is gone or stopped
holder    who holds the lock or waits for it, for people
lock      who may write, and who is next: a lease on SQLite, advisory locks on PostgreSQL
worker    a thread for calls that may block
book      appending and reading under the lock

Only the pure ones may be imported where no journal is used: the others import SQLAlchemy.
"""
