"""What licenses use, added up behind the requests and reported to the vendor."""
