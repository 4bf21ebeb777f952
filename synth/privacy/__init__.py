"""What it costs the people in the rows: budgets, what was spent of them, and the mechanisms that spend."""
