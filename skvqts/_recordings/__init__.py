"""Long recordings: how they come, and how they become series."""
