"""Who is told of what happens: in order for each license, until it has been heard."""
