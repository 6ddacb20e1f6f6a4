"""Episodes as moving pictures: a `take` on a `stage` with its `strip`, played as a `film`, written as a `movie`."""
