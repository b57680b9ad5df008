"""What was trained for this project and how. Not part of any installed package."""
