"""What each view shows, as lines: from what was heard and where the user is to text and styles. Pure."""
