"""How good, how useful and how private synthetic images are, by numbers with their floors."""
