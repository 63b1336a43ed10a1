"""Where the license server keeps everything: one SQLite file, one writer."""
