"""Tables, figures and pages made from recordings, metric logs and finished comparisons; nothing here trains."""
