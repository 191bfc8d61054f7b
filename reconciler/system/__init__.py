"""What surrounds the process: environment variables, files, git, and the way to the network."""
