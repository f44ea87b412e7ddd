"""Studies: does it help my classifier, answered by runs of one configuration."""
