"""What goes wrong in a simulated run, as data, and how it is drawn and made to happen."""
