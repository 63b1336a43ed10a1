"""What the license server knows of licenses: taken up, judged, withdrawn, renewed, listed."""
