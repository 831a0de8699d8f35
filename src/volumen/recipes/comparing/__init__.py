"""What comparisons share: their record and the rows of their tables; a folder for each kind of comparison."""
