"""Plans and reports for people and programs. ``view`` decides what is said, ``wording`` holds the sentences, and
``text``, ``markdown``, ``html`` and ``json_`` dress the same view, each escaping in one place."""
