"""Every finding of the doctor, on a real server that has that fault."""
