"""Reader studies: the operator makes them and reads their results, readers answer by a link."""
