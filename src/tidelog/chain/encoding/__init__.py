"""What a header's hash and roots are over: RLP, tries, headers, transactions in all their forms. Pure."""
