"""The shop's files into the raw tables: what the files are, how they are read, how they are loaded."""
