"""Commands that run the application on this machine; they import its floors when called."""
