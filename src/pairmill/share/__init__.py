"""One quota and one purse for several processes: a small object that they change by turns."""
