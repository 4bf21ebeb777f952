"""What privacy costs: budget, ledger, mechanisms."""
