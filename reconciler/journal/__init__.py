"""The append-only record of what was sent and what came of it, and the lock that keeps applies apart.

entry           what is written, as data and as lines of text                                    pure
chain           whether lines are what was written: each carries the hash of the one before     pure
history         entries → what happened, one row for each operation                             pure
witness         entries → what is known of the account beside what it shows                     pure
unreachable     why a PostgreSQL server did not let us in                                       pure
journal         appending and reading under the lock
lock            who may write, and who is next: a lease on SQLite, advisory locks on PostgreSQL
holder          who holds the lock or waits for it, for people
process         which process this is, and whether another is gone or stopped
worker          a thread for calls that may block
reader          what people ask afterwards
location        where a journal is kept
database        opened, brought up to date, errors made ours; with tables, sqlite, postgresql, busy
read_only_file  a file that is only read

Only the pure ones may be imported where no journal is used: the others import SQLAlchemy.
"""
