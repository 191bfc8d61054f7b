"""Plans and reports for people and programs. ``views`` decide what is said, ``messages`` holds the sentences, and
``text``, ``markdown``, ``html`` and ``json_`` dress the same view, each escaping in one place."""
