"""Pull and merge requests: what was reviewed, by whom, and what is said there."""
