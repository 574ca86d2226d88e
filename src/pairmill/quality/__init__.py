"""What an acceptable pair is: pure functions over pairs."""
