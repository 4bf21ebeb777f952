"""What a person sees: one self-contained HTML page, and its JSON twin."""
