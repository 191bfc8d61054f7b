"""What is said, as frozen data: rows, lines and sentences in their order, times and amounts in human units.

Nothing is escaped or coloured here, and nothing knows on what it is shown: text, Markdown, HTML and JSON dress the same
views.
"""
