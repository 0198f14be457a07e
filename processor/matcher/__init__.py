"""The matcher role: events in, Hog results and judge tasks out."""
