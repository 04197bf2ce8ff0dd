"""What every route uses: errors, parameters, pages, content types, limits."""
