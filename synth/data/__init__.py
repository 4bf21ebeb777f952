"""What a table is: schema, table, sources, conditions, constraints, splits, encoding."""
