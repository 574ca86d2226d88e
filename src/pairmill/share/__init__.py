"""One quota and one budget for several processes: a small object that they update in turn."""
